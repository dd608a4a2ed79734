/*
 * Signals: faults that handlers repair, skip or jump out of; alternate stacks; timers; masks and pending
 * signals; nesting; queued real-time signals; interrupted and restarted calls; registers across a handler.
 */
#define _GNU_SOURCE
#include "say.h"
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/platform/x86.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* Volatile, since calls that raise signals are declared to call nothing in this file. */
static volatile siginfo_t last_info;
static volatile long long last_trap, last_error;
static volatile sig_atomic_t deliveries;

static void install(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    sigemptyset(&action.sa_mask);
    MUST(sigaction(signal, &action, NULL) == 0);
}

static void note(siginfo_t *info, ucontext_t *context)
{
    last_info = *info;
    last_trap = context->uc_mcontext.gregs[REG_TRAPNO];
    /* Whether a page was present depends on what was touched before: only write and user tell something. */
    last_error = context->uc_mcontext.gregs[REG_ERR] & 6;
    deliveries++;
}

/* ---- SIGSEGV ---- */

static char *guarded;
static sigjmp_buf escape;

static void unprotect(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    note(info, context);
    mprotect(guarded, 4096, PROT_READ | PROT_WRITE);
}

static void jump_out(int signal, siginfo_t *info, void *context)
{
    note(info, context);
    siglongjmp(escape, signal);
}

static void faults_repaired(void)
{
    guarded = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(guarded != MAP_FAILED);
    install(SIGSEGV, unprotect, 0);
    ((volatile char *)guarded)[0x123] = 'x';
    printf("SEGV write: code %d offset 0x%lx trap %lld error %lld, then %c\n", last_info.si_code,
           (long)((char *)last_info.si_addr - guarded), last_trap, last_error, guarded[0x123]);
    MUST(mprotect(guarded, 4096, PROT_READ) == 0);
    ((volatile char *)guarded)[0xfff] = 'y';
    printf("SEGV write to read-only: code %d offset 0x%lx error %lld, then %c%c\n", last_info.si_code,
           (long)((char *)last_info.si_addr - guarded), last_error, guarded[0x123], guarded[0xfff]);
}

static void faults_escaped(void)
{
    install(SIGSEGV, jump_out, 0);
    MUST(munmap(guarded, 4096) == 0);
    if (sigsetjmp(escape, 1) == 0)
        (void)*(volatile char *)guarded;
    printf("SEGV unmapped: code %d at it %d trap %lld error %lld\n", last_info.si_code,
           last_info.si_addr == guarded, last_trap, last_error);
    if (sigsetjmp(escape, 1) == 0)
        (void)*(volatile char *)0x18;
    printf("SEGV null: code %d addr %p\n", last_info.si_code, last_info.si_addr);
    if (sigsetjmp(escape, 1) == 0)
        (void)*(volatile char *)0xfffffffffffff123;
    printf("SEGV upper half: code %d addr %p\n", last_info.si_code, last_info.si_addr);
    if (sigsetjmp(escape, 1) == 0)
        __asm__ volatile("movb (%0), %%al" : : "r"(0x8000000000000000ul) : "rax");
    printf("SEGV non-canonical: code %d addr %p trap %lld\n", last_info.si_code, last_info.si_addr, last_trap);
    if (sigsetjmp(escape, 1) == 0)
        __asm__ volatile("hlt");
    printf("SEGV privileged: code %d addr %p trap %lld\n", last_info.si_code, last_info.si_addr, last_trap);
    static char data[16] = { (char)0xc3 };
    if (sigsetjmp(escape, 1) == 0)
        ((void (*)(void))(uintptr_t)data)();
    printf("SEGV executing data: code %d at it %d\n", last_info.si_code, last_info.si_addr == data);
}

/* ---- alternate stack ---- */

static char alternate[65536];
static volatile int on_alternate;

static void overflow_handler(int signal, siginfo_t *info, void *context)
{
    char here;
    on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
    jump_out(signal, info, context);
}

__attribute__((noinline)) static int recurse(volatile char *above)
{
    volatile char here[1024];
    here[0] = *above;
    return recurse(here) + here[0];
}

