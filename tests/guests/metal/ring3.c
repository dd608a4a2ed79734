/* 64 */
/* Ring 3: the way there by IRET and back by exceptions, what it may not do, its pages, its ports by the bitmap of the TSS.
 * SDM vol. 1 §19.5, vol. 3A §5.5 to §5.11. */
#include "metal.h"

#define USER 0x40000000ul /* pages of its own: code, data, the kernel's page */
#define PAGE 4096

static uint8_t code[PAGE] __attribute__((aligned(PAGE))), data[PAGE] __attribute__((aligned(PAGE))),
    kernel[PAGE] __attribute__((aligned(PAGE)));
static uint64_t directory[512] __attribute__((aligned(PAGE))), table[512] __attribute__((aligned(PAGE)));
extern uint64_t pdpt[];

static struct frame last;
static word fault_address;

static void leave(struct frame *frame)
{
    last = *frame;
    fault_address = read_cr2();
    return_to_ring0(frame);
}

/* Runs these bytes in ring 3 until they fault. */
static struct fault run(const void *bytes, size_t count)
{
    memset(code, 0x90, 64);
    memcpy(code, bytes, count);
    enter_ring3((void (*)(void))USER, (void *)(USER + 2 * PAGE));
    return (struct fault){last.vector, last.error, last.ip, fault_address};
}
#define RUN(what, ...)                                                                     \
    ({                                                                                     \
        static const uint8_t bytes[] = {__VA_ARGS__};                                      \
        struct fault fault_ = run(bytes, sizeof bytes);                                    \
        fault_start = fault_.ip;                                                           \
        say_fault(what, fault_);                                                           \
        fault_;                                                                            \
    })
#define UD2 0x0f, 0x0b

static void map(void)
{
    pdpt[1] = (word)directory | 7;
    directory[0] = (word)table | 7;
    table[0] = (word)code | 5;
    table[1] = (word)data | 7;
    table[2] = (word)kernel | 3;
    write_cr3(read_cr3());
}

int main(void)
{
    map();
    for (unsigned vector = 0; vector < 32; vector++)
        if (vector != NMI)
            on(vector, leave);
    struct fault fault = RUN("ud2", UD2);
    check_is("at its beginning", fault.ip, USER);
    check_is("CS", last.cs, USER_CODE);
    check_is("SS", last.ss, USER_DATA);
    check_is("SP", last.sp, USER + 2 * PAGE);
    check_is("reads and writes its stack", (RUN("push, pop", 0x6a, 0x55, 0x58, UD2), last.ax), 0x55);
    check_is("the written byte", data[PAGE - 8], 0x55);
    fault = RUN("hlt", 0xf4);
    RUN("cli", 0xfa);
    RUN("mov from cr0", 0x0f, 0x20, 0xc0);
    RUN("rdmsr", 0x0f, 0x32);
    RUN("lidt", 0x0f, 0x01, 0x1c, 0x24);
    fault = RUN("store to its code", 0xc6, 0x04, 0x25, 0, 0, 0, 0x40, 1);
    check_is("its address", fault.cr2, USER);
    fault = RUN("load from the kernel's page", 0x8a, 0x04, 0x25, 0, 0x20, 0, 0x40);
    check_is("its address", fault.cr2, USER + 2 * PAGE);
    RUN("store to the kernel's page", 0xc6, 0x04, 0x25, 0, 0x20, 0, 0x40, 1);
    fault = RUN("jump to the kernel's page", 0xb8, 0, 0x20, 0, 0x40, 0xff, 0xe0);
    check_is("its address", fault.ip, USER + 2 * PAGE);
    RUN("load from no page", 0x8a, 0x04, 0x25, 0, 0x30, 0, 0x40);
    RUN("div by 0", 0x31, 0xc9, 0xf7, 0xf1);

    RUN("a closed port", 0xe4, 0x61);
    RUN("a closed port, written", 0xe6, 0x80);
    tss.port_bitmap[0x80 / 8] &= ~1;
    uart_write(UART_SCRATCH, 0x5e);
    tss.port_bitmap[(COM1 + UART_SCRATCH) / 8] &= ~(1 << ((COM1 + UART_SCRATCH) & 7));
    RUN("an open port, written", 0xe6, 0x80, UD2);
    check_is("behind it", last.ip, USER + 2);
    RUN("an open port", 0x66, 0xba, 0xff, 0x03, 0xec, UD2);
    check_is("its value", last.ax & 0xff, 0x5e);
    RUN("16 bits, half of them open", 0x66, 0xed, UD2);
    return failures;
}
