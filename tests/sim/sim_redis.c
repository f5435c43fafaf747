/*
 * Redis and the connections to it: core commands from sim_store.c, scripts in Lua 5.1 (what Redis
 * has) exactly as the product sends them.  The functions of cluster/redis_conn.h are here.
 */
#include "sim.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "cluster/redis_conn.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "core/timer.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MAX      (1024 * 1024)
#define SCRIPTS_MAX    8
#define SHA_TEXT       41
#define ORPHAN_LOOK_US 20000
#define HOUR_US        INT64_C(3600000000)
#define RETRY_FIRST_US 50000
#define RETRY_MAX_US   2000000

struct redis_conn {
    struct list node; /* in server.conns */
    int at;           /* the node */
    struct worker *worker;
    const struct redis_conn_events *events;
    void *arg;
    bool started, up, first, push, subscribed_events;
    char channels[4][160];
    int channel_count;
    struct sim_pipe out, in;
    struct list pending; /* struct pending: sent, in order */
    struct list early;   /* struct request: before the first connection */
    struct sim_event *retry, *deadline;
    int64_t retry_us;
};

struct pending {
    struct list node;
    redis_done *done;
    void *arg;
    int64_t deadline_us;
};

struct request {
    struct list node;
    struct redis_args args;
    int from;
    uint32_t life; /* of the server that it was sent to */
};

static struct {
    struct sim_store *store, *saved;
    struct list conns;
    bool up, frozen;
    int lose_percent;
    int64_t clock_us, latest_us; /* ahead of the world's; the furthest it ever was */
    lua_State *lua;
    struct {
        char sha[SHA_TEXT], *text;
    } scripts[SCRIPTS_MAX];
    int script_count;
    redisReader *reader;
    uint32_t life; /* raised when it is killed */
} server;

/* --- the server --- */

static int64_t unix_us(void)
{
    return clock_wall_us() + server.clock_us;
}

static void send_reply(struct redis_conn *c, const struct buf *bytes)
{
    void *tree = NULL;
    must(redisReaderFeed(server.reader, (const char *)buf_slice(bytes).p, buf_len(bytes)) ==
         REDIS_OK);
    must(redisReaderGetReply(server.reader, &tree) == REDIS_OK && tree != NULL);
    sim_pipe_put(&c->in, tree);
}

static void publish(struct slice channel, struct slice text)
{
    struct redis_conn *c;
    LIST_EACH (c, &server.conns, node) {
        bool wants = false;
        for (int i = 0; c->up && i < c->channel_count; i++)
            wants = wants || slice_is(channel, c->channels[i]);
        if (!wants || sim_chance(server.lose_percent))
            continue;
        struct buf push;
        buf_init(&push, REPLY_MAX);
        must(buf_printf(&push, "*3\r\n$7\r\nmessage\r\n$%zu\r\n%.*s\r\n$%zu\r\n%.*s\r\n",
                        channel.len, SLICE_ARG(channel), text.len, SLICE_ARG(text)) == 0);
        send_reply(c, &push);
        buf_fini(&push);
    }
}

/* --- Lua --- */

static void push_reply(lua_State *l, const redisReply *r)
{
    switch (r->type) {
    case REDIS_REPLY_INTEGER:
        lua_pushnumber(l, (lua_Number)r->integer);
        return;
    case REDIS_REPLY_NIL:
        lua_pushboolean(l, false);
        return;
    case REDIS_REPLY_ARRAY:
        lua_createtable(l, (int)r->elements, 0);
        for (size_t i = 0; i < r->elements; i++) {
            push_reply(l, r->element[i]);
            lua_rawseti(l, -2, (int)i + 1);
        }
        return;
    case REDIS_REPLY_ERROR:
        luaL_error(l, "%s", r->str);
        return;
    default:
        lua_pushlstring(l, r->str, (size_t)r->len);
    }
}

