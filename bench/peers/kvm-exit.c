/*
 * What an exit to user space costs on this host in the simplest C program there is: a vCPU in 64-bit mode
 * loops over one instruction that exits, and each exit is counted and entered again. The simulator is
 * compared with it.
 *
 * usage: kvm-exit [COUNT [KIND]]      COUNT exits (default 20000) of each kind, or of KIND only, a number from 0
 * A line per kind: nanoseconds per exit, exits per second, what it is. Kind 0 is what a system call of a
 * guest program takes under syscall emulation: SYSCALL to a stub that does OUT, and back by SYSRET, or by
 * setting RIP where KVM keeps the stub in ring 3 (PVM).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum {
    /* Guest-physical addresses, mapped one to one. */
    PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, GDT = 0x4000, TSS = 0x5000, STUB = 0x8000, LOOP = 0x9000,
    STACK_TOP = 0x10000, RAM_SIZE = 0x200000, MMIO = 0x200000,
    /* Selectors: SYSCALL takes CS and SS from 0x10, SYSRET from 0x23 + 16 and + 8. */
    KERNEL_CODE = 0x10, USER_DATA = 0x2b, USER_CODE = 0x33, TSS_SELECTOR = 0x40,
    PORT = 0xe0,
};

/* Machine code. */
#define SYSCALL 0x0f, 0x05
#define SYSRET 0x48, 0x0f, 0x07
#define OUT 0xe6, PORT       /* out %al, $PORT */
#define STORE 0x88, 0x03     /* mov %al, (%rbx) */
#define LOOP_OF(...) { __VA_ARGS__, 0xeb, 0xfc }

static const struct kind {
    const char *name;
    int ring, reason;
    unsigned char loop[4];
    /* Where SYSCALL leads to, if the loop makes one. */
    unsigned char stub[5];
} kinds[] = {
    { "ring 3, SYSCALL and OUT in a stub", 3, KVM_EXIT_IO, LOOP_OF(SYSCALL), { OUT, SYSRET } },
    { "ring 3, SYSCALL and store to MMIO in a stub", 3, KVM_EXIT_MMIO, LOOP_OF(SYSCALL), { STORE, SYSRET } },
    { "ring 3, OUT", 3, KVM_EXIT_IO, LOOP_OF(OUT), { 0 } },
    { "ring 3, store to MMIO", 3, KVM_EXIT_MMIO, LOOP_OF(STORE), { 0 } },
    { "ring 0, OUT", 0, KVM_EXIT_IO, LOOP_OF(OUT), { 0 } },
    { "ring 0, store to MMIO", 0, KVM_EXIT_MMIO, LOOP_OF(STORE), { 0 } },
};

static int vm, vcpu;
static struct kvm_run *run;
static unsigned char *ram;

static void check(int right, const char *what)
{
    if (right)
        return;
    perror(what);
    exit(1);
}

static void put64(unsigned address, uint64_t value)
{
    memcpy(ram + address, &value, sizeof value);
}

static void build_tables(void)
{
    enum { PRESENT = 1, WRITABLE = 2, USER = 4, LARGE = 0x80 };
    put64(PML4, PDPT | PRESENT | WRITABLE | USER);
    put64(PDPT, PD | PRESENT | WRITABLE | USER);
    put64(PD, 0 | LARGE | PRESENT | WRITABLE | USER);
    put64(PD + 8, MMIO | LARGE | PRESENT | WRITABLE | USER);
    put64(GDT + KERNEL_CODE, 0x00af9b000000ffff);
    put64(GDT + KERNEL_CODE + 8, 0x00cf93000000ffff);
    put64(GDT + (USER_DATA & ~7), 0x00cff3000000ffff);
    put64(GDT + (USER_CODE & ~7), 0x00affb000000ffff);
    put64(GDT + TSS_SELECTOR, 0x00008b0000000000 | (uint64_t)TSS << 16 | 0x2067);
    /* The I/O permission bitmap, of 64 Ki ports and a last byte of ones: only PORT is open. */
    ram[TSS + 0x66] = 0x68;
    memset(ram + TSS + 0x68, 0xff, 0x2001);
    ram[TSS + 0x68 + PORT / 8] &= (unsigned char)~(1 << PORT % 8);
    put64(TSS + 4, STACK_TOP);
}

