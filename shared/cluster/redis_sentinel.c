#include "cluster/redis_sentinel.h"

#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "core/timer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDIS_SENTINEL_MAGIC 0x7273656eu
#define ADDRESS_MAX          300
#define MOVED_CHANNEL        "+switch-master"

struct redis_sentinel {
    uint32_t magic;
    const struct text_list *sentinels;
    const char *master;
    const struct log_id *log;
    struct log_limit log_limit, hint_limit;
    const struct redis_sentinel_events *events;
    void *arg;

    struct redis_conn *ask, *hint;
    size_t order[REDIS_SENTINELS_MAX];
    size_t at;      /* place in `order` of the one that is asked */
    size_t hint_at; /* of the one that is listened to */
    size_t tries;   /* asked in this search */
    bool asking;
    struct redis_conn *waiting[REDIS_SENTINEL_CONNS_MAX];
    char address[ADDRESS_MAX]; /* the answer; empty: none */
    struct timer step;         /* an answer is here: outside of the connection's own code */
};

/* Sentinels are asked without a password, and know no databases. */
static const struct redis_url nobody;

/* --- words --- */

static bool is_host_byte(uint8_t c)
{
    static const char others[] = "-._:%";
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || (c != '\0' && strchr(others, c) != NULL);
}

bool redis_sentinel_address(struct slice host, struct slice port, char *out, size_t room)
{
    uint64_t number;
    out[0] = '\0';
    bool ok = host.len > 0 && slice_u64(port, UINT16_MAX, &number) == 0 && number > 0;
    for (size_t i = 0; i < host.len; i++)
        ok = ok && is_host_byte(host.p[i]);
    if (!ok)
        return false;
    bool v6 = memchr(host.p, ':', host.len) != NULL;
    int n = snprintf(out, room, "%s%.*s%s:%u", v6 ? "[" : "", SLICE_ARG(host), v6 ? "]" : "",
                     (unsigned)number);
    if (n >= 0 && (size_t)n < room)
        return true;
    out[0] = '\0';
    return false;
}

static struct slice next_word(struct slice *text)
{
    size_t n = 0;
    while (n < text->len && text->p[n] != ' ')
        n++;
    struct slice word = slice_of(text->p, n);
    size_t skip = n < text->len ? n + 1 : n;
    *text = slice_of(text->p + skip, text->len - skip);
    return word;
}

static const char *sentinel_at(const struct redis_sentinel *s, size_t at)
{
    return s->sentinels->items[s->order[at]];
}

static size_t after(const struct redis_sentinel *s, size_t at)
{
    return (at + 1) % s->sentinels->count;
}

static void complain(struct redis_sentinel *s, const char *error)
{
    if (log_limit_pass(&s->log_limit, clock_us(), s->log))
        log_warn(s->log, "redis.sentinel master=%s error=\"%s\"", s->master, error);
}

/* --- asking --- */

static void on_ask_refused(const char *text, void *arg)
{
    complain(OBJ_CAST(struct redis_sentinel, arg, REDIS_SENTINEL_MAGIC), text);
}

static void find_asked(struct redis_conn *c, bool failed, void *arg)
{
    struct redis_sentinel *s = OBJ_CAST(struct redis_sentinel, arg, REDIS_SENTINEL_MAGIC);
    redis_conn_found(c, sentinel_at(s, s->at));
}

static void on_answer(const redisReply *reply, void *arg)
{
    struct redis_sentinel *s = OBJ_CAST(struct redis_sentinel, arg, REDIS_SENTINEL_MAGIC);
    bool found = redis_sentinel_address(redis_text_at(reply, 0), redis_text_at(reply, 1),
                                        s->address, sizeof s->address);
    if (!found && reply != NULL)
        complain(s, redis_is_error(reply) ? reply->str : "the name is not known");
    timer_set_us(&s->step, 0);
}

static void ask(struct redis_sentinel *s)
{
    struct redis_args a;
    s->tries++;
    s->address[0] = '\0';
    redis_conn_start(s->ask);
    redis_args_init(&a);
    redis_arg_list(&a,
                   (const char *const[]){"SENTINEL", "GET-MASTER-ADDR-BY-NAME", s->master, NULL});
    if (redis_conn_command(s->ask, &a, on_answer, s) < 0)
        on_answer(NULL, s);
    redis_args_fini(&a);
}

/* A connection that gave up meanwhile takes neither. */
static void answer_all(struct redis_sentinel *s)
{
    s->asking = false;
    for (size_t i = 0; i < REDIS_SENTINEL_CONNS_MAX; i++) {
        struct redis_conn *c = s->waiting[i];
        s->waiting[i] = NULL;
        if (c != NULL && s->address[0] != '\0')
            redis_conn_found(c, s->address);
        else if (c != NULL)
            redis_conn_drop(c, "no Sentinel knows the master");
    }
}

static void on_step(void *arg)
{
    struct redis_sentinel *s = OBJ_CAST(struct redis_sentinel, arg, REDIS_SENTINEL_MAGIC);
    redis_conn_stop(s->ask);
    if (s->address[0] == '\0')
        s->at = after(s, s->at);
    if (s->address[0] != '\0' || s->tries >= s->sentinels->count)
        answer_all(s);
    else
        ask(s);
}

