#include "core/memory_guard.h"

#include "base/mem.h"
#include "base/must.h"
#include "core/process.h"

#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_MS       250
#define TIGHT_PERCENT 85
#define OUT_PERCENT   95
#define SLACK_PERCENT 5
#define TRIM_LOOKS    8 /* free memory is given back so often while it is tight: every 2 s */
#define MIB(bytes)    ((bytes) / (1024 * 1024))

struct memory_guard {
    struct workers *group;
    struct log_id log;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    int64_t max_bytes;
    bool end;
};

enum memory_level memory_level_next(enum memory_level now, int64_t rss, int64_t max)
{
    static const int64_t rises[] = {[MEMORY_TIGHT] = TIGHT_PERCENT, [MEMORY_OUT] = OUT_PERCENT};
    enum memory_level level = MEMORY_ENOUGH;
    for (int i = MEMORY_TIGHT; i <= MEMORY_OUT; i++) {
        int64_t percent = rises[i] - ((int)now >= i ? SLACK_PERCENT : 0);
        if (rss >= max / 100 * percent)
            level = (enum memory_level)i;
    }
    return level;
}

static void tell(const struct memory_guard *m, enum memory_level level, int64_t rss, int64_t max)
{
    static const char *const words[] = {"enough", "tight", "out"};
    LOG_AT(level == MEMORY_ENOUGH ? LOG_INFO : LOG_WARN, &m->log,
           "memory.level level=%s rss_mib=%" PRId64 " max_mib=%" PRId64
           " setting=limits.memory_bytes",
           words[level], MIB(rss), MIB(max));
}

static void look(struct memory_guard *m, int64_t max, int count)
{
    enum memory_level before = memory_level(m->group);
    int64_t rss = process_rss_bytes();
    enum memory_level level = memory_level_next(before, rss, max);
    __atomic_store_n(&m->group->memory_level, (int)level, __ATOMIC_RELAXED);
    if (level != before)
        tell(m, level, rss, max);
    if (level != MEMORY_ENOUGH && count % TRIM_LOOKS == 0)
        malloc_trim(0);
}

/* Until the next look; false at the end. */
static bool wait_look(struct memory_guard *m, int64_t *max)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&m->mutex);
    if (!m->end)
        pthread_cond_timedwait(&m->changed, &m->mutex, &until);
    bool end = m->end;
    *max = m->max_bytes;
    pthread_mutex_unlock(&m->mutex);
    return !end;
}

static void *run_guard(void *arg)
{
    struct memory_guard *m = arg;
    int64_t max;
    for (int count = 0; wait_look(m, &max); count++)
        look(m, max, count);
    return NULL;
}

static void guard_destroy(struct memory_guard *m)
{
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

struct memory_guard *memory_guard_new(struct workers *g, int64_t max_bytes)
{
    struct memory_guard *m = xcalloc(1, sizeof *m);
    pthread_condattr_t monotonic;
    m->group = g;
    m->max_bytes = max_bytes;
    m->log = (struct log_id){"memory", -1, 0};
    must(pthread_mutex_init(&m->mutex, NULL) == 0);
    must(pthread_condattr_init(&monotonic) == 0);
    must(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&m->changed, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
    if (process_start_thread(&m->thread, "sluice-memory", run_guard, m) == 0)
        return m;
    guard_destroy(m);
    return NULL;
}

void memory_guard_set_max(struct memory_guard *m, int64_t max_bytes)
{
    pthread_mutex_lock(&m->mutex);
    m->max_bytes = max_bytes;
    pthread_mutex_unlock(&m->mutex);
}

void memory_guard_free(struct memory_guard **mp)
{
    struct memory_guard *m = *mp;
    if (m == NULL)
        return;
    *mp = NULL;
    pthread_mutex_lock(&m->mutex);
    m->end = true;
    pthread_cond_signal(&m->changed);
    pthread_mutex_unlock(&m->mutex);
    pthread_join(m->thread, NULL);
    guard_destroy(m);
}
