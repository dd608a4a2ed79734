/* 64 */
/* What CPUID says, and that it is consistent with the machine. SDM vol. 2A, "CPUID". */
#include "metal.h"

int main(void)
{
    struct cpuid leaf0 = cpuid(0, 0), leaf1 = cpuid(1, 0), extended = cpuid(0x80000000, 0);
    say("# %08x %08x %08x %08x\n", leaf0.eax, leaf0.ebx, leaf0.ecx, leaf0.edx);
    for (uint32_t leaf = 1; leaf <= leaf0.eax && leaf < 0x20; leaf++) {
        struct cpuid r = cpuid(leaf, 0);
        say("# %08x: %08x %08x %08x %08x\n", leaf, r.eax, r.ebx, r.ecx, r.edx);
    }
    for (uint32_t leaf = 0x80000000; leaf <= extended.eax && leaf < 0x80000020; leaf++) {
        struct cpuid r = cpuid(leaf, 0);
        say("# %08x: %08x %08x %08x %08x\n", leaf, r.eax, r.ebx, r.ecx, r.edx);
    }
    check("basic leaves", leaf0.eax >= 1 && leaf0.eax < 0x1000);
    check("extended leaves", extended.eax >= 0x80000001);
    check("long mode, for it is on", cpuid(0x80000001, 0).edx >> 29 & 1);
    const uint32_t features = 1 << 4 | 1 << 5 | 1 << 6 | 1 << 9 | 1 << 24 | 1 << 26;
    check("TSC, MSRs, PAE, APIC, FXSR, SSE2", (leaf1.edx & features) == features);
    bool xsave = leaf1.ecx >> 26 & 1;
    check("OSXSAVE follows CR4", (leaf1.ecx >> 27 & 1) == (read_cr4() >> 18 & 1));
    if (xsave) {
        write_cr4(read_cr4() | 1 << 18);
        if (!(cpuid(1, 0).ecx >> 27 & 1))
            check("OSXSAVE follows CR4 when it is set", false);
        struct cpuid state = cpuid(0xd, 0);
        say("# xcr0 may be %08x\n", state.eax);
        if ((state.eax & 3) != 3 || state.ecx < 576)
            check("x87 and SSE state", false);
        write_cr4(read_cr4() & ~(1ul << 18));
    }
    say_fault("cpuid with another leaf beyond", FAULT_OF("cpuid", : : "a"(leaf0.eax + 1), "c"(0) : "ebx", "edx"));
    uint32_t changed = read_flags() ^ 0x200000;
    asm volatile("push %0; popf" : : "r"((word)changed) : "memory", "cc");
    check("the ID flag can be changed", (read_flags() & 0x200000) == (changed & 0x200000));
    return failures;
}
