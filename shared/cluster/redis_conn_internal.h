#ifndef SLUICE_CLUSTER_REDIS_CONN_INTERNAL_H
#define SLUICE_CLUSTER_REDIS_CONN_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "cluster/redis_conn.h"
#include "core/logline.h"
#include "core/timer.h"
#include "net/io.h"
#include "net/resolve_host.h"

/*
 * The parts of a connection: redis_conn.c (how it is made and lost), redis_conn_greet.c (until it
 * may be used), redis_conn_queue.c (commands and replies).
 */
#define REDIS_CONN_MAGIC   0x72636f6eu
#define REDIS_EARLY_MAX    (1024 * 1024) /* bytes of commands that wait for the connection */
#define REDIS_STABLE_US    2000000 /* up for this long: the next loss is tried again at once */
#define REDIS_DEAD_PEER_MS 10000   /* TCP_USER_TIMEOUT */
#define REDIS_IN_MAX       (REDIS_REPLY_MAX + 65536)

enum conn_state {
    CONN_STOPPED,
    CONN_WAITING,
    CONN_FINDING,
    CONN_RESOLVING,
    CONN_CONNECTING,
    CONN_GREETING,
    CONN_UP
};

struct pending {
    struct list node;
    redis_done *done;
    void *arg;
    int64_t deadline_us;
};

struct redis_conn {
    uint32_t magic;
    struct worker *worker;
    const struct redis_url *url;
    const char *client;
    struct tls_context *tls;                                  /* NULL: plain */
    char address[sizeof(((struct redis_url *)0)->host) + 16]; /* "HOST:PORT" */
    struct log_id log;
    const struct redis_conn_events *events;
    void *arg;
    redis_find *find;
    void *find_arg;
    bool master; /* ROLE is asked for */

    enum conn_state state;
    bool missed; /* since the last redis_conn_found it was not up */
    bool lost;   /* a connection or a try was lost and none is up: commands are not taken */
    bool opened; /* there was a connection before */
    bool quiet;
    bool push;
    int64_t up_us;
    struct io *io;
    struct host_lookup *lookup;
    struct redis_scan scan;
    redisReader *reader;

    struct list pending; /* sent, oldest first */
    struct list early;   /* not sent */
    struct buf early_bytes;
    size_t pending_count; /* both */
    struct timer deadline, retry;
    struct backoff backoff;
};

/* The connection stands: AUTH and what follows, until it is up. */
void redis_conn_greet(struct redis_conn *c);

/* Sends now and remembers who asked; while it greets. */
void redis_queue_send(struct redis_conn *c, const struct redis_args *a, redis_done *done,
                      void *arg);
/* The greeting is over: what waited goes out. */
void redis_queue_flush(struct redis_conn *c);
/* All that waits for an answer gets none. */
void redis_queue_fail(struct redis_conn *c);
/* Bytes came. */
void redis_queue_read(struct redis_conn *c);

#endif
