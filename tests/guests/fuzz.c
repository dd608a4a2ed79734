/*
 * A hostile program: makes random system calls, or executes random bytes, from a seed. It survives its own faults
 * for as long as it can; how it ends does not matter. What matters is that the simulator outlives it.
 *
 * usage: fuzz SEED CALLS [THREADS]        random system calls
 *        fuzz code SEED PIECES            random machine code
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096
#define ARENA ((char *)0x10000000)
#define ARENA_PAGES 16
#define VICTIMS ((char *)0x20000000)
#define HIGHEST 470

static const char *const kinds[HIGHEST + 1] = {
#define CALL(number, arguments) [number] = arguments,
#include "fuzz-calls.h"
#undef CALL
};

static const char *const paths[] = {
    ".", "..", "/", "a", "b", "d", "d/c", "d/../a", "link", "up", "up/outside", "../../outside", "absolute", "fifo", "",
    "d/", "a/", "/proc/self/maps", "/proc/self/fd/3", "/proc/self/fd/", "/proc/self/fd/4/x", "/dev/fd/5",
    "/proc/self/exe", "/proc/self/cwd", "/proc/self/cwd/a", "/proc/self/root/../..", "/proc/self/task", "/proc/self",
    "/dev/stdin", "/sys/devices/system/cpu", "/proc/self/status", "f\xff",
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const uint64_t interesting[] = {
    0, 1, -1, 2, 4095, 4096, -4096, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffefff, 0x7fffffdff000,
    0x7fffffe00000, 0x7ffffffff000, 0x800000000000, 0xffff800000000000, 0x1fffffffffffff, 0x20000000000000,
    0x7fffffffffffffff, 0x8000000000000000,
};
static const uint64_t sizes[] = { 0, 1, 7, 8, 16, 24, 64, 128, 256, 4096, 65536, 0x200000 };
static const uint64_t mmap_flags[] = {
    0x22, 0x02, 0x01, 0x03, 0x21, 0x32, 0x12, 0x11, 0x31, 0x100022, 0x4022, 0x8022, 0x122,
};
static const uint64_t open_flags[] = {
    0, 1, 2, 0100, 0101, 0102, 01002, 02001, 04000, 04002, 0200000, 0400000, 010000000, 020200002, 0302, 03,
};
static const uint64_t requests[] = {
    0x5401, 0x5402, 0x802c542a, 0x540f, 0x5410, 0x5411, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451, 0x5452, 0x5460,
    0x80045430, 2, 0x1268, 0x80081272, 0x80086601, 0x40049409,
};

static __thread uint32_t state;
static __thread sigjmp_buf restart;
static __thread char alternate_stack[64 * 1024];

/* splitmix32 */
static uint32_t u32(void)
{
    uint32_t z = state += 0x9e3779b9;
    z = (z ^ z >> 16) * 0x85ebca6b;
    z = (z ^ z >> 13) * 0xc2b2ae35;
    return z ^ z >> 16;
}

static uint32_t below(uint32_t n) { return u32() % n; }
static int one_in(uint32_t n) { return below(n) == 0; }
#define PICK(array) ((array)[below(COUNT(array))])

static uint64_t pointer(void)
{
    switch (below(10)) {
    case 0: return (uint64_t)ARENA + ARENA_PAGES * PAGE - below(32);
    case 1: return (uint64_t)ARENA + (ARENA_PAGES + 2) * PAGE - 8 * below(512);
    case 2: return (uint64_t)ARENA - below(32);
    case 3: return one_in(2) ? 0 : PICK(interesting);
    default: return (uint64_t)ARENA + 8 * below(ARENA_PAGES * PAGE / 8) + (one_in(8) ? below(8) : 0);
    }
}

