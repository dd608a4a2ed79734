/* 64 */
/* XSAVE and AVX, if CPUID offers them: XCR0 and its rules, the upper halves of the YMM registers behind ways out of the guest,
 * XSAVE and XRSTOR. SDM vol. 1 chapter 13. */
#include "metal.h"

static uint8_t image[4096] __attribute__((aligned(64))), other[4096] __attribute__((aligned(64)));

static void leave_the_guest(void)
{
    for (unsigned i = 0; i < 4; i++)
        outb(0x80, i);
}

static bool broken(int line)
{
    say("# line %d\n", line);
    return false;
}

/* Silent while it is right, for the text to be the same on processors without it. */
static bool extended(void)
{
    if (!(cpuid(1, 0).ecx >> 26 & 1))
        return true;
    write_cr4(read_cr4() | 1 << 18);
    uint32_t components = cpuid(0xd, 0).eax & 7, low, high;
    asm volatile("xsetbv" : : "c"(0), "a"(components), "d"(0));
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if (low != components || high != 0)
        return broken(__LINE__);
    struct fault fault = FAULT_OF("xsetbv", : : "c"(0), "a"(2), "d"(0)); /* x87 may not be left out */
    if (fault.vector != GP)
        return broken(__LINE__);
    if (!(components & 4))
        return true;
    memset(other, 0xa5, 32);
    other[0] = 1;
    asm volatile("vmovdqu %0, %%ymm9" : : "m"(other));
    leave_the_guest();
    memset(image, 0, sizeof image);
    asm volatile("xsave64 %0" : "=m"(image) : "a"(components), "d"(0));
    unsigned upper = cpuid(0xd, 2).ebx;
    say("# components %x, in use %02x, upper halves at %u: %02x %02x, lower %02x %02x\n", components, image[512], upper,
        image[upper + 9 * 16], image[upper + 9 * 16 + 15], image[160 + 9 * 16], image[160 + 9 * 16 + 1]);
    if (memcmp(image + 160 + 9 * 16, other, 16) != 0 || memcmp(image + upper + 9 * 16, other + 16, 16) != 0)
        return broken(__LINE__);
    if ((image[512] & 6) != 6)
        return broken(__LINE__);
    asm volatile("vzeroall; xrstor64 %1; vmovdqu %%ymm9, %0" : "=m"(other[64]) : "m"(image), "a"(components), "d"(0));
    if (memcmp(other, other + 64, 32) != 0)
        return broken(__LINE__);
    write_cr4(read_cr4() & ~(1ul << 18));
    fault = FAULT_OF("xgetbv", : : "c"(0) : "eax", "edx");
    return fault.vector == UD;
}

int main(void)
{
    write_cr0((read_cr0() & ~0xcul) | 0x22); /* no EM, no TS; MP, NE */
    write_cr4(read_cr4() | 0x600);           /* OSFXSR, OSXMMEXCPT */
    asm volatile("fninit");
    check("XSAVE and AVX, as CPUID says", extended());
    return failures;
}
