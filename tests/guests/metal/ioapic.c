/* 64 */
/* The I/O APIC: registers, edges, masks, levels with Remote IRR, the HPET's legacy route. 82093AA datasheet. */
#include "metal.h"

#define VECTOR_TIMER 0x50
#define VECTOR_SERIAL 0x51
#define VECTOR_RTC 0x52
#define VECTOR_HPET 0x53

static volatile unsigned count[256];
static volatile uint32_t remote_irr;
static volatile bool level_in_tmr;

static void edge(struct frame *frame)
{
    count[frame->vector]++;
    apic_eoi();
}

/* Takes away the reason only at the second time. */
static void level(struct frame *frame)
{
    count[frame->vector]++;
    remote_irr = io_apic_read(REDIRECTION(IRQ_COM1)) & REMOTE_IRR;
    level_in_tmr = apic_has(APIC_TMR, VECTOR_SERIAL);
    if (count[VECTOR_SERIAL] == 2)
        uart_write(UART_IER, 0);
    apic_eoi();
}

static void rtc(struct frame *frame)
{
    cmos_read(0xc);
    edge(frame);
}

static void route(unsigned pin, uint32_t entry)
{
    io_apic_write(REDIRECTION(pin) + 1, apic_read(APIC_ID) >> 24 << 24);
    io_apic_write(REDIRECTION(pin), entry);
}

static void level_triggered(void)
{
    uart_drain();
    route(IRQ_COM1, LEVEL_TRIGGERED | VECTOR_SERIAL);
    uart_write(UART_IER, 2); /* transmitter empty: high as long as nobody writes or asks */
    open_window();
    uint32_t after = io_apic_read(REDIRECTION(IRQ_COM1)) & REMOTE_IRR;
    route(IRQ_COM1, PIN_MASKED);
    check_is("a level that stays interrupts again behind its end", count[VECTOR_SERIAL], 2);
    check("Remote IRR while it is served", remote_irr != 0);
    check("TMR says level", level_in_tmr);
    check_is("Remote IRR falls with the end of interrupt", after, 0);
}

int main(void)
{
    apic_start();
    on(VECTOR_TIMER, edge);
    on(VECTOR_SERIAL, level);
    on(VECTOR_RTC, rtc);
    on(VECTOR_HPET, edge);
    check_is("24 pins", io_apic_read(1) >> 16 & 0xff, 23);
    io_apic_write(0, 0x05000000);
    check_is("identity is writable", io_apic_read(0) >> 24 & 0xf, 5);
    io_apic_write(0, 0);
    for (unsigned pin = 0; pin < 24; pin++)
        io_apic_write(REDIRECTION(pin), PIN_MASKED);
    io_apic_write(REDIRECTION(20) + 1, 0xab000000);
    io_apic_write(REDIRECTION(20), PIN_MASKED | 0xa8ef);
    check_is("destination", io_apic_read(REDIRECTION(20) + 1), 0xab000000);
    check_is("entry", io_apic_read(REDIRECTION(20)), PIN_MASKED | 0xa8ef);
    io_apic_write(REDIRECTION(20), PIN_MASKED | 0x5000);
    check_is("status bits are read-only", io_apic_read(REDIRECTION(20)), PIN_MASKED);

    route(PIN_TIMER, VECTOR_TIMER);
    pit_start(0, 2, 0); /* 18.2 Hz: also the slowest machine keeps up */
    while (count[VECTOR_TIMER] < 5)
        sleep();
    check_is("5 PIT ticks end 5 halts", count[VECTOR_TIMER], 5);
    route(PIN_TIMER, PIN_MASKED | VECTOR_TIMER);
    open_window();
    unsigned before = count[VECTOR_TIMER];
    wait_us(60000);
    open_window();
    check_is("none while the pin is masked", count[VECTOR_TIMER], before);
    pit_start(0, 0, 0xffff);

    level_triggered();

    route(IRQ_RTC, VECTOR_RTC);
    cmos_write(0xa, 0x2c); /* 16 Hz */
    cmos_write(0xb, cmos_read(0xb) | 0x42);
    cmos_read(0xc);
    while (count[VECTOR_RTC] < 5)
        sleep();
    cmos_write(0xb, cmos_read(0xb) & ~0x40);
    check_is("5 periodic interrupts of the RTC end 5 halts", count[VECTOR_RTC], 5);
    route(IRQ_RTC, PIN_MASKED);
    open_window();

    /* Timer 0 takes over the PIT's pin. */
    check("the HPET can stand in for the PIT", hpet_read(HPET_CAPABILITIES) >> 15 & 1);
    hpet_write(HPET_CONFIG, 0);
    hpet_write(HPET_COUNTER, 0);
    hpet_write(HPET_COUNTER + 4, 0);
    route(PIN_TIMER, VECTOR_HPET);
    hpet_write(HPET_TIMER(0), 0x4);
    uint32_t ticks = 50000000000000 / hpet_read(HPET_PERIOD); /* 50 ms */
    hpet_write(HPET_COMPARATOR(0), ticks);
    hpet_write(HPET_COMPARATOR(0) + 4, 0);
    hpet_write(HPET_CONFIG, 3);
    while (count[VECTOR_HPET] < 1)
        sleep();
    check_is("one interrupt of the HPET ends a halt", count[VECTOR_HPET], 1);
    check("not before its time", hpet_read(HPET_COUNTER) >= ticks);
    route(PIN_TIMER, PIN_MASKED); /* the pin is the PIT's again for a moment */
    hpet_write(HPET_CONFIG, 0);
    hpet_write(HPET_COUNTER, 0);
    hpet_write(HPET_COUNTER + 4, 0);
    hpet_write(HPET_TIMER(0), 0x4c); /* periodic, next write sets the period */
    hpet_write(HPET_COMPARATOR(0), ticks);
    hpet_write(HPET_COMPARATOR(0) + 4, 0);
    hpet_write(HPET_TIMER(0), 0x4c);
    hpet_write(HPET_COMPARATOR(0), ticks);
    hpet_write(HPET_CONFIG, 3);
    route(PIN_TIMER, VECTOR_HPET);
    while (count[VECTOR_HPET] < 6)
        sleep();
    check("5 periods of the HPET", hpet_read(HPET_COUNTER) >= 5 * ticks);
    hpet_write(HPET_TIMER(0), 0);
    hpet_write(HPET_CONFIG, 0);
    return failures;
}
