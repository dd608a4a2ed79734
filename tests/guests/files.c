/*
 * Files: creation, positions, vectors, appending, holes, truncation, attributes, directories, links,
 * renaming, descriptors and their flags, pipes, poll and select, locks. Works in a new directory below the
 * current one.
 */
#define _GNU_SOURCE
#include "say.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void say_stat(const char *what, const char *path)
{
    struct stat s;
    if (lstat(path, &s) != 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: mode %o links %ld size %ld\n", what, s.st_mode, (long)s.st_nlink,
               S_ISDIR(s.st_mode) ? 0 : (long)s.st_size);
}

static void say_contents(const char *path)
{
    char contents[256];
    int fd = open(path, O_RDONLY);
    ssize_t bytes = read(fd, contents, sizeof contents - 1);
    close(fd);
    contents[bytes < 0 ? 0 : bytes] = '\0';
    for (ssize_t i = 0; i < bytes; i++)
        if (contents[i] == '\0')
            contents[i] = '_';
    printf("%s: '%s'\n", path, contents);
}

static void put(const char *path, const char *contents)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    MUST(fd >= 0);
    MUST(write(fd, contents, strlen(contents)) == (ssize_t)strlen(contents));
    close(fd);
}

static void reading_and_writing(void)
{
    int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0640);
    MUST(fd >= 0);
    say_call("create again", open("a", O_RDWR | O_CREAT | O_EXCL, 0640));
    say_call("write", write(fd, "hello world", 11));
    say_call("lseek", lseek(fd, -5, SEEK_END));
    char buffer[32] = { 0 };
    say_call("read", read(fd, buffer, 32));
    printf("read '%s'\n", buffer);
    say_call("read at the end", read(fd, buffer, 32));
    say_call("pwrite", pwrite(fd, "J", 1, 0));
    say_call("pread", pread(fd, buffer, 5, 0));
    printf("pread '%.5s', position %ld\n", buffer, (long)lseek(fd, 0, SEEK_CUR));
    char one[4] = { 0 }, two[8] = { 0 };
    struct iovec in[] = { { one, 3 }, { NULL, 0 }, { two, 7 } };
    lseek(fd, 0, SEEK_SET);
    say_call("readv", readv(fd, in, 3));
    printf("readv '%s' '%s'\n", one, two);
    struct iovec out[] = { { "<1>", 3 }, { "<22>", 4 }, { "<333>", 5 } };
    say_call("writev", writev(fd, out, 3));
    say_call("pwritev", pwritev(fd, out, 2, 2));
    say_call("lseek before the start", lseek(fd, -1, SEEK_SET));
    close(fd);
    say_contents("a");
    fd = open("a", O_WRONLY | O_APPEND);
    MUST(lseek(fd, 0, SEEK_SET) == 0);
    say_call("append", write(fd, "!", 1));
    say_call("read of write-only", read(fd, buffer, 1));
    close(fd);
    say_contents("a");
    say_call("write of closed", write(fd, "x", 1));
    say_call("open of a directory for writing", open(".", O_WRONLY));
    say_call("open through a file", open("a/b", O_RDONLY));
    say_call("open of nothing", open("", O_RDONLY));
    fd = open("a", O_WRONLY | O_TRUNC);
    close(fd);
    say_stat("after O_TRUNC", "a");
}

static void sizes_and_holes(void)
{
    int fd = open("sparse", O_RDWR | O_CREAT, 0644);
    MUST(pwrite(fd, "end", 3, 10000000) == 3);
    char buffer[8] = "xxxxxxx";
    say_call("read of a hole", pread(fd, buffer, 4, 5000000));
    printf("hole %d%d%d%d\n", buffer[0], buffer[1], buffer[2], buffer[3]);
    struct stat s;
    fstat(fd, &s);
    printf("sparse: size %ld, holes %d\n", (long)s.st_size, s.st_blocks * 512 < 1000000);
    say_call("ftruncate", ftruncate(fd, 5));
    say_call("ftruncate up", ftruncate(fd, 8));
    say_stat("truncated", "sparse");
    say_call("truncate of nothing", truncate("nothing", 5));
    say_call("fallocate", fallocate(fd, 0, 0, 20000));
    say_stat("allocated", "sparse");
    say_call("fsync", fsync(fd));
    close(fd);
}

