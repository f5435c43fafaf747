#ifndef SLUICE_TESTS_SIM_SIM_NODE_H
#define SLUICE_TESTS_SIM_SIM_NODE_H

#include "edge/resolve.h"
#include "origin/carried.h"
#include "origin/publisher.h"
#include "origin/relay_server.h"
#include "origin/yield.h"
#include "sim.h"

/* A node as node.c builds one, without ports: ingest, relay, resolver, cluster around a hub. */
#define SIM_STREAMS 3
#define SIM_ROUTES  (RELAY_ROUTES + YIELD_ROUTES + CARRIED_ROUTES + CLUSTER_ROUTES)

extern const char *const sim_stream_names[SIM_STREAMS];

/* Somebody who looks at a stream here, and at what the product promises about it. */
struct sim_viewer {
    struct feed_reader reader;
    int node, stream;
    bool joined;
    struct sim_event *again;        /* comes back after an end */
    uint64_t epoch, instance, next; /* where it is */
    uint64_t regressions;           /* the node's count of them … */
    int64_t regressed_us;           /* … and when that last rose */
};

struct sim_node {
    int index;
    bool alive;
    uint32_t life; /* how many times it was started */
    char id[4];
    struct config *config;
    struct workers workers;
    struct hub *hub;
    struct cluster *cluster;
    struct relay_identity identity;
    struct relay_client client;
    struct ingest *ingest;
    struct relay_server *relay;
    struct yield yield;
    struct carried_server carried;
    struct resolver *resolve;
    struct http_route routes[SIM_ROUTES];
    struct sim_viewer viewers[SIM_STREAMS];
};

/* How nodes find each other; before the first of them starts. */
enum sim_backend { SIM_BY_REDIS, SIM_BY_MULTICAST, SIM_BY_PEERS, SIM_BY_REDIS_AND_PEERS };
struct sim_cluster {
    enum sim_backend backend;
    bool tiers; /* two zones; edges feed each other */
};
extern struct sim_cluster sim_cluster;

extern struct sim_node sim_nodes[SIM_NODES];

void sim_node_start(int index);
/* Its process is gone; the other nodes find out. */
void sim_node_kill(int index);
void sim_viewer_join(int node, int stream);
void sim_viewer_leave(int node, int stream);

/* A publisher of a stream at some node (an edge carries it on), or nowhere. */
#define SIM_ENCODERS 5
struct sim_encoder {
    int stream, node;
    bool accepted;
    struct publisher *publisher; /* NULL: nowhere */
    struct sim_event *tick;
    uint32_t timestamp_ms;
    char identity[8];
    bool silent; /* connected, and sends nothing */
};
extern struct sim_encoder sim_encoders[SIM_ENCODERS];
void sim_encoder_publish(int encoder, int node, int stream);
void sim_encoder_leave(int encoder, bool clean);
void sim_encoders_drop_node(int node);

/* A promise was broken: prints what and where, and the process ends with 1. */
void sim_violation(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
