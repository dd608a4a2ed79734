/* 64 */
/* A long run whose text depends on nothing but its own computation, while timers, interrupts, string I/O and memory-mapped
 * I/O go on: wherever it is drained, saved, restored or moved, it has to say the same. Arguments: `long` for ten times the
 * rounds, `fpu` for floating-point state as well. */
#include "metal.h"

#define WORDS 512

static volatile unsigned ticks, background, self;
static uint32_t memory[WORDS * 64];
static uint32_t sum = FNV_START, random_state = 12345;
static bool with_fpu;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}
static void fold(const void *data, size_t bytes)
{
    sum = checksum(sum, data, bytes);
}
static void fold_word(uint32_t value)
{
    fold(&value, sizeof value);
}

static void tick(struct frame *frame)
{
    (void)frame;
    ticks++;
    pic_eoi(IRQ_TIMER);
}
static void in_background(struct frame *frame)
{
    (void)frame;
    background++;
    apic_eoi();
}
static void self_interrupt(struct frame *frame)
{
    (void)frame;
    self++;
    apic_eoi();
}

/* Registers of every class hold a pattern all the time; whoever saves and restores them has to bring it back. */
static const struct {
    uint32_t index;
    uint64_t value;
} msrs[] = {
    {0xc0000081, 0x0023001000000000}, {0xc0000082, 0xffff800012345678}, {0xc0000084, 0x47700},
    {0xc0000100, 0x123456789a},       {0xc0000102, 0x00007fffcafe0000}, {0x174, 0x10},
    {0x175, 0x1234000},               {0x176, 0x5678000},
};
static void set_registers(void)
{
    for (unsigned i = 0; i < sizeof msrs / sizeof msrs[0]; i++)
        write_msr(msrs[i].index, msrs[i].value);
    write_dr0(0x1111);
    write_dr1(0x2222);
    write_dr2(0x3333);
    write_dr3(0x4444);
    write_cr8(1);
}
static void fold_registers(void)
{
    for (unsigned i = 0; i < sizeof msrs / sizeof msrs[0]; i++) {
        uint64_t value = read_msr(msrs[i].index);
        fold(&value, sizeof value);
    }
    word values[] = {read_dr0(), read_dr1(), read_dr2(), read_dr3(), read_dr7(), read_cr0(), read_cr4(), read_cr8()};
    fold(values, sizeof values);
}