static int lua_call_redis(lua_State *l)
{
    struct slice words[64];
    int count = lua_gettop(l);
    must(count > 0 && count <= 64);
    for (int i = 0; i < count; i++) {
        size_t len;
        const char *text = lua_tolstring(l, i + 1, &len);
        words[i] = slice_of(text, len);
    }
    struct buf out;
    void *tree = NULL;
    buf_init(&out, REPLY_MAX);
    sim_store_run(server.store, unix_us(), words, count, publish, &out);
    must(redisReaderFeed(server.reader, (const char *)buf_slice(&out).p, buf_len(&out)) ==
         REDIS_OK);
    must(redisReaderGetReply(server.reader, &tree) == REDIS_OK);
    buf_fini(&out);
    push_reply(l, tree);
    freeReplyObject(tree);
    return 1;
}

/* As Redis turns a script's value into an answer. */
static void add_value(lua_State *l, struct buf *out)
{
    size_t len;
    const char *text;
    switch (lua_type(l, -1)) {
    case LUA_TNUMBER:
        must(buf_printf(out, ":%lld\r\n", (long long)lua_tonumber(l, -1)) == 0);
        return;
    case LUA_TSTRING:
        text = lua_tolstring(l, -1, &len);
        must(buf_printf(out, "$%zu\r\n%s\r\n", len, text) == 0);
        return;
    case LUA_TTABLE:
        len = lua_objlen(l, -1);
        must(buf_printf(out, "*%zu\r\n", len) == 0);
        for (size_t i = 1; i <= len; i++) {
            lua_rawgeti(l, -1, (int)i);
            add_value(l, out);
            lua_pop(l, 1);
        }
        return;
    default:
        must(buf_printf(out, "$-1\r\n") == 0);
    }
}

static void set_list(const char *name, const struct slice *words, int count)
{
    lua_createtable(server.lua, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushlstring(server.lua, (const char *)words[i].p, words[i].len);
        lua_rawseti(server.lua, -2, i + 1);
    }
    lua_setglobal(server.lua, name);
}

static void run_script(const struct slice *words, int count, struct buf *out)
{
    uint64_t keys;
    int found = -1;
    must(count >= 3 && slice_u64(words[2], (uint64_t)count - 3, &keys) == 0);
    for (int i = 0; i < server.script_count; i++)
        if (slice_is(words[1], server.scripts[i].sha))
            found = i;
    if (found < 0) {
        must(buf_printf(out, "-NOSCRIPT No matching script\r\n") == 0);
        return;
    }
    set_list("KEYS", words + 3, (int)keys);
    set_list("ARGV", words + 3 + keys, count - 3 - (int)keys);
    lua_State *l = server.lua;
    must(luaL_loadstring(l, server.scripts[found].text) == 0);
    if (lua_pcall(l, 0, 1, 0) != 0)
        panic("a script failed: %s", lua_tostring(l, -1));
    add_value(l, out);
    lua_pop(l, 1);
}

static void load_script(struct slice text, struct buf *out)
{
    uint8_t hash[SHA256_SIZE];
    char sha[SHA_TEXT];
    crypto_sha256(text, hash);
    for (int i = 0; i < (SHA_TEXT - 1) / 2; i++)
        snprintf(sha + 2 * i, 3, "%02x", hash[i]);
    must(buf_printf(out, "$%d\r\n%s\r\n", SHA_TEXT - 1, sha) == 0);
    for (int i = 0; i < server.script_count; i++)
        if (strcmp(server.scripts[i].sha, sha) == 0)
            return;
    must(server.script_count < SCRIPTS_MAX);
    memcpy(server.scripts[server.script_count].sha, sha, sizeof sha);
    server.scripts[server.script_count++].text = xstrndup((const char *)text.p, text.len);
}

static void forget_scripts(void)
{
    while (server.script_count > 0)
        free(server.scripts[--server.script_count].text);
}

/* --- a command arrives --- */

static int words_of(const struct redis_args *a, struct slice *words)
{
    const char *at = a->text;
    for (int i = 0; i < a->count; i++) {
        words[i] = slice_of(at, a->lens[i]);
        at += a->lens[i] + 1;
    }
    return a->count;
}

