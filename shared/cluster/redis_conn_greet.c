/* What is said before a connection may be used; the answer to PING ends it. */
#include "cluster/redis_conn_internal.h"

#include "base/obj.h"
#include "cluster/redis_error.h"
#include "core/clock.h"

#include <stdio.h>

static void refused(struct redis_conn *c, const redisReply *reply)
{
    /* Reported first: the text is part of the reply. */
    if (c->events->on_refused != NULL)
        c->events->on_refused(reply->str, c->arg);
}

/* True when the step went well, or says the same as the PING behind it will. */
static bool step_passed(struct redis_conn *c, const redisReply *reply, const char *why)
{
    if (redis_error_kind(reply) != REDIS_ERROR_REFUSED)
        return true;
    refused(c, reply);
    redis_conn_drop(c, why);
    return false;
}

static void on_auth(const redisReply *reply, void *arg)
{
    step_passed(OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC), reply, "AUTH was refused");
}

static void on_select(const redisReply *reply, void *arg)
{
    step_passed(OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC), reply, "SELECT was refused");
}

static void on_role(const redisReply *reply, void *arg)
{
    struct redis_conn *c = OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC);
    if (reply == NULL || !step_passed(c, reply, "ROLE was refused") || redis_is_error(reply))
        return;
    if (!slice_is(redis_text_at(reply, 0), "master"))
        redis_conn_drop(c, "not the master");
}

static void come_up(struct redis_conn *c)
{
    c->state = CONN_UP;
    c->lost = false;
    c->missed = false;
    c->up_us = clock_us();
    LOG_AT(c->quiet ? LOG_DEBUG : LOG_INFO, &c->log, "redis.up address=%s", c->address);
    redis_queue_flush(c);
    if (c->events->on_up != NULL)
        c->events->on_up(c->arg);
}

static void on_ping(const redisReply *reply, void *arg)
{
    struct redis_conn *c = OBJ_CAST(struct redis_conn, arg, REDIS_CONN_MAGIC);
    if (reply == NULL || c->state != CONN_GREETING)
        return;
    enum redis_error_kind kind = redis_error_kind(reply);
    /* With errors of the moment it is up: what can be done is done, the rest later. */
    if (kind == REDIS_ERROR_NONE || kind == REDIS_ERROR_LATER) {
        come_up(c);
        return;
    }
    if (kind == REDIS_ERROR_REFUSED)
        refused(c, reply);
    redis_conn_drop(c, reply->str);
}

static void greet(struct redis_conn *c, redis_done *done, const char *const *words)
{
    struct redis_args a;
    redis_args_init(&a);
    redis_arg_list(&a, words);
    redis_queue_send(c, &a, done, c);
    redis_args_fini(&a);
}

void redis_conn_greet(struct redis_conn *c)
{
    const struct redis_url *u = c->url;
    if (c->opened && !c->quiet)
        METRIC_INC(c->worker->metrics.redis_reconnects_total);
    c->opened = true;
    c->state = CONN_GREETING;
    c->reader = redisReaderCreate();
    must(c->reader != NULL);
    io_set_dead_peer(c->io, REDIS_DEAD_PEER_MS);
    if (u->password[0] != '\0' && u->user[0] != '\0')
        greet(c, on_auth, (const char *const[]){"AUTH", u->user, u->password, NULL});
    else if (u->password[0] != '\0')
        greet(c, on_auth, (const char *const[]){"AUTH", u->password, NULL});
    greet(c, NULL, (const char *const[]){"CLIENT", "SETNAME", c->client, NULL});
    char db[8];
    snprintf(db, sizeof db, "%d", u->db);
    if (u->db != 0)
        greet(c, on_select, (const char *const[]){"SELECT", db, NULL});
    if (c->master)
        greet(c, on_role, (const char *const[]){"ROLE", NULL});
    greet(c, on_ping, (const char *const[]){"PING", NULL});
}
