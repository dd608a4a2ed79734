/* 64 */
/* Instruction fetches from pages that forbid them, and entries with reserved bits. SDM vol. 3A §4.6, §4.7. */
#include "metal.h"

#define PAGE 4096
#define LINEAR 0x8000000000ul
enum { P = 1, RW = 2 };

extern uint64_t pml4[];
static uint64_t level3[512] __attribute__((aligned(PAGE))), level2[512] __attribute__((aligned(PAGE))),
    level1[512] __attribute__((aligned(PAGE)));
static uint8_t page[PAGE] __attribute__((aligned(PAGE)));
static uint8_t *const at = (uint8_t *)LINEAR;

static void map(uint64_t entry)
{
    level1[0] = entry;
    invlpg(at);
}

int main(void)
{
    write_msr(0xc0000080, read_msr(0xc0000080) | 0x800); /* NXE */
    pml4[LINEAR >> 39] = (word)level3 | P | RW;
    level3[0] = (word)level2 | P | RW;
    level2[0] = (word)level1 | P | RW;
    page[0] = 0xc3; /* ret */
    map((word)page | P);
    asm volatile("call *%0" : : "r"(at) : "memory");
    check("executable", true);
    map((word)page | P | 1ull << 63);
    struct fault fault = FAULT_OF("jmp *%0", : : "r"(at));
    check("no-execute: #PF", fault.vector == PF);
    check_is("error code: present, fetch", fault.error, 0x11);
    check_is("its address", fault.ip, LINEAR);
    map((word)page | P | 1ull << 51);
    fault = FAULT_OF("mov (%0), %%al", : : "r"(at) : "eax");
    say_fault("reserved bit", fault);
    write_msr(0xc0000080, read_msr(0xc0000080) & ~0x800ul);
    map((word)page | P | 1ull << 63);
    say_fault("bit 63 without NXE", FAULT_OF("mov (%0), %%al", : : "r"(at) : "eax"));
    return failures;
}
