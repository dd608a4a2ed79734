/*
 * Time: clocks that only go forward, sleeps relative and absolute, the order of wake-ups, timeouts, POSIX
 * timers. How long something took is only compared with what it had to take at least.
 */
#define _GNU_SOURCE
#include "say.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    MUST(clock_gettime(clock, &t) == 0);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

static void clocks(void)
{
    static const struct {
        const char *name;
        clockid_t clock;
    } all[] = {
        { "realtime", CLOCK_REALTIME },
        { "monotonic", CLOCK_MONOTONIC },
        { "process", CLOCK_PROCESS_CPUTIME_ID },
        { "thread", CLOCK_THREAD_CPUTIME_ID },
        { "raw", CLOCK_MONOTONIC_RAW },
        { "realtime coarse", CLOCK_REALTIME_COARSE },
        { "monotonic coarse", CLOCK_MONOTONIC_COARSE },
        { "boottime", CLOCK_BOOTTIME },
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct timespec resolution;
        int backwards = 0;
        int64_t last = 0;
        for (int n = 0; n < 200; n++) {
            int64_t now = now_ns(all[i].clock);
            backwards += now < last;
            last = now;
        }
        MUST(clock_getres(all[i].clock, &resolution) == 0);
        printf("%s: backwards %d, resolution below 20 ms %d\n", all[i].name, backwards,
               resolution.tv_sec == 0 && resolution.tv_nsec > 0 && resolution.tv_nsec < 20000000);
    }
    struct timespec t;
    say_call("no such clock", clock_gettime(1234, &t));
    struct timeval tv;
    gettimeofday(&tv, NULL);
    int64_t realtime = now_ns(CLOCK_REALTIME), day = tv.tv_sec * 1000000000ll + tv.tv_usec * 1000ll;
    say_whether("gettimeofday is the real time", realtime >= day && realtime - day < 1000000000);
    say_whether("time is the real time", llabs(time(NULL) - realtime / 1000000000) <= 1);
    say_whether("the year is after 2025", realtime / 1000000000 > 1767225599);
    int64_t spun_from = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    while (now_ns(CLOCK_PROCESS_CPUTIME_ID) - spun_from < 20000000)
        ;
    say_whether("processor time passes in a loop", 1);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    int64_t used = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000ll +
                   (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000ll;
    say_whether("getrusage counts it", used >= 10000000);
    struct tms ticks;
    say_whether("times", times(&ticks) != (clock_t)-1);
    printf("ticks per second %ld\n", sysconf(_SC_CLK_TCK));
}

static void sleeps(void)
{
    static const long requests[] = { 1, 1000000, 20000000, 50000000 };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        int64_t start = now_ns(CLOCK_MONOTONIC);
        struct timespec request = timespec_of(requests[i]);
        MUST(nanosleep(&request, NULL) == 0);
        int64_t slept = now_ns(CLOCK_MONOTONIC) - start;
        printf("slept %ld ns: enough %d, below 10 s %d\n", requests[i], slept >= requests[i], slept < 10000000000);
    }
    struct timespec bad = { .tv_nsec = 1000000000 };
    say_call("a bad request", nanosleep(&bad, NULL));
    int64_t target = now_ns(CLOCK_MONOTONIC) + 30000000;
    struct timespec at = timespec_of(target);
    printf("absolute sleep: %d", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL));
    printf(" reached %d\n", now_ns(CLOCK_MONOTONIC) >= target);
    printf("absolute sleep in the past: %d\n", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL));
    target = now_ns(CLOCK_REALTIME) + 20000000;
    at = timespec_of(target);
    printf("absolute real time: %d", clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL));
    printf(" reached %d\n", now_ns(CLOCK_REALTIME) >= target);
    int64_t cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
    usleep(300000);
    say_whether("sleeping takes no processor time", now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu < 250000000);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char order[16];
static int woken;

static void *sleeper(void *argument)
{
    intptr_t number = (intptr_t)argument;
    struct timespec request = timespec_of((number + 1) * 100000000);
    nanosleep(&request, NULL);
    pthread_mutex_lock(&mutex);
    order[woken++] = (char)('0' + number);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void order_of_wake_ups(void)
{
    static const int started[] = { 3, 0, 4, 1, 2 };
    pthread_t threads[5];
    for (int i = 0; i < 5; i++)
        MUST(pthread_create(&threads[i], NULL, sleeper, (void *)(intptr_t)started[i]) == 0);
    for (int i = 0; i < 5; i++)
        pthread_join(threads[i], NULL);
    printf("woken in order %s\n", order);
}

static void timeouts(void)
{
    int64_t start = now_ns(CLOCK_MONOTONIC);
    printf("poll of nothing: %d\n", poll(NULL, 0, 25));
    say_whether("25 ms", now_ns(CLOCK_MONOTONIC) - start >= 25000000);
    start = now_ns(CLOCK_MONOTONIC);
    struct timeval wait = { .tv_usec = 15000 };
    printf("select of nothing: %d\n", select(0, NULL, NULL, NULL, &wait));
    say_whether("15 ms", now_ns(CLOCK_MONOTONIC) - start >= 15000000);
    struct timespec brief = timespec_of(5000000);
    printf("ppoll: %d\n", ppoll(NULL, 0, &brief, NULL));
    printf("pselect: %d\n", pselect(0, NULL, NULL, NULL, &brief, NULL));
    printf("poll at once: %d\n", poll(NULL, 0, 0));
}

static volatile sig_atomic_t expirations, value, overruns;

static void on_timer(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    expirations++;
    value = info->si_value.sival_int;
    overruns += info->si_overrun;
}

static void posix_timers(void)
{
    struct sigaction action = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO };
    sigaction(SIGRTMIN, &action, NULL);
    sigset_t blocked, old;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &blocked, &old);
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 4711 };
    timer_t timer;
    MUST(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    struct itimerspec times = { .it_value = timespec_of(20000000) }, left;
    MUST(timer_settime(timer, 0, &times, NULL) == 0);
    MUST(timer_gettime(timer, &left) == 0);
    say_whether("armed", left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 20000000);
    while (expirations < 1)
        sigsuspend(&old);
    printf("once: %d value %d\n", (int)expirations, (int)value);
    MUST(timer_gettime(timer, &left) == 0);
    printf("disarmed: %ld\n", left.it_value.tv_nsec);
    times.it_interval = timespec_of(10000000);
    int64_t start = now_ns(CLOCK_MONOTONIC);
    MUST(timer_settime(timer, 0, &times, NULL) == 0);
    while (expirations + overruns < 6)
        sigsuspend(&old);
    say_whether("five periods", now_ns(CLOCK_MONOTONIC) - start >= 60000000);
    say_call("delete", timer_delete(timer));
    say_call("delete again", timer_delete(timer));
    event.sigev_notify = SIGEV_NONE;
    MUST(timer_create(CLOCK_REALTIME, &event, &timer) == 0);
    times = (struct itimerspec){ .it_value = timespec_of(now_ns(CLOCK_REALTIME) + 500000000) };
    MUST(timer_settime(timer, TIMER_ABSTIME, &times, NULL) == 0);
    MUST(timer_gettime(timer, &left) == 0);
    say_whether("absolute, half a second left at most", left.it_value.tv_sec == 0 && left.it_value.tv_nsec <= 500000000);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    clocks();
    sleeps();
    order_of_wake_ups();
    timeouts();
    posix_timers();
    return 0;
}