static void subscribe(struct redis_conn *c, struct slice channel, struct buf *out)
{
    must(c->channel_count < 4 &&
         slice_copy(channel, c->channels[c->channel_count], sizeof c->channels[0]));
    c->channel_count++;
    must(buf_printf(out, "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%.*s\r\n:%d\r\n", channel.len,
                    SLICE_ARG(channel), c->channel_count) == 0);
}

static void request_free(void *what)
{
    struct request *q = what;
    redis_args_fini(&q->args);
    free(q);
}

/* c is NULL when the sender has closed its connection. */
static void serve(struct redis_conn *c, struct request *q)
{
    static struct slice words[REDIS_ARGS_MAX];
    struct buf out;
    int count = words_of(&q->args, words);
    buf_init(&out, REPLY_MAX);
    if (slice_is(words[0], "EVALSHA"))
        run_script(words, count, &out);
    else if (slice_is(words[0], "SCRIPT"))
        load_script(words[2], &out);
    else if (!slice_is(words[0], "SUBSCRIBE"))
        sim_store_run(server.store, unix_us(), words, count, publish, &out);
    else if (c != NULL)
        subscribe(c, words[1], &out);
    if (c != NULL)
        send_reply(c, &out);
    buf_fini(&out);
    request_free(q);
}

/* What was sent before the connection was closed still arrives, however late. */
static void on_orphan(void *arg)
{
    struct request *q = arg;
    if (q->life != server.life || !server.up)
        request_free(q);
    else if (sim_is_cut(q->from, SIM_REDIS))
        sim_after(SIM_REDIS, ORPHAN_LOOK_US, on_orphan, q);
    else
        serve(NULL, q);
}

static void orphan(void *what)
{
    sim_after(SIM_REDIS, (int64_t)sim_random(ORPHAN_LOOK_US), on_orphan, what);
}

static void on_arrived(void *what, void *arg)
{
    struct request *q = what;
    int before = sim_enter(SIM_WORLD);
    if (q->life == server.life && server.up)
        serve(arg, q);
    else
        request_free(q);
    sim_leave(before);
}

/* --- the connection --- */

static void lose(struct redis_conn *c);

static void free_reply(void *what)
{
    freeReplyObject(what);
}

static void on_deadline(void *arg)
{
    struct redis_conn *c = arg;
    c->deadline = NULL;
    lose(c);
}

static void set_deadline(struct redis_conn *c)
{
    const struct pending *p = LIST_FIRST(&c->pending, struct pending, node);
    sim_cancel(&c->deadline);
    if (p == NULL)
        return;
    int64_t left_us = p->deadline_us - clock_us();
    c->deadline = sim_after(c->at, left_us > 0 ? left_us : 0, on_deadline, c);
}

static void on_answer(void *what, void *arg)
{
    struct redis_conn *c = arg;
    if (c->push) {
        c->events->on_push(what, c->arg);
        free_reply(what);
        return;
    }
    struct pending *p = LIST_FIRST(&c->pending, struct pending, node);
    must(p != NULL);
    list_remove(&p->node);
    if (p->done != NULL)
        p->done(what, p->arg);
    free(p);
    free_reply(what);
    set_deadline(c);
}

static void close_pipes(struct redis_conn *c)
{
    sim_pipe_fini(&c->out);
    sim_pipe_fini(&c->in);
    sim_pipe_init(&c->out, c->at, SIM_REDIS, on_arrived, orphan, c);
    sim_pipe_init(&c->in, SIM_REDIS, c->at, on_answer, free_reply, c);
    c->channel_count = 0;
}

static void fail_pending(struct redis_conn *c)
{
    struct list failed = LIST_INIT(failed);
    struct pending *p, *tmp;
    list_splice(&failed, &c->pending);
    LIST_EACH_SAFE (p, tmp, &failed, node) {
        list_remove(&p->node);
        if (p->done != NULL)
            p->done(NULL, p->arg);
        free(p);
    }
}

static void drop_early(struct redis_conn *c)
{
    struct request *q, *tmp;
    LIST_EACH_SAFE (q, tmp, &c->early, node) {
        list_remove(&q->node);
        request_free(q);
    }
}

