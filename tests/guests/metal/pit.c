/* 64 */
/* The 8254: modes, latches, read-back, the output of channel 2. Intel 8254 datasheet. */
#include "metal.h"

static bool output(void)
{
    return inb(0x61) >> 5 & 1;
}
static uint8_t status(unsigned channel)
{
    outb(0x43, 0xe0 | 2 << channel);
    return inb(0x40 + channel);
}

int main(void)
{
    outb(0x61, (inb(0x61) & 0xfc) | 1);
    pit_start(2, 0, 0xffff); /* 55 ms: also the slowest machine looks in time */
    check("mode 0: low until the end", !output());
    check("then high", WAIT_FOR(output()));
    uint16_t before = pit_count(2);
    wait_us(200);
    check("it counts on below 0", (uint16_t)(before - pit_count(2)) > 100);

    pit_start(2, 0, 0xffff);
    uint16_t first = pit_count(2);
    wait_us(500);
    uint16_t second = pit_count(2);
    check("it counts down", second < first);

    outb(0x43, 2 << 6);
    wait_us(200);
    outb(0x43, 2 << 6); /* a second latch is ignored until the first is read */
    uint8_t low = inb(0x42), high = inb(0x42);
    uint16_t latched = low | high << 8, now = pit_count(2);
    check("a latch stays", (uint16_t)(latched - now) > 150);

    pit_start(2, 2, 1000);
    check_is("status: mode 2, both bytes", status(2) & 0x3f, 0x34);
    pit_start(2, 3, 1000);
    check_is("status: mode 3, both bytes", status(2) & 0x3f, 0x36);
    check("status: count is loaded", WAIT_FOR(!(status(2) & 0x40)));
    unsigned changes = 0;
    bool last = output();
    check("mode 3: the output toggles", WAIT_FOR((changes += output() != last, last = output(), changes >= 6)));
    outb(0x43, 2 << 6 | 0x10 | 0 << 1); /* low byte only, mode 0 */
    outb(0x42, 200);
    check("low byte only: a short count", WAIT_FOR(output()));
    check_is("status: low byte only", status(2) & 0x3f, 0x10);
    outb(0x43, 2 << 6 | 0x20 | 0 << 1); /* high byte only */
    outb(0x42, 0xff);
    check("high byte only: not yet", !output());
    check("high byte only", WAIT_FOR(output()));

    outb(0x43, 0x34);
    outb(0x40, 0);
    outb(0x40, 0xff);
    outb(0x43, 0xc2); /* read back status and count of channel 0 */
    uint8_t state = inb(0x40);
    low = inb(0x40), high = inb(0x40);
    check_is("read-back gives the status first", state & 0x3f, 0x34);
    check("then the count", (low | high << 8) <= 0xff00 && (low | high << 8) > 0);
    return failures;
}
