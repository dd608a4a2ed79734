/* Runs a program and writes the CPU time that it and the descendants it has waited for took to file descriptor 3:
   user and system, in microseconds. The kernel splits the two by guess, their sum is exact. Ends as the program does:
   with its status, or 128 + n if signal n ended it. The program ends with this one.
   usage: cpu-time PROGRAM [ARGUMENTS...] */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static long microseconds(struct timeval time)
{
  return time.tv_sec * 1000000L + time.tv_usec;
}

int main(int argc, char **argv)
{
  struct rusage usage;
  int status;
  pid_t child;

  if (argc < 2 || fcntl(3, F_SETFD, FD_CLOEXEC) < 0) {
    fputs("usage: cpu-time PROGRAM [ARGUMENTS...] 3>FILE\n", stderr);
    return 125;
  }
  child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    _exit(127);
  }
  if (child < 0 || wait4(child, &status, 0, &usage) < 0) {
    perror("cpu-time");
    return 125;
  }
  dprintf(3, "%ld %ld\n", microseconds(usage.ru_utime), microseconds(usage.ru_stime));
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
