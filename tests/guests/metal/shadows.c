/* 32 64 */
/* Where exactly an interrupt comes in: the shadow of STI, windows of one instruction, POPF, IRET. SDM vol.
 * 3A §6.8.1, §6.8.3. */
#include "metal.h"

static volatile unsigned served;
static volatile word interrupted_ip;

static void serve(struct frame *frame)
{
    interrupted_ip = frame->ip;
    served++;
    apic_eoi();
}

/* One interrupt is pending before the instructions; then where it came in is compared with the label 1. */
#define COMES_IN(what, expected_count, instructions, ...)                                  \
    do {                                                                                   \
        served = 0;                                                                        \
        apic_send_self(0x60);                                                              \
        word expected;                                                                     \
        asm volatile("mov" W " $1f, %0;" instructions "; cli" : "=m"(expected) : __VA_ARGS__ : "memory", "cc"); \
        check_is(what, served, expected_count);                                            \
        if (expected_count)                                                                \
            check_is("  at the right place", interrupted_ip, expected);                    \
        open_window();                                                                     \
    } while (0)

int main(void)
{
    word data_segment = KERNEL_DATA;
    word flags = read_flags();
    apic_start();
    on(0x60, serve);
    COMES_IN("sti; cli", 0, "sti; 1: cli", "i"(0));
    COMES_IN("sti; nop; cli", 1, "sti; nop; 1: cli", "i"(0));
    COMES_IN("cli; nop; sti; sti; nop", 1, "cli; nop; sti; sti; 1: nop", "i"(0));
    COMES_IN("popf; nop", 1, "push %1; popf; 1: nop", "r"(flags | 0x200));
    COMES_IN("popf; cli", 1, "push %1; popf; 1: cli", "r"(flags | 0x200));
    COMES_IN("popf; mov ss; nop", 1, "push %1; popf; 1: mov %2, %%ss; nop", "r"(flags | 0x200), "r"(data_segment));
    COMES_IN("sti; hlt", 1, "sti; hlt; 1: nop", "i"(0));
#ifdef __x86_64__
    COMES_IN("iret; nop", 1,
             "mov %%rsp, %%rax; push %2; push %%rax; push %1; push %3; push $1f; iretq; 1: nop",
             "r"(flags | 0x200), "r"(data_segment), "r"((word)KERNEL_CODE), "a"(0));
#else
    COMES_IN("iret; nop", 1, "push %1; push %2; push $1f; iret; 1: nop", "r"(flags | 0x200), "r"((word)KERNEL_CODE));
#endif
    return failures;
}
