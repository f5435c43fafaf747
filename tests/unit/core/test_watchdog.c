#include "test.h"

#include "base/must.h"
#include "core/clock.h"
#include "core/crash.h"
#include "core/logline.h"
#include "core/watchdog.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Each case is a process of its own, since most of them end it; what it says comes by a pipe. */

#define DEADLINE_MS 30000
#define SAID_MAX    65536

struct said {
    char text[SAID_MAX];
    int status;
};

static void run_apart(void (*scene)(void), struct said *out)
{
    int ends[2];
    size_t len = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        log_setup(LOG_INFO, false);
        scene();
        _exit(0);
    }
    close(ends[1]);
    struct pollfd readable = {.fd = ends[0], .events = POLLIN};
    ssize_t n = 1;
    while (n > 0 && len < SAID_MAX - 1) {
        if (poll(&readable, 1, DEADLINE_MS) <= 0) {
            kill(pid, SIGKILL);
            break;
        }
        n = read(ends[0], out->text + len, SAID_MAX - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    out->text[len] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &out->status, 0), pid);
}

static void assert_said(const struct said *s, const char *what)
{
    if (strstr(s->text, what) == NULL)
        fail_msg("no \"%s\" in:\n%s", what, s->text);
}

static size_t count_said(const struct said *s, const char *what)
{
    size_t count = 0;
    for (const char *p = s->text; (p = strstr(p, what)) != NULL; p++)
        count++;
    return count;
}

static void assert_aborted(const struct said *s)
{
    if (!WIFSIGNALED(s->status) || WTERMSIG(s->status) != SIGABRT)
        fail_msg("ended with %#x:\n%s", (unsigned)s->status, s->text);
}

/* ---- a loop that is stuck ---- */

struct busy {
    struct message message;
    int64_t us;
    int done; /* atomic */
};

static int64_t worked_us(void)
{
    struct timespec t;
    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Time without a processor is not the handler's. */
static void on_busy(struct message *m)
{
    struct busy *b = (struct busy *)(void *)m;
    int64_t until_us = worked_us() + b->us;
    while (worked_us() < until_us)
        ;
    __atomic_store_n(&b->done, 1, __ATOMIC_RELEASE);
}

/* A lock that nobody gives back: no processor time goes by. */
static void on_sleep(struct message *m)
{
    struct busy *b = (struct busy *)(void *)m;
    int64_t until_us = clock_us() + b->us;
    while (clock_us() < until_us)
        poll(NULL, 0, 1000);
    __atomic_store_n(&b->done, 1, __ATOMIC_RELEASE);
}

static void run_watched(void (*run)(struct message *m), int64_t us, int64_t abort_us)
{
    struct workers g;
    struct busy busy = {.message = {.run = run}, .us = us};
    must(workers_init(&g, NULL, 2) == 0);
    must(workers_start(&g) == 0);
    const struct watchdog_options o = {WATCHDOG_WARN_US, abort_us};
    struct watchdog *d = watchdog_new(&g, &o);
    must(d != NULL);
    worker_post(&g.workers[1], &busy.message);
    while (!__atomic_load_n(&busy.done, __ATOMIC_ACQUIRE))
        poll(NULL, 0, 10);
    watchdog_free(&d);
    workers_stop(&g);
    workers_fini(&g);
}

static void late_scene(void)
{
    run_watched(on_busy, 700000, 30000000);
}

static void stuck_scene(void)
{
    run_watched(on_busy, 600000000, 500000);
}

static void locked_scene(void)
{
    run_watched(on_sleep, 600000000, 500000);
}

static void idle_scene(void)
{
    run_watched(on_busy, 0, 500000);
    run_watched(on_busy, 20000, 500000);
}

#define BLOCKS   7
#define BLOCK_US 180000

static const struct log_id test_log = {"test", 0, 0};

/* Waits, as on_sleep(), and says when that began. */
static void on_block(struct message *m)
{
    log_info(&test_log, "test.began");
    on_sleep(m);
}

/* At other times of the watchdog's than the ones before. */
static void blocks_scene(void)
{
    static const int64_t apart_us[BLOCKS] = {0, 50000, 10000, 40000, 20000, 30000, 57000};
    struct workers g;
    must(workers_init(&g, NULL, 2) == 0);
    must(workers_start(&g) == 0);
    const struct watchdog_options o = {WATCHDOG_WARN_US, 0};
    struct watchdog *d = watchdog_new(&g, &o);
    must(d != NULL);
    for (size_t i = 0; i < BLOCKS; i++) {
        struct busy block = {.message = {.run = on_block}, .us = BLOCK_US};
        poll(NULL, 0, (int)(apart_us[i] / 1000));
        worker_post(&g.workers[1], &block.message);
        while (!__atomic_load_n(&block.done, __ATOMIC_ACQUIRE))
            poll(NULL, 0, 1);
    }
    watchdog_free(&d);
    workers_stop(&g);
    workers_fini(&g);
}

/* "2026-11-23T22:06:00.123Z …": the milliseconds of the day. */
static int64_t line_ms(const char *line)
{
    int64_t hours = strtol(line + 11, NULL, 10), minutes = strtol(line + 14, NULL, 10);
    return ((hours * 60 + minutes) * 60 + strtol(line + 17, NULL, 10)) * 1000 +
           strtol(line + 20, NULL, 10);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* From each block to the line about it, the shortest first; returns how many were told. */
static size_t read_delays(char *text, int64_t *out)
{
    int64_t began_ms = -1;
    size_t count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strstr(line, " test.began") != NULL)
            began_ms = line_ms(line);
        if (strstr(line, " w1/worker loop.stuck what=message ") == NULL || count == BLOCKS)
            continue;
        assert_true(began_ms >= 0);
        out[count++] = (line_ms(line) - began_ms + 86400000) % 86400000;
        began_ms = -1;
    }
    qsort(out, count, sizeof *out, by_size);
    return count;
}

