/*
 * Memory: mmap in its forms, mprotect, mremap, munmap with holes, brk, madvise, files mapped privately and
 * shared, access beyond the end of a file. Contents are shown as checksums, never addresses.
 */
#define _GNU_SOURCE
#include "say.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

static int read_write = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;

static void fill(unsigned char *at, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)((seed += 2654435769u) >> 24);
}

static void say_sum(const char *what, const void *data, size_t bytes)
{
    printf("%s: %08x\n", what, checksum(data, bytes));
}

/* ---- how an access ends ---- */

static sigjmp_buf escape;
static volatile int fault_signal, fault_code;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    fault_signal = signal;
    fault_code = info->si_code;
    siglongjmp(escape, 1);
}

static void say_access(const char *what, volatile unsigned char *at, int write)
{
    if (sigsetjmp(escape, 1) != 0) {
        printf("%s: %s code %d\n", what, fault_signal == SIGBUS ? "SIGBUS" : "SIGSEGV", fault_code);
        return;
    }
    unsigned char seen = *at;
    if (write)
        *at = seen;
    printf("%s: %d\n", what, seen);
}

/* ---- anonymous memory ---- */

static void *map(size_t bytes, int protection)
{
    void *at = mmap(NULL, bytes, protection, anonymous, -1, 0);
    MUST(at != MAP_FAILED);
    return at;
}

static void anonymous_memory(void)
{
    unsigned char *at = map(64 * PAGE, read_write);
    say_sum("fresh", at, 64 * PAGE);
    fill(at, 64 * PAGE, 1);
    say_sum("filled", at, 64 * PAGE);
    MUST(munmap(at + 16 * PAGE, 8 * PAGE) == 0);
    say_access("hole", at + 16 * PAGE, 0);
    say_access("before the hole", at + 16 * PAGE - 1, 1);
    say_access("after the hole", at + 24 * PAGE, 1);
    MUST(mmap(at + 16 * PAGE, 4 * PAGE, PROT_READ, anonymous | MAP_FIXED, -1, 0) == at + 16 * PAGE);
    say_access("read the plug", at + 16 * PAGE, 0);
    say_access("write the plug", at + 16 * PAGE, 1);
    MUST(mmap(at, 2 * PAGE, read_write, anonymous | MAP_FIXED, -1, 0) == at);
    say_sum("replaced by fresh pages", at, 4 * PAGE);
    void *refused = mmap(at, PAGE, read_write, anonymous | MAP_FIXED_NOREPLACE, -1, 0);
    say_call("no replacing", refused == MAP_FAILED ? -1 : 0);
    say_call("unmapping nothing", munmap(at + 20 * PAGE, 2 * PAGE));
    say_call("unmapping all", munmap(at, 64 * PAGE));
    say_access("after unmapping all", at + 40 * PAGE, 0);
}

static void protections(void)
{
    unsigned char *at = map(8 * PAGE, PROT_NONE);
    say_access("no access", at, 0);
    MUST(mprotect(at + 2 * PAGE, 4 * PAGE, read_write) == 0);
    fill(at + 2 * PAGE, 4 * PAGE, 2);
    MUST(mprotect(at + 3 * PAGE, PAGE, PROT_READ) == 0);
    say_sum("partly protected", at + 2 * PAGE, 4 * PAGE);
    say_access("write to read-only", at + 3 * PAGE, 1);
    say_access("write beside it", at + 4 * PAGE, 1);
    MUST(mprotect(at + 3 * PAGE, PAGE, PROT_NONE) == 0);
    say_access("taken away", at + 3 * PAGE, 0);
    MUST(mprotect(at + 3 * PAGE, PAGE, read_write) == 0);
    say_sum("given back", at + 2 * PAGE, 4 * PAGE);
    MUST(munmap(at + 7 * PAGE, PAGE) == 0);
    say_call("mprotect across a hole", mprotect(at + 6 * PAGE, 2 * PAGE, read_write));
    say_call("mprotect of an odd address", mprotect(at + 1, PAGE, read_write));
    /* mov $42, %eax; ret */
    static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
    memcpy(at + 2 * PAGE, code, sizeof code);
    MUST(mprotect(at + 2 * PAGE, PAGE, PROT_READ | PROT_EXEC) == 0);
    printf("generated code: %d\n", ((int (*)(void))(uintptr_t)(at + 2 * PAGE))());
    MUST(mprotect(at + 2 * PAGE, PAGE, read_write) == 0);
    at[2 * PAGE + 1] = 43;
    MUST(mprotect(at + 2 * PAGE, PAGE, PROT_READ | PROT_EXEC) == 0);
    printf("changed code: %d\n", ((int (*)(void))(uintptr_t)(at + 2 * PAGE))());
    munmap(at, 7 * PAGE);
}

