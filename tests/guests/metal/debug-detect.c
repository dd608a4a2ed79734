/* 64 */
/* The rarer debug exceptions: general detect of DR7, INT1. SDM vol. 3B §17.3. */
#include "metal.h"

static volatile word hits, hit_ip, last_dr6;

static void debug(struct frame *frame)
{
    hits++;
    hit_ip = frame->ip;
    last_dr6 = read_dr6();
}
static void detect(struct frame *frame)
{
    debug(frame); /* GD is cleared on the way here */
    write_dr6(0xffff0ff0);
    write_dr7(0x400);
}

extern const char detected[], trapped[];

int main(void)
{
    word value;
    on(DB, detect);
    write_dr0(0x1234);
    write_dr7(0x2400);
    asm volatile(".globl detected; detected: mov %%dr0, %0" : "=r"(value) : : "memory");
    check("general detect, in front of the access", hits == 1 && hit_ip == (word)detected);
    check_is("DR6 says debug register", last_dr6 & 0xe00f, 0x2000);
    check_is("then the access is done", value, 0x1234);
    on(DB, debug);
    hits = 0;
    asm volatile(".byte 0xf1; .globl trapped; trapped: nop" : : : "memory");
    check("INT1, behind it", hits == 1 && hit_ip == (word)trapped);
    return failures;
}
