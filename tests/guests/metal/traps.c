/* 32 64 */
/* Exceptions that instructions ask for, and those of interrupt delivery itself: INT3, INT n, INTO, BOUND, #SS, #GP of the IDT,
 * double fault. SDM vol. 3A chapter 6. */
#include "metal.h"

static volatile unsigned software;
static void serve(struct frame *frame)
{
    software = frame->vector;
}

int main(void)
{
    on(0x60, serve);
    say_fault("int3", FAULT_OF("int3", : : : "memory"));
    say_fault("int 3 of two bytes", FAULT_OF(".byte 0xcd, 3", : : : "memory"));
    say_fault("int $0x60", FAULT_OF("int $0x60", : : : "memory"));
    check_is("served", software, 0x60);
#ifdef __x86_64__
    word far = 0x8000000000000000;
    say_fault("non-canonical load", FAULT_OF("mov (%0), %%al", : : "r"(far) : "eax"));
#else
    say_fault("into without overflow", FAULT_OF("xor %%eax, %%eax; into", : : : "eax", "cc"));
    say_fault("into", FAULT_OF("mov $0x7f, %%al; inc %%al; into", : : : "eax", "cc"));
    static const int bounds[2] = {3, 5};
    say_fault("bound within", FAULT_OF("bound %0, %1", : : "r"(5), "m"(bounds[0]) : "memory"));
    say_fault("bound", FAULT_OF("bound %0, %1", : : "r"(6), "m"(bounds[0]) : "memory"));
#endif
    set_gate(0x61, (const void *)0x100000, INTERRUPT_GATE & ~0x8000);
    say_fault("a gate that is not present", FAULT_OF("int $0x61", : : : "memory"));
    load_idt(idt, 0x60 * sizeof(struct gate) - 1);
    say_fault("a gate beyond the table", FAULT_OF("int $0x60", : : : "memory"));
    load_idt(idt, sizeof idt - 1);

#ifdef __x86_64__
    /* A stack of its own by the interrupt stack table. */
    static uint8_t stack[4096] __attribute__((aligned(16)));
    set_interrupt_stack(1, stack + sizeof stack);
    idt[DF].type |= 1;
#endif
    /* #DE finds no gate, which is #NP within the delivery of a contributory exception. The saved IP is undefined. */
    idt[DE].type &= ~0x8000;
    struct fault fault = FAULT_OF("xor %%ecx, %%ecx; div %%cl", : : "a"(1) : "ecx", "cc");
    fault.ip = fault_start;
    say_fault("a fault in the delivery of a fault", fault);
    return failures;
}
