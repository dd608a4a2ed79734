/* 32 64 */
/* Debug exceptions: single step, breakpoints on instructions and data. SDM vol. 3B chapter 17. */
#include "metal.h"

enum { EXECUTE, WRITE, ACCESS = 3 };
enum { BYTE, TWO_BYTES, EIGHT_BYTES, FOUR_BYTES };

static volatile word hits, ips[4], last_dr6;

static void debug(struct frame *frame)
{
    ips[hits++ & 3] = frame->ip;
    last_dr6 = read_dr6();
    write_dr6(0xffff0ff0);
    frame->flags |= 0x10000; /* RF: go past an instruction breakpoint */
}
static void step(struct frame *frame)
{
    debug(frame);
    if (hits == 3)
        frame->flags &= ~0x100ul;
}
static volatile uint32_t watched[2] __attribute__((aligned(8)));

static void arm(word address, unsigned type, unsigned length)
{
    hits = 0;
    write_dr0(address);
    write_dr7(0x400 | 1 | type << 16 | length << 18);
}

extern const char stepped[], executed[], touched[];

int main(void)
{
    on(DB, step);
    asm volatile("push %0; popf; nop; .globl stepped; stepped: nop; nop; nop" : : "r"(read_flags() | 0x100) : "memory", "cc");
    check_is("three steps", hits, 3);
    word begin = (word)stepped;
    check("each behind its instruction", ips[0] == begin && ips[1] == begin + 1 && ips[2] == begin + 2);
    check_is("DR6 says single step", last_dr6 & 0xe00f, 0x4000);

    on(DB, debug);
    arm((word)executed, EXECUTE, BYTE);
    asm volatile("nop; .globl executed; executed: nop; nop");
    write_dr7(0x400);
    check("a breakpoint on an instruction, once, in front of it", hits == 1 && ips[0] == (word)executed);
    check_is("DR6 says number 0", last_dr6 & 0xe00f, 1);

    arm((word)watched, WRITE, FOUR_BYTES);
    asm volatile("movl $5, %0; .globl touched; touched: nop" : "=m"(watched[0]));
    check("a breakpoint on a store, behind it", hits == 1 && ips[0] == (word)touched && watched[0] == 5);
    hits = 0;
    watched[1] = watched[0];
    check_is("not on a load, nor beside it", hits, 0);
    arm((word)watched, ACCESS, FOUR_BYTES);
    asm volatile("movb 3(%0), %%al" : : "r"(watched) : "eax", "memory");
    check_is("a breakpoint on a load of a part", hits, 1);
    arm((word)watched + 3, WRITE, BYTE);
    asm volatile("movl $6, %0" : "=m"(watched[0]));
    write_dr7(0x400);
    check_is("a store that covers it", hits, 1);

    check("debug registers are read back", read_dr0() == (word)watched + 3 && (read_dr7() & 0xffff) == 0x400);
    return failures;
}
