#ifndef SLUICE_ADMIN_API_INTERNAL_H
#define SLUICE_ADMIN_API_INTERNAL_H

#include "admin/api.h"
#include "base/map.h"
#include "net/relay_call.h"

#include <stdatomic.h>

/*
 * api.c has the routes and the token, api_gather.c asks the workers, api_rows.c writes what they
 * said as JSON; the others answer: api_node.c, api_streams.c, api_scope.c (the whole cluster,
 * merged by api_scope_merge.c), api_kick.c, api_drain.c, api_health.c.
 */
#define API_MAGIC         0x61706920U
#define API_REQUEST_MAGIC 0x61707271U

struct api {
    uint32_t magic;
    struct api_options o;
    struct log_id log;
    atomic_int scopes; /* questions to the whole cluster that are under way */
};

/* --- a request that is answered later --- */

/* The peer may go before its answer is there; then x is NULL.  On the exchange's worker. */
struct api_request {
    uint32_t magic;
    struct api *api;
    struct worker *worker;
    struct http_exchange *x;
    char name[NAME_STREAM_MAX + 1]; /* "": no stream was named */
};

struct api_request *api_request_new(struct api *a, struct http_exchange *x);
/* The same for a route whose captures are APP and STREAM; NULL when it has been answered (400). */
struct api_request *api_request_named(struct api *a, struct http_exchange *x,
                                      const struct http_request *req);
/* Frees the request; the exchange to answer now, or NULL when the peer has gone. */
struct http_exchange *api_request_end(struct api_request *r);

/* --- what the node's workers know --- */

#define API_VIEWER_KINDS VIEWER_RELAY /* the kinds before it are people: rtmp, flv, hls, whep */

/* Bytes of a stream's way as text, with the terminator: the owner, RELAY_HOPS_MAX nodes, commas. */
#define API_PATH_MAX ((RELAY_HOPS_MAX + 1) * (NAME_NODE_MAX + 1))

/* One stream of this node: its home feed, with the viewers of all workers. */
struct api_stream {
    char name[NAME_STREAM_MAX + 1];
    char owner[NAME_NODE_MAX + 1];
    char path[API_PATH_MAX]; /* from the owner to this node, comma separated; "": no log here */
    bool described;          /* by a home feed that is live or lost; else only viewers are known */
    uint64_t epoch;
    const char *local; /* "publish", "pull" or "none"; a literal */
    struct log_track tracks[LOG_TRACKS_MAX];
    uint32_t track_count;
    int64_t bitrate_bps, age_ms;
    int64_t viewers[API_VIEWER_KINDS];
};

/* The streams, by name; valid during the call. */
typedef void api_gather_done(const struct api_stream *rows, size_t count, void *arg);
/* Asks every worker for its streams, or for the one of that name when it is not "".  done() on w,
 * once, never from inside the call.  Streams that nobody has published are not there. */
void api_gather(struct api *a, struct worker *w, const char *name, api_gather_done *done,
                void *arg);

/* --- rows as JSON (contract: JSON); each returns a new reference --- */

json_t *api_row_json(const struct api_stream *s);
json_t *api_rows_json(const struct api_stream *rows, size_t count);
json_t *api_viewers_json(const int64_t viewers[API_VIEWER_KINDS]);
/* A row of another node: what we know of it with the right types, or NULL. */
json_t *api_row_accept(struct slice text);
/* The viewers of such a row. */
void api_row_viewers(const json_t *row, int64_t out[API_VIEWER_KINDS]);

/* --- the rows of many nodes as one list --- */

struct scope_merge;
struct scope_merge *scope_merge_new(void);
void scope_merge_free(struct scope_merge **mp);
/* Adds what `node` said (api_row_json or api_row_accept); takes the reference. */
void scope_merge_add(struct scope_merge *m, const char *node, json_t *row);
/* The list by name: the owner's row, viewers of all nodes, and "nodes". */
json_t *scope_merge_json(const struct scope_merge *m);

/* Answers /api/v1/streams?scope=cluster. */
void api_scope_start(struct api *a, struct http_exchange *x);

/* --- handlers; arg is the api --- */

void api_get_node(struct http_exchange *x, const struct http_request *req, void *arg);
void api_get_nodes(struct http_exchange *x, const struct http_request *req, void *arg);
void api_get_streams(struct http_exchange *x, const struct http_request *req, void *arg);
void api_get_stream(struct http_exchange *x, const struct http_request *req, void *arg);
void api_delete_stream(struct http_exchange *x, const struct http_request *req, void *arg);
void api_post_drain(struct http_exchange *x, const struct http_request *req, void *arg);
void api_delete_drain(struct http_exchange *x, const struct http_request *req, void *arg);
void api_get_healthz(struct http_exchange *x, const struct http_request *req, void *arg);
void api_get_readyz(struct http_exchange *x, const struct http_request *req, void *arg);
void api_get_metrics(struct http_exchange *x, const struct http_request *req, void *arg);
/* One row per line, each as in /api/v1/streams: a reader takes it line by line. */
void api_get_cluster_streams(struct http_exchange *x, const struct http_request *req, void *arg);

#define API_CLUSTER_STREAMS "/cluster/v1/streams"
/* Bytes of all rows that one node tells, or that are taken from all nodes for one answer. */
#define API_ROWS_BYTES_MAX (8 << 20)

#endif
