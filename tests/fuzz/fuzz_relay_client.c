#include "base/must.h"
#include "core/logline.h"
#include "edge/hls_internal.h"
#include "edge/pull.h"

#include <string.h>

/*
 * What another node that has the secret may send to an edge: the bodies of relay answers.  The
 * first byte says how they are cut into pieces, the next two are the length of the first one, and
 * what follows that is the answer to all that is asked besides (older frames, the run before). They
 * go through the pull into a feed's log, and everything that HLS players could ask for is made of
 * that.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STREAM    "live/a"
#define TURNS     4  /* of the loop: tasks that defer tasks */
#define PIECE_MIN 64 /* bytes that come at once */
#define CALLS_MAX 32

/* In place of a connection; ops NULL: not in use. */
struct relay_call {
    const struct relay_call_ops *ops;
    void *owner;
    bool answered;
};
/* A place that was left is taken again last: who called may still look at it. */
static struct relay_call calls[CALLS_MAX];

static struct relay_call *next_call(void)
{
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (calls[i].ops != NULL && !calls[i].answered)
            return &calls[i];
    return NULL;
}

struct relay_call *__wrap_relay_call_start(struct worker *w, const struct relay_client *client,
                                           const struct relay_call_options *o,
                                           const struct relay_call_ops *ops, void *owner);
struct relay_call *__wrap_relay_call_start(struct worker *w, const struct relay_client *client,
                                           const struct relay_call_options *o,
                                           const struct relay_call_ops *ops, void *owner)
{
    static size_t last;
    size_t tries = 0, i = last;
    do {
        i = (i + 1) % CALLS_MAX;
        must(++tries <= CALLS_MAX);
    } while (calls[i].ops != NULL);
    last = i;
    calls[i] = (struct relay_call){.ops = ops, .owner = owner};
    return &calls[i];
}

bool __wrap_relay_call_is_connected(const struct relay_call *c);
bool __wrap_relay_call_is_connected(const struct relay_call *c)
{
    return c->ops != NULL;
}

void __wrap_relay_call_cancel(struct relay_call **cp);
void __wrap_relay_call_cancel(struct relay_call **cp)
{
    if (*cp != NULL)
        **cp = (struct relay_call){.ops = NULL};
    *cp = NULL;
}

static void on_nothing(struct pull *p, void *arg)
{
}

static void on_owner(struct pull *p, const struct cluster_owner *owner, void *arg)
{
    must(owner->epoch > 0);
}

static void on_end(struct pull *p, enum pull_end why, void *arg)
{
}

static const struct pull_ops pull_ops = {on_nothing, on_owner, on_owner, on_end};

struct world {
    struct workers group;
    struct config config;
    struct worker *worker;
    struct hub *hub;
    struct edge *edge;
    struct hls *hls;
    struct feed *feed;
    struct pull *pull;
};

static struct world *the_world(void)
{
    static struct world w;
    if (w.worker != NULL)
        return &w;
    log_setup((enum log_level)(LOG_ERROR + 1), false);
    w.config.stream.window_ms = 28000;
    w.config.stream.window_bytes = 1 << 20;
    w.config.stream.memory_bytes = 1 << 24;
    w.config.stream.linger_ms = 1;
    w.config.hls.segment_ms = 1000;
    w.config.hls.part_ms = 200;
    w.config.hls.window_segments = 3;
    must(workers_init(&w.group, &w.config, 1) == 0);
    w.worker = &w.group.workers[0];
    return &w;
}

static void turn(struct world *w)
{
    for (int i = 0; i < TURNS; i++)
        event_base_loop(w->worker->base, EVLOOP_NONBLOCK);
}

static void enter(struct world *w)
{
    static const struct relay_identity self = {"e1", 2, "secret"};
    static const struct relay_client client = {.self = &self};
    struct cluster_owner owner = {.found = true, .epoch = 1, .instance = 1, .node = "o1"};
    must(slice_copy(slice_text("127.0.0.1:1"), owner.address, sizeof owner.address));
    w->hub = hub_new(&w->group);
    w->edge = edge_new(&w->group, w->hub);
    w->hls = hls_new(&w->group, w->hub, w->edge);
    w->feed = feed_hold(w->hub, w->worker, STREAM);
    w->pull = pull_open(w->feed, &client, &owner, NULL, &pull_ops, w);
    hls_stream_get(w->hls, w->worker, STREAM);
    while (next_call() == NULL)
        event_base_loop(w->worker->base, EVLOOP_ONCE);
}

