/* 32 64 */
/* Memory-mapped I/O: loads and stores of all sizes, read-modify-write, string moves, accesses half in memory. The HPET's
 * comparator and the I/O APIC's index register hold what is written to them (IA-PC HPET 1.0a §2.3.9; 82093AA §3.1). */
#include "metal.h"

#define PAGE 4096
#define COMPARATOR (HPET + HPET_COMPARATOR(0))

static void loads_and_stores(void)
{
    store8(IO_APIC, 0);
    store32(IO_APIC + 0x10, 0);
    store8(IO_APIC, 0x12);
    check_is("8 bits", load8(IO_APIC), 0x12);
    check_is("8 bits, zero extended to 32", load32(IO_APIC), 0x12);
    store16(IO_APIC, 0x34);
    check_is("16 bits", load16(IO_APIC), 0x34);
    store32(IO_APIC, 1);
    check_is("32 bits", load32(IO_APIC), 1);
    check("another register", (load32(IO_APIC + 0x10) & 0xff) == 0x11 || (load32(IO_APIC + 0x10) & 0xff) == 0x20);
    store32(IO_APIC, 0x80);
    word wide;
    asm volatile("movzbl (%1), %k0" : "=r"(wide) : "r"(IO_APIC) : "memory");
    check_is("movzx", wide, 0x80);
    asm volatile("movsbl (%1), %k0" : "=r"(wide) : "r"(IO_APIC) : "memory");
    check_is("movsx", (uint32_t)wide, 0xffffff80);
#ifdef __x86_64__
    *(volatile uint64_t *)(word)COMPARATOR = 0x123456789abcdef0;
    check_is("64 bits", *(volatile uint64_t *)(word)COMPARATOR, 0x123456789abcdef0);
    check_is("low half of 64 bits", load32(COMPARATOR), 0x9abcdef0);
    check_is("high half of 64 bits", load32(COMPARATOR + 4), 0x12345678);
    asm volatile("movslq (%1), %0" : "=r"(wide) : "r"((word)COMPARATOR) : "memory");
    check_is("movsxd", wide, 0xffffffff9abcdef0);
#endif
    store32(COMPARATOR, 0);
    store32(COMPARATOR + 4, 0);
}

static uint32_t comparator_after(uint32_t before, void (*operation)(volatile uint32_t *))
{
    store32(COMPARATOR, before);
    operation((volatile uint32_t *)(word)COMPARATOR);
    return load32(COMPARATOR);
}

#define OPERATION(name, text)                                                              \
    static void name(volatile uint32_t *at)                                                \
    {                                                                                      \
        asm volatile(text : : "r"(at) : "memory", "eax", "ecx", "edx", "cc");              \
    }
OPERATION(op_or, "orl $0xf0, (%0)")
OPERATION(op_add, "mov $5, %%ecx; addl %%ecx, (%0)")
OPERATION(op_inc, "lock incl (%0)")
OPERATION(op_not, "notl (%0)")
OPERATION(op_shift, "shll $4, (%0)")
OPERATION(op_exchange, "mov $0x77, %%eax; xchgl %%eax, (%0)")
OPERATION(op_compare_exchange, "mov $0x100, %%eax; mov $0x200, %%ecx; lock cmpxchgl %%ecx, (%0)")
OPERATION(op_exchange_add, "mov $0x10, %%eax; lock xaddl %%eax, (%0); addl %%eax, (%0)")
OPERATION(op_set_bit, "mov $9, %%ecx; btsl %%ecx, (%0)")

static void read_modify_write(void)
{
    check_is("or", comparator_after(0x10f, op_or), 0x1ff);
    check_is("add", comparator_after(0xfffffffe, op_add), 3);
    check_is("lock inc", comparator_after(0xff, op_inc), 0x100);
    check_is("not", comparator_after(0x0f0f0f0f, op_not), 0xf0f0f0f0);
    check_is("shl", comparator_after(0x12345678, op_shift), 0x23456780);
    check_is("xchg", comparator_after(0x12345678, op_exchange), 0x77);
    check_is("cmpxchg of equals", comparator_after(0x100, op_compare_exchange), 0x200);
    check_is("cmpxchg of others", comparator_after(0x101, op_compare_exchange), 0x101);
    check_is("xadd", comparator_after(3, op_exchange_add), 0x16);
    check_is("bts", comparator_after(1, op_set_bit), 0x201);
    store32(COMPARATOR, 0x55);
    bool above, zero;
    asm volatile("cmpl $0x54, (%2); seta %0; testl $0x2a, (%2); setz %1"
                 : "=&q"(above), "=&q"(zero) : "r"(COMPARATOR) : "memory", "cc");
    check("cmp and test", above && zero);
}

