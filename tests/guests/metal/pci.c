/* 64 */
/* PCI configuration mechanism #1 through 0xcf8 and 0xcfc with all sizes. PCI Local Bus Specification 3.0, §3.2.2.3.2. */
#include "metal.h"

#define ADDRESS 0xcf8
#define DATA 0xcfc

static uint32_t select(unsigned bus, unsigned device, unsigned function, unsigned reg)
{
    uint32_t address = 0x80000000u | bus << 16 | device << 11 | function << 8 | reg;
    outl(ADDRESS, address);
    return address;
}

int main(void)
{
    check_is("the address is read back", (select(0, 0, 0, 0), inl(ADDRESS)), 0x80000000);
    uint32_t id = inl(DATA);
    say("# host bridge %04x:%04x\n", id & 0xffff, id >> 16);
    check("there is a device 0", (id & 0xffff) != 0xffff && (id & 0xffff) != 0);
    check_is("16 bits, low", inw(DATA), id & 0xffff);
    check_is("16 bits, high", inw(DATA + 2), id >> 16);
    uint32_t bytes = 0;
    for (unsigned i = 0; i < 4; i++)
        bytes |= (uint32_t)inb(DATA + i) << 8 * i;
    check_is("8 bits", bytes, id);
    select(0, 0, 0, 8);
    check_is("class: host bridge", inl(DATA) >> 16, 0x0600);
    check_is("class, 16 bits", inw(DATA + 2), 0x0600);
    select(0, 0, 0, 0x0c);
    check_is("header type 0", inb(DATA + 2) & 0x7f, 0);

    select(0, 0, 0, 0);
    outl(DATA, ~id);
    check_is("the identity is read-only", inl(DATA), id);
    outl(ADDRESS, 0);
    check_is("without the enable bit", inl(DATA), 0xffffffff);
    uint32_t address = select(0, 0, 0, 0);
    outb(ADDRESS, 0xf0);
    outw(ADDRESS, 0xfff0);
    check_is("only 32-bit writes reach the address", inl(ADDRESS), address);
    select(0, 30, 0, 0);
    check_is("a device that is not there", inl(DATA), 0xffffffff);
    check_is("a device that is not there, 8 bits", inb(DATA + 3), 0xff);
    outl(DATA, 0x12345678);
    select(200, 0, 0, 0);
    check_is("a bus that is not there", inl(DATA), 0xffffffff);
    unsigned devices = 0;
    for (unsigned device = 0; device < 32; device++) {
        select(0, device, 0, 0);
        if (inw(DATA) == 0xffff)
            continue;
        devices++;
        say("# device %u: %08x\n", device, inl(DATA));
    }
    check("the bus can be scanned", devices >= 1 && devices < 32);
    return failures;
}
