/* 64 */
/* A hypervisor with a guest of its own, by AMD's SVM: VMRUN, exits of several kinds, interrupts that end the guest. The text
 * depends on the guest's computation alone. Offsets and codes: AMD's APM vol. 2, appendices B and C. */
#include "metal.h"

#define ROUNDS 30
#define EXITS_PER_ROUND 40
#define SYSTEM_CONTROL 0x61

void run_guest(word vmcb, uint64_t *registers);
void guest_begin(void);

#define CPUID_SVM 4
enum { EFER = 0xc0000080, VM_HSAVE_PA = 0xc0010117 };
#define EFER_SVME 0x1000

/* Control area. */
enum { INTERCEPTS = 0x0c, IOPM_BASE = 0x40, ASID = 0x58, EXIT_CODE = 0x70 };
/* State save area. */
enum { ES = 0x400, CS = 0x410, SS_ = 0x420, DS = 0x430, GDTR = 0x460, IDTR = 0x480, SAVED_EFER = 0x4d0, CR4 = 0x548,
       CR3 = 0x550, CR0 = 0x558, DR7 = 0x560, DR6 = 0x568, RFLAGS = 0x570, RIP = 0x578, RSP = 0x5d8, RAX = 0x5f8,
       PAT = 0x668 };
/* Intercepts: in the word at 0x0c, and in the one behind it. */
#define INTERCEPT_INTR (1u << 0)
#define INTERCEPT_CPUID (1u << 18)
#define INTERCEPT_HLT (1u << 24)
#define INTERCEPT_IO (1u << 27)
#define INTERCEPT_SHUTDOWN (1u << 31)
#define INTERCEPT_VMRUN (1u << 0)
#define INTERCEPT_VMMCALL (1u << 1)
enum { EXIT_INTR = 0x60, EXIT_CPUID = 0x72, EXIT_HLT = 0x78, EXIT_IO = 0x7b, EXIT_VMMCALL = 0x81 };

static uint8_t vmcb[4096] __attribute__((aligned(4096))), host_save[4096] __attribute__((aligned(4096)));
static uint8_t io_permissions[3 * 4096] __attribute__((aligned(4096)));
static uint8_t guest_stack[4096] __attribute__((aligned(16)));
static uint64_t registers[16];
static volatile unsigned ticks;
static unsigned exits[5];

static void put64(unsigned at, uint64_t value)
{
    memcpy(vmcb + at, &value, 8);
}
static uint64_t get64(unsigned at)
{
    uint64_t value;
    memcpy(&value, vmcb + at, 8);
    return value;
}
static void put_segment(unsigned at, uint16_t selector, uint16_t attributes, uint64_t base, uint32_t limit)
{
    memcpy(vmcb + at, &selector, 2);
    memcpy(vmcb + at + 2, &attributes, 2);
    memcpy(vmcb + at + 4, &limit, 4);
    put64(at + 8, base);
}

static void tick(struct frame *frame)
{
    (void)frame;
    ticks++;
    pic_eoi(IRQ_TIMER);
}

/* The guest shares the host's page tables and descriptors, and executes in ring 0. */
static void prepare(void)
{
    struct table_pointer gdtr, idtr;
    asm volatile("sgdt %0; sidt %1" : "=m"(gdtr), "=m"(idtr));
    memset(io_permissions, 0xff, sizeof io_permissions);
    io_permissions[SYSTEM_CONTROL / 8] &= ~(1 << SYSTEM_CONTROL % 8);
    word this = (word)vmcb;
    asm volatile("vmsave %0" : : "a"(this) : "memory");
    put64(INTERCEPTS, INTERCEPT_INTR | INTERCEPT_CPUID | INTERCEPT_HLT | INTERCEPT_IO | INTERCEPT_SHUTDOWN
                          | (uint64_t)(INTERCEPT_VMRUN | INTERCEPT_VMMCALL) << 32);
    put64(IOPM_BASE, (word)io_permissions);
    put64(ASID, 1);
    put_segment(CS, KERNEL_CODE, 0xa9b, 0, 0xffffffff);
    put_segment(ES, KERNEL_DATA, 0xc93, 0, 0xffffffff);
    put_segment(SS_, KERNEL_DATA, 0xc93, 0, 0xffffffff);
    put_segment(DS, KERNEL_DATA, 0xc93, 0, 0xffffffff);
    put_segment(GDTR, 0, 0, gdtr.base, gdtr.limit);
    put_segment(IDTR, 0, 0, idtr.base, idtr.limit);
    put64(SAVED_EFER, read_msr(EFER));
    put64(CR0, read_cr0());
    put64(CR3, read_cr3());
    put64(CR4, read_cr4());
    put64(DR6, 0xffff0ff0);
    put64(DR7, 0x400);
    put64(PAT, read_msr(0x277));
    put64(RFLAGS, 0x202);
    put64(RIP, (word)guest_begin);
    put64(RSP, (word)(guest_stack + sizeof guest_stack));
}

/* Gives the guest what its exit asks for, and returns which of the four kinds it was; 4: an interrupt of ours. */
static unsigned serve(unsigned count)
{
    uint64_t code = get64(EXIT_CODE);
    unsigned kind, length;
    switch (code) {
    case EXIT_VMMCALL: kind = 0, length = 3; break;
    case EXIT_IO: kind = 1, length = 2; break;
    case EXIT_CPUID: kind = 2, length = 2; break;
    case EXIT_HLT: kind = 3, length = 1; break;
    case EXIT_INTR: return 4;
    default:
        say("exit 0x%x, rip 0x%x\n", (unsigned)code, (unsigned)get64(RIP));
        end(99);
    }
    if (kind != count % 4)
        say("an exit of kind %u out of turn\n", kind);
    put64(RAX, (uint64_t)count * 2654435761u);
    put64(RIP, get64(RIP) + length);
    return kind;
}

int main(void)
{
    if (!(cpuid(0x80000001, 0).ecx & CPUID_SVM)) {
        say("no SVM\n");
        return 1;
    }
    pic_start();
    on(PIC_VECTOR + IRQ_TIMER, tick);
    apic_start();
    apic_write(APIC_LVT_LINT0, APIC_EXTINT);
    write_msr(EFER, read_msr(EFER) | EFER_SVME);
    write_msr(VM_HSAVE_PA, (word)host_save);
    prepare();
    pic_unmask(IRQ_TIMER);
    for (unsigned count = 0; count < ROUNDS * EXITS_PER_ROUND;) {
        if (count % EXITS_PER_ROUND == 0 && ticks * EXITS_PER_ROUND == count)
            pit_start(0, 0, 500); /* 419 us: one interrupt a round */
        run_guest((word)vmcb, registers);
        unsigned kind = serve(count);
        exits[kind]++;
        if (kind == 4)
            continue;
        count++;
        if (count % EXITS_PER_ROUND == 0)
            say("round %u: %08x\n", count / EXITS_PER_ROUND, checksum(FNV_START, registers, sizeof registers));
    }
    for (unsigned kind = 0; kind < 4; kind++)
        check_is("exits of a kind", exits[kind], ROUNDS * EXITS_PER_ROUND / 4);
    unsigned interrupted = exits[4];
    say("# %u interrupts ended the guest, %u in all\n", interrupted, ticks);
    check("interrupts end the guest", interrupted > 0 && interrupted <= ticks);
    write_msr(EFER, read_msr(EFER) & ~(uint64_t)EFER_SVME);
    check_is("VMRUN without SVME", FAULT_OF("vmrun", : : "a"((word)vmcb)).vector, UD);
    return failures;
}