static uint64_t argument(char kind)
{
    static const char anything[] = "fpPvdanojiswtrMOq";
    static const uint64_t regions[] = { 0x20000000, 0x20200000, 0x60000000, 0 };
    if (one_in(50)) return PICK(interesting);
    if (kind == 0 || one_in(50)) return argument(anything[below(sizeof anything - 1)]);
    switch (kind) {
    case 'f': return below(one_in(20) ? 2000 : 22);
    case 'd': return one_in(2) ? (uint64_t)AT_FDCWD : below(24);
    case 'P': return one_in(12) ? pointer() : (uint64_t)PICK(paths);
    case 'a': return PICK(regions) + PAGE * below(32);
    case 'n': return one_in(6) ? below(1 << 20) : PICK(sizes);
    case 'o': return one_in(12) ? PICK(interesting) : below(1u << below(20));
    case 'r': return below(8);
    case 'M': return one_in(8) ? u32() : PICK(mmap_flags);
    case 'O': return one_in(8) ? u32() : PICK(open_flags);
    case 'q': return PICK(requests);
    case 'j': return one_in(4) ? 1u << below(31) : one_in(2) ? 0 : below(8);
    case 'i': return below(one_in(4) ? 1100 : 20);
    case 's': return below(66);
    case 't': return one_in(4) ? below(4) : (uint64_t)getpid() + below(3);
    default: return pointer();
    }
}

static void fill(char *page)
{
    static const char fields[] = "fpnij";
    uint64_t *words = (uint64_t *)page;
    for (int i = 0; i < PAGE / 8; i++)
        words[i] = one_in(2) ? below(4) : argument(fields[below(sizeof fields - 1)]);
}