/* All general registers hold values of the round while the guest is left in four ways. */
static void general_registers(uint64_t seed)
{
    uint64_t in[15], out[15];
    for (unsigned i = 0; i < 15; i++)
        in[i] = seed * (2 * i + 0x9e3779b97f4a7c15);
    asm volatile("push %%rbp; push %%rdi; push %%rsi\n\t"
                 "mov %%rsi, %%rax\n\t"
                 "mov 8(%%rax), %%rbx; mov 16(%%rax), %%rcx; mov 32(%%rax), %%rsi; mov 40(%%rax), %%rdi\n\t"
                 "mov 48(%%rax), %%rbp; mov 56(%%rax), %%r8; mov 64(%%rax), %%r9; mov 72(%%rax), %%r10\n\t"
                 "mov 80(%%rax), %%r11; mov 88(%%rax), %%r12; mov 96(%%rax), %%r13; mov 104(%%rax), %%r14\n\t"
                 "mov 112(%%rax), %%r15; mov 24(%%rax), %%rdx; mov (%%rax), %%rax\n\t"
                 "out %%al, $0x80; xchg %%al, %%ah; out %%eax, $0x80; xchg %%al, %%ah; sti; hlt; cli\n\t"
                 "xchg %%rax, (%%rsp)\n\t" /* RAX = in, its place = the value */
                 "mov 8(%%rsp), %%rax\n\t" /* out */
                 "mov %%rbx, 8(%%rax); mov %%rcx, 16(%%rax); mov %%rdx, 24(%%rax); mov %%rsi, 32(%%rax)\n\t"
                 "mov %%rdi, 40(%%rax); mov %%rbp, 48(%%rax); mov %%r8, 56(%%rax); mov %%r9, 64(%%rax)\n\t"
                 "mov %%r10, 72(%%rax); mov %%r11, 80(%%rax); mov %%r12, 88(%%rax); mov %%r13, 96(%%rax)\n\t"
                 "mov %%r14, 104(%%rax); mov %%r15, 112(%%rax)\n\t"
                 "pop %%rcx; mov %%rcx, (%%rax); pop %%rdi; pop %%rbp"
                 :
                 : "D"(out), "S"(in)
                 : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
    fold(out, sizeof out);
    fold_word(memcmp(in, out, sizeof in) == 0);
}

static void string_io(unsigned length)
{
    static uint8_t from[300], to[300];
    for (unsigned i = 0; i < length; i++)
        from[i] = next_random();
    const void *source = from;
    void *target = to;
    word count = length;
    asm volatile("rep outsb" : "+S"(source), "+c"(count) : "d"(COM1 + UART_SCRATCH) : "memory");
    fold_word(source == from + length);
    count = length;
    asm volatile("rep insb" : "+D"(target), "+c"(count) : "d"(COM1 + UART_SCRATCH) : "memory");
    fold(to, length);
    fold_word(target == to + length);
    static uint32_t addresses[8], read[8];
    for (unsigned i = 0; i < 8; i++)
        addresses[i] = 0x80000000 | (next_random() & 0xfffffc);
    source = addresses;
    target = read;
    count = 8;
    asm volatile("rep outsl" : "+S"(source), "+c"(count) : "d"(0xcf8) : "memory");
    count = 8;
    asm volatile("rep insl" : "+D"(target), "+c"(count) : "d"(0xcf8) : "memory");
    fold(read, sizeof read);
}

static void memory_mapped_io(void)
{
    static uint32_t values[2], read[2];
    values[0] = next_random();
    values[1] = next_random();
    const void *source = values;
    void *target = (void *)(word)(HPET + HPET_COMPARATOR(1));
    word count = 2;
    asm volatile("rep movsl" : "+S"(source), "+D"(target), "+c"(count) : : "memory");
    source = (void *)(word)(HPET + HPET_COMPARATOR(1));
    target = read;
    count = 2;
    asm volatile("rep movsl" : "+S"(source), "+D"(target), "+c"(count) : : "memory");
    fold(read, sizeof read);
    asm volatile("lock xaddl %0, (%1)" : : "r"(next_random()), "r"((word)(HPET + HPET_COMPARATOR(1))) : "memory");
    fold_word(hpet_read(HPET_COMPARATOR(1)));
    io_apic_write(REDIRECTION(20), PIN_MASKED | (next_random() & 0xff));
    fold_word(io_apic_read(REDIRECTION(20)));
}

static void floating_point(unsigned round)
{
    static uint8_t image[512] __attribute__((aligned(64)));
    static uint64_t in[2] __attribute__((aligned(16))), ten[2];
    in[0] = round;
    in[1] = ~(uint64_t)round;
    asm volatile("movaps %1, %%xmm7; fninit; fldpi; fildll %1; fdivrp; out %%al, $0x80; fstpt %0; movaps %%xmm7, %1"
                 : "=m"(ten), "+m"(in[0]));
    fold(ten, 10);
    asm volatile("fxsave64 %0" : "=m"(image));
    fold(image + 160 + 7 * 16, 16);
}

static void one_round(unsigned round)
{
    pit_start(0, 0, 200 + (next_random() & 1023));
    unsigned before = ticks, length = 1 + next_random() % 300;
    string_io(length);
    memory_mapped_io();
    while (ticks == before)
        sleep();
    fold_word(ticks);
    apic_send_self(0x60);
    open_window();
    fold_word(self);
    general_registers(round + 1);
    cmos_write(0x40 + (round & 31), round * 7);
    fold_word(cmos_read(0x40 + (round & 31)));
    uint32_t *block = memory + round % 64 * WORDS;
    for (unsigned i = 0; i < WORDS; i++)
        block[i] = block[i] * 1664525 + next_random();
    fold(block, 64);
    fold_registers();
    if (with_fpu)
        floating_point(round);
}

int main(void)
{
    with_fpu = has_argument("fpu");
    unsigned rounds = has_argument("long") ? 1000 : 100;
    if (with_fpu) {
        write_cr0((read_cr0() & ~0xcul) | 0x22);
        write_cr4(read_cr4() | 0x600);
    }
    apic_start();
    apic_write(APIC_LVT_LINT0, APIC_EXTINT);
    pic_start();
    /* QEMU's emulated SVM aborts when CR8 is written while KVM awaits an interrupt window: let what it waits for pass. */
    open_window();
    set_registers();
    on(PIC_VECTOR + IRQ_TIMER, tick);
    on(0x40, in_background);
    on(0x60, self_interrupt);
    pic_unmask(IRQ_TIMER);
    hpet_write(HPET_CONFIG, 0);
    apic_write(APIC_DIVIDE, 0xb);
    apic_write(APIC_LVT_TIMER, APIC_PERIODIC | 0x40);
    apic_write(APIC_COUNT, 5000011); /* about 200 times a second */
    for (unsigned round = 0; round < rounds; round++) {
        one_round(round);
        if (round % 10 == 9)
            say("round %u: %08x\n", round + 1, sum);
    }
    check_is("one tick a round", ticks, rounds);
    check_is("one self interrupt a round", self, rounds);
    check("the periodic timer went on", background >= 3);
    return failures;
}