static void create(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    check(kvm >= 0, "/dev/kvm");
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    check(vm >= 0, "KVM_CREATE_VM");
    ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000ul);
    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(ram != MAP_FAILED, "mmap");
    struct kvm_userspace_memory_region region = { .memory_size = RAM_SIZE, .userspace_addr = (uintptr_t)ram };
    check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0, "KVM_SET_USER_MEMORY_REGION");
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    check(vcpu >= 0, "KVM_CREATE_VCPU");
    run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    check(run != MAP_FAILED, "mmap of kvm_run");
    check(ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) & KVM_SYNC_X86_REGS, "KVM_CAP_SYNC_REGS");

    struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entries[128];
    } cpuid = { .head.nent = 128 };
    check(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) == 0, "KVM_GET_SUPPORTED_CPUID");
    check(ioctl(vcpu, KVM_SET_CPUID2, &cpuid) == 0, "KVM_SET_CPUID2");
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entries[3];
    } msrs = { .head.nmsrs = 3,
               .entries = { { .index = 0xc0000081, .data = 0x0023001000000000 }, /* STAR */
                            { .index = 0xc0000082, .data = STUB },               /* LSTAR */
                            { .index = 0xc0000084, .data = 0x40700 } } };        /* FMASK */
    check(ioctl(vcpu, KVM_SET_MSRS, &msrs) == 3, "KVM_SET_MSRS");
    build_tables();
}

static struct kvm_segment segment(int selector, int type, int ring, int is_code)
{
    return (struct kvm_segment){ .limit = 0xffffffff, .selector = (uint16_t)selector, .type = (uint8_t)type,
                                 .present = 1, .dpl = (uint8_t)ring, .db = !is_code, .s = 1,
                                 .l = (uint8_t)is_code, .g = 1 };
}

static void enter_loop(const struct kind *kind)
{
    memcpy(ram + LOOP, kind->loop, sizeof kind->loop);
    memcpy(ram + STUB, kind->stub, sizeof kind->stub);
    struct kvm_sregs sregs;
    check(ioctl(vcpu, KVM_GET_SREGS, &sregs) == 0, "KVM_GET_SREGS");
    sregs.cr0 = 0x80050033;
    sregs.cr3 = PML4;
    sregs.cr4 = 0x620;
    sregs.efer = 0xd01;
    sregs.gdt = (struct kvm_dtable){ .base = GDT, .limit = TSS_SELECTOR + 15 };
    sregs.idt = (struct kvm_dtable){ .base = 0, .limit = 0 };
    sregs.tr = (struct kvm_segment){ .base = TSS, .limit = 0x2068, .selector = TSS_SELECTOR, .type = 11, .present = 1 };
    sregs.cs = segment(kind->ring == 3 ? USER_CODE : KERNEL_CODE, 11, kind->ring, 1);
    sregs.ss = segment(kind->ring == 3 ? USER_DATA : KERNEL_CODE + 8, 3, kind->ring, 0);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss;
    check(ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0, "KVM_SET_SREGS");
    struct kvm_regs regs = { .rip = LOOP, .rflags = 2, .rbx = MMIO, .rsp = STACK_TOP };
    check(ioctl(vcpu, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");
    run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    run->kvm_dirty_regs = 0;
}

static void exit_once(const struct kind *kind)
{
    check(ioctl(vcpu, KVM_RUN, 0) == 0, "KVM_RUN");
    if (run->exit_reason != (unsigned)kind->reason) {
        fprintf(stderr, "%s: exit reason %u\n", kind->name, run->exit_reason);
        exit(1);
    }
    if (kind->stub[0] == 0 || run->s.regs.sregs.cs.dpl != 3)
        return;
    run->s.regs.regs.rip = run->s.regs.regs.rcx;
    run->s.regs.regs.rflags = run->s.regs.regs.r11;
    run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 20000;
    int only = argc > 2 ? atoi(argv[2]) : -1;
    if (count <= 0) {
        fprintf(stderr, "usage: kvm-exit [COUNT [KIND]]\n");
        return 2;
    }
    create();
    for (int i = 0; i < (int)(sizeof kinds / sizeof kinds[0]); i++) {
        if (only >= 0 && i != only)
            continue;
        enter_loop(&kinds[i]);
        /* The first exits fill translations and caches. */
        for (int warm = 0; warm < 100; warm++)
            exit_once(&kinds[i]);
        double start = now_ns();
        for (long n = 0; n < count; n++)
            exit_once(&kinds[i]);
        double ns = (now_ns() - start) / (double)count;
        printf("%10.1f ns  %8.0f exits/s  %s\n", ns, 1e9 / ns, kinds[i].name);
    }
    return 0;
}