static void attributes(void)
{
    put("attr", "12345");
    say_call("chmod", chmod("attr", 0600));
    say_stat("chmod", "attr");
    mode_t old = umask(077);
    printf("umask %03o\n", umask(old));
    struct timespec times[2] = { { 1000000000, 5 }, { 1100000000, 123456789 } };
    say_call("utimensat", utimensat(AT_FDCWD, "attr", times, 0));
    struct stat s;
    struct statx x;
    MUST(stat("attr", &s) == 0);
    printf("times %ld.%09ld %ld.%09ld\n", s.st_atim.tv_sec, s.st_atim.tv_nsec, s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
    say_call("statx", statx(AT_FDCWD, "attr", 0, STATX_BASIC_STATS, &x));
    printf("statx size %ld mode %o same inode %d\n", (long)x.stx_size, x.stx_mode, x.stx_ino == s.st_ino);
    printf("owner self %d %d\n", s.st_uid == getuid(), s.st_gid == getgid());
    say_call("access", access("attr", R_OK | W_OK));
    say_call("access of nothing", access("nothing", F_OK));
    say_call("faccessat execute", faccessat(AT_FDCWD, "attr", X_OK, 0));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path)
{
    char *names[64];
    int count = 0;
    DIR *directory = opendir(path);
    MUST(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL && count < 64;) {
        char type = entry->d_type == DT_DIR ? '/' : entry->d_type == DT_LNK ? '@' : entry->d_type == DT_FIFO ? '|' : ' ';
        MUST(asprintf(&names[count++], "%s%c", entry->d_name, type) > 0);
    }
    closedir(directory);
    qsort(names, (size_t)count, sizeof names[0], by_name);
    printf("%s:", path);
    for (int i = 0; i < count; i++)
        printf(" %s", names[i]);
    printf("\n");
}

static void directories(void)
{
    say_call("mkdir", mkdir("d", 0755));
    say_call("mkdir again", mkdir("d", 0755));
    mkdir("d/e", 0700);
    say_call("mkdirat", mkdirat(AT_FDCWD, "d/e/f", 0700));
    int d = open("d", O_RDONLY | O_DIRECTORY);
    int fd = openat(d, "file", O_WRONLY | O_CREAT, 0644);
    say_call("write below a directory", write(fd, "x", 1));
    close(fd);
    say_call("mkfifo", mkfifo("d/fifo", 0600));
    list("d");
    say_call("rmdir of a full one", rmdir("d"));
    say_call("unlink of a directory", unlink("d/e"));
    say_call("chdir", chdir("d/e"));
    char here[PATH_MAX];
    MUST(getcwd(here, sizeof here) != NULL);
    printf("getcwd ends in %s\n", here + strlen(here) - strlen("/d/e"));
    say_call("fchdir", fchdir(d));
    list(".");
    say_call("back", chdir(".."));
    mkdir("many", 0755);
    for (int i = 0; i < 1500; i++) {
        char name[64];
        snprintf(name, sizeof name, "many/a-rather-long-name-for-a-file-%04d", i);
        close(open(name, O_WRONLY | O_CREAT, 0644));
    }
    int count = 0, sum = 0;
    DIR *many = opendir("many");
    for (struct dirent *entry; (entry = readdir(many)) != NULL; count++)
        sum += atoi(entry->d_name + strlen(entry->d_name) - (strlen(entry->d_name) > 4 ? 4 : 0));
    rewinddir(many);
    int again = 0;
    while (readdir(many) != NULL)
        again++;
    closedir(many);
    printf("many: %d entries, sum %d, again %d\n", count, sum, again);
    close(d);
}

static void links_and_names(void)
{
    char buffer[PATH_MAX];
    put("target", "contents");
    say_call("symlink", symlink("target", "sym"));
    say_call("readlink", readlink("sym", buffer, 4));
    printf("readlink '%.4s'\n", buffer);
    say_contents("sym");
    say_stat("lstat", "sym");
    say_call("open with O_NOFOLLOW", open("sym", O_RDONLY | O_NOFOLLOW));
    say_call("link", link("target", "hard"));
    say_stat("two links", "target");
    symlink("nowhere", "dangling");
    say_call("dangling", open("dangling", O_RDONLY));
    symlink("loop2", "loop1");
    symlink("loop1", "loop2");
    say_call("loop", open("loop1", O_RDONLY));
    say_call("rename", rename("target", "renamed"));
    say_stat("old name", "target");
    put("other", "other");
    say_call("rename over", rename("other", "renamed"));
    say_contents("renamed");
    say_contents("hard");
    say_call("rename without replacing", renameat2(AT_FDCWD, "hard", AT_FDCWD, "renamed", RENAME_NOREPLACE));
    say_call("exchange", renameat2(AT_FDCWD, "hard", AT_FDCWD, "renamed", RENAME_EXCHANGE));
    say_contents("hard");
    say_call("rename of a directory into itself", rename("d", "d/e/g"));
    say_call("realpath", realpath("d/../d/./e", buffer) == NULL ? -1 : 0);
    printf("realpath ends in %s\n", strrchr(buffer, '/'));
    int fd = open("hard", O_RDONLY);
    say_call("unlink of an open file", unlink("hard"));
    struct stat s;
    fstat(fd, &s);
    printf("links %ld, still readable %ld\n", (long)s.st_nlink, (long)read(fd, buffer, 100));
    close(fd);
    char proc[64];
    fd = open("renamed", O_RDONLY);
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(proc, buffer, sizeof buffer - 1);
    buffer[length < 0 ? 0 : length] = '\0';
    printf("/proc/self/fd: %s\n", strrchr(buffer, '/') == NULL ? "?" : strrchr(buffer, '/'));
    close(fd);
    memset(buffer, 'n', 300);
    buffer[300] = '\0';
    say_call("a name too long", open(buffer, O_RDONLY));
}

static void descriptors(void)
{
    put("fd", "abcdef");
    for (int fd = 3; fd < 32; fd++)
        close(fd);
    int first = open("fd", O_RDWR), second = dup(first);
    char c;
    printf("lowest free descriptors %d %d\n", first, second);
    say_call("read", read(first, &c, 1));
    say_call("read the copy", read(second, &c, 1));
    printf("they share their position: %c %ld\n", c, (long)lseek(first, 0, SEEK_CUR));
    say_call("dup2", dup2(first, 20));
    say_call("dup2 onto itself", dup2(20, 20));
    printf("dup3 %d\n", dup3(first, 21, O_CLOEXEC));
    say_call("dup3 onto itself", dup3(21, 21, 0));
    printf("F_GETFD %d %d\n", fcntl(20, F_GETFD), fcntl(21, F_GETFD));
    printf("F_DUPFD %d\n", fcntl(first, F_DUPFD, 10));
    printf("F_DUPFD_CLOEXEC %d\n", fcntl(first, F_DUPFD_CLOEXEC, 10));
    printf("F_GETFL %o\n", fcntl(first, F_GETFL) & ~O_LARGEFILE);
    say_call("F_SETFL", fcntl(first, F_SETFL, O_APPEND));
    printf("F_GETFL of the copy %o\n", fcntl(second, F_GETFL) & ~O_LARGEFILE);
    say_call("bad fcntl", fcntl(99, F_GETFD));
    close(20);
    say_call("close twice", close(20));
    say_call("dup2 to a bad number", dup2(first, -1));
    for (int fd = 10; fd < 22; fd++)
        close(fd);
    printf("lowest again %d\n", dup(first));
    say_call("flock", flock(first, LOCK_EX | LOCK_NB));
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 3 };
    say_call("record lock", fcntl(first, F_SETLK, &lock));
    int other = open("fd", O_RDONLY);
    say_call("flock taken", flock(other, LOCK_SH | LOCK_NB));
    say_call("isatty", isatty(other) ? 1 : -1);
    int from = open("fd", O_RDONLY), to = open("copy", O_RDWR | O_CREAT, 0644);
    say_call("sendfile", sendfile(to, from, NULL, 4));
    say_call("copy_file_range", copy_file_range(from, NULL, to, NULL, 10, 0));
    say_contents("copy");
    for (int fd = first; fd <= to; fd++)
        close(fd);
}