static void stack_overflow(void)
{
    stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate }, now;
    MUST(sigaltstack(&stack, NULL) == 0);
    install(SIGSEGV, overflow_handler, SA_ONSTACK);
    for (int i = 0; i < 2; i++) {
        volatile char top = 1;
        if (sigsetjmp(escape, 1) == 0)
            recurse(&top);
        MUST(sigaltstack(NULL, &now) == 0);
        printf("stack overflow: alternate stack %d code %d, afterwards on it %d\n", on_alternate,
               last_info.si_code, now.ss_flags & SS_ONSTACK);
    }
    stack.ss_flags = SS_DISABLE;
    say_call("disable alternate stack", sigaltstack(&stack, NULL));
}

/* ---- instructions ---- */

static volatile int skip_bytes;

static void skip(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    note(info, context);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += skip_bytes;
}

static void instructions(void)
{
    install(SIGFPE, skip, 0);
    install(SIGILL, skip, 0);
    install(SIGTRAP, skip, 0);
    void *at;
    skip_bytes = 2;
    __asm__ volatile("lea 1f(%%rip), %0\n\txor %%edx, %%edx\n\txor %%ecx, %%ecx\n\tmov $7, %%eax\n"
                     "1:\tidivl %%ecx"
                     : "=&r"(at) : : "rax", "rcx", "rdx");
    printf("FPE division: code %d at it %d trap %lld\n", last_info.si_code, last_info.si_addr == at, last_trap);
    __asm__ volatile("lea 1f(%%rip), %0\n1:\tud2" : "=&r"(at));
    printf("ILL: code %d at it %d trap %lld\n", last_info.si_code, last_info.si_addr == at, last_trap);
    skip_bytes = 0;
    __asm__ volatile("int3");
    printf("TRAP: code %d trap %lld\n", last_info.si_code, last_trap);
    printf("instructions: %d deliveries\n", (int)deliveries);
}

/* ---- registers across a handler ---- */

/* As the C library sees it, which GLIBC_TUNABLES can hold back: CPUID itself may speak of another processor than executes this. */
static int has_avx(void)
{
    return CPU_FEATURE_ACTIVE(AVX);
}

static void clobber(int signal, siginfo_t *info, void *context)
{
    skip(signal, info, context);
    unsigned zero_masked = 0x7f80;
    __asm__ volatile("ldmxcsr %0\n\tfninit\n\tfldz\n\tpxor %%xmm0, %%xmm0\n\tpcmpeqb %%xmm1, %%xmm1\n\t"
                     "pxor %%xmm7, %%xmm7\n\tpcmpeqb %%xmm15, %%xmm15"
                     : : "m"(zero_masked) : "xmm0", "xmm1", "xmm7", "xmm15");
    if (has_avx())
        __asm__ volatile("vzeroall" ::: "xmm0", "xmm1", "xmm2", "xmm3");
}

