#ifndef SLUICE_TESTS_SIM_SIM_H
#define SLUICE_TESTS_SIM_SIM_H

#include "base/list.h"
#include "base/slice.h"
#include "core/worker.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A whole cluster in one thread, by a clock and a random generator of its own: the same seed gives
 * the same run to the last event.  What it drives is the product's code, from the publisher's claim
 * to the pull on another node; replaced are only the worker's loop and the clock (sim_core.c), the
 * connection to Redis and Redis itself (sim_redis.c, sim_store.c: the scripts run in Lua as they
 * are) and the calls between nodes (sim_links.c).
 */
#define SIM_NODES   6 /* the first SIM_ORIGINS take publishers */
#define SIM_ORIGINS 4

/* --- time, chance, what is due (sim_core.c) --- */

int64_t sim_now_us(void);
void sim_seed(uint64_t seed);
uint64_t sim_random(uint64_t below);
bool sim_chance(int percent);

/* Something that happens later; on a node it waits while that node is frozen. */
struct sim_event;
struct sim_event *sim_after(int node, int64_t us, void (*run)(void *arg), void *arg);
#define SIM_WORLD (-1) /* no node */
void sim_cancel(struct sim_event **ep);
/* Runs what is due until then. */
void sim_run_until(int64_t until_us);
uint64_t sim_events_run(void);
/* Says before each event which node's it is. */
void sim_trace(void);

void sim_freeze(int node, bool frozen);
bool sim_is_frozen(int node);
/* The node whose code runs now, or SIM_WORLD: for code that is called by the world. */
int sim_enter(int node);
void sim_leave(int before);
void sim_step_wall_clock(int node, int64_t us);

/* --- bytes from one place to another (sim_core.c) --- */

/*
 * What is put in at one end comes out at the other in the same order, each after a while; while the
 * way is cut or the receiving node frozen everything waits, as with TCP.
 */
struct sim_pipe {
    struct list queue;
    struct sim_event *event;
    int from, to; /* nodes, or SIM_REDIS */
    void (*deliver)(void *what, void *arg);
    void (*drop)(void *what);
    void *arg;
};
#define SIM_REDIS SIM_NODES
void sim_pipe_init(struct sim_pipe *p, int from, int to, void (*deliver)(void *what, void *arg),
                   void (*drop)(void *what), void *arg);
void sim_pipe_put(struct sim_pipe *p, void *what);
void sim_pipe_fini(struct sim_pipe *p);
/* Both directions. */
void sim_cut(int a, int b, bool cut);
bool sim_is_cut(int a, int b);

/* --- Redis (sim_redis.c, sim_store.c) --- */

void sim_redis_start(void);
void sim_redis_end(void);
enum sim_redis_fault {
    SIM_REDIS_KILL,   /* down, its memory lost */
    SIM_REDIS_RETURN, /* up again, empty */
    SIM_REDIS_FREEZE,
    SIM_REDIS_THAW,
    SIM_REDIS_WIPE,     /* FLUSHALL */
    SIM_REDIS_SAVE,     /* a replica's state … */
    SIM_REDIS_ROLLBACK, /* … that is promoted later */
    SIM_REDIS_CLOCK,    /* an hour forward, or back */
    SIM_REDIS_LATER,    /* past every lease that a step back has made long */
    SIM_REDIS_EXPIRE,   /* all leases at once */
};
void sim_redis_fault(enum sim_redis_fault fault);
bool sim_redis_is_well(void);
/* Events of the channel that are lost, percent. */
void sim_redis_lose_events(int percent);
/* A field of a stream's record; false when there is none. */
bool sim_redis_stream(const char *name, const char *field, char *out, size_t room);
/* The node's connections are gone. */
void sim_redis_drop_node(int node);

/* The store: one command, its answer appended to `out` as RESP. */
struct sim_store;
struct buf;
struct sim_store *sim_store_new(void);
void sim_store_free(struct sim_store **sp);
struct sim_store *sim_store_copy(const struct sim_store *s);
void sim_store_clear(struct sim_store *s);
void sim_store_expire_leases(struct sim_store *s);
/* `publish` is called for PUBLISH. */
void sim_store_run(struct sim_store *s, int64_t unix_us, const struct slice *words, int count,
                   void (*publish)(struct slice channel, struct slice text), struct buf *out);
bool sim_store_field(struct sim_store *s, int64_t unix_us, const char *key, const char *field,
                     char *out, size_t room);

/* --- datagrams (sim_udp.c) --- */

void sim_udp_lose(int percent);

/* --- calls between nodes (sim_links.c) --- */

struct http_route;
void sim_links_serve(int node, const struct http_route *routes, size_t count, struct worker *w);
/* The node has gone: its exchanges and calls end. */
void sim_links_drop_node(int node);
int sim_links_node_of(const char *address);

/* --- workers (sim_core.c) --- */

/* workers_init() for a node that is being built. */
void sim_building(int node);

#endif
