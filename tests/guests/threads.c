/*
 * Threads: eight of them on a mutex and a condition variable, barriers, thread-local storage, results and
 * exits, read-write locks, semaphores, timeouts, signals to one thread, a robust mutex whose owner dies.
 */
#define _GNU_SOURCE
#include "say.h"
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, ROUNDS = 2000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void start(pthread_t *threads, void *(*body)(void *))
{
    for (intptr_t i = 0; i < THREADS; i++)
        MUST(pthread_create(&threads[i], NULL, body, (void *)i) == 0);
}

/* The sum of what the threads return. */
static long join(pthread_t *threads)
{
    long sum = 0;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        MUST(pthread_join(threads[i], &result) == 0);
        sum += (intptr_t)result;
    }
    return sum;
}

/* ---- mutex ---- */

static long counter;

static void *count(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        long seen = counter;
        if (i % 256 == 0)
            sched_yield();
        counter = seen + 1;
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}

/* ---- condition variable: a bounded queue, four producers and four consumers ---- */

static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static long queue[16];
static int queue_head, queue_length, producing = THREADS / 2;

static void *produce(intptr_t number)
{
    for (long i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        while (queue_length == 16)
            pthread_cond_wait(&not_full, &mutex);
        queue[(queue_head + queue_length++) % 16] = number * ROUNDS + i;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&mutex);
    }
    pthread_mutex_lock(&mutex);
    if (--producing == 0)
        pthread_cond_broadcast(&not_empty);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void *consume(void)
{
    long sum = 0;
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (queue_length == 0 && producing != 0)
            pthread_cond_wait(&not_empty, &mutex);
        if (queue_length == 0) {
            pthread_mutex_unlock(&mutex);
            return (void *)sum;
        }
        sum += queue[queue_head];
        queue_head = (queue_head + 1) % 16;
        queue_length--;
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&mutex);
    }
}

static void *produce_or_consume(void *argument)
{
    intptr_t number = (intptr_t)argument;
    return number < THREADS / 2 ? produce(number) : consume();
}

/* ---- barrier: nobody enters phase n + 1 before all have left phase n ---- */

static pthread_barrier_t barrier;
static atomic_int arrivals, serials, violations;

static void *phases(void *argument)
{
    for (int phase = 0; phase < 50; phase++) {
        atomic_fetch_add(&arrivals, 1);
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            atomic_fetch_add(&serials, 1);
        if (atomic_load(&arrivals) != (phase + 1) * THREADS)
            atomic_fetch_add(&violations, 1);
        pthread_barrier_wait(&barrier);
    }
    return argument;
}

/* ---- thread-local storage, keys, exits ---- */

static __thread long local = 1000;
static __thread char local_buffer[5000];
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int destroyed, initialized;

static void destroy(void *value)
{
    atomic_fetch_add(&destroyed, (int)(intptr_t)value);
}

static void initialize(void)
{
    atomic_fetch_add(&initialized, 1);
}

static void *use_local_storage(void *argument)
{
    pthread_once(&once, initialize);
    pthread_setspecific(key, (void *)((intptr_t)argument + 1));
    memset(local_buffer, (int)(intptr_t)argument, sizeof local_buffer);
    for (int i = 0; i < 100; i++) {
        local += (intptr_t)argument;
        sched_yield();
    }
    if (local_buffer[4999] != (char)(intptr_t)argument)
        local = -1000000;
    pthread_exit((void *)local);
}

/* ---- read-write lock, semaphore ---- */

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t permits;
static atomic_int inside, too_many;
static long pair[2];

static void *read_and_write(void *argument)
{
    for (int i = 0; i < 200; i++) {
        if ((i + (intptr_t)argument) % 4 == 0) {
            pthread_rwlock_wrlock(&rwlock);
            pair[0]++;
            pair[1]--;
        } else {
            pthread_rwlock_rdlock(&rwlock);
            if (pair[0] + pair[1] != 0)
                atomic_fetch_add(&too_many, 1);
        }
        pthread_rwlock_unlock(&rwlock);
        sem_wait(&permits);
        if (atomic_fetch_add(&inside, 1) >= 3)
            atomic_fetch_add(&too_many, 1);
        atomic_fetch_sub(&inside, 1);
        sem_post(&permits);
    }
    return NULL;
}

/* ---- signals to threads ---- */

static atomic_int handled_by = -1, ready;
static __thread int thread_number = -1;

static void on_signal(int signal)
{
    (void)signal;
    atomic_store(&handled_by, thread_number);
}

static void *wait_for_signal(void *argument)
{
    thread_number = (int)(intptr_t)argument;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (thread_number != 5)
        pthread_sigmask(SIG_BLOCK, &set, NULL);
    atomic_fetch_add(&ready, 1);
    while (atomic_load(&handled_by) < 0)
        sched_yield();
    return NULL;
}

/* ---- robust mutex, timeouts ---- */

static pthread_mutex_t robust;

static void *die_with_lock(void *argument)
{
    pthread_mutex_lock(&robust);
    return argument;
}

static void robust_and_timeouts(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    MUST(pthread_mutex_init(&robust, &attributes) == 0);
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, die_with_lock, NULL) == 0);
    pthread_join(thread, NULL);
    printf("owner died: %d\n", pthread_mutex_lock(&robust) == EOWNERDEAD);
    printf("made consistent: %d\n", pthread_mutex_consistent(&robust));
    printf("unlocked: %d\n", pthread_mutex_unlock(&robust));

    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&mutex);
    printf("condition times out: %d\n", pthread_cond_timedwait(&not_full, &mutex, &until) == ETIMEDOUT);
    printf("mutex times out: %d\n", pthread_mutex_timedlock(&mutex, &until) == ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
    while (sem_trywait(&permits) == 0)
        ;
    say_call("semaphore times out", sem_timedwait(&permits, &until));
}

int main(void)
{
    pthread_t threads[THREADS];
    start(threads, count);
    printf("threads returned %ld\n", join(threads));
    printf("counter %ld\n", counter);

    start(threads, produce_or_consume);
    printf("consumed %ld\n", join(threads));

    pthread_barrier_init(&barrier, NULL, THREADS);
    start(threads, phases);
    join(threads);
    printf("barrier: serial %d violations %d\n", serials, violations);

    pthread_key_create(&key, destroy);
    start(threads, use_local_storage);
    printf("thread-local sum %ld, main's %ld\n", join(threads), local);
    printf("keys destroyed %d, initialized %d\n", destroyed, initialized);

    sem_init(&permits, 0, 3);
    start(threads, read_and_write);
    join(threads);
    printf("read-write lock and semaphore: violations %d, writes %ld\n", too_many, pair[0]);

    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGUSR1, &action, NULL);
    start(threads, wait_for_signal);
    while (atomic_load(&ready) < THREADS)
        sched_yield();
    pthread_kill(threads[5], SIGUSR1);
    join(threads);
    printf("signal handled by thread %d\n", handled_by);

    robust_and_timeouts();
    say_whether("thread ids are the process's for main only", getpid() == gettid());
    /* The other threads' end does not wait for it: exit_group ends a thread that never returns. */
    handled_by = -1;
    start(threads, wait_for_signal);
    printf("leaving\n");
    fflush(stdout);
    exit(7);
}
