/* 64 */
/* The gate of the 8254's channel 2: it holds mode 0, triggers mode 1. Intel 8254 datasheet. */
#include "metal.h"

static bool output(void)
{
    return inb(0x61) >> 5 & 1;
}
static void gate(bool high)
{
    outb(0x61, (inb(0x61) & 0xfc) | high);
}

int main(void)
{
    gate(true);
    pit_start(2, 0, 0xffff);
    gate(false);
    uint16_t first = pit_count(2);
    wait_us(500);
    check("the gate holds it", pit_count(2) == first);
    gate(true);
    wait_us(100);
    check("and lets it go on", pit_count(2) < first);

    gate(false);
    pit_start(2, 1, 0xffff);
    check("mode 1: high until it is triggered", output());
    gate(true);
    wait_us(100);
    check("low after the gate rises", !output());
    check("and high again", WAIT_FOR(output()));
    return failures;
}
