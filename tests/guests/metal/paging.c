/* 64 */
/* 4-level paging: pages of 4 KiB, 2 MiB and, where there are, 1 GiB; present, writable, no-execute; accessed and dirty; WP;
 * INVLPG and CR3. SDM vol. 3A chapter 4. */
#include "metal.h"

#define PAGE 4096
#define LINEAR 0x8000000000ul /* 512 GiB */
#define NX (1ull << 63)
enum { P = 1, RW = 2, ACCESSED = 0x20, DIRTY = 0x40, LARGE = 0x80 };

extern uint64_t pml4[];
static uint64_t level3[512] __attribute__((aligned(PAGE))), level2[512] __attribute__((aligned(PAGE))),
    level1[512] __attribute__((aligned(PAGE)));
static uint8_t one[PAGE] __attribute__((aligned(PAGE))), two[PAGE] __attribute__((aligned(PAGE)));
static volatile uint8_t *const at = (uint8_t *)LINEAR;

static struct fault load(void)
{
    return FAULT_OF("mov (%0), %%al", : : "r"(at) : "eax");
}
static struct fault store(void)
{
    return FAULT_OF("movb $0x99, (%0)", : : "r"(at));
}
static void map(uint64_t entry)
{
    level1[0] = entry;
    invlpg((void *)at);
}

int main(void)
{
    write_msr(0xc0000080, read_msr(0xc0000080) | 0x800); /* NXE */
    pml4[LINEAR >> 39] = (word)level3 | P | RW;
    level3[0] = (word)level2 | P | RW;
    level2[0] = (word)level1 | P | RW;
    memset(one, 0x11, PAGE);
    memset(two, 0x22, PAGE);
    one[0] = two[0] = 0xc3; /* ret */

    map(0);
    say_fault("not present", load());
    map((word)one | P);
    say_fault("present", load());
    check_is("its byte", at[1], 0x11);
    check_is("accessed, not dirty", level1[0] & (ACCESSED | DIRTY), ACCESSED);
    write_cr0(read_cr0() & ~0x10000ul);
    say_fault("read-only without WP", store());
    write_cr0(read_cr0() | 0x10000);
    invlpg((void *)at);
    say_fault("read-only with WP", store());
    map((word)one | P | RW);
    say_fault("writable", store());
    check_is("the byte is written", one[0], 0x99);
    check_is("accessed and dirty", level1[0] & (ACCESSED | DIRTY), ACCESSED | DIRTY);
    one[0] = 0xc3;
    asm volatile("call *%0" : : "r"(at) : "memory");
    check("executable", true);
    map((word)one | P | RW | NX);
    say_fault("no-execute, read", load());
    level2[0] &= ~(uint64_t)RW;
    invlpg((void *)at);
    say_fault("read-only by the upper level", store());
    level2[0] |= RW;
    map((word)two | P | RW);
    check_is("another page", at[1], 0x22);
    level1[0] = (word)one | P | RW;
    write_cr3(read_cr3());
    check_is("a new CR3 forgets the old", at[1], 0x11);
    check_is("accessed in the upper level", level2[0] & ACCESSED, ACCESSED);

    level2[1] = P | RW | LARGE; /* physical 0 */
    invlpg((void *)(LINEAR + 0x200000));
    store32(0x9000, 0x12345678);
    check_is("a page of 2 MiB", load32(LINEAR + 0x209000), 0x12345678);
    store32(LINEAR + 0x209004, 0x55);
    check_is("dirty", level2[1] & DIRTY, DIRTY);
    bool gigabytes = cpuid(0x80000001, 0).edx >> 26 & 1;
    if (gigabytes) {
        level3[1] = P | RW | LARGE;
        invlpg((void *)(LINEAR + 0x40000000));
        if (load32(LINEAR + 0x40009000) != 0x12345678)
            check("a page of 1 GiB", false);
    }
    check("pages of 1 GiB, if CPUID offers them", true);
    return failures;
}
