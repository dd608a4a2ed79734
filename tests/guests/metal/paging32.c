/* 32 */
/* Paging of 32-bit guests: two levels, pages of 4 MiB, PAE. SDM vol. 3A §4.3, §4.4. */
#include "metal.h"

#define PAGE 4096
#define LINEAR 0x40000000u
enum { P = 1, RW = 2, ACCESSED = 0x20, DIRTY = 0x40, LARGE = 0x80, PSE = 0x10, PAE = 0x20 };

static uint32_t directory[1024] __attribute__((aligned(PAGE))), table[1024] __attribute__((aligned(PAGE)));
static uint64_t pointers[4] __attribute__((aligned(32))), directories[4][512] __attribute__((aligned(PAGE))),
    table64[512] __attribute__((aligned(PAGE)));
static uint8_t page[PAGE] __attribute__((aligned(PAGE)));

static void two_levels(void)
{
    write_cr4(read_cr4() | PSE);
    for (unsigned i = 0; i < 1024; i++)
        directory[i] = i << 22 | LARGE | RW | P;
    directory[LINEAR >> 22] = (word)table | RW | P;
    table[0] = (word)page | P;
    write_cr3((word)directory);
    write_cr0(read_cr0() | 0x80010000); /* PG, WP */
    page[0] = 0x5a;
    check_is("a page of 4 KiB", load8(LINEAR), 0x5a);
    say_fault("read-only", FAULT_OF("movb $1, (%0)", : : "r"(LINEAR)));
    say_fault("not present", FAULT_OF("movb (%0), %%al", : : "r"(LINEAR + PAGE) : "eax"));
    check_is("accessed", table[0] & (ACCESSED | DIRTY), ACCESSED);
    check_is("a page of 4 MiB, dirty", directory[0] & DIRTY, DIRTY);
    write_cr0(read_cr0() & 0x7fffffff);
}

static void pae(void)
{
    for (unsigned i = 0; i < 4; i++) {
        pointers[i] = (word)directories[i] | P;
        for (unsigned j = 0; j < 512; j++)
            directories[i][j] = (uint64_t)i << 30 | j << 21 | LARGE | RW | P;
    }
    directories[1][0] = (word)table64 | RW | P;
    table64[0] = (word)page | P;
    write_cr4(read_cr4() | PAE);
    write_cr3((word)pointers);
    write_cr0(read_cr0() | 0x80000000);
    check_is("PAE: a page of 4 KiB", load8(LINEAR), 0x5a);
    say_fault("PAE: read-only", FAULT_OF("movb $1, (%0)", : : "r"(LINEAR)));
    say_fault("PAE: not present", FAULT_OF("movb (%0), %%al", : : "r"(LINEAR + PAGE) : "eax"));
    table64[0] = (word)page | RW | P;
    invlpg((void *)LINEAR);
    store8(LINEAR + 1, 0x77);
    asm volatile("" : : : "memory");
    check("PAE: writable, dirty", page[1] == 0x77 && table64[0] & DIRTY);
    write_cr0(read_cr0() & 0x7fffffff);
    write_cr4(read_cr4() & ~(PSE | PAE));
}

int main(void)
{
    two_levels();
    pae();
    check("and without paging again", load8((word)page) == 0x5a);
    return failures;
}
