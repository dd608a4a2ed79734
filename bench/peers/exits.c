/*
 * What exits cost in a C program that does nothing but serve them: the peer of the exit benchmark. It runs an image
 * of 32-bit flat code (bench/exits/guests.ts) and answers reads with zeros; a write to the interrupt command register
 * of the local APIC makes an interrupt pending, which is injected as the KVM documentation says.
 *
 * usage: exits IMAGE ITERATIONS BATCHES [mmio|pio START SIZE]      a zone whose writes the kernel queues
 * A batch of so many iterations ends with a write to port 0xf4. Prints nanoseconds per iteration, which a tenth of the
 * batches keep below, and exits per iteration.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum { IMAGE_ADDRESS = 0x100000, RAM_SIZE = 0x200000, TEST_EXIT_PORT = 0xf4, WARM_UP_BATCHES = 20 };
#define APIC_COMMAND 0xfee00300u

static int vm, vcpu;
static struct kvm_run *run;
static struct kvm_coalesced_mmio_ring *ring;
static unsigned ring_size;
/* Interrupt that waits to get in; -1 if there is none. */
static int pending = -1;
static long exits;
/* What queued writes are served with. */
static volatile uint32_t sink;

static void check(int right, const char *what)
{
    if (right)
        return;
    perror(what);
    exit(1);
}

static void create(const char *image)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    check(kvm >= 0, "/dev/kvm");
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    check(vm >= 0, "KVM_CREATE_VM");
    ioctl(vm, KVM_SET_TSS_ADDR, 0xfeffd000ul);
    unsigned char *ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(ram != MAP_FAILED, "mmap");
    FILE *file = fopen(image, "rb");
    check(file != NULL, image);
    check(fread(ram + IMAGE_ADDRESS, 1, RAM_SIZE - IMAGE_ADDRESS, file) > 0, image);
    fclose(file);
    struct kvm_userspace_memory_region region = { .memory_size = RAM_SIZE, .userspace_addr = (uintptr_t)ram };
    check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0, "KVM_SET_USER_MEMORY_REGION");
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    check(vcpu >= 0, "KVM_CREATE_VCPU");
    run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    check(run != MAP_FAILED, "mmap of kvm_run");
    long page = 4096;
    ring = (void *)((char *)run + page * ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO));
    ring_size = (unsigned)((page - sizeof *ring) / sizeof ring->coalesced_mmio[0]);

    struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entries[128];
    } cpuid = { .head.nent = 128 };
    check(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) == 0, "KVM_GET_SUPPORTED_CPUID");
    check(ioctl(vcpu, KVM_SET_CPUID2, &cpuid) == 0, "KVM_SET_CPUID2");
}

static void start(void)
{
    struct kvm_segment flat = { .limit = 0xffffffff, .present = 1, .db = 1, .s = 1, .g = 1 };
    struct kvm_sregs sregs;
    check(ioctl(vcpu, KVM_GET_SREGS, &sregs) == 0, "KVM_GET_SREGS");
    sregs.cr0 |= 1;
    sregs.cs = sregs.ds = flat;
    sregs.cs.type = 11;
    sregs.cs.selector = 0x10;
    sregs.ds.type = 3;
    sregs.ds.selector = 0x18;
    sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
    check(ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0, "KVM_SET_SREGS");
    struct kvm_regs regs = { .rip = IMAGE_ADDRESS, .rflags = 2 };
    check(ioctl(vcpu, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");
}

/* Interrupts that the guest cannot take yet wait for the exit that says that it can. */
static void inject(void)
{
    run->request_interrupt_window = 0;
    if (pending < 0)
        return;
    if (run->ready_for_interrupt_injection && run->if_flag) {
        struct kvm_interrupt interrupt = { .irq = (unsigned)pending };
        check(ioctl(vcpu, KVM_INTERRUPT, &interrupt) == 0, "KVM_INTERRUPT");
        pending = -1;
    } else
        run->request_interrupt_window = 1;
}

static void empty_ring(void)
{
    while (ring->first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
        uint32_t value;
        memcpy(&value, ring->coalesced_mmio[ring->first].data, sizeof value);
        sink = value;
        __atomic_store_n(&ring->first, (ring->first + 1) % ring_size, __ATOMIC_RELEASE);
    }
}

/* One exit; returns whether it was a write to the test-exit port. */
static int serve(void)
{
    inject();
    while (ioctl(vcpu, KVM_RUN, 0) != 0)
        check(errno == EINTR, "KVM_RUN");
    empty_ring();
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        if (run->io.direction == KVM_EXIT_IO_OUT)
            return run->io.port == TEST_EXIT_PORT;
        memset((char *)run + run->io.data_offset, 0, run->io.size * run->io.count);
        return 0;
    case KVM_EXIT_MMIO:
        if (!run->mmio.is_write)
            memset(run->mmio.data, 0, sizeof run->mmio.data);
        else if (run->mmio.phys_addr == APIC_COMMAND)
            pending = run->mmio.data[0];
        return 0;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return 0;
    default:
        fprintf(stderr, "exit reason %u\n", run->exit_reason);
        exit(1);
    }
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Serves exits until the guest says that a batch is over; returns nanoseconds. */
static double batch(void)
{
    double begin = now_ns();
    do
        exits++;
    while (!serve());
    return now_ns() - begin;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 7) {
        fprintf(stderr, "usage: exits IMAGE ITERATIONS BATCHES [mmio|pio START SIZE]\n");
        return 2;
    }
    create(argv[1]);
    if (argc == 7) {
        struct kvm_coalesced_mmio_zone zone = { .addr = strtoul(argv[5], NULL, 0),
                                                .size = (unsigned)atoi(argv[6]), .pio = argv[4][0] == 'p' };
        check(ioctl(vm, KVM_REGISTER_COALESCED_MMIO, &zone) == 0, "KVM_REGISTER_COALESCED_MMIO");
    }
    start();
    int iterations = atoi(argv[2]), batches = atoi(argv[3]);
    double *times = calloc((size_t)batches, sizeof *times);
    check(times != NULL, "calloc");
    for (int i = 0; i < WARM_UP_BATCHES; i++)
        batch();
    exits = 0;
    for (int i = 0; i < batches; i++)
        times[i] = batch() / iterations;
    qsort(times, (size_t)batches, sizeof *times, ascending);
    printf("%.0f %.2f\n", times[batches / 10], (double)exits / batches / iterations);
    return 0;
}
