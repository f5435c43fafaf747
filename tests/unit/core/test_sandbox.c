#include "test.h"

#include "base/must.h"
#include "core/crash.h"
#include "core/logline.h"
#include "core/sandbox.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each case in a process of its own, since there is no way out of a sandbox: 0 is well, and a
 * signal is the kernel's word. */

static int status_of(int (*scene)(void))
{
    static const struct log_id log = {"test", -1, 0};
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        _exit(sandbox_enter(&log) ? scene() : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int run_program(void)
{
    execl("/bin/true", "true", (char *)NULL);
    return 1;
}

static int run_program_by_fd(void)
{
    syscall(SYS_execveat, -1, "/bin/true", NULL, NULL, 0);
    return 1;
}

static int make_process(void)
{
    return fork() == 0 ? 0 : 1;
}

static int trace(void)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    return 1;
}

static int mount_something(void)
{
    mount("none", "/mnt", "tmpfs", 0, NULL);
    return 1;
}

static int leave_namespace(void)
{
    unshare(CLONE_NEWUSER);
    return 1;
}

static void test_what_only_an_attacker_calls_ends_the_process(void **state)
{
    int (*const scenes[])(void) = {run_program, run_program_by_fd, make_process,
                                   trace,       mount_something,   leave_namespace};
    for (size_t i = 0; i < COUNT_OF(scenes); i++) {
        int status = status_of(scenes[i]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("case %zu ended with %#x", i, (unsigned)status);
    }
}

static bool is_refused(long result)
{
    return result < 0 && errno == EPERM;
}

static int try_what_is_refused(void)
{
    if (!is_refused(socket(AF_PACKET, SOCK_RAW, 0)))
        return 1;
    if (!is_refused(kill(getppid(), 0)))
        return 2;
    if (!is_refused(chmod("/tmp", 0777)))
        return 3;
    if (!is_refused(unlink("/tmp/none")))
        return 4;
    return 0;
}

static void test_other_calls_are_refused(void **state)
{
    assert_int_equal(status_of(try_what_is_refused), 0);
}

static void *look_up(void *arg)
{
    struct addrinfo *found = NULL;
    *(int *)arg = getaddrinfo("localhost", "80", NULL, &found);
    if (found != NULL)
        freeaddrinfo(found);
    return NULL;
}

/* A thread, a name look-up in it, a signal to itself, a file. */
static int try_what_is_needed(void)
{
    pthread_t thread;
    int code = -1;
    if (pthread_create(&thread, NULL, look_up, &code) != 0)
        return 1;
    pthread_join(thread, NULL);
    if (code != 0)
        return 2;
    if (kill(getpid(), 0) != 0)
        return 3;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 4;
    fclose(f);
    return 0;
}

static void test_what_the_server_needs_works(void **state)
{
    assert_int_equal(status_of(try_what_is_needed), 0);
}

/* Threads that are there already are under it, too. */
static void *wait_and_run(void *arg)
{
    while (!__atomic_load_n((int *)arg, __ATOMIC_ACQUIRE))
        sched_yield();
    run_program();
    return NULL;
}

static void test_threads_that_exist_are_confined(void **state)
{
    static const struct log_id log = {"test", -1, 0};
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        pthread_t thread;
        int go = 0;
        setrlimit(RLIMIT_CORE, &no_core);
        must(pthread_create(&thread, NULL, wait_and_run, &go) == 0);
        must(sandbox_enter(&log));
        __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
        pthread_join(thread, NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_only_an_attacker_calls_ends_the_process),
        cmocka_unit_test(test_other_calls_are_refused),
        cmocka_unit_test(test_what_the_server_needs_works),
        cmocka_unit_test(test_threads_that_exist_are_confined),
    };
    if (CRASH_SANITIZED)
        return 0; /* there is no sandbox then */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
