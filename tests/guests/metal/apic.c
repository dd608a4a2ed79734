/* 32 64 */
/* The local APIC: registers, timer, self interrupts, priorities, task priority, NMI. SDM vol. 3A chapter 11. */
#include "metal.h"

static volatile unsigned count[256], served;
static volatile uint8_t order[16];
static volatile bool was_in_service, was_requested;

static void serve(struct frame *frame)
{
    unsigned vector = frame->vector;
    was_in_service = apic_has(APIC_ISR, vector);
    was_requested = apic_has(APIC_IRR, vector);
    order[served++ & 15] = vector;
    count[vector]++;
    apic_eoi();
}

/* Interrupts itself within its own service. */
static volatile unsigned inner;
static void serve_and_nest(struct frame *frame)
{
    apic_send_self(inner);
    open_window();
    serve(frame);
}

static volatile unsigned nmis, nested_nmis, nmi_depth;
static void send_nmi(void)
{
    apic_write(APIC_ICR_HIGH, apic_read(APIC_ID));
    apic_write(APIC_ICR, 0x4400);
    outb(0x80, 0);
    outb(0x80, 0);
}
static void nmi(struct frame *frame)
{
    (void)frame;
    if (nmi_depth++ > 0)
        nested_nmis++;
    if (nmis++ == 0)
        send_nmi();
    nmi_depth--;
}

static void self_interrupts(void)
{
    apic_send_self(0x61);
    check("a self interrupt is requested", apic_has(APIC_IRR, 0x61));
    check_is("and waits while interrupts are off", count[0x61], 0);
    open_window();
    say("# served %u, in service %u, requested %u\n", count[0x61], was_in_service, was_requested);
    check("served", count[0x61] == 1 && was_in_service && !was_requested);
    check("nothing is left", !apic_has(APIC_IRR, 0x61) && !apic_has(APIC_ISR, 0x61) && !apic_has(APIC_TMR, 0x61));
    apic_write(APIC_ICR_HIGH, apic_read(APIC_ID));
    apic_write(APIC_ICR, 0x4000 | 0x62);
    open_window();
    check_is("to its own id", count[0x62], 1);
    apic_write(APIC_ICR_HIGH, 1 << 24);
    apic_write(APIC_ICR, 0x4000 | 0x800 | 0x63);
    open_window();
    check_is("to its logical id", count[0x63], 1);
    apic_write(APIC_ICR, 0x4000 | 0x80000 | 0x64);
    open_window();
    check_is("to all with itself", count[0x64], 1);
    apic_write(APIC_ICR, 0x4000 | 0xc0000 | 0x65);
    apic_write(APIC_ICR_HIGH, 0x0e000000);
    apic_write(APIC_ICR, 0x4000 | 0x65);
    open_window();
    check_is("not to all but itself, nor to others", count[0x65], 0);

    served = 0;
    apic_send_self(0x50);
    apic_send_self(0x91);
    apic_send_self(0x70);
    apic_send_self(0x70);
    open_window();
    open_window();
    check("the highest vector first, each once",
          served == 3 && order[0] == 0x91 && order[1] == 0x70 && order[2] == 0x50);
    served = 0;
    on(0x80, serve_and_nest);
    inner = 0x8f;
    apic_send_self(0x80);
    open_window();
    check("the same class does not interrupt its service", served == 2 && order[0] == 0x80 && order[1] == 0x8f);
    served = 0;
    inner = 0x90;
    apic_send_self(0x80);
    open_window();
    check("a higher class does", served == 2 && order[0] == 0x90 && order[1] == 0x80);
}

static void priorities(void)
{
    apic_write(APIC_TPR, 0x70);
    check_is("processor priority", apic_read(APIC_PPR), 0x70);
#ifdef __x86_64__
    check_is("CR8 follows the task priority", read_cr8(), 7);
#endif
    served = 0;
    apic_send_self(0x72);
    open_window();
    check_is("the task priority holds its class back", served, 0);
    apic_send_self(0x81);
    open_window();
    check("not higher ones", served == 1 && order[0] == 0x81);
    apic_write(APIC_TPR, 0x6f);
    open_window();
    check("lowered, it lets them in", served == 2 && order[1] == 0x72);
#ifdef __x86_64__
    write_cr8(9);
    check_is("the task priority follows CR8", apic_read(APIC_TPR), 0x90);
    served = 0;
    apic_send_self(0x95);
    sti();
    outb(0x80, 0);
    check_is("CR8 holds back", served, 0);
    write_cr8(8);
    outb(0x80, 0);
    check_is("CR8 lets in at once", served, 1);
    cli();
    write_cr8(0);
#endif
    apic_write(APIC_TPR, 0);
}

