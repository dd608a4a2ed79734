/* 64 */
/* Model-specific registers: what is written is read; the time-stamp counter runs forward. SDM vol. 4. */
#include "metal.h"

static const struct {
    uint32_t index;
    const char *name;
    uint64_t value;
} rows[] = {
    {0xc0000081, "STAR", 0x0023001000000000},
    {0xc0000082, "LSTAR", 0xffff800012345678},
    {0xc0000084, "SFMASK", 0x47700},
    {0xc0000100, "FS base", 0x123456789a},
    {0xc0000101, "GS base", 0xffff8000deadb000},
    {0xc0000102, "kernel GS base", 0x00007fffcafe0000},
    {0x174, "SYSENTER CS", 0x10},
    {0x175, "SYSENTER ESP", 0x1234000},
    {0x176, "SYSENTER EIP", 0x5678000},
    {0x277, "PAT", 0x0007010600070106},
};

static void registers(void)
{
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t before = read_msr(rows[i].index);
        write_msr(rows[i].index, rows[i].value);
        outb(0x80, i); /* the value survives a way out of the guest */
        check_is(rows[i].name, read_msr(rows[i].index), rows[i].value);
        write_msr(rows[i].index, before);
    }
}

static void time_stamp(void)
{
    uint64_t before = read_tsc();
    bool forward = true;
    for (unsigned i = 0; i < 200; i++) {
        if (i % 10 == 0)
            outb(0x80, i);
        uint64_t now = read_tsc();
        forward &= now > before;
        before = now;
    }
    check("the TSC never goes back", forward);
    before = read_tsc();
    wait_us(2000);
    check("it counts while the guest waits", read_tsc() - before > 200000);
}

int main(void)
{
    registers();
    time_stamp();
    return failures;
}
