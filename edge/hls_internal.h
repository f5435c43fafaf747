#ifndef SLUICE_EDGE_HLS_INTERNAL_H
#define SLUICE_EDGE_HLS_INTERNAL_H

#include "base/map.h"
#include "edge/hls.h"
#include "edge/hls_tracks.h"
#include "edge/hls_unit.h"
#include "proto/m3u8.h"

/*
 * hls_stream.c holds requests and follows the feed, hls_view.c says what playlists list,
 * hls_upstream.c asks the owner for what is missing, hls_text.c writes them, hls_objects.c makes
 * what they name, hls_answer.c answers, play_hls.c reads requests.  Everything of a stream belongs
 * to its worker.
 */
#define HLS_STREAM_MAGIC 0x686c7373U

#define HLS_INITS_MAX         32      /* of a stream: renditions x configurations */
#define HLS_UNITS_MAX         16      /* that a stream keeps for the next who asks … */
#define HLS_UNIT_KEEP_US      5000000 /* … for so long */
#define HLS_TAKE_TARGETS      6     /* target durations in which a segment or part is to be taken */
#define HLS_HOLD_TARGETS      3     /* target durations that a request is held */
#define HLS_IDLE_MS           10000 /* without a request, or so many targets: */
#define HLS_IDLE_TARGETS      3
#define HLS_SWEEP_MS          250
#define HLS_RELEASE_US        2000 /* that requests are answered before others get a turn of the loop */
#define HLS_RELEASE_STEP      16 /* requests between two looks at the clock */
#define HLS_MATCH_MAX         64 /* bytes of an If-None-Match that is looked at */
#define HLS_ETAG_MAX          80 /* bytes, with quotes and terminator */
#define HLS_CACHE_MAX         64 /* bytes of a Cache-Control, with terminator */
#define HLS_REPLY_HEADERS_MAX 8
#define HLS_COUNT_SLOTS       4 /* seconds over which players are counted */
#define HLS_RENDITIONS_MAX    (2 * LOG_TRACKS_MAX + 1)

/* The head of an answer, made once for all who get it. */
struct hls_reply {
    char etag[HLS_ETAG_MAX], cache[HLS_CACHE_MAX];
    struct http_header headers[HLS_REPLY_HEADERS_MAX];
    bool ranged;                   /* the answer may be a part of the bytes */
    struct http_prepared prepared; /* status 0: it is to be made */
};

/* A playlist, shared by the answers that send it. */
struct hls_text {
    struct hls_reply plain, held; /* to a request that named no segment; that did */
    unsigned refs;
    struct list node; /* of its stream, while it is the present one */
    struct hls_rendition rendition;
    bool multivariant, delta, gzip;
    size_t len;
    struct iovec iov;
    uint8_t data[];
};
void hls_text_unref(void *text);

struct hls_init {
    struct list node; /* newest last */
    struct hls_rendition rendition;
    uint64_t epoch, hash;
    uint32_t init;
    bool video;
    size_t len;
    uint8_t *bytes;
};

/* A segment or part: kept for a while, and as long as somebody takes it. */
struct hls_cached_unit {
    struct list node; /* asked for longest ago first */
    struct hls_object object;
    struct hls_unit *unit;
    struct hls_reply reply;
    int64_t used_us; /* clock_us */
    bool pinned;     /* frames of it are no more in the log: counted in the node's account */
};

/* What playlists list at present: a function of the cuts, the same wherever the same frames are. */
struct hls_view {
    bool ready; /* there is a complete segment, and what should be listed is known */
    bool ended; /* nothing follows */
    struct hls_head head;
    uint64_t epoch; /* of the part that is being written */
    bool has_hint;  /* it may be asked for */
    uint32_t target_s;
    int64_t part_target_us;
    bool can_skip;
    int64_t segment_us; /* what segments are meant to last */
    struct cut_plan plan;
    uint64_t first_msn;
    /* The last may be open.  What differs between renditions is set when one is written. */
    struct m3u8_segment *segments;
    size_t count;
    struct m3u8_part *parts;
    struct log_part_has *has; /* of each of parts */
};

enum hls_range { HLS_RANGE_NONE, HLS_RANGE_FROM, HLS_RANGE_LAST };

/* A request, copied when it is held. */
struct hls_request {
    struct list node;
    struct hls_stream *stream;
    struct http_exchange *exchange;
    int64_t since_us, by_us; /* clock_us: when it came, and when it is given up */
    struct hls_object object;
    struct hls_directives directives;
    enum hls_range range;
    uint64_t range_first, range_last; /* HLS_RANGE_LAST: the last range_last bytes */
    bool gzip;
    char match[HLS_MATCH_MAX];
};

/* Requests for what is there with so many parts of a segment. */
struct hls_hold {
    struct list node;
    uint64_t msn;
    uint32_t parts;
    struct list requests; /* the oldest first */
};

/* How far the owner is, by its own word: asked when a request seems too far ahead. */
struct hls_ask {
    bool busy;
    struct probe *probe;
    struct list requests;
    int64_t told_us; /* clock_us of the last answer; 0: none yet */
    bool known;      /* it said something of our run */
    struct hls_head head;
};