static long call(long number, const uint64_t *a)
{
    long result;
    register uint64_t r10 __asm__("r10") = a[3];
    register uint64_t r8 __asm__("r8") = a[4];
    register uint64_t r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall" : "=a"(result)
                     : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static void on_fault(int signal)
{
    (void)signal;
    siglongjmp(restart, 1);
}

static void on_signal(int signal) { (void)signal; }

/* Faults start the next round, on a stack of their own; whatever else comes is ignored. SIGALRM ends a long wait. */
static void set_handlers(void)
{
    const stack_t stack = { .ss_sp = alternate_stack, .ss_size = sizeof alternate_stack };
    sigaltstack(&stack, NULL);
    for (int signal = 1; signal < 65; signal++) {
        const int is_fault = signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE || signal == SIGTRAP;
        struct sigaction action = { .sa_handler = is_fault ? on_fault : on_signal };
        if (is_fault) action.sa_flags = SA_ONSTACK | SA_NODEFER;
        sigaction(signal, &action, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void set_alarm(void)
{
    const struct itimerval every = { { 0, 2000 }, { 0, 2000 } };
    setitimer(ITIMER_REAL, &every, NULL);
}

static void map_arena(void)
{
    const int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    mmap(ARENA, ARENA_PAGES * PAGE, PROT_READ | PROT_WRITE, fixed, -1, 0);
    mmap(ARENA + ARENA_PAGES * PAGE, PAGE, PROT_NONE, fixed, -1, 0);
    mmap(ARENA + (ARENA_PAGES + 1) * PAGE, PAGE, PROT_READ, fixed, -1, 0);
}

/* Descriptors of every kind, 3 and up. */
static void open_files(void)
{
    int ends[2];
    static const char *const to_write[] = { "a", "b", "d/c", "fifo" };
    static const char *const to_read[] = { ".", "d", "/proc/self/maps", "/proc/self/fd/", "/sys/devices/system/cpu" };
    for (size_t i = 0; i < COUNT(to_write); i++) (void)!open(to_write[i], O_RDWR);
    for (size_t i = 0; i < COUNT(to_read); i++) (void)!open(to_read[i], O_RDONLY);
    (void)!open("d", O_PATH);
    for (int i = 0; i < 2; i++) {
        (void)!pipe2(ends, i * O_NONBLOCK);
        (void)!memfd_create("m", MFD_ALLOW_SEALING);
    }
    (void)!eventfd(3, 0);
}

static int is_made(long number)
{
    switch (number) {
    case SYS_sync: return 0;
    case SYS_exit: case SYS_exit_group: case SYS_rt_sigreturn: case SYS_close_range: case SYS_munmap: return one_in(16);
    case SYS_clone: case SYS_clone3: case SYS_fork: case SYS_vfork: return 0;
    default: return 1;
    }
}

struct job {
    uint32_t seed;
    long calls;
};

static void *call_at_random(void *argument_)
{
    const struct job *const job = argument_;
    volatile long left = job->calls;
    state = job->seed;
    sigsetjmp(restart, 1);
    while (left-- > 0) {
        if (left % 64 == 0) {
            map_arena();
            for (int i = 0; i < ARENA_PAGES; i++) fill(ARENA + i * PAGE);
            set_handlers();
            set_alarm();
        }
        const long number = below(HIGHEST + 1);
        const char *const kind = kinds[number] != NULL ? kinds[number] : "";
        uint64_t a[6];
        for (size_t i = 0; i < 6; i++) a[i] = argument(i < strlen(kind) ? kind[i] : 0);
        if ((kinds[number] != NULL || one_in(4)) && is_made(number)) call(number, a);
    }
    return NULL;
}

/* Instructions that ask for trouble, between random bytes. */
static const char *const nasty[] = {
    "\xe6\xe0", "\x0f\x05", "\x0f\x34", "\xcd\x80", "\xcc", "\xf1", "\xf4", "\x0f\x01\xc1", "\x0f\x01\xd9", "\x0f\x0b", "\x9d",
    "\x0f\x01\xef", "\xcf", "\xcb", "\x0f\x00\xd8", "\x8e\xe8", "\x0f\x01\xf8", "\x0f\xaa", "\xd9\xf2", "\xf3\x0f\xae\xd0",
    "\x0f\xa2", "\x0f\x31", "\xee", "\xec", "\xfa", "\xc5\xf8\x77", "\x0f\xc7\xf8", "\xcd\x02", "\xcd\x0e", "\xce",
};

static void execute_at_random(long pieces)
{
    volatile long left = pieces;
    char *const code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigsetjmp(restart, 1);
    while (left-- > 0) {
        map_arena();
        set_handlers();
        signal(SIGALRM, on_fault);
        set_alarm();
        for (int i = 0; i < 64;) {
            const char *const instruction = PICK(nasty);
            if (one_in(3)) i += strlen(strcpy(code + i, instruction));
            else code[i++] = u32();
        }
        memset(code + 80, 0xcc, 32);
        const uint64_t where = one_in(8) ? 0x7fffffe00000ul + below(2) * 0x1000 + below(64) : (uint64_t)code;
        register uint64_t r15 __asm__("r15") = where;
        __asm__ volatile("push %%rbx; push %%rbp; call *%%r15; pop %%rbp; pop %%rbx"
                         : "+r"(r15)
                         : "a"(below(HIGHEST)), "c"(argument(0)), "d"(argument(0)), "S"(argument(0)), "D"(argument(0))
                         : "r8", "r9", "r10", "r11", "r12", "r13", "r14", "memory", "cc");
    }
}

int main(int count, char **arguments)
{
    if (count < 3) return 2;
    if (strcmp(arguments[1], "code") == 0) {
        state = atol(arguments[2]);
        execute_at_random(count > 3 ? atol(arguments[3]) : 100);
        return 0;
    }
    static struct job jobs[8];
    const long threads = count > 3 ? atol(arguments[3]) : 1;
    open_files();
    for (long i = 0; i < threads && i < (long)COUNT(jobs); i++) {
        pthread_t thread;
        jobs[i] = (struct job){ atol(arguments[1]) + i, atol(arguments[2]) };
        if (i + 1 == threads) call_at_random(&jobs[i]);
        else pthread_create(&thread, NULL, call_at_random, &jobs[i]);
    }
    return 0;
}
