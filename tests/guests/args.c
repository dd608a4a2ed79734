/*
 * What a program finds at its start: arguments, environment, auxiliary vector, identity, limits. Of the
 * environment only variables named GUEST_… are shown, sorted: a shell that starts the program adds others
 * and changes the order.
 */
#define _GNU_SOURCE
#include "say.h"
#include <cpuid.h>
#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

extern char **environ;
extern void _start(void);
extern const char __ehdr_start[];

static void say_auxiliary_vector(char *argv[])
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)__ehdr_start;
    unsigned eax, ebx, ecx, edx;
    __cpuid(1, eax, ebx, ecx, edx);
    printf("page size %lu, clock ticks %lu\n", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK));
    printf("program headers: %lu of %lu bytes\n", getauxval(AT_PHNUM), getauxval(AT_PHENT));
    say_whether("AT_PHDR", getauxval(AT_PHDR) == (uintptr_t)__ehdr_start + header->e_phoff);
    say_whether("AT_ENTRY", getauxval(AT_ENTRY) == (uintptr_t)_start);
    printf("AT_BASE %lu, AT_FLAGS %lu, AT_SECURE %lu\n", getauxval(AT_BASE), getauxval(AT_FLAGS),
           getauxval(AT_SECURE));
    say_whether("ids", getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid() &&
                           getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
    printf("platform %s\n", (const char *)getauxval(AT_PLATFORM));
    printf("AT_EXECFN %s\n", strrchr((const char *)getauxval(AT_EXECFN), '/'));
    /* The kernel masks some of CPUID's bits; SSE2 and the FPU are part of x86-64. */
    say_whether("AT_HWCAP", (getauxval(AT_HWCAP) & ~edx) == 0 && (getauxval(AT_HWCAP) & 0x4000001) == 0x4000001);
    say_whether("AT_HWCAP2 has FSGSBASE or nothing", (getauxval(AT_HWCAP2) & ~2ul) == 0);
    say_whether("AT_MINSIGSTKSZ", getauxval(AT_MINSIGSTKSZ) >= 1000);
    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
    int different = 0;
    for (int i = 1; i < 16; i++)
        different |= random[i] != random[0];
    say_whether("AT_RANDOM points to 16 bytes", different);
    /* AMD64 ABI, figure 3.9: argc lies on a 16-byte boundary, directly below argv[0]. */
    say_whether("stack alignment", ((uintptr_t)argv - 8) % 16 == 0);
}

static void say_identity(void)
{
    struct utsname name;
    char path[256] = { 0 };
    MUST(uname(&name) == 0);
    printf("system %s, machine %s\n", name.sysname, name.machine);
    say_whether("release at least 6.1", atof(name.release) >= 6.1 || atoi(name.release) > 6);
    say_whether("process ids", getpid() > 0 && getppid() >= 0 && getpid() == gettid());
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    printf("/proc/self/exe %s\n", length > 0 ? strrchr(path, '/') : "?");
    int fd = open("/proc/self/maps", O_RDONLY);
    static char maps[65536];
    size_t bytes = 0;
    for (ssize_t got; (got = read(fd, maps + bytes, sizeof maps - 1 - bytes)) > 0;)
        bytes += (size_t)got;
    say_whether("/proc/self/maps has program, heap and stack",
                strstr(maps, path) && strstr(maps, "[heap]") && strstr(maps, "[stack]"));
}

static void say_limits(void)
{
    struct rlimit limit;
    MUST(getrlimit(RLIMIT_STACK, &limit) == 0);
    say_whether("stack limit", limit.rlim_cur >= 1 << 20);
    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    say_whether("descriptor limit", limit.rlim_cur >= 64);
    limit.rlim_cur = 64;
    say_call("lowering a limit", setrlimit(RLIMIT_NOFILE, &limit));
    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    printf("lowered to %lu\n", (unsigned long)limit.rlim_cur);
    int last = 0;
    for (int fd; (fd = open("/dev/null", O_RDONLY)) >= 0;)
        last = fd;
    printf("last descriptor %d: %s\n", last, strerrorname_np(errno));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void say_environment(void)
{
    size_t count = 0;
    while (environ[count] != NULL)
        count++;
    qsort(environ, count, sizeof environ[0], by_name);
    for (char **variable = environ; *variable != NULL; variable++)
        if (strncmp(*variable, "GUEST_", 6) == 0)
            printf("%s\n", *variable);
}

int main(int argc, char *argv[])
{
    printf("argc %d\n", argc);
    for (int i = 1; i < argc; i++)
        printf("argv[%d] %zu '%s'\n", i, strlen(argv[i]), argv[i]);
    say_whether("argv ends", argv[argc] == NULL);
    say_whether("environ follows", environ == argv + argc + 1);
    say_environment();
    say_auxiliary_vector(argv);
    say_identity();
    say_limits();
    return argc;
}