static void remapping(void)
{
    unsigned char *at = map(16 * PAGE, read_write);
    fill(at, 8 * PAGE, 3);
    MUST(munmap(at + 8 * PAGE, 8 * PAGE) == 0);
    uint32_t sum = checksum(at, 8 * PAGE);
    unsigned char *grown = mremap(at, 8 * PAGE, 12 * PAGE, MREMAP_MAYMOVE);
    MUST(grown != MAP_FAILED);
    say_whether("grown, old contents", checksum(grown, 8 * PAGE) == sum);
    say_sum("grown, new contents", grown + 8 * PAGE, 4 * PAGE);
    grown[11 * PAGE] = 1;
    MUST(mremap(grown, 12 * PAGE, 4 * PAGE, 0) == grown);
    say_sum("shrunk", grown, 4 * PAGE);
    say_access("cut off", grown + 4 * PAGE, 0);
    unsigned char *target = map(6 * PAGE, read_write);
    fill(target, 6 * PAGE, 4);
    MUST(mremap(grown, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    say_sum("moved over other pages", target, 6 * PAGE);
    say_access("moved away", grown, 0);
    /* The neighbour is in the way, and moving is not allowed. */
    say_call("no room", mremap(target, 2 * PAGE, 8 * PAGE, 0) == MAP_FAILED ? -1 : 0);
    munmap(target, 6 * PAGE);
    /* Many pages moved at once, each with contents of its own. */
    unsigned char *big = map(1024 * PAGE, read_write);
    for (int i = 0; i < 1024; i++)
        big[(size_t)i * PAGE + (size_t)i] = (unsigned char)(i * 7 + 1);
    sum = checksum(big, 1024 * PAGE);
    big = mremap(big, 1024 * PAGE, 4096 * PAGE, MREMAP_MAYMOVE);
    MUST(big != MAP_FAILED);
    say_whether("4 MiB moved", checksum(big, 1024 * PAGE) == sum);
    munmap(big, 4096 * PAGE);
}

static void heap_and_advice(void)
{
    unsigned char *start = sbrk(0);
    MUST(sbrk(5 * PAGE + 100) == start);
    fill(start, 5 * PAGE + 100, 5);
    say_sum("brk", start, 5 * PAGE + 100);
    MUST(brk(start + PAGE) == 0);
    MUST(brk(start + 3 * PAGE) == 0);
    say_sum("brk down and up", start, 3 * PAGE);
    MUST(brk(start) == 0);

    unsigned char *at = map(64 * PAGE, read_write);
    fill(at, 64 * PAGE, 6);
    MUST(madvise(at + 8 * PAGE, 32 * PAGE, MADV_DONTNEED) == 0);
    say_sum("advised away", at, 64 * PAGE);
    at[20 * PAGE] = 9;
    say_access("written again", at + 20 * PAGE, 0);
    say_call("bad advice", madvise(at, PAGE, 12345));
    say_call("hugepages", madvise(at, 64 * PAGE, MADV_NOHUGEPAGE));
    munmap(at, 64 * PAGE);
    unsigned char *reserve = mmap(NULL, 1ul << 38, read_write, anonymous | MAP_NORESERVE, -1, 0);
    MUST(reserve != MAP_FAILED);
    reserve[(1ul << 37) + 5] = 77;
    say_access("in the midst of 256 GiB", reserve + (1ul << 37) + 5, 0);
    say_call("giving 256 GiB back", munmap(reserve, 1ul << 38));
}

/* ---- files ---- */

static void say_file(const char *what, int fd)
{
    static unsigned char contents[4 * PAGE];
    ssize_t bytes = pread(fd, contents, sizeof contents, 0);
    printf("%s: %zd bytes %08x\n", what, bytes, checksum(contents, (size_t)bytes));
}

static void mapped_files(void)
{
    static unsigned char contents[3 * PAGE - 96];
    char name[] = "memory-test.tmp";
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    MUST(fd >= 0);
    fill(contents, sizeof contents, 7);
    MUST(write(fd, contents, sizeof contents) == (ssize_t)sizeof contents);

    unsigned char *private = mmap(NULL, 3 * PAGE, read_write, MAP_PRIVATE, fd, 0);
    unsigned char *shared = mmap(NULL, 3 * PAGE, read_write, MAP_SHARED, fd, 0);
    unsigned char *tail = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 2 * PAGE);
    MUST(private != MAP_FAILED && shared != MAP_FAILED && tail != MAP_FAILED);
    say_sum("private", private, sizeof contents);
    say_sum("shared", shared, 3 * PAGE);
    say_sum("beyond the end, same page", private + sizeof contents, 96);
    say_access("beyond the last page", tail + PAGE, 0);
    fill(private + PAGE, PAGE, 8);
    say_sum("private, written", private, 3 * PAGE);
    say_file("file after a private write", fd);
    fill(shared + 100, PAGE, 9);
    MUST(msync(shared, 3 * PAGE, MS_SYNC) == 0);
    say_file("file after a shared write", fd);
    say_sum("private page once written stays", private + PAGE, PAGE);
    MUST(munmap(shared, 3 * PAGE) == 0);
    MUST(madvise(private + PAGE, PAGE, MADV_DONTNEED) == 0);
    say_sum("private again from the file", private + PAGE, PAGE);
    close(fd);
    /* Not page 0: whether a private page that was only read follows the file is unspecified (mmap(2)). */
    say_sum("private after close", private + PAGE, 2 * PAGE - 96);

    fd = open(name, O_RDONLY);
    say_call("shared, writable, of a read-only descriptor",
             mmap(NULL, PAGE, read_write, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
    say_call("odd offset", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 100) == MAP_FAILED ? -1 : 0);
    say_call("nothing", mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
    say_call("no such descriptor", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0) == MAP_FAILED ? -1 : 0);
    close(fd);
    unlink(name);
}

static void system_calls_and_memory(void)
{
    unsigned char *at = map(2 * PAGE, read_write);
    int ends[2];
    MUST(pipe(ends) == 0);
    MUST(munmap(at + PAGE, PAGE) == 0);
    say_call("write from nowhere", write(ends[1], at + PAGE, 10));
    MUST(write(ends[1], "abc", 3) == 3);
    say_call("read into nowhere", read(ends[0], at + PAGE, 3));
    say_call("read to untouched memory", read(ends[0], at, 3));
    MUST(mprotect(at, PAGE, PROT_READ) == 0);
    MUST(write(ends[1], "def", 3) == 3);
    say_call("read into read-only memory", read(ends[0], at, 3));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    anonymous_memory();
    protections();
    remapping();
    heap_and_advice();
    mapped_files();
    system_calls_and_memory();
    return 0;
}
