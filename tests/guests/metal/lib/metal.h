/*
 * What the bare-metal guests share: port and register access, text on COM1, interrupts, exceptions, clocks. Every
 * guest is one file with a main() whose result goes to the test-exit port; its text must be the same on every
 * run and every right machine. Figures for the reader stand in lines that begin with '#'.
 */
#ifndef METAL_H
#define METAL_H

#include <stdint.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdarg.h>

typedef unsigned long word; /* what a general register holds */

/* ---- instructions ---- */

#define PORT_ACCESS(suffix, type)                                                          \
    static inline type in##suffix(uint16_t port)                                           \
    {                                                                                      \
        type value;                                                                        \
        asm volatile("in" #suffix " %1, %0" : "=a"(value) : "Nd"(port) : "memory");        \
        return value;                                                                      \
    }                                                                                      \
    static inline void out##suffix(uint16_t port, type value)                              \
    {                                                                                      \
        asm volatile("out" #suffix " %0, %1" : : "a"(value), "Nd"(port) : "memory");       \
    }
PORT_ACCESS(b, uint8_t)
PORT_ACCESS(w, uint16_t)
PORT_ACCESS(l, uint32_t)

#define MMIO_ACCESS(bits)                                                                  \
    static inline uint##bits##_t load##bits(word address)                                  \
    {                                                                                      \
        return *(volatile uint##bits##_t *)address;                                        \
    }                                                                                      \
    static inline void store##bits(word address, uint##bits##_t value)                     \
    {                                                                                      \
        *(volatile uint##bits##_t *)address = value;                                       \
    }
MMIO_ACCESS(8)
MMIO_ACCESS(16)
MMIO_ACCESS(32)

#define CONTROL_REGISTER(name)                                                             \
    static inline word read_##name(void)                                                   \
    {                                                                                      \
        word value;                                                                        \
        asm volatile("mov %%" #name ", %0" : "=r"(value) : : "memory");                    \
        return value;                                                                      \
    }                                                                                      \
    static inline void write_##name(word value)                                            \
    {                                                                                      \
        asm volatile("mov %0, %%" #name : : "r"(value) : "memory");                        \
    }
CONTROL_REGISTER(cr0)
CONTROL_REGISTER(cr2)
CONTROL_REGISTER(cr3)
CONTROL_REGISTER(cr4)
CONTROL_REGISTER(dr0)
CONTROL_REGISTER(dr1)
CONTROL_REGISTER(dr2)
CONTROL_REGISTER(dr3)
CONTROL_REGISTER(dr6)
CONTROL_REGISTER(dr7)
#ifdef __x86_64__
CONTROL_REGISTER(cr8)
#endif

static inline uint64_t read_msr(uint32_t index)
{
    uint32_t low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}
static inline void write_msr(uint32_t index, uint64_t value)
{
    asm volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}
static inline uint64_t read_tsc(void)
{
    uint32_t low, high;
    asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};
static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid r;
    asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

static inline word read_flags(void)
{
    word flags;
    asm volatile("pushf; pop %0" : "=r"(flags) : : "memory");
    return flags;
}
static inline void sti(void)
{
    asm volatile("sti" : : : "memory");
}
static inline void cli(void)
{
    asm volatile("cli" : : : "memory");
}
/* Lets all pending interrupts in. The port accesses are for KVM where it emulates ring 0: it looks for interrupts between
 * instructions only now and then, but always when it comes back from the outside. */
static inline void open_window(void)
{
    for (int i = 0; i < 6; i++)
        asm volatile("sti; nop; out %%al, $0x80; nop; nop; cli" : : : "memory");
}
/* Sleeps until an interrupt has been served; none is lost between the two instructions. */
static inline void sleep(void)
{
    asm volatile("sti; hlt; cli" : : : "memory");
}
static inline void invlpg(const void *address)
{
    asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* ---- text, ends ---- */

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "what: ok", or "what: WRONG", which main's result counts by way of `failures`. */
void check(const char *what, bool holds);
/* A number that must be this one: "what: ok", or what it was instead. */
void check_is(const char *what, uint64_t value, uint64_t expected);
extern unsigned failures;

#define TEST_EXIT_PORT 0xf4
_Noreturn void end(unsigned value);
int main(void);

extern uint32_t boot_magic, boot_information;
/* The loader's command line; "" if there is none. */
const char *command_line(void);
bool has_argument(const char *name);

void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
int strcmp(const char *a, const char *b);
size_t strlen(const char *s);
/* FNV-1a, 32 bits; `sum` is the sum so far, or FNV_START. */
#define FNV_START 2166136261u
uint32_t checksum(uint32_t sum, const void *data, size_t bytes);

/* ---- interrupts and exceptions ---- */

enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF, MF = 16, AC, MC, XM };

struct frame {
#ifdef __x86_64__
    word r15, r14, r13, r12, r11, r10, r9, r8, bp, di, si, dx, cx, bx, ax;
#else
    word di, si, bp, stack, bx, dx, cx, ax;
#endif
    word vector, error, ip, cs, flags, sp, ss;
};
typedef void handler(struct frame *frame);

/* Called on this vector, with IF=0. Vectors without one end the guest, but for exceptions within FAULT_OF. */
void on(unsigned vector, handler *handler);

struct gate {
#ifdef __x86_64__
    uint16_t offset_low, selector, type, offset_middle;
    uint32_t offset_high, zero;
#else
    uint16_t offset_low, selector, type, offset_high;
#endif
};
#define INTERRUPT_GATE 0x8e00
#define TRAP_GATE 0x8f00
#define USER_GATE 0x6000 /* DPL 3, for INT n from ring 3 */
extern struct gate idt[256];
void set_gate(unsigned vector, const void *target, uint16_t type);
struct table_pointer {
    uint16_t limit;
    word base;
} __attribute__((packed));
void load_idt(const void *base, uint16_t limit);

extern uint64_t gdt[];
#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_DATA 0x23
#define USER_CODE 0x2b
#define TASK_STATE 0x30
#define CODE32 0x40
#define CODE16 0x48
#define DATA16 0x50
#define SPARE_SEGMENT 0x58
void enter_ring3(void (*entry)(void), void *stack);
/* A handler that sets frame->ip to this and frame->cs, ss, sp by return_to_ring0() makes enter_ring3() return. */
void leave_ring3(void);
void return_to_ring0(struct frame *frame);

/* Task state segment with the I/O permission bitmap of SDM vol. 1 §19.5.2; all ports closed to ring 3. */
struct task_state {
    uint8_t state[104];
    uint8_t port_bitmap[8192];
    uint8_t end;
} __attribute__((packed));
extern struct task_state tss;
void set_interrupt_stack(unsigned index, void *top);

/* The exception that an instruction raises. */
#define NO_FAULT 0xff
struct fault {
    word vector, error, ip, cr2;
};
extern struct fault caught;
extern word recovery, fault_start;
#ifdef __x86_64__
#define W "q"
#else
#define W "l"
#endif
#define FAULT_OF(instruction, ...)                                                         \
    ({                                                                                     \
        caught = (struct fault){.vector = NO_FAULT};                                       \
        asm volatile("" : : : "memory");                                                   \
        asm volatile("mov" W " $9f, recovery; mov" W " $8f, fault_start\n8:\t" instruction \
                     "\n9:" __VA_ARGS__);                                                  \
        asm volatile("" : : : "memory");                                                   \
        recovery = 0;                                                                      \
        caught;                                                                            \
    })
/* "what: #PF(2)", and ", behind" if the saved IP is not the instruction's own. */
void say_fault(const char *what, struct fault fault);

/* ---- 8259, PIT, local APIC ---- */

enum { IRQ_TIMER, IRQ_KEYBOARD, IRQ_CASCADE, IRQ_COM2, IRQ_COM1, IRQ_RTC = 8, IRQ_ACPI };
#define PIC_VECTOR 0x20
/* Vectors 0x20 to 0x2f, all masked. */
void pic_start(void);
void pic_unmask(unsigned irq);
void pic_mask(unsigned irq);
/* Non-specific end of interrupt; for the second chip's inputs to both. */
void pic_eoi(unsigned irq);

#define PIT_HZ 1193182
void pit_start(unsigned channel, unsigned mode, uint16_t count);
uint16_t pit_count(unsigned channel);

#define APIC 0xfee00000u
enum {
    APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_PPR = 0xa0, APIC_EOI = 0xb0, APIC_LDR = 0xd0,
    APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180, APIC_IRR = 0x200, APIC_ESR = 0x280,
    APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310, APIC_LVT_TIMER = 0x320, APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360, APIC_LVT_ERROR = 0x370, APIC_COUNT = 0x380, APIC_CURRENT = 0x390,
    APIC_DIVIDE = 0x3e0,
};
#define APIC_MASKED 0x10000
#define APIC_PERIODIC 0x20000
#define APIC_TSC_DEADLINE 0x40000
#define APIC_EXTINT 0x700
#define SPURIOUS_VECTOR 0xff
/* Enabled by software, LINT0 masked, TPR 0, logical id 1. */
void apic_start(void);
static inline uint32_t apic_read(unsigned reg)
{
    return load32(APIC + reg);
}
static inline void apic_write(unsigned reg, uint32_t value)
{
    store32(APIC + reg, value);
}
static inline void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}
/* Whether the vector's bit is set in IRR, ISR or TMR. */
static inline bool apic_has(unsigned set, unsigned vector)
{
    return apic_read(set + vector / 32 * 0x10) >> (vector & 31) & 1;
}
#define SEND_SELF 0x44000 /* shorthand "self", assert */
static inline void apic_send_self(unsigned vector)
{
    apic_write(APIC_ICR, SEND_SELF | vector);
}

#define IO_APIC 0xfec00000u
uint32_t io_apic_read(unsigned reg);
void io_apic_write(unsigned reg, uint32_t value);
#define REDIRECTION(pin) (0x10 + 2 * (pin))
#define PIN_TIMER 2 /* ISA interrupt 0 arrives there; the others at their own number */
#define LEVEL_TRIGGERED 0x8000
#define REMOTE_IRR 0x4000
#define PIN_MASKED 0x10000

/* ---- clocks ---- */

#define HPET 0xfed00000u
enum { HPET_CAPABILITIES = 0, HPET_PERIOD = 4, HPET_CONFIG = 0x10, HPET_STATUS = 0x20, HPET_COUNTER = 0xf0 };
#define HPET_TIMER(n) (0x100 + 0x20 * (n))
#define HPET_COMPARATOR(n) (0x108 + 0x20 * (n))
static inline uint32_t hpet_read(unsigned reg)
{
    return load32(HPET + reg);
}
static inline void hpet_write(unsigned reg, uint32_t value)
{
    store32(HPET + reg, value);
}

#define PM_BASE 0x600
#define PM_TIMER_PORT (PM_BASE + 8)
#define PM_TIMER_HZ 3579545
/* 24 bits. */
static inline uint32_t pm_timer(void)
{
    return inl(PM_TIMER_PORT) & 0xffffff;
}
/* At most 4 s, by the ACPI timer. */
void wait_us(unsigned us);
/* Waits in HLT or by reading the clock until the condition holds; false after about 4 s of the ACPI timer. */
#define WAIT_FOR(condition)                                                                \
    ({                                                                                     \
        uint32_t start_ = pm_timer();                                                      \
        bool holds_;                                                                       \
        while (!(holds_ = (condition)) && ((pm_timer() - start_) & 0xffffff) < 14000000)   \
            ;                                                                              \
        holds_;                                                                            \
    })

/* ---- ACPI ---- */

/* The table with this signature, by RSDP and RSDT, with its sum checked; 0 if there is none. ACPI 6.5 §5.2. */
const uint8_t *acpi_table(const char *signature);
/* The fields of the FADT that the guests need: offsets in bytes. */
enum { FADT_DSDT = 40, FADT_SCI = 46, FADT_SMI_COMMAND = 48, FADT_ACPI_ENABLE = 52, FADT_PM1A_EVENT = 56,
       FADT_PM1A_CONTROL = 64, FADT_PM_TIMER = 76 };
static inline uint32_t field32(const uint8_t *table, unsigned offset)
{
    uint32_t value;
    memcpy(&value, table + offset, sizeof value);
    return value;
}

/* ---- COM1 and CMOS ---- */

#define COM1 0x3f8
enum { UART_DATA, UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCRATCH };
static inline uint8_t uart_read(unsigned reg)
{
    return inb(COM1 + reg);
}
static inline void uart_write(unsigned reg, uint8_t value)
{
    outb(COM1 + reg, value);
}
#define LSR_DATA_READY 1
#define LSR_OVERRUN 2
#define LSR_THR_EMPTY 0x20
#define LSR_ALL_EMPTY 0x40
/* Until the last character is on the line. */
void uart_drain(void);

static inline uint8_t cmos_read(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}
static inline void cmos_write(uint8_t index, uint8_t value)
{
    outb(0x70, index);
    outb(0x71, value);
}

#endif
