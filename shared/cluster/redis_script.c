/*
 * Scripts by their SHA1: SCRIPT LOAD when it is not known, EVALSHA, and once more from the start
 * when Redis answers NOSCRIPT (it was restarted).
 */
#include "cluster/redis_internal.h"

#include "base/mem.h"
#include "cluster/redis_lua.h"

#include <stdlib.h>
#include <string.h>

static const char *const texts[SCRIPT_COUNT] = {
    [SCRIPT_ACQUIRE] = redis_lua_acquire,
    [SCRIPT_RENEW] = redis_lua_renew,
    [SCRIPT_RELEASE] = redis_lua_release,
};

struct call {
    struct redis *redis;
    enum redis_script_id id;
    struct redis_args args;
    redis_done *done;
    void *arg;
    bool reloaded;
};

static const char sha_unknown[] = "0000000000000000000000000000000000000000";
_Static_assert(sizeof sha_unknown == REDIS_SHA_TEXT + 1, "the place of a SHA1");

void redis_script_args(struct redis_args *a, int key_count)
{
    redis_args_init(a);
    redis_arg(a, "EVALSHA");
    redis_arg(a, sha_unknown);
    redis_arg_i64(a, key_count);
}

static void finish(struct call *call, const redisReply *reply)
{
    call->done(reply, call->arg);
    redis_args_fini(&call->args);
    free(call);
}

static int load(struct call *call);

static void on_evaluated(const redisReply *reply, void *arg)
{
    struct call *call = arg;
    if (redis_error_kind(reply) != REDIS_ERROR_RELOAD || call->reloaded) {
        finish(call, reply);
        return;
    }
    call->reloaded = true;
    call->redis->sha[call->id][0] = '\0';
    if (load(call) < 0)
        finish(call, NULL);
}

static int evaluate(struct call *call)
{
    redis_args_set_second(&call->args, call->redis->sha[call->id]);
    return redis_conn_command(call->redis->cmd, &call->args, on_evaluated, call);
}

static void on_loaded(const redisReply *reply, void *arg)
{
    struct call *call = arg;
    struct slice sha = redis_text(reply);
    if (sha.len != REDIS_SHA_TEXT) {
        finish(call, reply);
        return;
    }
    slice_copy(sha, call->redis->sha[call->id], REDIS_SHA_TEXT + 1);
    if (evaluate(call) < 0)
        finish(call, NULL);
}

static int load(struct call *call)
{
    struct redis_args a;
    redis_args_init(&a);
    redis_arg_list(&a, (const char *const[]){"SCRIPT", "LOAD", texts[call->id], NULL});
    return redis_send(call->redis, &a, on_loaded, call);
}

int redis_script_send(struct redis *r, enum redis_script_id id, struct redis_args *a,
                      redis_done *done, void *arg)
{
    struct call *call = xcalloc(1, sizeof *call);
    call->redis = r;
    call->id = id;
    call->args = *a;
    call->done = done;
    call->arg = arg;
    redis_args_init(a);
    int err = r->sha[id][0] != '\0' ? evaluate(call) : load(call);
    if (err == 0)
        return 0;
    redis_args_fini(&call->args);
    free(call);
    return err;
}