struct hls_stream {
    uint32_t magic;
    struct hls *hls;
    struct worker *worker;
    struct feed_reader reader;
    struct hls_view view;
    struct list holds; /* few: a request may be only so far ahead */
    struct list ready; /* holds of what has come, which are being answered */
    struct task release;
    struct list waiting; /* requests for a stream that is not there yet */
    struct hls_ask ask;
    struct list fetches; /* struct hls_fetch */
    size_t fetch_count;
    struct list texts, inits;
    struct hls_tracks *tracks[HLS_INITS_MAX]; /* newest last */
    size_t track_sets;
    struct list units;
    size_t unit_count;
    struct timer sweep;
    int64_t opened_us, used_us, ended_us; /* clock_us; ended_us 0: it goes on */
    int64_t short_us; /* clock_us since when what should be listed is not here; 0: it is */
    uint64_t shown_msn, shown_epoch; /* the newest that a playlist began with: none goes back */
    bool gone;                       /* ended so long ago that there is nothing any more */
    bool over;                       /* the playlists have their end */
    int64_t covered_us[HLS_COUNT_SLOTS], count_s;
    uint32_t counted;
    char name[NAME_STREAM_MAX + 1];
};

struct hls {
    struct workers *group;
    struct hub *hub;
    struct edge *edge;
    struct cluster *cluster;
    const struct relay_client *client; /* NULL: there are no other nodes */
    struct map *streams[WORKERS_MAX];  /* by name; each touched by its worker only */
};

/* hls_stream.c */
struct hls_stream *hls_stream_get(struct hls *h, struct worker *w, const char *name);
/* Keeps a copy of the request until that part is there, or the stream is (no hold: msn 0). */
void hls_stream_hold(struct hls_stream *s, const struct hls_request *req, uint64_t msn,
                     uint32_t parts);
void hls_stream_wait(struct hls_stream *s, const struct hls_request *req);
/* The same, in a list of the caller's: for the next two, or for ever. */
void hls_stream_keep(struct hls_stream *s, const struct hls_request *req, struct list *to);
/* Answers all of the list, or holds them for something else; those whose time is up. */
void hls_stream_answer(struct hls_stream *s, struct list *requests);
void hls_stream_answer_late(struct hls_stream *s, struct list *requests, int64_t now_us);
/* A playlist was answered, which its player will ask for again in so long. */
void hls_stream_count(struct hls_stream *s, int64_t cover_us);

/* hls_upstream.c */
/* Whether a request that is too far ahead here is so for the owner: HLS_TOO_FAR, HLS_WAIT (it is
 * not, or nobody knows), or HLS_READY: a copy is kept and comes again when the owner has said it.
 */
enum hls_verdict hls_ask_owner(struct hls_stream *s, const struct hls_request *req);
/* Keeps a copy of the request for a segment or part whose frames have gone here, until they have
 * been fetched; false when they are not to be had. */
bool hls_fetch(struct hls_stream *s, const struct hls_request *req);
/* The run with just this segment, if it has been fetched, or NULL. */
const struct run *hls_fetched(struct hls_stream *s, uint64_t epoch, uint64_t msn);
/* True while somebody waits. */
bool hls_upstream_sweep(struct hls_stream *s, int64_t now_us);
void hls_upstream_fini(struct hls_stream *s);

/* hls_view.c */
/* Looks at the log; true when something of the view has changed. */
bool hls_view_update(struct hls_stream *s);
void hls_view_fini(struct hls_view *v);
/* The renditions that the newest segment has; how many. */
size_t hls_view_renditions(struct hls_stream *s, struct hls_rendition out[HLS_RENDITIONS_MAX]);
bool hls_view_has(struct hls_stream *s, struct hls_rendition r);

/* hls_text.c: NULL when it cannot be made; a rendition that is not there has none. */
struct hls_text *hls_text_get(struct hls_stream *s, const struct hls_object *o, bool delta,
                              bool gzip);
void hls_texts_drop(struct hls_stream *s);

/* hls_objects.c: NULL when it is not to be had. */
const struct hls_tracks *hls_tracks_get(struct hls_stream *s, uint64_t epoch, uint64_t msn);
const struct hls_init *hls_init_get(struct hls_stream *s, uint64_t epoch, uint64_t msn,
                                    struct hls_rendition r);
const struct hls_init *hls_init_find(struct hls_stream *s, const struct hls_object *o);
struct hls_cached_unit *hls_unit_get(struct hls_stream *s, const struct hls_object *o);
/* Forgets units that nobody asks for, and counts what others hold beyond the log. */
void hls_units_sweep(struct hls_stream *s, int64_t now_us);
void hls_objects_drop(struct hls_stream *s);

/* hls_answer.c: answers what can be answered, else holds a copy (a request that was held is one
 * already, and stays the caller's). */
void hls_answer(struct hls_stream *s, struct hls_request *req);
/* Its time is up. */
void hls_answer_late(struct hls_stream *s, struct hls_request *req);
/* How long a request is held, as things are. */
int64_t hls_patience_us(const struct hls_stream *s);
/* Answers without content; code is a word for programs, text a sentence. */
void hls_refuse(struct http_exchange *x, int status, const char *code, const char *text);
void hls_refuse_unknown(struct http_exchange *x);

#endif
