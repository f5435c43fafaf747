/*
 * The RTMP sessions of a node: one list per worker, touched only by that worker's thread, and the
 * limits of the log lines that clients can provoke.
 */
#include "base/mem.h"
#include "core/clock.h"
#include "net/rtmp_session_internal.h"

#include <stdlib.h>

#define RTMP_SERVER_MAGIC 0x72746d73U /* "rtms" */

/* A crowd of players must not hold back the lines about publishers, so each kind has its own. */
enum log_kind { LOG_PUBLISHER, LOG_PLAYER, LOG_OTHER, LOG_KIND_COUNT };

/* The part of the server that one worker has for itself. */
struct rtmp_shard {
    struct list sessions;
    struct log_limit open_limits[LOG_KIND_COUNT], close_limits[LOG_KIND_COUNT];
};

struct rtmp_server {
    uint32_t magic;
    struct rtmp_role publish, play;
    int count;
    struct rtmp_shard **shards; /* by worker */
};

struct rtmp_server *rtmp_server_new(struct workers *g, const struct rtmp_server_options *o)
{
    struct rtmp_server *server = xcalloc(1, sizeof *server);
    server->magic = RTMP_SERVER_MAGIC;
    server->publish = (struct rtmp_role){o->publish, o->publish_arg, o->publish_refusal};
    server->play = (struct rtmp_role){o->play, o->play_arg, o->play_refusal};
    server->count = g->count;
    server->shards = xcalloc((size_t)g->count, sizeof server->shards[0]);
    for (int i = 0; i < g->count; i++) {
        server->shards[i] = xcalloc(1, sizeof *server->shards[i]);
        list_init(&server->shards[i]->sessions);
    }
    return server;
}

static void free_shard(struct rtmp_shard *shard)
{
    struct rtmp_session *s;
    while ((s = LIST_FIRST(&shard->sessions, struct rtmp_session, node)) != NULL) {
        rtmp_session_end(s, CLOSE_DRAIN);
        rtmp_session_free(&s);
    }
    free(shard);
}

void rtmp_server_free(struct rtmp_server **sp)
{
    struct rtmp_server *server = *sp;
    if (server == NULL)
        return;
    *sp = NULL;
    for (int i = 0; i < server->count; i++)
        free_shard(server->shards[i]);
    free(server->shards);
    OBJ_POISON(server);
    free(server);
}

void rtmp_server_accept(struct worker *w, struct io *io, void *server)
{
    rtmp_session_new(OBJ_CAST(struct rtmp_server, server, RTMP_SERVER_MAGIC), w, io);
}

void rtmp_server_ask_reconnect(struct rtmp_server *server, struct worker *w)
{
    struct rtmp_session *s;
    LIST_EACH (s, &server->shards[w->index]->sessions, node)
        rtmp_session_ask_reconnect(s);
}

void rtmp_server_drain(struct rtmp_server *server, struct worker *w)
{
    struct rtmp_session *s;
    /* Ending a session takes it out of nothing: that is done at the end of the turn. */
    LIST_EACH (s, &server->shards[w->index]->sessions, node)
        rtmp_session_end(s, CLOSE_DRAIN);
}

struct rtmp_role rtmp_server_role(const struct rtmp_server *server, enum rtmp_phase phase)
{
    return phase == PHASE_PUBLISH ? server->publish : server->play;
}

struct list *rtmp_server_sessions(struct rtmp_server *server, const struct worker *w)
{
    return &server->shards[w->index]->sessions;
}

bool rtmp_server_may_log(const struct rtmp_session *s, bool opening)
{
    struct rtmp_shard *shard = s->server->shards[s->worker->index];
    enum log_kind kind = LOG_OTHER;
    if (s->phase == PHASE_PUBLISH)
        kind = LOG_PUBLISHER;
    else if (s->phase == PHASE_PLAY)
        kind = LOG_PLAYER;
    struct log_limit *l = opening ? &shard->open_limits[kind] : &shard->close_limits[kind];
    if (log_limit_pass(l, clock_us(), &s->log))
        return true;
    METRIC_INC(s->worker->metrics.log_lines_suppressed_total);
    return false;
}