static void timer(void)
{
    on(0x40, serve);
    apic_write(APIC_DIVIDE, 0xb);
    apic_write(APIC_LVT_TIMER, 0x40);
    apic_write(APIC_COUNT, 100000);
    check("it counts down", apic_read(APIC_CURRENT) <= 100000);
    while (count[0x40] < 1)
        sleep();
    check("a one-shot ends a halt", count[0x40] == 1);
    check_is("then it stands at 0", apic_read(APIC_CURRENT), 0);
    wait_us(2000);
    open_window();
    check_is("and comes once", count[0x40], 1);
    apic_write(APIC_LVT_TIMER, APIC_MASKED | 0x40);
    apic_write(APIC_COUNT, 100000);
    check("masked it counts too", WAIT_FOR(apic_read(APIC_CURRENT) == 0));
    open_window();
    check_is("but does not interrupt", count[0x40], 1);
    apic_write(APIC_COUNT, 0x70000000);
    apic_write(APIC_COUNT, 0);
    check_is("a count of 0 stops it", apic_read(APIC_CURRENT), 0);

    count[0x40] = 0;
    apic_write(APIC_LVT_TIMER, APIC_PERIODIC | 0x40);
    apic_write(APIC_COUNT, 50000000);
    while (count[0x40] < 8)
        sleep();
    check_is("8 periods end 8 halts", count[0x40], 8);
    apic_write(APIC_LVT_TIMER, APIC_MASKED);
    apic_write(APIC_COUNT, 0);
    open_window();
}

static void deadline(void)
{
    bool offered = cpuid(1, 0).ecx >> 24 & 1;
    say("# TSC deadline: %s\n", offered ? "offered" : "not offered");
    if (!offered)
        return;
    count[0x40] = 0;
    apic_write(APIC_LVT_TIMER, APIC_TSC_DEADLINE | 0x40);
    asm volatile("mfence");
    for (unsigned i = 0; i < 5; i++) {
        uint64_t target = read_tsc() + 1000000;
        write_msr(0x6e0, target);
        uint64_t read = read_msr(0x6e0);
        if (read != target && read != 0) /* 0: it is over already */
            check("deadline is read back", false);
        while (count[0x40] == i)
            sleep();
        if (read_tsc() < target)
            check("deadline is not early", false);
    }
    write_msr(0x6e0, 1);
    open_window();
    if (count[0x40] != 6)
        check("a deadline in the past comes at once", false);
    write_msr(0x6e0, read_tsc() + (1ull << 40));
    write_msr(0x6e0, 0);
    if (read_msr(0x6e0) != 0)
        check("0 disarms", false);
    apic_write(APIC_LVT_TIMER, APIC_MASKED);
}

int main(void)
{
    for (unsigned vector = 0x30; vector < 0xff; vector++)
        on(vector, serve);
    on(NMI, nmi);
    uint64_t base = read_msr(0x1b);
    check_is("base, enabled, boot processor", base & 0xfffffff00, APIC | 0x900);
    check("CPUID says that there is one", cpuid(1, 0).edx >> 9 & 1);
    apic_start();
    uint32_t version = apic_read(APIC_VERSION);
    check("version", (version & 0xff) >= 0x10 && (version & 0xff) <= 0x15 && (version >> 16 & 0xff) >= 3);
    check_is("id as CPUID says", apic_read(APIC_ID) >> 24, cpuid(1, 0).ebx >> 24);
    self_interrupts();
    priorities();
    timer();
    deadline();
    check("TSC deadline, if CPUID offers it", true);
    send_nmi();
    check_is("NMI with interrupts off", nmis, 2);
    check_is("NMIs do not nest", nested_nmis, 0);
    send_nmi();
    check_is("another NMI", nmis, 3);
    return failures;
}
