/* 64 */
/* The time-stamp counter follows the machine's time: its rate by the ACPI timer is constant, whether the guest computes or
 * waits. */
#include "metal.h"

static void tick(struct frame *frame)
{
    (void)frame;
    pic_eoi(IRQ_TIMER);
}

/* Cycles per second over half a second. */
static uint64_t rate(bool halted)
{
    uint64_t start = read_tsc();
    uint32_t from = pm_timer(), ticks;
    do {
        if (halted)
            sleep();
        ticks = (pm_timer() - from) & 0xffffff;
    } while (ticks < PM_TIMER_HZ / 2);
    return (read_tsc() - start) * PM_TIMER_HZ / ticks;
}

int main(void)
{
    pic_start();
    on(PIC_VECTOR + IRQ_TIMER, tick);
    pit_start(0, 2, 0);
    uint64_t computing = rate(false);
    pic_unmask(IRQ_TIMER);
    uint64_t halted = rate(true), difference = computing > halted ? computing - halted : halted - computing;
    say("# %lu Hz while it computes, %lu Hz in halts\n", computing, halted);
    check("one rate", difference * 50 < halted);
    return failures;
}
