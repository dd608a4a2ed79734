/*
 * What must survive when another processor goes on with the program at any instant: control words and stacks of x87 and
 * SSE, segment bases and selectors, flags, traps behind each instruction, half-done string instructions, the time-stamp
 * counter, calls that are made again, and code that changes, at its own address or through another mapping.
 * usage: turns [selectors]       with the selectors of DS and ES, which PVM does not show
 */
#define _GNU_SOURCE
#include "say.h"

#include <asm/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

enum { ROUNDS = 150, SPIN = 20000, PAGE = 4096 };

static volatile sig_atomic_t alarms;
static uint16_t some_selector;

/* A processor that is interrupted here, or changed at the call, has all of this to keep. */
struct registers {
    uint64_t general[6];
    _Alignas(16) uint64_t sse[32];
    double x87[8];
    uint32_t mxcsr;
    uint16_t control, status, selectors[2];
    uint64_t flags, gs;
};

/* Fills the registers from `in`, makes a call, spins, and stores them to `out`. */
static void hold(const struct registers *in, struct registers *out, long spin)
{
    const struct registers *source = in;
    register struct registers *target __asm__("r14") = out;
    __asm__ volatile(
        "fninit\n\tfldcw %c[control](%[in])\n\tldmxcsr %c[mxcsr](%[in])\n\t"
        "fldl %c[x87]+56(%[in])\n\tfldl %c[x87]+48(%[in])\n\tfldl %c[x87]+40(%[in])\n\tfldl %c[x87]+32(%[in])\n\t"
        "fldl %c[x87]+24(%[in])\n\tfldl %c[x87]+16(%[in])\n\tfldl %c[x87]+8(%[in])\n\tfldl %c[x87](%[in])\n\t"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\tmovaps %c[sse]+16*\\n(%[in]), %%xmm\\n\n\t.endr\n\t"
        "movw %c[selectors](%[in]), %%ds\n\tmovw %c[selectors]+2(%[in]), %%es\n\t"
        "mov %c[general](%[in]), %%rbx\n\tmov %c[general]+8(%[in]), %%r8\n\tmov %c[general]+16(%[in]), %%r9\n\t"
        "mov %c[general]+24(%[in]), %%r10\n\tmov %c[general]+32(%[in]), %%r12\n\tmov %c[general]+40(%[in]), %%r13\n\t"
        "lea -128(%%rsp), %%rsp\n\tpushq %c[flags](%[in])\n\tpopfq\n\t"
        "mov %[getppid], %%eax\n\tsyscall\n\t"
        /* LEA and LOOP leave the flags alone; below RSP is what the compiler keeps there. */
        "mov %[spin], %%rcx\n1:\tlea 1(%%rax), %%rax\n\tloop 1b\n\t"
        "pushfq\n\tpopq %c[flags](%[out])\n\tpushq $0x202\n\tpopfq\n\tlea 128(%%rsp), %%rsp\n\t"
        "mov %%gs:0, %%rax\n\tmov %%rax, %c[gs](%[out])\n\t"
        "mov %%rbx, %c[general](%[out])\n\tmov %%r8, %c[general]+8(%[out])\n\tmov %%r9, %c[general]+16(%[out])\n\t"
        "mov %%r10, %c[general]+24(%[out])\n\tmov %%r12, %c[general]+32(%[out])\n\tmov %%r13, %c[general]+40(%[out])\n\t"
        "movw %%ds, %c[selectors](%[out])\n\tmovw %%es, %c[selectors]+2(%[out])\n\t"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\tmovaps %%xmm\\n, %c[sse]+16*\\n(%[out])\n\t.endr\n\t"
        "fnstcw %c[control](%[out])\n\tfnstsw %c[status](%[out])\n\tstmxcsr %c[mxcsr](%[out])\n\t"
        "fstpl %c[x87](%[out])\n\tfstpl %c[x87]+8(%[out])\n\tfstpl %c[x87]+16(%[out])\n\tfstpl %c[x87]+24(%[out])\n\t"
        "fstpl %c[x87]+32(%[out])\n\tfstpl %c[x87]+40(%[out])\n\tfstpl %c[x87]+48(%[out])\n\tfstpl %c[x87]+56(%[out])\n\t"
        "ldmxcsr %[usual]\n\tfninit"
        :
        : [in] "D"(source), [out] "r"(target), [spin] "r"(spin), [getppid] "i"(SYS_getppid), [usual] "m"((uint32_t){ 0x1f80 }),
          [general] "i"(offsetof(struct registers, general)), [sse] "i"(offsetof(struct registers, sse)),
          [x87] "i"(offsetof(struct registers, x87)), [mxcsr] "i"(offsetof(struct registers, mxcsr)),
          [control] "i"(offsetof(struct registers, control)), [status] "i"(offsetof(struct registers, status)),
          [selectors] "i"(offsetof(struct registers, selectors)), [flags] "i"(offsetof(struct registers, flags)),
          [gs] "i"(offsetof(struct registers, gs))
        : "rax", "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
          "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static void registers_held(void)
{
    static struct registers in, out;
    int same = 1;

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 6; i++)
            in.general[i] = next_random();
        for (int i = 0; i < 32; i++)
            in.sse[i] = next_random();
        for (int i = 0; i < 8; i++)
            in.x87[i] = (double)(int64_t)next_random();
        /* Rounding, flush to zero and denormals are zero; flags of exceptions. All exceptions masked. */
        in.mxcsr = 0x1f80 | (next_random() & 0xe07f);
        in.control = 0x37f | (next_random() & 0xc00);
        /* CF, PF, AF, ZF, SF, DF, OF, AC; a null selector, or that of user data. */
        in.flags = 0x202 | (next_random() & 0x40cd5);
        in.selectors[0] = next_random() & 1 ? some_selector : 0;
        in.selectors[1] = next_random() & 1 ? some_selector : 0;
        in.gs = next_random();
        MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, &in.gs) == 0);
        hold(&in, &out, SPIN);
        in.status = 0;
        out.status &= 0x7f;
        same &= memcmp(&in, &out, sizeof in) == 0;
    }
    MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, NULL) == 0);
    say_whether("registers are held", same);
}

