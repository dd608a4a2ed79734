/* 32 */
/* Real mode: 16-bit code at a segment of its own, the interrupt table at 0, far calls, string I/O and moves by segments, the
 * address wrap of 64 KiB, and "unreal" limits. From protected mode there and back. SDM vol. 3A chapter 20, §9.9. */
#include "metal.h"

extern const char real_begin[], real_end[];
void to_real_mode(void);

#define REAL_CODE 0x9000u /* segment 0x0900; the segment's own offsets begin at 0 */
#define RESULTS 0x8000u

static uint16_t result(unsigned n)
{
    return load16(RESULTS + 2 * n);
}

int main(void)
{
    memset((void *)RESULTS, 0, 0x100);
    memcpy((void *)REAL_CODE, real_begin, real_end - real_begin);
    gdt[SPARE_SEGMENT / 8] = 0x00009b000000ffffull | (uint64_t)REAL_CODE << 16; /* the way down: 16-bit code, based there */
    to_real_mode();
    load_idt(idt, sizeof idt - 1);
    check_is("CS is a segment, not a selector", result(0), 0x0900);
    check_is("IP is relative to it", result(1), 0x0100);
    check_is("a software interrupt", result(2), 0x1234);
    check_is("divide error by the table at 0", result(3), 0x5678);
    check_is("its saved IP is the instruction's", result(4), result(5));
    check_is("a far call and return", result(6), 0x9abc);
    check_is("the segment wraps at 64 KiB", result(7), 0x77);
    check_is("string move between segments", result(8), 0x6261);
    check_is("a limit from protected mode stays", result(9), 0xbeef);
    check_is("protection is off", result(10) & 1, 0);
    check_is("a timer interrupt ends a halt", result(11), 1);
    return failures;
}
