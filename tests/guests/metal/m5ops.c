/* 64 */
/* gem5's pseudo-instructions through the magic address window: a load from 0xffff0000 + (number << 8) with the arguments in the
 * registers of the C calling convention. gem5: util/m5/src/abi/x86/m5op_addr.S, include/gem5/asm/generic/m5ops.h. */
#include "metal.h"

enum { EXIT = 0x21, SUM = 0x23, INIT_PARAM = 0x30, RPNS = 0x07, RESET_STATS = 0x40, DUMP_STATS = 0x41, WORK_BEGIN = 0x5a,
       WORK_END = 0x5b };

static uint64_t m5(unsigned number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    register uint64_t r8 asm("r8") = e, r9 asm("r9") = f;
    uint64_t result;
    asm volatile("mov (%1), %0"
                 : "=a"(result)
                 : "r"(0xffff0000ul + (number << 8)), "D"(a), "S"(b), "d"(c), "c"(d), "r"(r8), "r"(r9)
                 : "memory");
    return result;
}

int main(void)
{
    check_is("sum", m5(SUM, 1, 20, 300, 4000, 50000, 600000), 654321);
    check_is("sum of 64 bits", m5(SUM, 1ull << 63, 1ull << 63, 5, 0, 0, 0), 5);
    uint64_t before = m5(RPNS, 0, 0, 0, 0, 0, 0);
    uint32_t from = pm_timer();
    wait_us(10000);
    uint64_t nanoseconds = m5(RPNS, 0, 0, 0, 0, 0, 0) - before;
    uint64_t by_timer = ((pm_timer() - from) & 0xffffff) * 1000000000ull / PM_TIMER_HZ;
    check("nanoseconds agree with the ACPI timer",
          nanoseconds < by_timer + by_timer / 50 && by_timer < nanoseconds + nanoseconds / 50);
    check_is("initial parameter", m5(INIT_PARAM, 0, 0, 0, 0, 0, 0), 0);
    m5(RESET_STATS, 0, 0, 0, 0, 0, 0);
    m5(DUMP_STATS, 0, 0, 0, 0, 0, 0);
    if (has_argument("work")) {
        m5(WORK_BEGIN, 7, 0, 0, 0, 0, 0);
        m5(WORK_END, 7, 0, 0, 0, 0, 0);
    }
    say("m5 exit\n");
    uart_drain();
    m5(EXIT, 0, 0, 0, 0, 0, 0);
    wait_us(1000);
    say("still here\n");
    return 1;
}