static void on_retry(void *arg);

static void tear_down(struct redis_conn *c)
{
    bool was_up = c->up;
    c->up = false;
    c->first = false;
    c->push = false;
    sim_cancel(&c->deadline);
    sim_cancel(&c->retry);
    close_pipes(c);
    drop_early(c);
    fail_pending(c);
    if (was_up && c->events->on_down != NULL)
        c->events->on_down(c->arg);
}

static void lose(struct redis_conn *c)
{
    tear_down(c);
    if (!c->started)
        return;
    c->retry = sim_after(c->at, c->retry_us, on_retry, c);
    c->retry_us = 2 * c->retry_us < RETRY_MAX_US ? 2 * c->retry_us : RETRY_MAX_US;
}

static void on_retry(void *arg)
{
    struct redis_conn *c = arg;
    struct request *q, *tmp;
    c->retry = NULL;
    if (!server.up || server.frozen || sim_is_cut(c->at, SIM_REDIS)) {
        lose(c);
        return;
    }
    c->up = true;
    c->first = false;
    c->retry_us = RETRY_FIRST_US;
    LIST_EACH_SAFE (q, tmp, &c->early, node) {
        list_remove(&q->node);
        sim_pipe_put(&c->out, q);
    }
    c->events->on_up(c->arg);
}

struct redis_conn *redis_conn_new(struct worker *w, const struct redis_url *url, const char *kind,
                                  const char *client, const struct redis_conn_events *events,
                                  void *arg)
{
    struct redis_conn *c = xcalloc(1, sizeof *c);
    c->at = w->mailbox_fd;
    c->worker = w;
    c->events = events;
    c->arg = arg;
    c->first = true;
    c->retry_us = RETRY_FIRST_US;
    list_init(&c->pending);
    list_init(&c->early);
    sim_pipe_init(&c->out, c->at, SIM_REDIS, on_arrived, orphan, c);
    sim_pipe_init(&c->in, SIM_REDIS, c->at, on_answer, free_reply, c);
    list_append(&server.conns, &c->node);
    return c;
}

void redis_conn_start(struct redis_conn *c)
{
    c->started = true;
    c->retry = sim_after(c->at, 300, on_retry, c);
}

void redis_conn_stop(struct redis_conn *c)
{
    c->started = false;
    tear_down(c);
}

void redis_conn_free(struct redis_conn **cp)
{
    struct redis_conn *c = *cp;
    *cp = NULL;
    if (c == NULL)
        return;
    c->started = false;
    tear_down(c);
    list_remove(&c->node);
    free(c);
}

bool redis_conn_is_up(const struct redis_conn *c)
{
    return c->up;
}

static struct request *request_of(int from, const struct redis_args *a)
{
    struct request *q = xcalloc(1, sizeof *q);
    struct slice words[1];
    const char *at = a->text;
    q->from = from;
    q->life = server.life;
    redis_args_init(&q->args);
    for (int i = 0; i < a->count; i++) {
        words[0] = slice_of(at, a->lens[i]);
        redis_arg_slice(&q->args, words[0]);
        at += a->lens[i] + 1;
    }
    return q;
}

int redis_conn_command(struct redis_conn *c, const struct redis_args *a, redis_done *done,
                       void *arg)
{
    if (!c->up && !c->first)
        return ERR_CLOSED;
    struct pending *p = xcalloc(1, sizeof *p);
    p->done = done;
    p->arg = arg;
    p->deadline_us = clock_us() + REDIS_COMMAND_MS * 1000;
    list_append(&c->pending, &p->node);
    struct request *q = request_of(c->at, a);
    if (c->up)
        sim_pipe_put(&c->out, q);
    else
        list_append(&c->early, &q->node);
    if (c->deadline == NULL)
        set_deadline(c);
    return 0;
}

void redis_conn_subscribe(struct redis_conn *c, const struct redis_args *a)
{
    c->push = true;
    if (c->up)
        sim_pipe_put(&c->out, request_of(c->at, a));
}