/* ---- rounding ---- */

static void roundings(void)
{
    for (unsigned mode = 0; mode < 4; mode++) {
        uint32_t mxcsr = 0x1f80 | mode << 13, usual = 0x1f80;
        uint16_t control = 0x37f | mode << 10;
        volatile double sum = 0;
        volatile long double long_sum = 0;
        __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(control));
        for (int i = 1; i <= SPIN; i++) {
            sum = sum + 1.0 / (volatile double){ i };
            long_sum = long_sum + 1.0L / (volatile long double){ i };
            if (i % 500 == 0)
                syscall(SYS_getppid);
        }
        __asm__ volatile("ldmxcsr %0\n\tfninit" : : "m"(usual));
        printf("rounding %u: %a %La\n", mode, sum, long_sum);
    }
}

/* ---- one trap per instruction ---- */

static volatile unsigned long traps, trap_sum;
static volatile uintptr_t stepped;

static void on_trap(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)signal;
    traps++;
    trap_sum = trap_sum * 31 + (registers[REG_RIP] - stepped) * 8 + info->si_code;
}

static void single_steps(void)
{
    struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
    uint16_t ss;

    MUST(sigaction(SIGTRAP, &action, NULL) == 0);
    for (int round = 0; round < 8; round++) {
        char from[40] = "forty bytes that a string move moves one", to[40];
        char *source = from, *target = to;
        size_t count = sizeof to;
        /* A load of SS holds the trap behind the next instruction back (SDM vol. 3 §6.8.3). */
        __asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %[stepped]\n\tmov %%ss, %[ss]\n\t"
                         "sub $128, %%rsp\n\tpushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n1:\tnop\n\t"
                         "rep movsb\n\tmov $110, %%eax\n\tsyscall\n\tmov %[ss], %%ss\n\tnop\n\tnop\n\t"
                         "pushfq\n\tandl $~0x100, (%%rsp)\n\tpopfq\n\tnop\n\tadd $128, %%rsp"
                         : "+S"(source), "+D"(target), "+c"(count), [ss] "=&r"(ss), [stepped] "=m"(stepped)
                         : : "rax", "r11", "memory", "cc");
        MUST(memcmp(from, to, sizeof to) == 0);
    }
    printf("traps: %lu, sum %lx\n", traps, trap_sum);
}

/* ---- string instructions, time ---- */

