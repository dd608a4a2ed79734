/* 32 64 */
/* Exceptions with their error codes and saved IPs: faults point at their instruction, traps behind it. SDM vol. 3A §6.15. */
#include "metal.h"

static void arithmetic(void)
{
    word low = 1, high = 0;
    say_fault("div by 0", FAULT_OF("div %b2", : "+a"(low), "+d"(high) : "c"(0)));
    say_fault("div too large", FAULT_OF("div %k2", : "+a"(low), "+d"(high) : "c"(0)));
    low = 0x80000000, high = 0xffffffff;
    say_fault("idiv too large", FAULT_OF("idiv %k2", : "+a"(low), "+d"(high) : "c"(-1)));
}

static void invalid(void)
{
    say_fault("ud2", FAULT_OF("ud2", : : : "memory"));
    say_fault("mov to cs", FAULT_OF(".byte 0x8e, 0xc8", : : : "memory"));
    say_fault("lock without memory", FAULT_OF(".byte 0xf0, 0x90", : : : "memory"));
}

static void general_protection(void)
{
    say_fault("segment beyond the table", FAULT_OF("mov %w0, %%es", : : "r"(0x1000)));
    say_fault("code as data, not readable", FAULT_OF("mov %w0, %%es", : : "r"(SPARE_SEGMENT)));
}

static void segments(void)
{
    gdt[SPARE_SEGMENT / 8 + 1] = 0x00cf13000000ffff; /* data, not present */
    say_fault("segment not present", FAULT_OF("mov %w0, %%es", : : "r"(SPARE_SEGMENT + 8)));
    say_fault("stack segment not present", FAULT_OF("mov %w0, %%ss", : : "r"(SPARE_SEGMENT + 8)));
    say_fault("the present ones", FAULT_OF("mov %w0, %%es", : : "r"(KERNEL_DATA)));
}

#ifdef __x86_64__
static void page_faults(void)
{
    uint8_t *nowhere = (uint8_t *)(16ull << 30) + 0x123;
    struct fault fault = FAULT_OF("mov (%0), %%al", : : "r"(nowhere) : "eax");
    say_fault("load from no page", fault);
    check_is("its address", fault.cr2, (word)nowhere);

    say_fault("store to no page", FAULT_OF("movb $1, (%0)", : : "r"(nowhere) : "memory"));
    fault = FAULT_OF("movq $1, (%0)", : : "r"((word)nowhere | 0xffc) : "memory");
    say_fault("store across pages, none there", fault);
}
#endif

int main(void)
{
    arithmetic();
    invalid();
    gdt[SPARE_SEGMENT / 8] = 0x00cf99000000ffff; /* execute only */
    general_protection();
    segments();
#ifdef __x86_64__
    page_faults();
#endif
    return failures;
}
