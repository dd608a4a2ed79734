/* 32 64 */
/* The 8259 pair with the PIT's interrupt: ticks, HLT, phases without interrupts, masks, priorities, in-service and request
 * registers, ends of interrupts. Intel 8259A datasheet. */
#include "metal.h"

static volatile unsigned ticks;
static volatile uint8_t in_service, order[8];
static volatile unsigned order_count;

static uint8_t read_pic(uint16_t port, uint8_t which)
{
    outb(port, which);
    return inb(port);
}
#define REQUESTED(port) read_pic(port, 0x0a)
#define IN_SERVICE(port) read_pic(port, 0x0b)

static void tick(struct frame *frame)
{
    (void)frame;
    in_service = IN_SERVICE(0x20);
    ticks++;
    order[order_count++ & 7] = IRQ_TIMER;
    pic_eoi(IRQ_TIMER);
}

static void tick_without_end(struct frame *frame)
{
    (void)frame;
    ticks++;
}

static void serial(struct frame *frame)
{
    (void)frame;
    order[order_count++ & 7] = IRQ_COM1;
    uart_write(UART_IER, 0);
    pic_eoi(IRQ_COM1);
}

static bool timer_is_requested(void)
{
    return REQUESTED(0x20) & 1;
}

/* One interrupt of the PIT is pending, and no other comes by itself. */
static void make_one_pending(void)
{
    pit_start(0, 0, 200);
    if (!WAIT_FOR(timer_is_requested()))
        say("the PIT's interrupt does not come\n");
}

int main(void)
{
    pic_start();
    on(PIC_VECTOR + IRQ_TIMER, tick);
    on(PIC_VECTOR + IRQ_COM1, serial);
    check_is("mask of the first chip", inb(0x21), 0xfb);
    check_is("mask of the second chip", inb(0xa1), 0xff);

    pic_unmask(IRQ_TIMER);
    pit_start(0, 2, 0); /* 18.2 Hz: also the slowest machine keeps up */
    while (ticks < 8)
        sleep();
    check_is("8 ticks end 8 halts", ticks, 8);
    check_is("in service while it is served", in_service, 1);
    check_is("nothing in service", IN_SERVICE(0x20), 0);
    unsigned before = ticks;
    sti();
    while (ticks < before + 2)
        asm volatile("pause");
    cli();
    check("2 ticks while it computes", ticks >= before + 2);

    before = ticks;
    check("requested while interrupts are off", WAIT_FOR(timer_is_requested()));
    wait_us(60000);
    check_is("none is served while interrupts are off", ticks, before);
    pit_start(0, 0, 0xffff);
    open_window();
    check_is("then one for all that were missed", ticks, before + 1);

    pic_mask(IRQ_TIMER);
    make_one_pending();
    before = ticks;
    open_window();
    check_is("a masked input waits", ticks, before);
    pic_unmask(IRQ_TIMER);
    open_window();
    check_is("and comes when it is unmasked", ticks, before + 1);

    /* Both requests at once: the lower number first, and never nested into a higher priority. */
    pic_unmask(IRQ_COM1);
    uart_drain();
    uart_write(UART_IER, 2);
    make_one_pending();
    check_is("both are requested", REQUESTED(0x20) & 0x11, 0x11);
    order_count = 0;
    open_window();
    open_window();
    check("priority", order_count == 2 && order[0] == IRQ_TIMER && order[1] == IRQ_COM1);
    pic_mask(IRQ_COM1);

    make_one_pending();
    before = ticks;
    on(PIC_VECTOR + IRQ_TIMER, tick_without_end);
    open_window();
    check_is("served", ticks, before + 1);
    on(PIC_VECTOR + IRQ_TIMER, tick);
    make_one_pending();
    open_window();
    check_is("in service holds its own priority back", ticks, before + 1);
    outb(0x20, 0x60 | IRQ_TIMER);
    open_window();
    check_is("a specific end of interrupt lets it in", ticks, before + 2);
    return failures;
}