static void sse_registers(void)
{
    static _Alignas(16) uint64_t before[8], after[8];
    for (int i = 0; i < 8; i++)
        before[i] = 0x0101010101010101u * (unsigned)(i + 1);
    unsigned mxcsr = 0x3f80, mxcsr_after;
    double x87 = 0;
    __asm__ volatile("ldmxcsr %3\n\tfldpi\n\t"
                     "movaps %4, %%xmm0\n\tmovaps 16+%4, %%xmm1\n\tmovaps 32+%4, %%xmm7\n\tmovaps 48+%4, %%xmm15\n\t"
                     "ud2\n\t"
                     "movaps %%xmm0, %0\n\tmovaps %%xmm1, 16+%0\n\tmovaps %%xmm7, 32+%0\n\tmovaps %%xmm15, 48+%0\n\t"
                     "fstpl %1\n\tstmxcsr %2"
                     : "=m"(after), "=m"(x87), "=m"(mxcsr_after)
                     : "m"(mxcsr), "m"(before)
                     : "xmm0", "xmm1", "xmm7", "xmm15", "st");
    say_whether("SSE registers survive a handler", memcmp(before, after, sizeof before) == 0);
    printf("x87 %.15f mxcsr %x\n", x87, mxcsr_after & 0xffc0);
    mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

__attribute__((target("avx"))) static int avx_registers(void)
{
    static _Alignas(32) uint64_t before[16], after[16];
    for (int i = 0; i < 16; i++)
        before[i] = 0x1111111111111111u * (unsigned)i;
    __asm__ volatile("vmovaps %1, %%ymm0\n\tvmovaps 32+%1, %%ymm3\n\tvmovaps 64+%1, %%ymm8\n\tvmovaps 96+%1, %%ymm15\n\t"
                     "ud2\n\t"
                     "vmovaps %%ymm0, %0\n\tvmovaps %%ymm3, 32+%0\n\tvmovaps %%ymm8, 64+%0\n\tvmovaps %%ymm15, 96+%0\n\t"
                     "vzeroupper"
                     : "=m"(after) : "m"(before) : "xmm0", "xmm3", "xmm8", "xmm15");
    return memcmp(before, after, sizeof before) == 0;
}

static void change_frame(int signal, siginfo_t *info, void *context)
{
    skip(signal, info, context);
    ucontext_t *frame = context;
    frame->uc_mcontext.gregs[REG_RBX] = 0x1234567890abcdef;
    frame->uc_mcontext.gregs[REG_EFL] |= 1;
    frame->uc_mcontext.fpregs->_xmm[5].element[0] = 0x600d600d;
}

static void registers(void)
{
    skip_bytes = 2;
    install(SIGILL, clobber, 0);
    sse_registers();
    say_whether("AVX registers survive a handler", !has_avx() || avx_registers());
    install(SIGILL, change_frame, 0);
    uint64_t rbx = 0;
    uint32_t xmm5 = 0;
    unsigned char carry = 0;
    __asm__ volatile("xor %%ebx, %%ebx\n\tpxor %%xmm5, %%xmm5\n\tclc\n\tud2\n\tsetc %2\n\tmov %%rbx, %0\n\tmovd %%xmm5, %1"
                     : "=r"(rbx), "=r"(xmm5), "=q"(carry) : : "rbx", "xmm5", "cc");
    printf("changed in the frame: rbx %lx xmm5 %x carry %d\n", (long)rbx, xmm5, carry);
    uint64_t red_zone = 0;
    __asm__ volatile("movq $77, -128(%%rsp)\n\tmovq $88, -8(%%rsp)\n\tud2\n\tmovq -128(%%rsp), %0\n\taddq -8(%%rsp), %0"
                     : "=r"(red_zone) : : "memory", "rbx", "xmm5", "cc");
    printf("red zone: %ld\n", (long)red_zone);
}

/* ---- masks, order, nesting ---- */

static volatile char order[64];
static volatile size_t order_length;

static void append(char c)
{
    if (order_length < sizeof order - 1)
        order[order_length++] = c;
}

static void say_order(const char *what)
{
    order[order_length] = '\0';
    printf("%s: %s\n", what, (const char *)order);
    order_length = 0;
}

static void trace(int signal, siginfo_t *info, void *context)
{
    (void)context;
    last_info = *info;
    append(signal == SIGUSR1 ? '1' : signal == SIGUSR2 ? '2' : 'r');
    if (signal >= SIGRTMIN)
        append((char)('0' + info->si_value.sival_int));
    append('.');
}

static void masks(void)
{
    install(SIGUSR1, trace, 0);
    install(SIGUSR2, trace, 0);
    sigset_t both, old, pending;
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    MUST(sigprocmask(SIG_BLOCK, &both, &old) == 0);
    raise(SIGUSR2);
    raise(SIGUSR1);
    raise(SIGUSR1);
    MUST(sigpending(&pending) == 0);
    printf("pending: %d %d %d\n", sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2),
           sigismember(&pending, SIGALRM));
    append('-');
    sigset_t only2 = old;
    sigaddset(&only2, SIGUSR2);
    say_call("sigsuspend", sigsuspend(&only2));
    say_order("after sigsuspend");
    MUST(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    say_order("after unblocking");
    MUST(sigprocmask(SIG_BLOCK, &both, NULL) == 0);
    raise(SIGUSR1);
    raise(SIGUSR2);
    MUST(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    say_order("two at once");
    printf("sender: code %d self %d\n", last_info.si_code, last_info.si_pid == getpid());
}

static void nest(int signal, siginfo_t *info, void *context)
{
    trace(signal, info, context);
    append('(');
    if (signal == SIGUSR1)
        raise(SIGUSR2);
    else if (deliveries++ == 0)
        raise(SIGUSR1);
    append(')');
}

static void nesting(void)
{
    deliveries = 0;
    install(SIGUSR1, nest, 0);
    install(SIGUSR2, nest, 0);
    raise(SIGUSR1);
    say_order("nested");
    deliveries = 0;
    install(SIGUSR1, nest, SA_NODEFER);
    raise(SIGUSR1);
    say_order("nested, not deferred");
    struct sigaction now;
    install(SIGUSR1, trace, SA_RESETHAND);
    raise(SIGUSR1);
    MUST(sigaction(SIGUSR1, NULL, &now) == 0);
    say_order("reset");
    printf("default again: %d\n", now.sa_handler == SIG_DFL);
}

static void queued(void)
{
    install(SIGRTMIN, trace, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGUSR2);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    for (int i = 1; i <= 4; i++)
        MUST(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i }) == 0);
    siginfo_t info;
    struct timespec soon = { .tv_nsec = 20000000 };
    printf("sigtimedwait: %d", sigtimedwait(&set, &info, &soon) == SIGRTMIN);
    printf(" value %d code %d\n", info.si_value.sival_int, info.si_code);
    MUST(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
    say_order("queued");
    MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    say_call("sigtimedwait of nothing", sigtimedwait(&set, NULL, &soon));
    MUST(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
    say_call("kill 0", kill(getpid(), 0));
    say_call("kill with a bad number", kill(getpid(), 65));
    say_call("sigaction of SIGKILL", signal(SIGKILL, SIG_IGN) == SIG_ERR ? -1 : 0);
    signal(SIGUSR1, SIG_IGN);
    say_call("ignored", raise(SIGUSR1));
}

/* ---- timers and interrupted calls ---- */

static volatile sig_atomic_t alarms;
static int wake_fd = -1;

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
    if (wake_fd >= 0)
        (void)!write(wake_fd, "w", 1);
}

static void install_alarm(int flags)
{
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = flags };
    sigemptyset(&action.sa_mask);
    MUST(sigaction(SIGALRM, &action, NULL) == 0);
}