/* Each look costs, so there are few; still it is told as soon as it is due.  A busy machine makes
 * some late, not most. */
static void test_a_late_handler_is_told_in_time(void **state)
{
    int64_t slow = CRASH_SANITIZED || getenv("SLUICE_SLOW") != NULL ? 3 : 1;
    int64_t delays_ms[BLOCKS];
    struct said s;
    run_apart(blocks_scene, &s);
    assert_int_equal(s.status, 0);
    size_t count = read_delays(s.text, delays_ms);
    assert_in_range(count, BLOCKS / 2 + 1, BLOCKS);
    print_message("told after %d, %d, %d ms: the shortest, the median, the longest\n",
                  (int)delays_ms[0], (int)delays_ms[count / 2], (int)delays_ms[count - 1]);
    assert_in_range(delays_ms[0], WATCHDOG_WARN_US / 2000, 120 * slow);
    assert_in_range(delays_ms[count / 2], WATCHDOG_WARN_US * 9 / 10000, 150 * slow);
}

static void test_a_late_handler_is_told_once(void **state)
{
    struct said s;
    run_apart(late_scene, &s);
    assert_int_equal(s.status, 0);
    assert_said(&s, "warn w1/worker loop.stuck what=message ms=1");
    assert_int_equal(count_said(&s, "loop.stuck"), 1);
    assert_said(&s, ",test_watchdog+0x");
    assert_said(&s, "loop.slow what=message");
}

static void test_a_stuck_loop_ends_the_process(void **state)
{
    static void (*const scenes[])(void) = {stuck_scene, locked_scene};
    for (size_t i = 0; i < COUNT_OF(scenes); i++) {
        struct said s;
        run_apart(scenes[i], &s);
        assert_aborted(&s);
        assert_said(&s, "error w1/worker loop.dead what=message ms=5");
        assert_said(&s, "w1/worker process.panic_frame n=3 at=");
    }
}

static void test_idle_workers_are_left_alone(void **state)
{
    struct said s;
    run_apart(idle_scene, &s);
    assert_int_equal(s.status, 0);
    assert_int_equal(count_said(&s, "loop.dead"), 0);
}

/* ---- broken promises ---- */

static void panic_scene(void)
{
    crash_setup();
    must(getpid() == 0);
}

static void json_scene(void)
{
    log_setup(LOG_INFO, true);
    panic_scene();
}

static void abort_scene(void)
{
    crash_setup();
    abort();
}

static void test_a_panic_is_a_log_line(void **state)
{
    struct said s;
    run_apart(panic_scene, &s);
    assert_aborted(&s);
    assert_said(&s, "Z error panic process.panic what=\"");
    assert_said(&s, "test_watchdog.c:");
    assert_said(&s, "panic_scene: must(getpid() == 0)\"\n");
    assert_said(&s, "Z error panic process.panic_frame n=1 at=test_watchdog+0x");
    assert_int_equal(count_said(&s, "process.panic what="), 1);
}

static void test_a_panic_is_a_json_line(void **state)
{
    struct said s;
    run_apart(json_scene, &s);
    assert_aborted(&s);
    assert_said(&s, "\"object\":\"panic\",\"event\":\"process.panic\",\"what\":\"");
}

static void test_an_abort_of_others_is_told(void **state)
{
    struct said s;
    run_apart(abort_scene, &s);
    assert_aborted(&s);
    assert_said(&s, "process.panic what=\"signal 6");
    assert_said(&s, "at=test_watchdog+0x");
}

static void fault_scene(void)
{
    volatile int *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    crash_setup();
    *closed = 1;
}

static void test_a_fault_is_told(void **state)
{
    struct said s;
    if (CRASH_SANITIZED)
        return; /* they tell it themselves */
    run_apart(fault_scene, &s);
    assert_true(WIFSIGNALED(s.status));
    assert_int_equal(WTERMSIG(s.status), SIGSEGV);
    assert_said(&s, "process.panic what=\"signal 11 at 0x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_late_handler_is_told_once),
        cmocka_unit_test(test_a_late_handler_is_told_in_time),
        cmocka_unit_test(test_a_stuck_loop_ends_the_process),
        cmocka_unit_test(test_idle_workers_are_left_alone),
        cmocka_unit_test(test_a_panic_is_a_log_line),
        cmocka_unit_test(test_a_panic_is_a_json_line),
        cmocka_unit_test(test_an_abort_of_others_is_told),
        cmocka_unit_test(test_a_fault_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