static void pipes(void)
{
    int ends[2];
    static char buffer[1 << 17];
    MUST(pipe2(ends, O_NONBLOCK) == 0);
    say_call("read of an empty pipe", read(ends[0], buffer, 1));
    say_call("write", write(ends[1], "pipe", 4));
    int available = 0;
    say_call("FIONREAD", ioctl(ends[0], FIONREAD, &available));
    printf("available %d\n", available);
    say_call("lseek of a pipe", lseek(ends[0], 0, SEEK_CUR));
    struct pollfd both[] = { { ends[0], POLLIN, 0 }, { ends[1], POLLOUT, 0 }, { -1, POLLIN, 7 }, { 77, POLLIN, 0 } };
    say_call("poll", poll(both, 4, 0));
    printf("revents %x %x %x %x\n", both[0].revents, both[1].revents, both[2].revents, both[3].revents);
    memset(buffer, 'p', sizeof buffer);
    say_call("filling the pipe", write(ends[1], buffer, sizeof buffer));
    say_call("a full pipe", write(ends[1], buffer, 1));
    fd_set reading, writing;
    FD_ZERO(&reading);
    FD_ZERO(&writing);
    FD_SET(ends[0], &reading);
    FD_SET(ends[1], &writing);
    struct timeval none = { 0 };
    say_call("select", select(ends[1] + 1, &reading, &writing, NULL, &none));
    printf("select %d %d\n", FD_ISSET(ends[0], &reading), FD_ISSET(ends[1], &writing));
    close(ends[1]);
    long total = 0;
    for (ssize_t bytes; (bytes = read(ends[0], buffer, sizeof buffer)) > 0;)
        total += bytes;
    printf("drained %ld\n", total);
    say_call("end of pipe", read(ends[0], buffer, 1));
    both[0].events = POLLIN;
    poll(both, 1, -1);
    printf("hangup %x\n", both[0].revents);
    close(ends[0]);
    MUST(pipe(ends) == 0);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    say_call("write without a reader", write(ends[1], "x", 1));
    close(ends[1]);
    MUST(pipe(ends) == 0);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    both[0].fd = ends[0];
    say_call("poll with a timeout", poll(both, 1, 30));
    clock_gettime(CLOCK_MONOTONIC, &after);
    long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    say_whether("it took its time", ms >= 29);
    say_call("/dev/null", write(open("/dev/null", O_WRONLY), "x", 1));
    int zero = open("/dev/zero", O_RDONLY);
    say_call("/dev/zero", read(zero, buffer, 100));
    printf("zero %08x\n", checksum(buffer, 100));
}

int main(void)
{
    char base[] = "files-test-XXXXXX";
    MUST(mkdtemp(base) != NULL);
    MUST(chdir(base) == 0);
    umask(022);
    setvbuf(stdout, NULL, _IOLBF, 0);
    reading_and_writing();
    sizes_and_holes();
    attributes();
    directories();
    links_and_names();
    descriptors();
    pipes();
    list(".");
    return 0;
}