static void arm(long us, long interval_us)
{
    struct itimerval timer = { .it_value.tv_usec = us, .it_interval.tv_usec = interval_us };
    MUST(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void timers(void)
{
    install_alarm(0);
    printf("alarm: %u", alarm(100));
    printf(" %u\n", alarm(1));
    say_call("pause", pause());
    printf("alarms: %d\n", (int)alarms);
    arm(10000, 10000);
    while (alarms < 6)
        ;
    arm(0, 0);
    printf("alarms in a busy loop: %d\n", (int)alarms >= 6);
    int ends[2];
    char c = 0;
    MUST(pipe(ends) == 0);
    arm(20000, 0);
    say_call("interrupted read", read(ends[0], &c, 1));
    install_alarm(SA_RESTART);
    wake_fd = ends[1];
    arm(20000, 0);
    say_call("restarted read", read(ends[0], &c, 1));
    printf("read %c\n", c);
    wake_fd = -1;
    arm(20000, 0);
    struct timespec request = { .tv_sec = 50 }, rest = { 0 };
    say_call("nanosleep is never restarted", nanosleep(&request, &rest));
    say_whether("rest of the sleep", rest.tv_sec == 49 && rest.tv_nsec > 0);
    struct itimerval timer;
    MUST(getitimer(ITIMER_REAL, &timer) == 0);
    printf("timer at rest: %ld %ld\n", (long)timer.it_value.tv_sec, (long)timer.it_value.tv_usec);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    faults_repaired();
    faults_escaped();
    stack_overflow();
    instructions();
    registers();
    masks();
    nesting();
    queued();
    timers();
    return 0;
}
