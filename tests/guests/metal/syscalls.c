/* 64 */
/* System calls from ring 3: INT n, SYSCALL and SYSRET; a timer interrupt in ring 3. SDM vol. 2B "SYSCALL", vol. 3A §5.8.8. */
#include "metal.h"

extern const char user_begin[], user_spin[], syscall_entry[];
word syscall_count, syscall_rcx, syscall_flags;
volatile word interrupts;
static volatile unsigned calls;
static struct frame last, interrupted;

static void serve(struct frame *frame)
{
    calls++;
    frame->ax = frame->ax * 2;
}
static void tick(struct frame *frame)
{
    interrupts++;
    interrupted = *frame;
    apic_eoi();
}
static void leave(struct frame *frame)
{
    last = *frame;
    return_to_ring0(frame);
}

int main(void)
{
    static uint8_t stack[4096] __attribute__((aligned(16)));
    on(0x80, serve);
    idt[0x80].type |= USER_GATE;
    on(UD, leave);
    write_msr(0xc0000080, read_msr(0xc0000080) | 1); /* SCE */
    write_msr(0xc0000081, (uint64_t)(0x18 | 3) << 48 | (uint64_t)KERNEL_CODE << 32);
    write_msr(0xc0000082, (word)syscall_entry);
    write_msr(0xc0000084, 0x300);
    enter_ring3((void (*)(void))user_begin, stack + sizeof stack);
    check_is("int 0x80 doubled", last.bx, 42);
    check_is("one call", calls, 1);
    check_is("three SYSCALLs", syscall_count, 3);
    check_is("RCX is the return address", syscall_rcx, last.r12);
    check_is("R11 is the flags", syscall_flags & 0xcd5, last.r14 & 0xcd5);
    check_is("SYSRET came back with RAX", last.r13, 0x77);
    check_is("in ring 3", last.cs, USER_CODE);
    check_is("with its stack", last.ss, USER_DATA);

    on(0x40, tick);
    apic_start();
    apic_write(APIC_DIVIDE, 0xb);
    apic_write(APIC_LVT_TIMER, 0x40);
    apic_write(APIC_COUNT, 1000000);
    write_msr(0xc0000084, 0); /* SYSRET takes its flags from R11: interrupts on */
    enter_ring3((void (*)(void))user_spin, stack + sizeof stack);
    check_is("an interrupt", interrupts, 1);
    check_is("in ring 3, CS", interrupted.cs, USER_CODE);
    check("ring 3 with interrupts on", interrupted.flags & 0x200);
    return failures;
}
