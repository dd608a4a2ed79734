/* 64 */
/* What simulators of floating point leave out: unmasked SSE exceptions, the exponent of MMX registers, the last instruction's
 * addresses. SDM vol. 1 §8.1.8, §9.6.2, §11.5. */
#include "metal.h"

static uint8_t image[512] __attribute__((aligned(64)));

int main(void)
{
    write_cr0((read_cr0() & ~0xcul) | 0x22);
    write_cr4(read_cr4() | 0x600);
    uint64_t pattern = 0x1122334455667788, zero[2] __attribute__((aligned(16))) = {0, 0};
    asm volatile("fninit; movq %1, %%mm3; fxsave64 %0; emms" : "=m"(image) : "m"(pattern));
    check("the exponent of an MMX register is all ones", image[32 + 3 * 16 + 8] == 0xff && image[32 + 3 * 16 + 9] == 0xff);

    uint32_t mxcsr = 0x1d80; /* division by zero not masked */
    asm volatile("ldmxcsr %0" : : "m"(mxcsr));
    say_fault("an SSE exception", FAULT_OF("divss %0, %%xmm15", : : "m"(zero)));
    asm volatile("stmxcsr %0" : "=m"(mxcsr));
    check_is("its flag", mxcsr & 0x3f, 4);

    uint16_t control = 0x37b;
    extern const char divided[];
    asm volatile("fninit; fldcw %1; fld1; .globl divided; divided: fdivl %2; fxsave64 %0; fninit"
                 : "=m"(image) : "m"(control), "m"(zero));
    word ip = 0, operand = 0;
    memcpy(&ip, image + 8, 8);
    memcpy(&operand, image + 16, 8);
    check_is("FIP of a pending exception", ip, (word)divided);
    check_is("FDP of a pending exception", operand, (word)zero);
    check_is("its flag and the summary", image[2] & 0x84, 0x84);
    return failures;
}
