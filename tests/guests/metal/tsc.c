/* 64 */
/* The time-stamp counter as a register: RDMSR and RDTSC agree, writing it sets it, CR4.TSD closes it to ring 3 only. SDM vol.
 * 3B §17.17. */
#include "metal.h"

int main(void)
{
    uint64_t before = read_tsc();
    uint64_t by_msr = read_msr(0x10), after = read_tsc();
    check("its MSR agrees", before <= by_msr && by_msr <= after);
    write_msr(0x10, 1ull << 60);
    uint64_t written = read_tsc();
    check("it can be written", written >= 1ull << 60 && written - (1ull << 60) < 10000000000);
    bool forward = true;
    for (unsigned i = 0; i < 50; i++) {
        outb(0x80, i);
        uint64_t now = read_tsc();
        forward &= now > written;
        written = now;
    }
    check("and goes on from there", forward);

    write_cr4(read_cr4() | 4);
    say_fault("rdtsc in ring 0 with CR4.TSD", FAULT_OF("rdtsc", : : : "eax", "edx"));
    write_cr4(read_cr4() & ~4ul);
    return failures;
}
