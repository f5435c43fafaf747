#ifndef SLUICE_CLUSTER_CLUSTER_H
#define SLUICE_CLUSTER_CLUSTER_H

#include "base/name.h"
#include "core/config.h"
#include "core/worker.h"
#include "net/relay_call.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Who is in the cluster, and who owns APP/STREAM.  A directory, never a lock and never on the media
 * path: losing it stops no stream that plays.
 *
 * The cluster lives on one worker; its functions may be called on any worker (they hop there and
 * back) and callbacks come on the worker that is named in the request, never from inside the call.
 * A request that was started always calls back exactly once.
 */
struct cluster;

#define CLUSTER_SESSION_MAX   33 /* 128 random bits as hex, and the terminator */
#define CLUSTER_PUBLISHER_MAX 65 /* a SHA-256 as hex, and the terminator */
#define CLUSTER_ADDRESS_MAX   300
#define CLUSTER_NEXT_NONE     (-1)
#define CLUSTER_NODES_MAX     1024 /* nodes of one cluster that are listed; the rest is left out */

/* The versions of the protocol between nodes that this build speaks. */
#define CLUSTER_PROTOCOL_MIN 1
#define CLUSTER_PROTOCOL_MAX 1

/* Who we are.  `relay_address` is what other nodes dial, "HOST:PORT". */
struct cluster_self {
    char node[NAME_NODE_MAX + 1];
    uint64_t instance;
    char relay_address[CLUSTER_ADDRESS_MAX];
    char http_address[CLUSTER_ADDRESS_MAX];
    char version[64];
    int64_t since_us; /* unix */
    /* With which nodes ask each other; they outlive the cluster.  NULL: nobody asks (backend none,
     * and redis without static peers). */
    const struct relay_client *client;
    struct relay_guard *guard;
};

/* What the node heartbeat says besides; asked on the cluster's worker before each. */
struct cluster_load {
    int64_t streams, viewers;
    int load_percent;
    bool draining;
};

/* A stream's owner as the directory (or a peer) told it.  Order: (epoch, instance), higher wins. */
struct cluster_owner {
    bool found;
    bool lost;           /* the publisher's transport is gone; it may come back */
    bool from_directory; /* false: a guess while the directory is away (the last owner known) */
    /* 0, or: lower than what had been seen, but the directory showed it steadily for 15 s; believed
     * since then (clock_us), and what was seen before that counts no more.  Taken only when no link
     * to a higher owner lives; else the higher one is told again by cluster_learn. */
    int64_t regressed_us;
    uint64_t epoch, instance;
    char node[NAME_NODE_MAX + 1];
    char address[CLUSTER_ADDRESS_MAX];
};
/* True when a is strictly higher than b. */
bool cluster_owner_higher(const struct cluster_owner *a, const struct cluster_owner *b);

struct cluster_node {
    char id[NAME_NODE_MAX + 1], address[CLUSTER_ADDRESS_MAX], http[CLUSTER_ADDRESS_MAX];
    char role[8], state[8], zone[65], version[64];
    uint64_t instance;
    int64_t streams, viewers, age_ms;
    int load_percent;
};

enum claim_verdict {
    CLAIM_GRANTED,      /* registered with `epoch` */
    CLAIM_UNREGISTERED, /* the directory is away: go on with `epoch`, it is registered later */
    CLAIM_BUSY,         /* `owner` has it and stays */
    CLAIM_HOLD,         /* too many displacements: try again in wait_ms */
};
const char *claim_verdict_name(enum claim_verdict v);

struct cluster_claim {
    char name[NAME_STREAM_MAX + 1];
    char session[CLUSTER_SESSION_MAX];     /* random; makes a repeated acquire harmless */
    char publisher[CLUSTER_PUBLISHER_MAX]; /* identity; empty never equals empty */
    char proto[8];                         /* "rtmp", "whip" */
    uint64_t floor;                        /* the highest epoch seen for the stream */
    enum takeover_policy policy;
    /* The owner was asked and has no live publisher (or is dead): displace it whatever the policy
     * is; that is not counted for damping.  (With a policy other than `replace` in the settings, a
     * claim with TAKEOVER_REPLACE says the same.) */
    bool owner_gone;
};
struct cluster_claimed {
    enum claim_verdict verdict;
    uint64_t epoch;
    int64_t wait_ms; /* HOLD; BUSY: until the claim is stale if its owner is dead; 0: not known */
    struct cluster_owner owner; /* who has it (BUSY, HOLD) or had it */
    int64_t next_msn, next_dsn; /* where numbering goes on, or CLUSTER_NEXT_NONE */
    uint64_t next_epoch;
    struct cluster_owner previous; /* granted: who owned the stream before, as far as anybody here
                                      heard, also when it has let go of it (found then says only
                                      that it is known) */
};

