/* Descriptor tables, the task state segment and the dispatch of exceptions and interrupts. SDM vol. 3A chapters 6, 8. */
#include "metal.h"

struct gate idt[256] __attribute__((aligned(16)));
struct task_state tss __attribute__((aligned(16)));
struct fault caught;
word recovery, fault_start;

extern const char vector_stubs[][16];
static handler *handlers[256];

void on(unsigned vector, handler *handler)
{
    handlers[vector] = handler;
}

void set_gate(unsigned vector, const void *target, uint16_t type)
{
    word address = (word)target;
#ifdef __x86_64__
    idt[vector] = (struct gate){address, KERNEL_CODE, type, address >> 16, address >> 32, 0};
#else
    idt[vector] = (struct gate){address, KERNEL_CODE, type, address >> 16};
#endif
}

void load_idt(const void *base, uint16_t limit)
{
    struct table_pointer pointer = {limit, (word)base};
    asm volatile("lidt %0" : : "m"(pointer));
}

void set_interrupt_stack(unsigned index, void *top)
{
    word address = (word)top;
    memcpy(tss.state + 36 + 8 * (index - 1), &address, sizeof address);
}

void return_to_ring0(struct frame *frame)
{
    frame->ip = (word)leave_ring3;
    frame->cs = KERNEL_CODE;
#ifdef __x86_64__
    frame->ss = KERNEL_DATA;
    frame->sp = (word)frame;
#endif
    frame->flags = 2;
}

void dispatch(struct frame *frame)
{
    if (frame->vector < 32 && recovery != 0) {
        caught = (struct fault){frame->vector, frame->error, frame->ip, 0};
        if (frame->vector == PF)
            caught.cr2 = read_cr2();
        frame->ip = recovery;
        frame->flags &= ~0x100ul; /* no single step */
        recovery = 0;
    } else if (handlers[frame->vector] != 0) {
        handlers[frame->vector](frame);
    } else {
        say("unexpected vector 0x%lx, error 0x%lx, at 0x%lx\n", frame->vector, frame->error, frame->ip);
        end(0x7f);
    }
}

void say_fault(const char *what, struct fault fault)
{
    static const char names[][4] = {"DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "09",
                                    "TS", "NP", "SS",  "GP", "PF", "15", "MF", "AC", "MC", "XM"};
    if (fault.vector >= sizeof names / sizeof names[0]) {
        say("%s: %s\n", what, fault.vector == NO_FAULT ? "no fault" : "an unknown fault");
        return;
    }
    say("%s: #%s", what, names[fault.vector]);
    if (fault.vector == DF || (fault.vector >= TS && fault.vector <= PF) || fault.vector == AC)
        say("(%lx)", fault.error);
    say("%s\n", fault.ip == fault_start ? "" : ", behind");
}

/* Before main(): tables loaded, interrupts off everywhere, COM1 at 115200 8N1 with its FIFO. */
void prepare(void)
{
    for (unsigned vector = 0; vector < 256; vector++)
        set_gate(vector, vector_stubs[vector], INTERRUPT_GATE);
    load_idt(idt, sizeof idt - 1);

    memset(tss.port_bitmap, 0xff, sizeof tss.port_bitmap + 1);
    tss.state[102] = sizeof tss.state;
    word base = (word)&tss;
    gdt[TASK_STATE / 8] = (uint64_t)(base >> 24 & 0xff) << 56 | (uint64_t)0x89 << 40 |
                          (uint64_t)(base & 0xffffff) << 16 | (sizeof tss - 1);
#ifdef __x86_64__
    gdt[TASK_STATE / 8 + 1] = base >> 32;
#else
    word kernel_data = KERNEL_DATA;
    memcpy(tss.state + 8, &kernel_data, sizeof kernel_data); /* SS0 */
#endif
    asm volatile("ltr %w0" : : "r"(TASK_STATE));

    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    uart_write(UART_IER, 0);
    uart_write(UART_LCR, 0x80);
    outb(COM1, 1);
    outb(COM1 + 1, 0);
    uart_write(UART_LCR, 3);
    uart_write(UART_IIR, 7);
    uart_write(UART_MCR, 0xb);
}
