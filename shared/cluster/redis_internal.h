#ifndef SLUICE_CLUSTER_REDIS_INTERNAL_H
#define SLUICE_CLUSTER_REDIS_INTERNAL_H

#include "base/map.h"
#include "cluster/cluster_backend.h"
#include "cluster/mesh.h"
#include "cluster/redis_conn.h"
#include "cluster/redis_error.h"
#include "cluster/redis_record.h"
#include "cluster/redis_sentinel.h"
#include "core/timer.h"

/*
 * The Redis backend's state, shared by its files:
 *
 *   redis_backend.c   lifetime, the commands' connection coming and going, refusals
 *   redis_acquire.c   acquire, the probe at the start
 *   redis_renew.c     renew, release
 *   redis_nodes.c     heartbeat, messages to nodes
 *   redis_node_list.c the list of nodes
 *   redis_events.c    the subscribed connection: events, requests, hearing itself
 *   redis_interest.c  look-ups and reading the watched streams again
 *   redis_mesh.c      static peers beside Redis
 *
 * `cmd` carries commands, `sub` only what we are subscribed to.  All on the cluster's worker.
 */
#define REDIS_MAGIC           0x72656469u
#define REDIS_NEXT_TTL_MS     600000 /* of next:APP/STREAM */
#define REDIS_START_MS        10000  /* refusals later than this after the start end nothing */
#define REDIS_CLOSE_MS        1000   /* the last commands have this long */
#define REDIS_RENEW_BATCH     50     /* claims in one call, about 3 ms of Redis' time */
#define REDIS_RENEW_SPREAD_MS 1000   /* all batches of one round go out within this */

enum redis_script_id { SCRIPT_ACQUIRE, SCRIPT_RENEW, SCRIPT_RELEASE, SCRIPT_COUNT };
#define REDIS_SHA_TEXT 40

/* The nodes as they were listed; `places` has their numbers, from one, by id. */
struct redis_node_list {
    size_t count, room;
    struct cluster_node *nodes;
    int64_t *read_us; /* when each one's record was read; 0: to be read again */
    struct map *places;
};

struct redis {
    uint32_t magic;
    struct cluster *cluster;
    struct worker *worker;
    const struct config *config;
    const struct log_id *log;
    struct log_limit refused_limit;
    struct redis_url url;
    char client[NAME_NODE_MAX + 8]; /* CLIENT SETNAME */
    char to_self[REDIS_KEY_PREFIX_MAX + NAME_NODE_MAX];
    struct redis_keys keys;
    struct tls_context *tls; /* NULL: plain */
    struct redis_conn *cmd, *sub;
    struct redis_sentinel *sentinel;            /* NULL: the URL says where Redis is */
    char sha[SCRIPT_COUNT][REDIS_SHA_TEXT + 1]; /* empty: not loaded */

    int64_t start_us;
    bool closing;
    bool accepted; /* the probe (an edge: the heartbeat) has worked once */
    bool heard;    /* the subscription to events was confirmed once */
    bool probing, memory_checked;

    bool clock_known;
    int64_t clock_offset_us; /* Redis' unix time minus clock_us() */

    struct timer heartbeat, renew;
    size_t renew_left; /* claims still to be sent in this round */
    int64_t renew_gap_us;
    bool checking;        /* somebody waits for a look at all claims */
    uint64_t check_round; /* the last one, … */
    size_t checks_left;   /* … and its answers that are to come */
    bool draining, announced;
    struct redis_node_list nodes; /* as last read */
    int64_t nodes_read_us, node_event_us;
    struct timer node_event;

    struct timer interest, interest_batch;
    char **names; /* the watched streams being read again */
    size_t name_count, name_next;
    bool interest_again;
    int interest_turn; /* of the timer, for what is read less often */
    bool version_known;
    uint64_t version;       /* the highest change counter seen */
    uint64_t version_asked; /* the same when it was last asked for */
    uint64_t holes;         /* changes up to it of which no event was heard */
    struct timer holes_wait;

    struct timer ping, ping_wait;
    int subscribe_answers; /* confirmations and refusals */
    bool events_on, to_on, ping_refused, ping_heard;

    struct mesh *mesh; /* NULL: no static peers */

