/* 64 */
/* x2APIC: the local APIC by MSRs, if CPUID offers it; if not, its MSRs are #GP. SDM vol. 3A §10.12. */
#include "metal.h"

static volatile unsigned served;
static void serve(struct frame *frame)
{
    (void)frame;
    served++;
    write_msr(0x80b, 0);
}

/* The text is the same whether it is offered or not. */
static bool works(void)
{
    uint64_t base = read_msr(0x1b);
    write_msr(0x1b, base | 0x400);
    uint32_t id = cpuid(1, 0).ebx >> 24;
    if (read_msr(0x802) != id)
        return false;
    if (read_msr(0x80d) != ((id >> 4) << 16 | 1 << (id & 15)))
        return false;
    on(0x60, serve);
    write_msr(0x80f, 0x1ff);
    write_msr(0x83f, 0x60);
    open_window();
    say("# self interrupt register: %u\n", served);
    if (served != 1)
        return false;
    write_msr(0x830, 0x44060);
    open_window();
    if (served != 2)
        return false;
    write_msr(0x80b, 0);
    struct fault fault = FAULT_OF("wrmsr", : : "c"(0x80b), "a"(1), "d"(0));
    if (fault.vector != GP)
        return false;
    write_msr(0x83e, 0xb);
    write_msr(0x832, 0x60);
    write_msr(0x838, 100000);
    while (served < 3)
        sleep();
    fault = FAULT_OF("rdmsr", : : "c"(0x80e) : "eax", "edx");
    return fault.vector == GP;
}

int main(void)
{
    bool offered = cpuid(1, 0).ecx & 1 << 21;
    say("# x2APIC: %s\n", offered ? "offered" : "not offered");
    struct fault fault = FAULT_OF("rdmsr", : : "c"(0x802) : "eax", "edx");
    check("no access while it is off", fault.vector == GP);
    check("x2APIC as CPUID says", !offered || works());
    return failures;
}