/* What the cluster tells the node, on the cluster's worker.  Any of them may be NULL. */
struct cluster_events {
    /* A stream we watch or claim has (or may have) a new owner; `owner.found` false: it ended.  The
     * same owner may be told again (its record was gone for a while): not a reason to switch. */
    void (*on_owner)(const char *name, const struct cluster_owner *owner, void *arg);
    /* Our claim lost to a higher (epoch, instance): stop relaying it now. */
    void (*on_fenced)(const char *name, uint64_t our_epoch, const struct cluster_owner *owner,
                      void *arg);
    /* A request addressed to this node: "kick" with a stream, "drain" … */
    void (*on_request)(const char *verb, const char *name, void *arg);
    void (*fill_load)(struct cluster_load *load, void *arg);
    /* The directory refuses us for good (password, ACL), told once and only in the first seconds:
     * the process ends with EXIT_CONFIG and this text. */
    void (*on_fatal)(const char *text, void *arg);
};

/* Before or after workers_start; 0, or negative with `error` filled (settings that cannot work).
 * `self` and `events` are copied.  What follows runs once the loops run. */
int cluster_open(struct cluster **out, struct workers *g, const struct cluster_self *self,
                 const struct cluster_events *events, void *arg, char error[CONFIG_ERROR_MAX]);
/* Releases nothing: callers release their claims before.  `on_closed` (cluster's worker) when the
 * last commands were answered or 1 s has passed.  Requests made after this are answered at once
 * (BUSY, not found).  The node leaves the list of nodes. */
void cluster_close(struct cluster *c, void (*on_closed)(void *arg), void *arg);
/* After workers_stop, when the close may not have come to its end: what still waits is answered;
 * the callbacks come with workers_drain. */
void cluster_stop(struct cluster *c);
/* After workers_stop and before workers_fini. */
void cluster_free(struct cluster **cp);
const struct cluster_self *cluster_self(const struct cluster *c);
struct worker *cluster_worker(const struct cluster *c);
/* What connections to the directory show our certificate with, for tls_reload; NULL: none do.  From
 * any thread. */
struct tls_context *cluster_tls(const struct cluster *c);

typedef void cluster_claim_done(const struct cluster_claimed *claimed, void *arg);
void cluster_acquire(struct cluster *c, struct worker *caller, const struct cluster_claim *claim,
                     cluster_claim_done *done, void *arg);
/* Held claims are renewed until released; `lost` is the state other nodes see. */
void cluster_set_lost(struct cluster *c, const char *name, uint64_t epoch, bool lost);
void cluster_set_next(struct cluster *c, const char *name, uint64_t epoch, int64_t msn, int64_t dsn,
                      int tracks);
/* Compare-and-delete; others are told why ("unpublished" …).  done may be NULL. */
void cluster_release(struct cluster *c, const char *name, uint64_t epoch, const char *why,
                     struct worker *caller, void (*done)(void *arg), void *arg);

/* After a time in which others may have taken us for dead: asks whether our claims are still ours.
 * Those that are not are told by on_fenced before `done` comes, which is after
 * CLUSTER_REVALIDATE_MS when the directory does not answer. */
#define CLUSTER_REVALIDATE_MS 500
void cluster_revalidate(struct cluster *c, struct worker *caller, void (*done)(void *arg),
                        void *arg);

typedef void cluster_lookup_done(const struct cluster_owner *owner, void *arg);
/* Asks the directory, or, while it is away, answers with the last owner known (from_directory
 * false); never later than 2 s. */
void cluster_lookup(struct cluster *c, struct worker *caller, const char *name,
                    cluster_lookup_done *done, void *arg);
/* What the nodes themselves said of the owner while the directory is away: weighed like its record
 * would be, and answered like a look-up. */
void cluster_report(struct cluster *c, struct worker *caller, const char *name,
                    const struct cluster_owner *owner, cluster_lookup_done *done, void *arg);
/* The interest set: streams with readers here.  Changes come through on_owner. Counted per name. */
void cluster_watch(struct cluster *c, const char *name);
void cluster_unwatch(struct cluster *c, const char *name);
/* An owner learned from a relay answer. */
void cluster_learn(struct cluster *c, const char *name, const struct cluster_owner *owner);
/* What fill_load says of draining has changed: others are told now, not with the next heartbeat. */
void cluster_self_changed(struct cluster *c);
/* Frames of this owner (without an address) came from a third node: what is lower is stale from now
 * on, and what is granted here will be higher. */
void cluster_saw(struct cluster *c, const char *name, const struct cluster_owner *owner);
/* True while the directory answers. */
bool cluster_is_up(const struct cluster *c);

/* All live nodes, this one included; the array is valid during the callback. */
typedef void cluster_nodes_done(const struct cluster_node *nodes, size_t count, void *arg);
void cluster_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done, void *arg);
/* The same from memory (at most some ten seconds old while the directory answers): never asks it,
 * so it serves while the directory is away. */
void cluster_known_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done,
                         void *arg);
/* What other nodes ask of the cluster itself: a node's set of streams, requests to a node. */
#define CLUSTER_ROUTES 2
void cluster_serve_routes(struct cluster *c, struct http_route out[CLUSTER_ROUTES]);

/* Sends a request to one node (kick): 0 when it is on its way (which is no promise), or
 * ERR_NOT_FOUND when there is no way to. */
int cluster_send(struct cluster *c, const char *node, const char *verb, const char *name);

#endif