void redis_conn_set_quiet(struct redis_conn *c)
{
}

/* There is one Redis, and no Sentinel. */
void redis_conn_set_tls(struct redis_conn *c, struct tls_context *tls)
{
}

void redis_conn_set_finder(struct redis_conn *c, redis_find *find, void *arg, bool master)
{
}

void redis_conn_found(struct redis_conn *c, const char *address)
{
}

void redis_conn_move(struct redis_conn *c, const char *address)
{
}

const char *redis_conn_address(const struct redis_conn *c)
{
    return "redis:6379";
}

void redis_conn_drop(struct redis_conn *c, const char *why)
{
    if (c->up)
        lose(c);
}

/* --- what the world does to it --- */

static void reset_one(void *arg)
{
    struct redis_conn *c = arg;
    c->retry = NULL;
    lose(c);
}

/* The peers learn of it when the reset arrives; one that is frozen, later. */
static void reset_all(void)
{
    struct redis_conn *c;
    LIST_EACH (c, &server.conns, node) {
        if (!c->up)
            continue;
        close_pipes(c);
        sim_cancel(&c->retry);
        c->retry = sim_after(c->at, 200 + (int64_t)sim_random(1000), reset_one, c);
    }
}

static void set_frozen(bool frozen)
{
    server.frozen = frozen;
    sim_freeze(SIM_REDIS, frozen);
}

void sim_redis_fault(enum sim_redis_fault fault)
{
    switch (fault) {
    case SIM_REDIS_KILL:
        if (!server.up)
            return;
        set_frozen(false);
        server.up = false;
        server.life++;
        reset_all();
        sim_store_clear(server.store);
        forget_scripts();
        return;
    case SIM_REDIS_RETURN:
        server.up = true;
        return;
    case SIM_REDIS_FREEZE:
    case SIM_REDIS_THAW:
        if (server.up)
            set_frozen(fault == SIM_REDIS_FREEZE);
        return;
    case SIM_REDIS_WIPE:
        sim_store_clear(server.store);
        return;
    case SIM_REDIS_SAVE:
        sim_store_free(&server.saved);
        server.saved = sim_store_copy(server.store);
        return;
    case SIM_REDIS_ROLLBACK:
        if (server.saved == NULL || !server.up)
            return;
        sim_store_free(&server.store);
        server.store = server.saved;
        server.saved = NULL;
        reset_all();
        return;
    case SIM_REDIS_CLOCK:
        server.clock_us += sim_chance(50) ? HOUR_US : -HOUR_US;
        if (server.latest_us < server.clock_us)
            server.latest_us = server.clock_us;
        return;
    case SIM_REDIS_LATER:
        server.latest_us += HOUR_US;
        server.clock_us = server.latest_us;
        return;
    case SIM_REDIS_EXPIRE:
        sim_store_expire_leases(server.store);
        return;
    }
}

bool sim_redis_is_well(void)
{
    return server.up && !server.frozen;
}

void sim_redis_lose_events(int percent)
{
    server.lose_percent = percent;
}

bool sim_redis_stream(const char *name, const char *field, char *out, size_t room)
{
    char key[256];
    snprintf(key, sizeof key, "sluice:{default}:stream:%s", name);
    return sim_store_field(server.store, unix_us(), key, field, out, room);
}

void sim_redis_start(void)
{
    memset(&server, 0, sizeof server);
    server.store = sim_store_new();
    server.up = true;
    list_init(&server.conns);
    server.reader = redisReaderCreate();
    server.lua = luaL_newstate();
    luaL_openlibs(server.lua);
    lua_createtable(server.lua, 0, 1);
    lua_pushcfunction(server.lua, lua_call_redis);
    lua_setfield(server.lua, -2, "call");
    lua_setglobal(server.lua, "redis");
}

void sim_redis_end(void)
{
    must(list_empty(&server.conns));
    forget_scripts();
    sim_store_free(&server.store);
    sim_store_free(&server.saved);
    redisReaderFree(server.reader);
    lua_close(server.lua);
}
