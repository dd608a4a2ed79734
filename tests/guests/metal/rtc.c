/* 64 */
/* The MC146818: time and calendar in BCD and binary, 12 and 24 hours, alarm, update and periodic interrupts, CMOS memory.
 * Motorola MC146818A datasheet. */
#include "metal.h"

enum { SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR, A, B, C, D,
       CENTURY = 0x32 };
enum { PERIODIC = 0x40, ALARM = 0x20, UPDATED = 0x10 };

static volatile uint8_t reasons;
static volatile unsigned interrupts;
static void serve(struct frame *frame)
{
    (void)frame;
    interrupts++;
    reasons |= cmos_read(C);
    pic_eoi(IRQ_RTC);
}

static void set_time(uint8_t mode, uint8_t year, uint8_t month, uint8_t day, uint8_t hour, uint8_t minute, uint8_t second)
{
    cmos_write(B, 0x80 | mode); /* SET: no updates meanwhile */
    cmos_write(CENTURY, mode & 4 ? 20 : 0x20);
    cmos_write(YEAR, year);
    cmos_write(MONTH, month);
    cmos_write(DAY, day);
    cmos_write(HOURS, hour);
    cmos_write(MINUTES, minute);
    cmos_write(SECONDS, second);
    cmos_write(B, mode);
}

static void say_time(const char *what)
{
    say("%s: %02x-%02x-%02x %02x:%02x:%02x\n", what, cmos_read(YEAR), cmos_read(MONTH), cmos_read(DAY), cmos_read(HOURS),
        cmos_read(MINUTES), cmos_read(SECONDS));
}

static bool wait_for_update(void)
{
    cmos_read(C);
    return WAIT_FOR(cmos_read(C) & UPDATED);
}

int main(void)
{
    check("time is valid", cmos_read(D) & 0x80);
    cmos_write(A, 0x2c); /* periodic: 16 Hz */
    for (unsigned i = 0; i < 32; i++)
        cmos_write(0x40 + i, i * 37 + 5);
    bool same = true;
    for (unsigned i = 0; i < 32; i++)
        same &= cmos_read(0x40 + i) == (uint8_t)(i * 37 + 5);
    check("CMOS memory", same);

    set_time(2, 0x24, 0x02, 0x28, 0x23, 0x59, 0x59);
    check("update", wait_for_update());
    say_time("a leap day follows");
    set_time(2, 0x25, 0x02, 0x28, 0x23, 0x59, 0x59);
    wait_for_update();
    say_time("and here none");
    set_time(6, 24, 12, 31, 23, 59, 59);
    wait_for_update();
    say_time("a year ends, in binary");
    set_time(0, 0x24, 0x06, 0x15, 0x11, 0x59, 0x59);
    wait_for_update();
    say_time("noon by 12 hours");

    pic_start();
    on(PIC_VECTOR + IRQ_RTC, serve);
    set_time(2, 0x24, 0x06, 0x15, 0x10, 0x20, 0x29);
    cmos_write(HOURS_ALARM, 0x10);
    cmos_write(MINUTES_ALARM, 0x20);
    cmos_write(SECONDS_ALARM, 0x30);
    cmos_read(C);
    cmos_write(B, 2 | ALARM);
    pic_unmask(IRQ_RTC);
    sleep();
    check_is("the alarm ends a halt", reasons & (0x80 | ALARM), 0x80 | ALARM);
    say_time("at its time");
    cmos_write(SECONDS_ALARM, 0xff); /* any second */
    cmos_write(MINUTES_ALARM, 0xff);
    cmos_write(HOURS_ALARM, 0xff);
    interrupts = 0;
    sleep();
    sleep();
    check_is("an alarm every second", interrupts, 2);
    cmos_write(B, 2 | 0x10);
    cmos_read(C);
    reasons = 0;
    sleep();
    check_is("the update's interrupt", reasons & 0x90, 0x80 | UPDATED);
    cmos_write(B, 2 | PERIODIC);
    cmos_read(C);
    reasons = 0;
    interrupts = 0;
    while (interrupts < 5)
        sleep();
    check_is("periodic interrupts", reasons & 0xc0, 0x80 | PERIODIC);
    cmos_write(B, 2);
    cmos_read(C);
    open_window(); /* one may be on its way */
    interrupts = 0;
    wait_us(130000);
    open_window();
    check_is("none when they are off", interrupts, 0);
    return failures;
}
