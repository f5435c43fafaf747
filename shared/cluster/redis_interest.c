/*
 * Reading owners: single look-ups, and the streams that have readers here again and again, since
 * events may be lost (pub/sub promises nothing).
 */
#include "cluster/redis_internal.h"

#include "base/mem.h"
#include "base/obj.h"

#include <stdlib.h>
#include <string.h>

#define INTEREST_MS     2000
#define INTEREST_BATCH  256   /* streams read in one go */
#define INTEREST_GAP_US 10000 /* between two of these */
#define INTEREST_FULL   30    /* in one of so many turns even what is settled is read */
#define HOLES_WAIT_MS   500

struct reading {
    struct redis *redis;
    struct cluster_request *request; /* NULL: a watched stream */
    char name[NAME_STREAM_MAX + 1];
};

static void on_owner(const redisReply *reply, void *arg)
{
    struct reading *q = arg;
    struct redis *r = q->redis;
    struct cluster_owner owner;
    bool answered = reply != NULL && reply->type == REDIS_REPLY_ARRAY;
    if (redis_is_error(reply))
        redis_refused(r, "lookup", reply);
    if (answered)
        redis_owner_parse(reply, &owner);
    if (q->request != NULL && answered)
        cluster_backend_answer_owner(q->request, &owner);
    else if (q->request != NULL)
        redis_mesh_answer_owner(r, q->name, q->request);
    else if (answered && !r->closing)
        cluster_backend_news(r->cluster, q->name, &owner, CLUSTER_NEWS_READ);
    free(q);
}

static void read_owner(struct redis *r, const char *name, struct cluster_request *request)
{
    struct reading *q = xcalloc(1, sizeof *q);
    q->redis = r;
    q->request = request;
    slice_copy(slice_text(name), q->name, sizeof q->name);
    struct redis_args a;
    redis_args_init(&a);
    redis_arg(&a, "HMGET");
    redis_arg_join(&a, r->keys.stream, name);
    redis_arg_list(&a, redis_owner_fields);
    if (redis_send(r, &a, on_owner, q) < 0)
        on_owner(NULL, q);
}

void redis_lookup(void *state, const char *name, struct cluster_request *request)
{
    read_owner(OBJ_CAST(struct redis, state, REDIS_MAGIC), name, request);
}

void redis_watch(void *state, const char *name, bool on)
{
    /* The set is read as a whole; every event is heard anyway. */
}

/* --- the interest set --- */

void redis_interest_clear(struct redis *r)
{
    for (size_t i = 0; i < r->name_count; i++)
        free(r->names[i]);
    free(r->names);
    r->names = NULL;
    r->name_count = r->name_next = 0;
    timer_stop(&r->interest_batch);
}

static void add_name(const char *name, void *arg)
{
    struct redis *r = arg;
    if ((r->name_count & (r->name_count - 1)) == 0)
        r->names =
            xrealloc(r->names, (r->name_count > 0 ? 2 * r->name_count : 1) * sizeof *r->names);
    r->names[r->name_count++] = xstrdup(name);
}

void redis_on_interest_batch(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    for (int i = 0; i < INTEREST_BATCH && r->name_next < r->name_count; i++) {
        const char *name = r->names[r->name_next++];
        if (cluster_backend_is_watched(r->cluster, name))
            read_owner(r, name, NULL);
    }
    if (r->name_next < r->name_count && redis_conn_is_up(r->cmd)) {
        timer_set_us(&r->interest_batch, INTEREST_GAP_US);
        return;
    }
    redis_interest_clear(r);
    if (r->interest_again)
        redis_resync(r);
}

/* What is settled has an owner of whom nothing is in doubt: news come as events, and the change
 * counter tells when one was lost. */
static void add_unsettled(const char *name, void *arg)
{
    struct redis *r = arg;
    if (!cluster_backend_is_settled(r->cluster, name))
        add_name(name, arg);
}

static void begin(struct redis *r, void (*add)(const char *name, void *arg))
{
    cluster_backend_each_watched(r->cluster, add, r);
    if (r->name_count > 0)
        timer_set_us(&r->interest_batch, 0);
}

void redis_resync(struct redis *r)
{
    /* One that is under way may have read before what is to be seen now. */
    r->interest_again = r->names != NULL;
    if (r->names != NULL || r->closing || !redis_conn_is_up(r->cmd))
        return;
    begin(r, add_name);
}

void redis_on_interest_time(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (++r->interest_turn % INTEREST_FULL == 0)
        redis_resync(r);
    else if (r->names == NULL && !r->closing && redis_conn_is_up(r->cmd))
        begin(r, add_unsettled);
    timer_set_ms(&r->interest, INTEREST_MS);
}

/* --- the change counter --- */

/* An event may be on its way, or come after a later one: that is no loss yet. */
static void wait_for_holes(struct redis *r)
{
    if (r->holes > 0 && !timer_is_set(&r->holes_wait))
        timer_set_ms(&r->holes_wait, HOLES_WAIT_MS);
}

void redis_on_holes_time(void *arg)
{
    struct redis *r = OBJ_CAST(struct redis, arg, REDIS_MAGIC);
    if (r->holes > 0)
        redis_resync(r);
    r->holes = 0;
}

static void begin_version(struct redis *r, uint64_t version)
{
    r->version_known = true;
    r->version = version;
    r->holes = 0;
}

void redis_version_heard(struct redis *r, uint64_t version)
{
    if (!r->version_known) {
        begin_version(r, version);
    } else if (version > r->version) {
        r->holes += version - r->version - 1;
        r->version = version;
    } else if (r->holes > 0) {
        r->holes--;
    }
    wait_for_holes(r);
}

void redis_version_read(struct redis *r, uint64_t version)
{
    if (!r->version_known) {
        begin_version(r, version);
    } else if (version > r->version) {
        r->holes += version - r->version;
        r->version = version;
    } else if (version < r->version_asked) {
        /* Redis has lost it, and what else we do not know. */
        begin_version(r, version);
        redis_resync(r);
    }
    wait_for_holes(r);
}
