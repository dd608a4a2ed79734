/* 64 */
/* What a processor refuses: unknown MSRs, reserved bits and impossible combinations in MSRs and control registers; addresses; the
 * APIC's base. SDM vol. 3A §2.5, vol. 4. */
#include "metal.h"

static void registers(void)
{
    say_fault("rdmsr of none", FAULT_OF("rdmsr", : : "c"(0x12345678) : "eax", "edx"));
    say_fault("wrmsr of none", FAULT_OF("wrmsr", : : "c"(0x12345678), "a"(1), "d"(0)));
    say_fault("LSTAR, non-canonical", FAULT_OF("wrmsr", : : "c"(0xc0000082), "a"(0), "d"(0x80000000)));
    say_fault("EFER, reserved bit", FAULT_OF("wrmsr", : : "c"(0xc0000080), "a"(0x580), "d"(0)));
    say_fault("EFER, long mode off under paging", FAULT_OF("wrmsr", : : "c"(0xc0000080), "a"(0), "d"(0)));
    say_fault("CR4, reserved bit", FAULT_OF("mov %0, %%cr4", : : "r"(read_cr4() | 1ul << 31)));
    say_fault("CR4, PAE off in long mode", FAULT_OF("mov %0, %%cr4", : : "r"(read_cr4() & ~0x20ul)));
    say_fault("CR0, paging without protection", FAULT_OF("mov %0, %%cr0", : : "r"(read_cr0() & ~1ul)));
    say_fault("CR0, not write-through without cache disable",
              FAULT_OF("mov %0, %%cr0", : : "r"((read_cr0() & ~0x40000000ul) | 0x20000000)));
    say_fault("CR8, 4 bits", FAULT_OF("mov %0, %%cr8", : : "r"(0x10ul)));
    say_fault("DR7, upper half", FAULT_OF("mov %0, %%dr7", : : "r"(1ul << 32)));
}

static void addresses(void)
{
    word far = 0x8000000000000000;
    uint8_t *nowhere = (uint8_t *)(16ull << 30);
    say_fault("non-canonical load", FAULT_OF("mov (%0), %%al", : : "r"(far) : "eax"));
    say_fault("read-modify-write of no page", FAULT_OF("incl (%0)", : : "r"(nowhere) : "memory"));
    say_fault("stack segment 0 with another privilege level", FAULT_OF("mov %w0, %%ss", : : "r"(3)));
}

static void apic_base(void)
{
    uint64_t base = read_msr(0x1b);
    check_is("APIC base", base & 0xffffff000, APIC);
    check("CPUID shows the APIC", cpuid(1, 0).edx & 1 << 9);
    write_msr(0x1b, base & ~0x800ull);
    check("off in the base, off in CPUID", !(cpuid(1, 0).edx & 1 << 9));
    write_msr(0x1b, base);
    check("and on again", cpuid(1, 0).edx & 1 << 9);
    say_fault("APIC base, reserved bit", FAULT_OF("wrmsr", : : "c"(0x1b), "a"((uint32_t)base | 1), "d"(0)));
}

int main(void)
{
    registers();
    addresses();
    apic_base();
    return failures;
}