static void strings(void)
{
    uint32_t out[4] = {0x11111111, 0x22222222, 0x33333333, 0x44444444}, in[4] = {0};
    const void *from = out;
    void *to = (void *)(word)COMPARATOR;
    word count = 2;
    asm volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    check("movs to a device", load32(COMPARATOR) == 0x11111111 && load32(COMPARATOR + 4) == 0x22222222);
    check("movs to a device: registers", from == out + 2 && to == (void *)(word)(COMPARATOR + 8) && count == 0);
    from = (void *)(word)COMPARATOR;
    to = in;
    count = 2;
    asm volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    check("movs from a device", in[0] == 0x11111111 && in[1] == 0x22222222 && in[2] == 0);
    from = (void *)(word)(COMPARATOR + 4);
    to = in + 3;
    count = 2;
    asm volatile("std; rep movsl; cld" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    check("movs downwards", in[3] == 0x22222222 && in[2] == 0x11111111 && to == in + 1);
    store32(IO_APIC, 0x2a);
    from = (void *)(word)IO_APIC;
    to = (void *)(word)COMPARATOR;
    asm volatile("movsl" : "+S"(from), "+D"(to) : : "memory");
    check_is("movs from device to device", load32(COMPARATOR), 0x2a);
    to = (void *)(word)COMPARATOR;
    count = 2;
    asm volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(0x5a5a5a5a) : "memory");
    check("stos", load32(COMPARATOR) == 0x5a5a5a5a && load32(COMPARATOR + 4) == 0x5a5a5a5a && count == 0);
    uint32_t loaded;
    from = (void *)(word)COMPARATOR;
    asm volatile("lodsl" : "=a"(loaded), "+S"(from) : : "memory");
    check_is("lods", loaded, 0x5a5a5a5a);
    word stacked;
    store32(COMPARATOR, 0x1234);
    store32(COMPARATOR + 4, 0);
    asm volatile("push (%1); pop %0" : "=r"(stacked) : "r"((word)COMPARATOR) : "memory");
    check_is("push", stacked, 0x1234);
    asm volatile("push %0; pop (%1)" : : "r"((word)0x4321), "r"((word)COMPARATOR) : "memory");
    check_is("pop", load32(COMPARATOR), 0x4321);
}

#ifdef __x86_64__
static uint8_t memory[PAGE] __attribute__((aligned(PAGE)));

/* A page of memory and behind it a device's page, neighbours by their linear addresses only. */
static uint8_t *memory_then(uint32_t device)
{
    static uint64_t directory[512] __attribute__((aligned(PAGE))), table[512] __attribute__((aligned(PAGE)));
    extern uint64_t pdpt[];
    uint8_t *linear = (uint8_t *)(8ull << 30);
    pdpt[8] = (word)directory | 3;
    directory[0] = (word)table | 3;
    table[0] = (word)memory | 3;
    table[1] = device | 3;
    invlpg(linear);
    invlpg(linear + PAGE);
    return linear + PAGE;
}

static void across_pages(void)
{
    memset(memory, 0xee, PAGE);
    memcpy(memory + PAGE - 4, "\1\2\3\4", 4);
    uint8_t *boundary = memory_then(HPET);
    uint32_t capabilities = load32(HPET);
    check_is("64 bits, half memory, half device", *(volatile uint64_t *)(boundary - 4),
             (uint64_t)capabilities << 32 | 0x04030201);
    boundary = memory_then(IO_APIC);
    store32(IO_APIC, 0x2b);
    check_is("32 bits, half memory, half device", load32((word)boundary - 2), 0x002b0403);
    store32(IO_APIC, 0);
    store32((word)boundary - 3, 0x17bbccdd);
    check_is("a store's part in memory", memory[PAGE - 3] | memory[PAGE - 2] << 8 | memory[PAGE - 1] << 16, 0xbbccdd);
    check_is("a store's part in the device", load32(IO_APIC) & 0xff, 0x17);
    check_is("nothing beside it", memory[PAGE - 4], 1);
}
#endif

int main(void)
{
    loads_and_stores();
    read_modify_write();
    strings();
#ifdef __x86_64__
    across_pages();
#endif
    return failures;
}