    struct timer close;
    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

/* redis_backend.c: Redis answered with an error to something we cannot do without; `what` is a word
 * for the log.  Ends the process when it happens at the start. */
void redis_refused(struct redis *r, const char *what, const redisReply *reply);
/* Redis' unix time in microseconds, or 0 while it is not known. */
int64_t redis_now_us(const struct redis *r);
void redis_set_clock(struct redis *r, int64_t now_us);
/* Sends and releases the words; 0 or as redis_conn_command. */
int redis_send(struct redis *r, struct redis_args *a, redis_done *done, void *arg);

/* redis_script.c: `a` is a script's words, begun by redis_script_args (after which follow the keys
 * and arguments).  Loads the script when Redis does not have it.  As redis_send. */
void redis_script_args(struct redis_args *a, int key_count);
int redis_script_send(struct redis *r, enum redis_script_id id, struct redis_args *a,
                      redis_done *done, void *arg);

/* redis_acquire.c */
void redis_acquire(void *state, const struct cluster_claim *claim, struct cluster_request *request);
/* Acquires and releases a name of ours, to learn at the start whether we may. */
void redis_probe(struct redis *r);

/* redis_renew.c */
void redis_release(void *state, const struct cluster_held *held, const char *why,
                   struct cluster_request *request);
/* The words of a release; numbers may be CLUSTER_NEXT_NONE. */
void redis_release_args(struct redis *r, const char *name, uint64_t epoch, int64_t msn, int64_t dsn,
                        const char *why, struct redis_args *a);
void redis_claim_changed(void *state, struct cluster_held *held);
void redis_renew_all(struct redis *r);
void redis_revalidate(void *state);
/* The connection is back: what it took with it is asked again. */
void redis_check_again(struct redis *r);
void redis_on_renew_time(void *arg);

/* redis_nodes.c */
void redis_on_heartbeat_time(void *arg);
void redis_heartbeat(struct redis *r);
/* Redis' clock in milliseconds, or ours while that is not known. */
int64_t redis_score_ms(const struct redis *r);
void redis_self_changed(void *state);
void redis_send_request(void *state, const char *node, const char *verb, const char *name);
/* Tells the others that this node came, drains or goes; `then` runs when it is on its way. */
void redis_announce(struct redis *r, const char *t, redis_done *then);
void redis_leave(struct redis *r, redis_done *then);

/* redis_node_list.c */
void redis_nodes(void *state, struct cluster_request *request);
/* Reads the list when it is older than some seconds. */
void redis_refresh_nodes(struct redis *r);
/* The node came, changed or left: it is read soon. */
void redis_node_changed(struct redis *r, const char *id);
void redis_on_node_event_time(void *arg);
void redis_node_list_free(struct redis_node_list *l);

/* redis_events.c */
void redis_sub_up(void *arg);
void redis_sub_down(void *arg);
void redis_sub_push(const redisReply *reply, void *arg);
void redis_on_ping_time(void *arg);
void redis_on_ping_wait(void *arg);

/* redis_mesh.c; all but redis_mesh_open do what there is to do without a mesh. */
int redis_mesh_open(struct redis *r, char error[CONFIG_ERROR_MAX]);
/* While Redis is away: the list of nodes is the mesh's. */
void redis_mesh_see_nodes(struct redis *r);
void redis_mesh_changed(struct redis *r, const struct cluster_held *held);
void redis_mesh_withdraw(struct redis *r, const char *name, const char *why);
void redis_granted(void *state, const struct cluster_held *held);
void redis_fenced(void *state, const char *name, uint64_t epoch);
int redis_write_set(void *state, uint64_t instance, uint64_t since, struct buf *out);
/* Redis did not decide: refused by what the mesh knows, or UNREGISTERED above `floor`. */
void redis_mesh_answer_claim(struct redis *r, const struct cluster_claim *claim, uint64_t floor,
                             struct cluster_request *request);
/* Redis did not answer. */
void redis_mesh_answer_owner(struct redis *r, const char *name, struct cluster_request *request);
/* True when Redis is away and the mesh has taken it. */
bool redis_mesh_send(struct redis *r, const char *node, const char *verb, const char *name);

/* redis_interest.c */
void redis_lookup(void *state, const char *name, struct cluster_request *request);
void redis_watch(void *state, const char *name, bool on);
void redis_resync(struct redis *r);
void redis_on_interest_time(void *arg);
void redis_on_interest_batch(void *arg);
void redis_interest_clear(struct redis *r);
/* The change counter as an event had it, and as it was read with a heartbeat.  Changes of which no
 * event is heard soon make us read what we watch again. */
void redis_version_heard(struct redis *r, uint64_t version);
void redis_version_read(struct redis *r, uint64_t version);
void redis_on_holes_time(void *arg);

#endif
