/**
 * Numbers, names and argument kinds of the system calls of x86-64 Linux, as include/uapi/asm/unistd_64.h has
 * them.
 *
 * Kinds, one letter per argument: d int, u size or unsigned, l long, x flags, o mode, p pointer, s string.
 * Calls that are neither made nor refused by intent have none.
 */

/** One system call. */
export interface SyscallRow {
  readonly nr: number;
  readonly name: string;
  readonly signature: string;
}

/** Names in the order of their numbers; each may have `:` and its argument kinds behind it. */
const RANGES: readonly (readonly [first: number, names: string])[] = [
  [
    0,
    `
  read:dpu write:dpu open:sxo close:d stat:sp fstat:dp lstat:sp poll:pud lseek:dld mmap:puxxdu mprotect:pux
  munmap:pu brk:p rt_sigaction:dppu rt_sigprocmask:dppu rt_sigreturn ioctl:dxp pread64:dpul pwrite64:dpul
  readv:dpd writev:dpd access:so pipe:p select:dpppp sched_yield mremap:puuxp msync:pux mincore:pup
  madvise:pud shmget shmat shmctl dup:d dup2:dd pause nanosleep:pp getitimer:dp alarm:u setitimer:dpp getpid
  sendfile:ddpu socket:ddd connect:dpd accept sendto recvfrom sendmsg recvmsg shutdown bind listen
  getsockname getpeername socketpair setsockopt getsockopt clone:xpppp fork vfork execve:spp exit:d
  wait4:dpxp kill:dd uname:p semget semop semctl shmdt msgget msgsnd msgrcv msgctl fcntl:ddp flock:dd
  fsync:d fdatasync:d truncate:sl ftruncate:dl getdents:dpu getcwd:pu chdir:s fchdir:d rename:ss mkdir:so
  rmdir:s creat:so link:ss unlink:s symlink:ss readlink:spu chmod:so fchmod:do chown:sdd fchown:ddd
  lchown:sdd umask:o gettimeofday:pp getrlimit:dp getrusage:dp sysinfo:p times:p ptrace getuid syslog getgid
  setuid:d setgid:d geteuid getegid setpgid:dd getppid getpgrp setsid setreuid:dd setregid:dd getgroups:dp
  setgroups:dp setresuid:ddd getresuid:ppp setresgid:ddd getresgid:ppp getpgid:d setfsuid:d setfsgid:d
  getsid:d capget:pp capset:pp rt_sigpending:pu rt_sigtimedwait:pppu rt_sigqueueinfo:ddp rt_sigsuspend:pu
  sigaltstack:pp utime:sp mknod:sou uselib personality:x ustat statfs:sp fstatfs:dp sysfs getpriority:dd
  setpriority:ddd sched_setparam:dp sched_getparam:dp sched_setscheduler:ddp sched_getscheduler:d
  sched_get_priority_max:d sched_get_priority_min:d sched_rr_get_interval:dp mlock:pu munlock:pu mlockall:x
  munlockall vhangup modify_ldt pivot_root _sysctl prctl:dpppp arch_prctl:xp adjtimex setrlimit:dp chroot:s
  sync acct settimeofday mount umount2 swapon swapoff reboot sethostname setdomainname iopl ioperm
  create_module init_module delete_module get_kernel_syms query_module quotactl nfsservctl getpmsg putpmsg
  afs_syscall tuxcall security gettid readahead:dlu setxattr lsetxattr fsetxattr getxattr lgetxattr
  fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr tkill:dd time:p
  futex:pxuppu sched_setaffinity:dup sched_getaffinity:dup set_thread_area io_setup io_destroy io_getevents
  io_submit io_cancel get_thread_area lookup_dcookie epoll_create:d epoll_ctl_old epoll_wait_old
  remap_file_pages getdents64:dpu set_tid_address:p restart_syscall semtimedop fadvise64:dlud
  timer_create:dpp timer_settime:ddpp timer_gettime:dp timer_getoverrun:d timer_delete:d clock_settime:dp
  clock_gettime:dp clock_getres:dp clock_nanosleep:ddpp exit_group:d epoll_wait:dpdd epoll_ctl:dddp
  tgkill:ddd utimes:sp vserver mbind set_mempolicy get_mempolicy mq_open mq_unlink mq_timedsend
  mq_timedreceive mq_notify mq_getsetattr kexec_load waitid:ddpxp add_key request_key keyctl ioprio_set:ddd
  ioprio_get:dd inotify_init inotify_add_watch inotify_rm_watch migrate_pages openat:dsxo mkdirat:dso
  mknodat:dsou fchownat:dsddx futimesat newfstatat:dspx unlinkat:dsx renameat:dsds linkat:dsdsx
  symlinkat:sds readlinkat:dspu fchmodat:dso faccessat:dso pselect6:dppppp ppoll:puppu unshare
  set_robust_list:pu get_robust_list:dpp splice:dpdpux tee:ddux sync_file_range:dllx vmsplice move_pages
  utimensat:dspx epoll_pwait signalfd timerfd_create:dx eventfd:u fallocate:dxll timerfd_settime
  timerfd_gettime accept4 signalfd4:dpux eventfd2:ux epoll_create1:x dup3:ddx pipe2:px inotify_init1:x
  preadv:dpdll pwritev:dpdll rt_tgsigqueueinfo:dddp perf_event_open recvmmsg fanotify_init fanotify_mark
  prlimit64:ddpp name_to_handle_at open_by_handle_at clock_adjtime syncfs:d sendmmsg setns getcpu:ppp
  process_vm_readv process_vm_writev kcmp finit_module sched_setattr:dpx sched_getattr:dpux renameat2:dsdsx
  seccomp getrandom:pux memfd_create:sx kexec_file_load bpf execveat:dsppx userfaultfd membarrier:dxd mlock2
  copy_file_range:dpdpux preadv2:dpdllx pwritev2:dpdllx pkey_mprotect:puxd pkey_alloc:xx pkey_free:d
  statx:dsxxp io_pgetevents rseq:puxx
`,
  ],
  [
    424,
    `
  pidfd_send_signal io_uring_setup:up io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig
  fsmount fspick pidfd_open clone3:pu close_range:uux openat2:dspu pidfd_getfd faccessat2:dsox
  process_madvise epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule
  landlock_restrict_self memfd_secret process_mrelease futex_waitv set_mempolicy_home_node cachestat
  fchmodat2:dsox map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount lsm_get_self_attr
  lsm_set_self_attr lsm_list_modules mseal
`,
  ],
];

/** All calls, by rising number. */
export const SYSCALL_ROWS: readonly SyscallRow[] = RANGES.flatMap(([first, names]) =>
  names
    .trim()
    .split(/\s+/)
    .map((entry, i) => {
      const [name, signature] = entry.split(':');
      return { nr: first + i, name: name!, signature: signature ?? '' };
    }),
);

const BY_NUMBER: ReadonlyMap<number, SyscallRow> = new Map(SYSCALL_ROWS.map((row) => [row.nr, row]));

export function findSyscall(nr: number): SyscallRow | undefined {
  return BY_NUMBER.get(nr);
}

/** Index in the dispatch table of a number that no call has. */
export const UNKNOWN_SYSCALL = SYSCALL_ROWS.at(-1)!.nr + 1;

/** Name by index in the dispatch table, for statistics: gaps are called after their number. */
export const SYSCALL_NAMES: readonly string[] = [
  ...Array.from({ length: UNKNOWN_SYSCALL }, (_, nr) => BY_NUMBER.get(nr)?.name ?? `syscall_${nr}`),
  'unknown',
];
