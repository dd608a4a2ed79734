/* 64 */
/* Floating-point state: x87 with 80 bits, MMX in its registers, SSE, their exceptions; it survives ways out of the guest. SDM
 * vol. 1 chapters 8, 10, 11. */
#include "metal.h"

static uint8_t image[4096] __attribute__((aligned(64))), other[4096] __attribute__((aligned(64)));

static void leave_the_guest(void)
{
    for (unsigned i = 0; i < 4; i++)
        outb(0x80, i);
}

static void x87(void)
{
    uint8_t ten[10];
    uint16_t control, status;
    asm volatile("fninit; fnstcw %0; fnstsw %1" : "=m"(control), "=m"(status));
    check_is("control word", control, 0x37f);
    check_is("status word", status, 0);
    asm volatile("fldpi; fldl2e; fxch; fstpt %0" : "=m"(ten));
    say("pi:");
    for (unsigned i = 10; i-- > 0;)
        say(" %02x", ten[i]);
    say("\n");
    uint32_t two = 2;
    asm volatile("fildl %1; fsqrt; fstpt %0" : "=m"(ten) : "m"(two));
    say("sqrt 2:");
    for (unsigned i = 10; i-- > 0;)
        say(" %02x", ten[i]);
    say("\n");
    asm volatile("fxsave64 %0" : "=m"(image));
    check_is("one register in use", image[4], 0x80);
    leave_the_guest();
    asm volatile("fxsave64 %0" : "=m"(other));
    check("FXSAVE behind ways out", memcmp(image, other, 416) == 0);
    asm volatile("fninit; fxrstor64 %1; fxsave64 %0" : "=m"(other) : "m"(image));
    check("FXRSTOR", memcmp(image, other, 416) == 0);
    uint64_t pattern = 0x1122334455667788;
    asm volatile("movq %1, %%mm3; fxsave64 %0; emms" : "=m"(image) : "m"(pattern));
    check("MMX is the mantissa", memcmp(image + 32 + 3 * 16, &pattern, 8) == 0);
    check_is("MMX marks all registers as used", image[4], 0xff);
}

static void sse(void)
{
    static const float a[4] __attribute__((aligned(16))) = {1.5f, -2.0f, 3.25f, 1e10f};
    static uint32_t product[4] __attribute__((aligned(16)));
    uint32_t mxcsr;
    asm volatile("stmxcsr %0" : "=m"(mxcsr));
    check_is("MXCSR", mxcsr, 0x1f80);
    asm volatile("movaps %1, %%xmm15; mulps %%xmm15, %%xmm15; out %%al, $0x80; movaps %%xmm15, %0"
                 : "=m"(product) : "m"(a));
    say("squares: %08x %08x %08x %08x\n", product[0], product[1], product[2], product[3]);
    asm volatile("stmxcsr %0" : "=m"(mxcsr));
    check_is("inexact", mxcsr & 0x3f, 0x20);
    mxcsr = 0x7fc0; /* round towards zero, denormals are zeros */
    asm volatile("ldmxcsr %0" : : "m"(mxcsr));
    leave_the_guest();
    asm volatile("stmxcsr %0" : "=m"(mxcsr));
    check_is("MXCSR behind ways out", mxcsr, 0x7fc0);
    mxcsr = 0x1f80;
    asm volatile("ldmxcsr %0" : : "m"(mxcsr));
}

static void exceptions(void)
{
    write_cr0(read_cr0() | 8); /* TS */
    say_fault("x87 with CR0.TS", FAULT_OF("fnop", : : : "memory"));
    say_fault("SSE with CR0.TS", FAULT_OF("movaps %%xmm0, %%xmm1", : : : "memory"));
    asm volatile("clts");
    uint16_t control = 0x37b; /* division by zero not masked */
    asm volatile("fninit; fldcw %0; fldz; fld1; fdivp" : : "m"(control));
    say_fault("a waiting x87 exception", FAULT_OF("fwait", : : : "memory"));
    asm volatile("fninit");
    say_fault("movaps, misaligned", FAULT_OF("movaps 4(%0), %%xmm0", : : "r"(image)));
    write_cr4(read_cr4() & ~0x200ul);
    say_fault("SSE without CR4.OSFXSR", FAULT_OF("movaps %%xmm0, %%xmm1", : : : "memory"));
    write_cr4(read_cr4() | 0x200);
}

int main(void)
{
    write_cr0((read_cr0() & ~0xcul) | 0x22); /* no EM, no TS; MP, NE */
    write_cr4(read_cr4() | 0x600);           /* OSFXSR, OSXMMEXCPT */
    x87();
    sse();
    exceptions();
    return failures;
}