static void await(struct redis_sentinel *s, struct redis_conn *c)
{
    for (size_t i = 0; i < REDIS_SENTINEL_CONNS_MAX; i++) {
        if (s->waiting[i] == NULL || s->waiting[i] == c) {
            s->waiting[i] = c;
            return;
        }
    }
    panic("more connections than places");
}

void redis_sentinel_find(struct redis_conn *c, bool failed, void *arg)
{
    struct redis_sentinel *s = OBJ_CAST(struct redis_sentinel, arg, REDIS_SENTINEL_MAGIC);
    await(s, c);
    if (s->asking)
        return;
    s->asking = true;
    s->tries = 0;
    if (failed)
        s->at = after(s, s->at);
    ask(s);
}

/* --- the hint --- */

static void find_hint(struct redis_conn *c, bool failed, void *arg)
{
    struct redis_sentinel *s = OBJ_CAST(struct redis_sentinel, arg, REDIS_SENTINEL_MAGIC);
    s->hint_at = after(s, s->hint_at);
    redis_conn_found(c, sentinel_at(s, s->hint_at));
}

static void on_hint_up(void *arg)
{
    struct redis_sentinel *s = OBJ_CAST(struct redis_sentinel, arg, REDIS_SENTINEL_MAGIC);
    struct redis_args a;
    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"SUBSCRIBE", MOVED_CHANNEL, NULL});
    redis_conn_subscribe(s->hint, &a);
    redis_args_fini(&a);
}

/* The text is "NAME OLD_HOST OLD_PORT NEW_HOST NEW_PORT". */
static void on_moved(struct redis_sentinel *s, struct slice text)
{
    char address[ADDRESS_MAX];
    if (!slice_is(next_word(&text), s->master))
        return;
    next_word(&text);
    next_word(&text);
    struct slice host = next_word(&text);
    if (!redis_sentinel_address(host, next_word(&text), address, sizeof address))
        return;
    /* One hint too many is lost: connections that are of no use find out themselves. */
    if (!log_limit_pass(&s->hint_limit, clock_us(), s->log))
        return;
    log_info(s->log, "redis.master address=%s", address);
    s->at = s->hint_at; /* the others may not have heard of it yet */
    s->events->on_moved(address, s->arg);
}

static void on_hint_push(const redisReply *reply, void *arg)
{
    struct redis_sentinel *s = OBJ_CAST(struct redis_sentinel, arg, REDIS_SENTINEL_MAGIC);
    if (redis_is_error(reply))
        complain(s, reply->str);
    else if (slice_is(redis_text_at(reply, 0), "message") &&
             slice_is(redis_text_at(reply, 1), MOVED_CHANNEL))
        on_moved(s, redis_text_at(reply, 2));
}

static const struct redis_conn_events ask_events = {.on_refused = on_ask_refused,
                                                    .on_untrusted = on_ask_refused};
static const struct redis_conn_events hint_events = {.on_up = on_hint_up,
                                                     .on_push = on_hint_push,
                                                     .on_refused = on_ask_refused,
                                                     .on_untrusted = on_ask_refused};

/* --- lifetime --- */

static void draw_order(struct redis_sentinel *s)
{
    size_t count = s->sentinels->count;
    for (size_t i = 0; i < count; i++) {
        size_t j = crypto_random_u64() % (i + 1);
        s->order[i] = s->order[j];
        s->order[j] = i;
    }
}

struct redis_sentinel *redis_sentinel_new(struct worker *w, const struct text_list *sentinels,
                                          const char *master, const char *client,
                                          const struct log_id *log,
                                          const struct redis_sentinel_events *events, void *arg)
{
    must(sentinels->count > 0 && sentinels->count <= REDIS_SENTINELS_MAX);
    struct redis_sentinel *s = xcalloc(1, sizeof *s);
    s->magic = REDIS_SENTINEL_MAGIC;
    s->sentinels = sentinels;
    s->master = master;
    s->log = log;
    s->events = events;
    s->arg = arg;
    draw_order(s);
    s->ask = redis_conn_new(w, &nobody, "redis.sentinel", client, &ask_events, s);
    s->hint = redis_conn_new(w, &nobody, "redis.sentinel", client, &hint_events, s);
    redis_conn_set_finder(s->ask, find_asked, s, false);
    redis_conn_set_finder(s->hint, find_hint, s, false);
    redis_conn_set_quiet(s->ask);
    timer_init(&s->step, w, "redis.sentinel", on_step, s);
    return s;
}

void redis_sentinel_set_tls(struct redis_sentinel *s, struct tls_context *tls)
{
    redis_conn_set_tls(s->ask, tls);
    redis_conn_set_tls(s->hint, tls);
}

void redis_sentinel_start(struct redis_sentinel *s)
{
    redis_conn_start(s->hint);
}

void redis_sentinel_stop(struct redis_sentinel *s)
{
    OBJ_CHECK(s, REDIS_SENTINEL_MAGIC);
    redis_conn_stop(s->ask);
    redis_conn_stop(s->hint);
    timer_stop(&s->step);
    memset(s->waiting, 0, sizeof s->waiting);
    s->asking = false;
}

void redis_sentinel_free(struct redis_sentinel **sp)
{
    struct redis_sentinel *s = *sp;
    *sp = NULL;
    if (s == NULL)
        return;
    redis_sentinel_stop(s);
    redis_conn_free(&s->ask);
    redis_conn_free(&s->hint);
    timer_fini(&s->step);
    OBJ_POISON(s);
    free(s);
}
