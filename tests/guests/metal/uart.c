/* 64 */
/* The 16550A: registers, FIFO, loopback, modem lines, interrupts and their identities. National PC16550D datasheet. */
#include "metal.h"

static volatile uint8_t reasons[8];
static volatile unsigned interrupts;

static void serve(struct frame *frame)
{
    (void)frame;
    uint8_t identity;
    while (!((identity = uart_read(UART_IIR)) & 1))
        reasons[interrupts++ & 7] = identity & 0xf;
    pic_eoi(IRQ_COM1);
}

static void loop(bool on)
{
    uart_drain();
    uart_write(UART_MCR, on ? 0x18 : 0xb);
    uart_write(UART_IIR, 7);
}

/* Returns all that the line status said meanwhile: reading it clears errors. */
static uint8_t send(const char *text)
{
    uint8_t now, seen = 0;
    while (*text) {
        do
            seen |= now = uart_read(UART_LSR);
        while (!(now & LSR_THR_EMPTY));
        uart_write(UART_DATA, *text++);
    }
    do
        seen |= now = uart_read(UART_LSR);
    while (!(now & LSR_ALL_EMPTY));
    return seen;
}

/* What one test finds is kept until the line is open again. */
static void registers(void)
{
    uart_write(UART_SCRATCH, 0x5a);
    check_is("scratch register", uart_read(UART_SCRATCH), 0x5a);
    uart_drain();
    uart_write(UART_LCR, 0x83);
    outb(COM1, 0x34);
    outb(COM1 + 1, 0x12);
    uint16_t divisor = inb(COM1) | inb(COM1 + 1) << 8;
    outb(COM1, 1);
    outb(COM1 + 1, 0);
    uart_write(UART_LCR, 3);
    check_is("divisor", divisor, 0x1234);
    check_is("line control", uart_read(UART_LCR), 3);
    uart_write(UART_IER, 0xff);
    uint8_t enabled = uart_read(UART_IER);
    uart_write(UART_IER, 0);
    check_is("four interrupt sources", enabled, 0x0f);
    check_is("FIFO is there", uart_read(UART_IIR) & 0xc0, 0xc0);
    uart_drain();
    check_is("all sent", uart_read(UART_LSR) & 0x60, 0x60);
}

static void loopback(void)
{
    loop(true);
    uart_write(UART_DATA, 'x');
    uart_drain();
    uint8_t ready = uart_read(UART_LSR) & LSR_DATA_READY, data = uart_read(UART_DATA);
    uint8_t empty = uart_read(UART_LSR) & LSR_DATA_READY;
    uint8_t seen[4];
    for (unsigned i = 0; i < 4; i++) {
        uart_write(UART_MCR, 0x10 | 1 << i);
        seen[i] = uart_read(UART_MSR) & 0xf0;
    }
    uart_write(UART_MCR, 0x18);
    send("0123456789abcdef");
    unsigned count = 0;
    bool order = true;
    for (; uart_read(UART_LSR) & LSR_DATA_READY; count++)
        order &= uart_read(UART_DATA) == "0123456789abcdef"[count & 15];
    uint8_t overrun = send("0123456789abcdefg") & LSR_OVERRUN, overrun_again = uart_read(UART_LSR) & LSR_OVERRUN;
    uart_write(UART_IIR, 3); /* clear the receiver */
    uint8_t cleared = uart_read(UART_LSR) & LSR_DATA_READY;
    loop(false);
    check("loopback", ready && data == 'x' && !empty);
    check_is("DTR is DSR", seen[0], 0x20);
    check_is("RTS is CTS", seen[1], 0x10);
    check_is("OUT1 is RI", seen[2], 0x40);
    check_is("OUT2 is DCD", seen[3], 0x80);
    check("16 characters fit, in order", count == 16 && order);
    check("the 17th overruns", overrun);
    check_is("which reading clears", overrun_again, 0);
    check_is("the receiver's FIFO can be cleared", cleared, 0);
}

static void transmitter_interrupt(void)
{
    pic_start();
    on(PIC_VECTOR + IRQ_COM1, serve);
    uart_drain();
    pic_unmask(IRQ_COM1);
    uart_write(UART_IER, 2);
    open_window();
    unsigned first = interrupts;
    uint8_t reason = reasons[0];
    open_window();
    unsigned second = interrupts;
    uart_write(UART_IER, 0);
    uart_write(UART_IER, 2);
    open_window();
    unsigned third = interrupts;
    uart_write(UART_IER, 0);
    check("transmitter empty interrupts", first == 1 && reason == 2);
    check_is("once, for asking is the answer", second, 1);
    check_is("and again when it is enabled again", third, 2);
}

static uint8_t identity(void)
{
    return uart_read(UART_IIR) & 0xf;
}
static uint8_t receive(void)
{
    return uart_read(UART_DATA);
}

/* In a loop the modem outputs rest, and so the PC's gate of the interrupt: the identity shows it all the same. */
static void receiver_identity(void)
{
    loop(true);
    uart_write(UART_IER, 1);
    uint8_t empty = identity();
    send("x");
    uint8_t one = identity() & 6, first = receive(), none = identity();
    uart_write(UART_IIR, 0x87); /* trigger at the eighth */
    send("abcdefgh");
    uint8_t eight = identity() & 6;
    first = first == 'x' ? receive() : 0;
    bool timed_out = WAIT_FOR(identity() == 0xc); /* below the trigger for the time of four characters */
    uint8_t second = receive();
    uart_write(UART_IER, 0);
    uint8_t off = identity();
    loop(false);
    check_is("nothing received", empty, 1);
    check_is("received data", one, 4);
    check_is("reading it is the answer", none, 1);
    check_is("eight are at the trigger", eight, 4);
    check("seven time out", timed_out && first == 'a' && second == 'b');
    check_is("no source, no identity", off, 1);
}

int main(void)
{
    registers();
    loopback();
    transmitter_interrupt();
    receiver_identity();
    return failures;
}
