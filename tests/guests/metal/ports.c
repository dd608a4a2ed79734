/* 32 64 */
/* Port I/O: IN and OUT of 8, 16 and 32 bits; INS and OUTS with REP, in both directions and across pages. SDM vol. 1 ch. 19. */
#include "metal.h"

#define SCRATCH (COM1 + UART_SCRATCH)
#define PAGE 4096

static uint8_t pages[4 * PAGE] __attribute__((aligned(PAGE)));

#define STRING_IO(name, instruction)                                                       \
    static void *name(uint16_t port, void *memory, word count, bool down)                  \
    {                                                                                      \
        word rest = count;                                                                 \
        if (down)                                                                          \
            asm volatile("std; rep " instruction "; cld"                                   \
                         : "+D"(memory), "+c"(rest) : "d"(port), "S"(memory) : "memory");  \
        else                                                                               \
            asm volatile("rep " instruction : "+D"(memory), "+c"(rest)                     \
                         : "d"(port), "S"(memory) : "memory");                             \
        return rest == 0 ? memory : 0;                                                     \
    }
STRING_IO(rep_insb, "insb")
STRING_IO(rep_insw, "insw")
STRING_IO(rep_insl, "insl")

#define STRING_OUT(name, instruction)                                                      \
    static void *name(uint16_t port, const void *memory, word count, bool down)            \
    {                                                                                      \
        word rest = count;                                                                 \
        if (down)                                                                          \
            asm volatile("std; rep " instruction "; cld"                                   \
                         : "+S"(memory), "+c"(rest) : "d"(port) : "memory");               \
        else                                                                               \
            asm volatile("rep " instruction : "+S"(memory), "+c"(rest) : "d"(port) : "memory"); \
        return rest == 0 ? (void *)memory : 0;                                             \
    }
STRING_OUT(rep_outsb, "outsb")
STRING_OUT(rep_outsw, "outsw")
STRING_OUT(rep_outsl, "outsl")

static void divisor_access(bool on)
{
    uart_drain();
    if (!on)
        outw(COM1, 0x0001);
    uart_write(UART_LCR, on ? 0x83 : 3);
}

/* An 8-bit device sees a wide access as neighbouring 8-bit ones, low byte first. */
static void sizes(void)
{
    outb(SCRATCH, 0xa5);
    check_is("outb, inb", inb(SCRATCH), 0xa5);
    word ax = 0;
    asm volatile("mov $-1, %0; inb %w1, %b0" : "=&a"(ax) : "d"(SCRATCH));
    check_is("inb leaves the rest of the accumulator", ax, (word)-1 << 8 | 0xa5);
    asm volatile("mov $-1, %0; inw %w1, %w0" : "=&a"(ax) : "d"(SCRATCH - 1));
    check_is("inw leaves the rest of the accumulator", ax >> 8, ((word)-1 << 16 | 0xa5ff) >> 8);
    asm volatile("mov $-1, %0; inl %w1, %k0" : "=&a"(ax) : "d"(SCRATCH - 3));
    check_is("inl clears the upper half of the accumulator", ax >> 24, 0xa5);
    /* The divisor is a register of 16 bits behind two ports; there is no text while it can be reached. */
    divisor_access(true);
    outw(COM1, 0x0201);
    uint32_t bytes = inb(COM1) | inb(COM1 + 1) << 8, whole = inw(COM1);
    divisor_access(false);
    check_is("outw writes two registers", bytes, 0x0201);
    check_is("inw reads two registers", whole, 0x0201);
    outb(0x80, 1);
    outb(0xed, 1);
    asm volatile("outb %%al, $0x80; inb $0x61, %%al" : : : "eax");
    check_is("a port where nothing is", inb(0x2e0) & inb(0x2e1), 0xff);
    check_is("a port where nothing is, 16 bits", inw(0x2e0), 0xffff);
    check_is("a port where nothing is, 32 bits", inl(0x2e0), 0xffffffff);
}

