#include "core/sandbox.h"

#include "core/crash.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* clang-format off */

/* By name, as architectures differ; one that this library or kernel does not know is left out. */
static const char *const allowed[] = {
    /* bytes, files: certificates, hosts, resolv.conf, /proc, random */
    "access", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fcntl",
    "fcntl64", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "getcwd", "getdents64",
    "lseek", "_llseek", "lstat", "lstat64", "newfstatat", "open", "openat", "pread64", "preadv",
    "read", "readlink", "readlinkat", "readv", "stat", "stat64", "statfs", "statfs64", "statx",
    "write", "writev", "getrandom", "openat2",
    /* sockets */
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "ioctl",
    "listen", "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendfile",
    "sendfile64", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socketpair",
    /* loops, clocks */
    "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep",
    "clock_nanosleep_time64", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "gettimeofday", "nanosleep", "pipe",
    "pipe2", "poll", "ppoll", "ppoll_time64", "pselect6", "pselect6_time64", "select",
    "_newselect", "time", "timerfd_create", "timerfd_gettime", "timerfd_gettime64",
    "timerfd_settime", "timerfd_settime64", "setitimer",
    /* memory */
    "brk", "get_mempolicy", "madvise", "membarrier", "mincore", "mlock", "mlock2", "mmap", "mmap2",
    "mprotect", "mremap", "munlock", "munmap",
    /* threads */
    "arch_prctl", "exit", "exit_group", "futex", "futex_time64", "get_robust_list", "getcpu",
    "getpriority", "rseq", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_setaffinity",
    "sched_setscheduler", "sched_yield", "set_robust_list", "set_tid_address", "set_thread_area",
    "setpriority",
    /* signals */
    "alarm", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "sigaltstack", "sigreturn",
    /* who and where we are */
    "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups",
    "getgroups32", "getpgrp", "getpid", "getppid", "getresgid", "getresuid", "getrlimit",
    "getrusage", "gettid", "getuid", "getuid32", "prctl", "prlimit64", "setrlimit", "sysinfo",
    "times", "ugetrlimit", "umask", "uname",
};

/* What nothing in here may ever call. */
static const char *const killed[] = {
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
    "mount", "umount2", "move_mount", "open_tree", "fsopen", "fsmount", "pivot_root", "chroot",
    "unshare", "setns", "bpf", "kexec_load", "kexec_file_load", "init_module", "finit_module",
    "delete_module", "reboot", "swapon", "swapoff", "userfaultfd", "keyctl", "add_key",
    "request_key", "open_by_handle_at", "iopl", "ioperm", "acct", "quotactl",
};

/* clang-format on */

/* To ourselves only: the process is the first argument. */
static const char *const own_signals[] = {"kill", "tgkill", "rt_tgsigqueueinfo"};

/* Local sockets are the name service's, netlink lists the interfaces. */
static const int families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};

/* A call that is added twice, or unknown, is no failure of the whole. */
static void add(scmp_filter_ctx filter, uint32_t action, const char *name)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number != __NR_SCMP_ERROR)
        seccomp_rule_add(filter, action, number, 0);
}

/* Flags of clone3 lie in memory, where a filter cannot look: the C library takes ENOSYS for an old
 * kernel and calls clone. */
static int add_threads(scmp_filter_ctx filter)
{
    int err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (err == 0)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (err == 0)
        err = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    return err;
}

static int add_narrowed(scmp_filter_ctx filter)
{
    int err = add_threads(filter);
    for (size_t i = 0; i < sizeof families / sizeof families[0] && err == 0; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                               SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
    for (size_t i = 0; i < sizeof own_signals / sizeof own_signals[0] && err == 0; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(own_signals[i]),
                               1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    return err;
}

static int fill(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        add(filter, SCMP_ACT_ALLOW, allowed[i]);
    for (size_t i = 0; i < sizeof killed / sizeof killed[0]; i++)
        add(filter, SCMP_ACT_KILL_PROCESS, killed[i]);
    int err = add_narrowed(filter);
    if (err == 0)
        err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    /* Older kernels do not keep a log of it. */
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    /* A search tree: some seven comparisons for each call, not two hundred. */
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    return err != 0 ? err : seccomp_load(filter);
}

bool sandbox_enter(const struct log_id *log)
{
    if (CRASH_SANITIZED) {
        log_info(log, "process.seccomp_off why=\"built with a sanitizer\"");
        return false;
    }
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int err = filter != NULL ? fill(filter) : -ENOMEM;
    seccomp_release(filter);
    if (err == 0)
        return true;
    log_warn(log, "process.seccomp_off why=\"%s\"", strerror(-err));
    return false;
}