static void leave(struct world *w)
{
    pull_free(&w->pull);
    hls_free(&w->hls);
    feed_release(&w->feed);
    turn(w);
    edge_free(&w->edge);
    hub_free(&w->hub);
    must(frames_alive() == 0);
    for (size_t i = 0; i < CALLS_MAX; i++)
        must(calls[i].ops == NULL);
}

static void answer(struct world *w, struct relay_call *c, struct slice body, size_t piece)
{
    size_t at = 0;
    c->answered = true;
    if (c->ops->on_head != NULL)
        c->ops->on_head(c, 200, c->owner);
    for (size_t end = 0; end < body.len && c->ops != NULL;) {
        end = body.len - end < piece ? body.len : end + piece;
        const struct relay_call_ops *ops = c->ops;
        ssize_t used = ops->on_body(c, slice_of(body.p + at, end - at), c->owner);
        must(used <= (ssize_t)(end - at));
        if (used < 0)
            break;
        at += (size_t)used;
        turn(w);
    }
}

/* A link is cut by the end of its body, and what was asked is over. */
static void end_calls(struct world *w)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        struct relay_call c = calls[i];
        if (c.ops == NULL)
            continue;
        calls[i] = (struct relay_call){.ops = NULL};
        c.ops->on_end(CLOSE_FINISHED, c.owner);
    }
    turn(w);
}

/* ---- what players ask for ---- */

static void take_unit(struct hls_stream *s, struct hls_object o)
{
    const struct hls_cached_unit *u = hls_unit_get(s, &o);
    if (u != NULL)
        must(u->unit != NULL);
}

static void take_objects(struct hls_stream *s, struct hls_rendition r)
{
    for (size_t i = 0; i < s->view.count; i++) {
        const struct m3u8_segment *segment = &s->view.segments[i];
        struct hls_object o = {.kind = HLS_SEGMENT,
                               .rendition = r,
                               .epoch = segment->epoch,
                               .msn = s->view.first_msn + i};
        hls_init_get(s, o.epoch, o.msn, r);
        take_unit(s, o);
        o.kind = HLS_PART;
        for (; o.part < segment->part_count; o.part++)
            take_unit(s, o);
    }
}

static void take_texts(struct hls_stream *s, struct hls_rendition r)
{
    struct hls_object o = {.kind = HLS_PLAYLIST, .rendition = r};
    hls_text_get(s, &o, false, false);
    hls_text_get(s, &o, true, true);
    o.kind = HLS_MULTIVARIANT;
    hls_text_get(s, &o, false, false);
}

static void play(struct world *w)
{
    struct hls_rendition renditions[HLS_RENDITIONS_MAX];
    struct hls_stream *s = hls_stream_get(w->hls, w->worker, STREAM);
    hls_view_update(s);
    if (!s->view.ready)
        return;
    size_t count = hls_view_renditions(s, renditions);
    must(count <= HLS_RENDITIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        take_texts(s, renditions[i]);
        take_objects(s, renditions[i]);
    }
}

static void check(const struct feed *f)
{
    const struct run *r = log_newest(f->log);
    if (r == NULL)
        return;
    must(r->first <= r->next);
    for (uint64_t seq = r->first; seq < r->next; seq++)
        must(run_frame(r, seq)->seq == seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = the_world();
    struct rd r = rd_init(data, size);
    size_t piece = PIECE_MIN * (1U + rd_u8(&r));
    size_t len = rd_u16(&r);
    if (r.underrun)
        return 0;
    len = len < rd_left(&r) ? len : rd_left(&r);
    struct slice first = rd_slice_of(&r, len), rest = rd_slice_of(&r, rd_left(&r));
    enter(w);
    answer(w, next_call(), first, piece);
    for (int i = 0; i < CALLS_MAX && next_call() != NULL; i++)
        answer(w, next_call(), rest, piece);
    check(w->feed);
    play(w);
    end_calls(w);
    play(w);
    leave(w);
    return 0;
}
