#ifndef SLUICE_CLUSTER_REDIS_CONN_H
#define SLUICE_CLUSTER_REDIS_CONN_H

#include "cluster/redis_args.h"
#include "cluster/redis_reply.h"
#include "core/redis_url.h"
#include "core/worker.h"
#include "net/tls.h"

/*
 * One connection to Redis on one worker: it connects, authenticates, and comes back for ever when
 * it is lost.  Commands are answered in order; each has a deadline, and one that passes it takes
 * the connection with it, since everything behind it waits too.  All on the worker's thread.
 */
struct redis_conn;

#define REDIS_COMMAND_MS    1500
#define REDIS_RETRY_STEP_MS 50
#define REDIS_RETRY_MAX_MS  2000
#define REDIS_PENDING_MAX   16384             /* commands without an answer */
#define REDIS_OUT_MAX       (8 * 1024 * 1024) /* bytes not sent yet */

struct redis_conn_events {
    void (*on_up)(void *arg);
    /* It was up and is not any more; all callbacks of commands have run. */
    void (*on_down)(void *arg);
    /* A reply after redis_conn_subscribe: a message, a confirmation or an error. */
    void (*on_push)(const redisReply *reply, void *arg);
    /* Redis refused the password or the greeting; it is tried again. */
    void (*on_refused)(const char *text, void *arg);
    /* TLS failed: Redis did not show who it is, or did not accept us; it is tried again. */
    void (*on_untrusted)(const char *text, void *arg);
};

/* `kind` ("redis", "redis.sub") names it in log lines, `client` in CLIENT LIST.  Both and `url` and
 * `events` must outlive it. */
struct redis_conn *redis_conn_new(struct worker *w, const struct redis_url *url, const char *kind,
                                  const char *client, const struct redis_conn_events *events,
                                  void *arg);
/* Before it starts: it speaks TLS.  The context outlives it. */
void redis_conn_set_tls(struct redis_conn *c, struct tls_context *tls);
void redis_conn_start(struct redis_conn *c);
/* Ends it; commands without answer are called back with NULL. */
void redis_conn_stop(struct redis_conn *c);
void redis_conn_free(struct redis_conn **cp);

bool redis_conn_is_up(const struct redis_conn *c);

/*
 * Where a connection goes when it is not always the URL's host: `find` is called for every try and
 * answers by redis_conn_found with "HOST:PORT" or by redis_conn_drop, inside the call or later.
 * `failed`: what was found last was no master, or was not reached.  `master`: ROLE must say that
 * it is one.  Before the start.
 */
typedef void redis_find(struct redis_conn *c, bool failed, void *arg);
void redis_conn_set_finder(struct redis_conn *c, redis_find *find, void *arg, bool master);
/* Does nothing when the connection does not ask any more. */
void redis_conn_found(struct redis_conn *c, const char *address);
/* The master is at `address` now: a connection that is not there or on its way there looks at once.
 */
void redis_conn_move(struct redis_conn *c, const char *address);
/* Where it is, or was last: "HOST:PORT". */
const char *redis_conn_address(const struct redis_conn *c);

/* `reply` is NULL when there was none: the deadline passed or the connection was lost, and nobody
 * knows whether the command ran.  Valid during the callback. */
typedef void redis_done(const redisReply *reply, void *arg);
/*
 * Sends a command: 0, and `done` (may be NULL) is called exactly once later; or ERR_CLOSED when the
 * connection is lost, ERR_TOO_MANY when too much waits, and nothing is called.  While the very
 * first connection is being made commands wait for it.
 */
int redis_conn_command(struct redis_conn *c, const struct redis_args *a, redis_done *done,
                       void *arg);
/* Sends SUBSCRIBE: from here on all replies are pushes and no other command may be sent. */
void redis_conn_subscribe(struct redis_conn *c, const struct redis_args *a);
/* From here on it is no event that the connection comes or ends (QUIT is on its way, or it is made
 * for one question): no log lines, not counted. */
void redis_conn_set_quiet(struct redis_conn *c);
/* Gives this connection up and makes another. */
void redis_conn_drop(struct redis_conn *c, const char *why);

#endif