static void strings(void)
{
    enum { BYTES = 1 << 20 };
    unsigned char *area = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(area != MAP_FAILED);
    for (int round = 1; round <= 6; round++) {
        unsigned char *to = area + round, *from = area;
        size_t count = BYTES - 64;
        memcpy(area, "overlap", 7);
        /* Byte by byte the head is repeated; a move of more at once, or one that begins anew, gives something else. */
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        printf("moved by %d: %08x\n", round, checksum(area, BYTES));
    }
    munmap(area, BYTES);
}

static void time_stamps(void)
{
    uint64_t last = __builtin_ia32_rdtsc();
    int back = 0;
    for (int i = 0; i < 10 * SPIN; i++) {
        uint64_t now = __builtin_ia32_rdtsc();
        back |= now < last;
        last = now;
        if (i % 1000 == 0)
            syscall(SYS_getppid);
    }
    say_whether("the time-stamp counter never goes back", !back);
}

/* ---- calls that are made again ---- */

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
    __asm__ volatile("fninit\n\tfldz\n\tpxor %%xmm0, %%xmm0\n\tpcmpeqb %%xmm15, %%xmm15" : : : "xmm0", "xmm15");
}

static void *write_late(void *argument)
{
    const struct timespec while_alarms_come = { .tv_nsec = 20 * 1000 * 1000 };
    nanosleep(&while_alarms_come, NULL);
    MUST(write(*(int *)argument, "late", 4) == 4);
    return NULL;
}

static void calls_again(void)
{
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    struct itimerval timer = { { 0, 700 }, { 0, 700 } }, none = { { 0, 0 }, { 0, 0 } };
    sigset_t set;
    int ends[2];
    char text[8] = "";
    pthread_t writer;

    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    MUST(sigaction(SIGALRM, &action, NULL) == 0 && pipe(ends) == 0);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    MUST(pthread_create(&writer, NULL, write_late, &ends[1]) == 0);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    MUST(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    long got = read(ends[0], text, 4);
    registers_held();
    MUST(setitimer(ITIMER_REAL, &none, NULL) == 0);
    MUST(pthread_join(writer, NULL) == 0);
    printf("read: %ld %s\n", got, text);
    say_whether("alarms came", alarms > 5);
}

/* ---- code that changes ---- */

/* mov eax, value; ret */
static void write_function(unsigned char *at, uint32_t value)
{
    at[0] = 0xb8;
    memcpy(at + 1, &value, sizeof value);
    at[5] = 0xc3;
}

typedef uint32_t function(void);

static uint32_t call(const void *at)
{
    function *called;
    memcpy(&called, &at, sizeof called);
    return called();
}

static void code_changes(void)
{
    const int all = PROT_READ | PROT_WRITE | PROT_EXEC;
    unsigned char *both = mmap(NULL, PAGE, all, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *turns = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int file = memfd_create("code", 0);
    MUST(both != MAP_FAILED && turns != MAP_FAILED && ftruncate(file, PAGE) == 0);
    unsigned char *writable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    unsigned char *executable = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    MUST(writable != MAP_FAILED && executable != MAP_FAILED);
    unsigned wrong[5] = { 0 };

    for (uint32_t round = 0; round < 2 * ROUNDS; round++) {
        write_function(both, round);
        wrong[0] += call(both) != round;

        MUST(mprotect(turns, PAGE, PROT_READ | PROT_WRITE) == 0);
        write_function(turns, round + 1);
        MUST(mprotect(turns, PAGE, PROT_READ | PROT_EXEC) == 0);
        wrong[1] += call(turns) != round + 1;

        write_function(writable, round + 2);
        wrong[2] += call(executable) != round + 2;

        unsigned char fresh[8];
        write_function(fresh, round + 3);
        MUST(pwrite(file, fresh, 6, 64) == 6);
        wrong[3] += call(executable + 64) != round + 3;

        unsigned char *again = mmap(both, PAGE, all, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        MUST(again == both);
        write_function(again, ~round);
        wrong[4] += call(again) != ~round;
    }
    printf("stale code: %u %u %u %u %u\n", wrong[0], wrong[1], wrong[2], wrong[3], wrong[4]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "selectors") == 0)
        some_selector = 0x2b;
    registers_held();
    roundings();
    single_steps();
    strings();
    time_stamps();
    calls_again();
    code_changes();
    return 0;
}
