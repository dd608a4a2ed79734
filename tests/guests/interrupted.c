/*
 * Signals that arrive at any instant: in the middle of system calls and of page faults. A handler must find the
 * program interrupted in its own code, in ring 3, and a fault must be reported at the instruction that made it.
 */
#define _GNU_SOURCE
#include "say.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

extern char __executable_start[], etext[], faulting_instruction[];

enum { ALARMS = 60, PERIOD_US = 300 };

static volatile sig_atomic_t alarms, outside, wrong_ring, misplaced, wrong_results;

static void on_alarm(int signal, siginfo_t *info, void *context)
{
    const char *rip = (const char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    unsigned short cs;

    (void)signal, (void)info;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    alarms++;
    outside += rip < __executable_start || rip >= etext;
    wrong_ring += (cs & 3) != 3;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)signal, (void)info;
    if (registers[REG_RIP] == (greg_t)faulting_instruction)
        registers[REG_RIP] += 2;
    else
        misplaced++;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART };

    sigaction(signal, &action, 0);
}

int main(void)
{
    struct itimerval timer = { { 0, PERIOD_US }, { 0, PERIOD_US } };
    long pid = getpid();
    char *page = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    handle(SIGALRM, on_alarm);
    handle(SIGSEGV, on_fault);
    setitimer(ITIMER_REAL, &timer, 0);
    while (alarms < ALARMS)
        wrong_results += syscall(SYS_getpid) != pid;
    while (alarms < 2 * ALARMS)
        __asm__ volatile("faulting_instruction: movb (%0), %%al" : : "r"(page) : "al", "memory");
    memset(&timer, 0, sizeof timer);
    setitimer(ITIMER_REAL, &timer, 0);
    printf("interrupted outside the program %d, in another ring %d\n", (int)outside, (int)wrong_ring);
    printf("wrong results %d, faults reported elsewhere %d\n", (int)wrong_results, (int)misplaced);
    return 0;
}