/* The same register again and again. */
static void strings_of_one_register(void)
{
    uint8_t expected[16];
    outb(SCRATCH, 0x3c);
    memset(pages, 0, 64);
    check("rep insb ends behind", rep_insb(SCRATCH, pages + 1, 16, false) == pages + 17);
    memset(expected, 0x3c, 16);
    check("rep insb", memcmp(pages + 1, expected, 16) == 0 && pages[0] == 0 && pages[17] == 0);
    memset(pages, 0, 64);
    check("rep insb downwards ends before", rep_insb(SCRATCH, pages + 16, 16, true) == pages);
    check("rep insb downwards", memcmp(pages + 1, expected, 16) == 0 && pages[0] == 0 && pages[17] == 0);
    memset(pages, 0, 64);
    check("rep insb of nothing", rep_insb(SCRATCH, pages, 0, false) == pages && pages[0] == 0);

    for (unsigned i = 0; i < 16; i++)
        pages[i] = 0x40 + i;
    check("rep outsb ends behind", rep_outsb(SCRATCH, pages, 16, false) == pages + 16);
    check_is("rep outsb: the last element is the last", inb(SCRATCH), 0x4f);
    check("rep outsb downwards ends before", rep_outsb(SCRATCH, pages + 15, 16, true) == pages - 1);
    check_is("rep outsb downwards: the first element is the last", inb(SCRATCH), 0x40);

    uint16_t divisors[3] = {0x0011, 0x0022, 0x0201}, read[3];
    divisor_access(true);
    rep_outsw(COM1, divisors, 3, false);
    uint16_t last = inw(COM1);
    rep_outsw(COM1, divisors + 2, 3, true);
    void *behind = rep_insw(COM1, read, 3, false);
    divisor_access(false);
    check_is("rep outsw", last, 0x0201);
    check_is("rep outsw downwards", read[0], 0x0011);
    check("rep insw", behind == read + 3 && read[1] == 0x0011 && read[2] == 0x0011);

    uint32_t addresses[3] = {0x80000010, 0x80000020, 0x80000030};
    rep_outsl(0xcf8, addresses, 3, false);
    check_is("rep outsl", inl(0xcf8), 0x80000030);
    rep_outsl(0xcf8, addresses + 2, 3, true);
    check_is("rep outsl downwards", inl(0xcf8), 0x80000010);
    uint32_t values[5] = {0};
    check("rep insl downwards ends before", rep_insl(0xcf8, values + 3, 3, true) == values);
    check("rep insl downwards",
          values[0] == 0 && values[1] == 0x80000010 && values[3] == values[1] && values[4] == 0);
}

/* The UART's loopback gives back what string output sent, element by element, in order. */
static void loopback(const char *what, const uint8_t *from, uint8_t *to)
{
    uint8_t buffer[16];
    uart_drain();
    uart_write(UART_MCR, 0x10);
    uart_write(UART_IIR, 7);
    const uint8_t *behind = rep_outsb(COM1, from, 16, false);
    uart_drain();
    uint8_t *read_behind = rep_insb(COM1, to, 16, false);
    bool empty = !(uart_read(UART_LSR) & LSR_DATA_READY);
    uart_write(UART_MCR, 0xb);
    memcpy(buffer, to, 16);
    check(what, behind == from + 16 && read_behind == to + 16 && empty && memcmp(from, buffer, 16) == 0);
}

#ifdef __x86_64__
/* Pages 0 and 1 at another address, in the other order. */
static uint8_t *swapped_pages(void)
{
    static uint64_t directory[512] __attribute__((aligned(PAGE))), table[512] __attribute__((aligned(PAGE)));
    extern uint64_t pdpt[];
    table[0] = (word)(pages + PAGE) | 3;
    table[1] = (word)pages | 3;
    directory[0] = (word)table | 3;
    pdpt[8] = (word)directory | 3;
    return (uint8_t *)(8ull << 30);
}
#endif

int main(void)
{
    sizes();
    strings_of_one_register();
    for (unsigned i = 0; i < sizeof pages; i++)
        pages[i] = i * 7 + (i >> 8);
    loopback("16 characters by string I/O", pages, pages + 2 * PAGE);
    loopback("across a page boundary", pages + PAGE - 5, pages + 3 * PAGE - 9);
#ifdef __x86_64__
    uint8_t *swapped = swapped_pages();
    loopback("across pages that are not neighbours, out", swapped + PAGE - 3, pages + 2 * PAGE);
    loopback("across pages that are not neighbours, in", pages + 100, swapped + PAGE - 11);
    check("each byte went to its own page", memcmp(swapped + PAGE - 11, pages + 2 * PAGE - 11, 11) == 0 &&
                                                memcmp(swapped + PAGE, pages, 5) == 0);
    struct fault fault = FAULT_OF("rep outsb", : : "S"(9ull << 30), "c"(4), "d"(0x80) : "memory");
    say_fault("string output from a page that is not there", fault);
    check_is("its address", fault.cr2, 9ull << 30);
#endif
    return failures;
}
