/* 64 */
/* All clocks of the machine against each other: there is one time. PIT, HPET, ACPI PM timer, local APIC timer, RTC. Each
 * check holds to 1 %, and so says "ok" on every right machine; the figures are in the comments. */
#include "metal.h"

/* A clock read between two readings of the reference, which must lie close together: whoever else uses the processor may have
 * come in between. */
static uint64_t reference_at;
static uint64_t hpet_now(void)
{
    uint32_t high, low;
    do {
        high = hpet_read(HPET_COUNTER + 4);
        low = hpet_read(HPET_COUNTER);
    } while (high != hpet_read(HPET_COUNTER + 4));
    return (uint64_t)high << 32 | low;
}
static uint64_t hpet_period_fs;
static uint64_t sample(uint64_t (*clock)(void))
{
    uint64_t best = ~0ull, value = 0;
    for (unsigned i = 0; i < 16; i++) {
        uint64_t before = hpet_now(), now = clock(), width = hpet_now() - before;
        if (width >= best)
            continue;
        best = width;
        value = now;
        reference_at = before + width / 2;
        if (best * hpet_period_fs < 2000000000ull) /* 2 us */
            break;
    }
    return value;
}

static uint64_t pm_now(void)
{
    return pm_timer();
}
static uint64_t pit_now(void)
{
    return 0xffff - pit_count(0);
}
static uint64_t apic_now(void)
{
    return 0xffffffff - apic_read(APIC_CURRENT);
}

static bool agree(uint64_t hz, uint64_t expected)
{
    uint64_t difference = hz > expected ? hz - expected : expected - hz;
    return difference * 100 < expected;
}
static void check_rate(const char *name, uint64_t hz, uint64_t expected)
{
    say("# %s: %lu Hz\n", name, hz);
    check(name, agree(hz, expected));
}

/* Rate in Hz over about 40 ms. */
static uint64_t rate_once(uint64_t (*clock)(void), uint64_t mask)
{
    uint64_t from = sample(clock), from_reference = reference_at;
    wait_us(40000);
    uint64_t to = sample(clock), reference_ticks = reference_at - from_reference;
    uint64_t nanoseconds = reference_ticks * hpet_period_fs / 1000000;
    return ((to - from) & mask) * 1000000000 / nanoseconds;
}
/* One that agrees with another one measured just before. */
static uint64_t rate(uint64_t (*clock)(void), uint64_t mask)
{
    uint64_t hz = rate_once(clock, mask);
    for (unsigned tries = 0; tries < 10; tries++) {
        uint64_t again = rate_once(clock, mask);
        if (agree(again, hz))
            break;
        hz = again;
    }
    return hz;
}

static volatile unsigned ticks;
static volatile uint64_t first_tick, last_tick;
static void tick(struct frame *frame)
{
    uint64_t now = hpet_now();
    if (ticks == 0)
        first_tick = now;
    last_tick = now;
    ticks++;
    if (frame->vector == PIC_VECTOR + IRQ_RTC)
        cmos_read(0xc);
    if (frame->vector < PIC_VECTOR + 16)
        pic_eoi(frame->vector - PIC_VECTOR);
    else
        apic_eoi();
}

/* Interrupts per second by the reference, over `count` of them. One that comes late because the host was busy shifts the
 * whole, so there are many short tries. */
static void check_ticks(const char *name, unsigned count, uint64_t expected_hz)
{
    uint64_t hz = 0;
    for (unsigned tries = 0; tries < 40; tries++) {
        ticks = 0;
        while (ticks <= count)
            sleep();
        uint64_t nanoseconds = (last_tick - first_tick) * hpet_period_fs / 1000000;
        hz = (uint64_t)(ticks - 1) * 1000000000000 / nanoseconds; /* in mHz, for 1 % to be seen */
        if (agree(hz, expected_hz * 1000))
            break;
    }
    check_rate(name, hz, expected_hz * 1000);
}

int main(void)
{
    hpet_period_fs = hpet_read(HPET_PERIOD);
    hpet_write(HPET_CONFIG, 0);
    hpet_write(HPET_COUNTER, 0);
    hpet_write(HPET_COUNTER + 4, 0);
    check_is("the HPET stands", hpet_now() + hpet_now(), 0);
    hpet_write(HPET_CONFIG, 1);
    check("the HPET's period", hpet_period_fs > 0 && hpet_period_fs <= 100000000);

    check_rate("ACPI PM timer", rate(pm_now, 0xffffff), PM_TIMER_HZ);
    pit_start(0, 2, 0);
    check_rate("PIT counter", rate(pit_now, 0xffff), PIT_HZ);
    apic_start();
    apic_write(APIC_DIVIDE, 0xb);
    apic_write(APIC_COUNT, 0xffffffff);
    uint64_t apic_hz = rate(apic_now, ~0ull);
    say("# local APIC timer, undivided: %lu Hz\n", apic_hz);
    apic_write(APIC_DIVIDE, 0x3); /* 16 */
    apic_write(APIC_COUNT, 0xffffffff);
    check_rate("local APIC timer, divided by 16", rate(apic_now, ~0ull) * 16, apic_hz);

    /* Interrupts come at the rate that was asked for, however late each one may be. */
    on(0x40, tick);
    apic_write(APIC_LVT_TIMER, APIC_PERIODIC | 0x40);
    apic_write(APIC_COUNT, apic_hz / 16 / 50);
    check_ticks("local APIC timer, interrupts", 10, 50);
    apic_write(APIC_LVT_TIMER, APIC_MASKED);
    apic_write(APIC_COUNT, 0);

    apic_write(APIC_LVT_LINT0, APIC_EXTINT);
    pic_start();
    on(PIC_VECTOR + IRQ_TIMER, tick);
    on(PIC_VECTOR + IRQ_RTC, tick);
    pit_start(0, 2, PIT_HZ / 50);
    pic_unmask(IRQ_TIMER);
    check_ticks("PIT, interrupts", 10, 50);
    pit_start(0, 3, PIT_HZ / 50);
    check_ticks("PIT in mode 3, interrupts", 10, 50);
    pic_mask(IRQ_TIMER);

    cmos_write(0xa, 0x2a); /* 64 Hz */
    cmos_write(0xb, 0x42);
    cmos_read(0xc);
    pic_unmask(IRQ_RTC);
    check_ticks("RTC, periodic interrupts", 10, 64);
    pic_mask(IRQ_RTC);
    cmos_write(0xb, 2);

    /* One second of the RTC: from one update of the seconds to the next. */
    uint64_t microseconds = 0;
    for (unsigned tries = 0; tries < 3 && !agree(microseconds, 1000000); tries++) {
        cmos_read(0xc);
        bool updates = WAIT_FOR(cmos_read(0xc) & 0x10);
        uint64_t from = hpet_now();
        updates &= WAIT_FOR(cmos_read(0xc) & 0x10);
        microseconds = (hpet_now() - from) * hpet_period_fs / 1000000000;
        if (!updates)
            check("the RTC updates", false);
    }
    check_rate("RTC, a second in microseconds", microseconds, 1000000);
    return failures;
}
