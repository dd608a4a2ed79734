/* 64 */
/* The 8259's poll command: reading is the acknowledge, an end of interrupt is due as always. Intel 8259A datasheet, "Poll
 * command". */
#include "metal.h"

static uint8_t read_first_pic(uint8_t which)
{
    outb(0x20, which);
    return inb(0x20);
}

int main(void)
{
    pic_start();
    check_is("nothing to poll", read_first_pic(0x0c) & 0x80, 0);
    pic_unmask(IRQ_TIMER);
    pit_start(0, 0, 200);
    check("requested", WAIT_FOR(read_first_pic(0x0a) & 1));
    check_is("poll", read_first_pic(0x0c), 0x80 | IRQ_TIMER);
    check_is("in service", read_first_pic(0x0b), 1);
    check_is("requested no more", read_first_pic(0x0a) & 1, 0);
    pic_eoi(IRQ_TIMER);
    check_is("its end", read_first_pic(0x0b), 0);
    return failures;
}
