#include "edge/play_flv.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "edge/player.h"
#include "proto/flv.h"

#include <inttypes.h>
#include <stdlib.h>

#define PLAYER_MAGIC 0x706c666c

struct flv_player {
    uint32_t magic;
    struct http_exchange *exchange;
    struct viewer viewer;
    struct edge *edge;
    struct worker *worker;
    struct log_id log;
    int64_t opened_us;
    char name[NAME_STREAM_MAX + 1], peer[NET_ADDRESS_TEXT_MAX];
    struct task reap; /* the audience may still look at the viewer when it has ended it */
};

static struct flv_player *player_of(void *p)
{
    return OBJ_CAST(struct flv_player, p, PLAYER_MAGIC);
}

static void player_free(void *arg)
{
    struct flv_player *p = player_of(arg);
    viewer_leave(&p->viewer);
    task_cancel(&p->reap);
    OBJ_POISON(p);
    free(p);
}

static void tell_open(const struct flv_player *p)
{
    if (edge_may_log(p->edge, p->worker, true, &p->log))
        log_info(&p->log, "flv.open stream=%s peer=%s", p->name, p->peer);
}

static void tell_close(const struct flv_player *p, enum close_reason why)
{
    METRIC_INC(p->worker->metrics.closed[why]);
    if (!edge_may_log(p->edge, p->worker, false, &p->log))
        return;
    LOG_AT(close_reason_is_fault(why) ? LOG_WARN : LOG_INFO, &p->log,
           "flv.close reason=%s stream=%s peer=%s seconds=%" PRId64, close_reason_name(why),
           p->name, p->peer, (clock_us() - p->opened_us) / 1000000);
}

static const struct http_header stream_headers[] = {
    {"Content-Type", {(const uint8_t *)"video/x-flv", 11}},
    {"Cache-Control", {(const uint8_t *)"no-store", 8}},
};
#define STREAM_HEADERS (sizeof stream_headers / sizeof stream_headers[0])

static bool has_kind(const struct run *run, enum frame_kind kind)
{
    for (uint32_t i = 0; i < run->track_count; i++)
        if (run->tracks[i].kind == kind)
            return true;
    for (uint32_t i = 0; run->inforce != NULL && i < run->inforce->count; i++)
        if (run->inforce->frames[i]->kind == kind)
            return true;
    return false;
}

static void on_start(void *owner, const struct run *run)
{
    struct flv_player *p = player_of(owner);
    struct io *io = http_exchange_io(p->exchange);
    http_stream(p->exchange, 200, stream_headers, STREAM_HEADERS);
    player_set_buffers(io, p->viewer.audience);
    http_stream_lines(p->exchange, p->viewer.ahead);
    p->viewer.ahead[HTTP_STREAM_LINES] = io;
    uint8_t header[FLV_FILE_HEADER_SIZE];
    flv_file_header(header, has_kind(run, FRAME_AUDIO), has_kind(run, FRAME_VIDEO));
    http_stream_write(p->exchange, slice_of(header, sizeof header));
}

static int on_write(void *owner, struct slice bytes)
{
    return http_stream_write(player_of(owner)->exchange, bytes);
}

static ssize_t on_writev(void *owner, const struct iovec *iov, int count)
{
    return http_stream_writev(player_of(owner)->exchange, iov, count);
}

static void on_bitrate(void *owner, int64_t bitrate_bps)
{
    player_follow_bitrate(http_exchange_io(player_of(owner)->exchange), bitrate_bps);
}

static void respond_unavailable(struct http_exchange *x, int status, const char *code,
                                const char *text)
{
    const struct http_header retry[] = {{"Retry-After", slice_text("2")}};
    http_respond_error_with(x, status, code, text, retry, 1);
}

static void on_end(void *owner, enum close_reason why)
{
    struct flv_player *p = player_of(owner);
    struct http_exchange *x = p->exchange;
    bool started = p->viewer.started;
    tell_close(p, why);
    task_defer(p->worker, &p->reap);
    if (started)
        http_stream_end(x, why);
    else if (why == CLOSE_UNSUPPORTED)
        http_respond_error(x, 415, "unsupported", PLAYER_NEEDS_WEBRTC);
    else if (why == CLOSE_NOT_FOUND)
        respond_unavailable(x, 404, "not_found", "there is no such stream");
    else
        respond_unavailable(x, 503, "unavailable", "this node is going out of service");
}

static const struct viewer_ops ops = {
    .on_start = on_start,
    .write = on_write,
    .writev = on_writev,
    .on_bitrate = on_bitrate,
    .on_end = on_end,
};

static void on_writable(struct http_exchange *x, void *owner)
{
    viewer_writable(&player_of(owner)->viewer);
}

static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    tell_close(player_of(owner), why);
    player_free(owner);
}

static const struct http_exchange_ops exchange_ops = {.on_writable = on_writable,
                                                      .on_gone = on_gone};

static struct flv_player *player_new(struct http_exchange *x, struct edge *e, const char *name)
{
    struct flv_player *p = xcalloc_line(sizeof *p);
    p->magic = PLAYER_MAGIC;
    p->edge = e;
    p->exchange = x;
    p->worker = http_exchange_worker(x);
    p->log = (struct log_id){"flv", p->worker->index, log_new_id()};
    p->opened_us = clock_us();
    p->viewer.ops = &ops;
    p->viewer.owner = p;
    must(slice_copy(slice_text(name), p->name, sizeof p->name));
    net_address_text(http_exchange_peer(x), p->peer);
    task_init(&p->reap, player_free, p);
    return p;
}

void play_flv(struct http_exchange *x, const struct http_request *req, struct edge *e)
{
    char name[NAME_STREAM_MAX + 1];
    if (name_stream(req->captures[0], req->captures[1], name) < 0) {
        http_respond_error(x, 400, "bad_name", "not a valid stream name");
        return;
    }
    struct flv_player *p = player_new(x, e, name);
    enum wire_kind kind = player_wants_all_tracks(req->query) ? WIRE_FLV : WIRE_FLV_BASIC;
    p->viewer.plain_sound = kind == WIRE_FLV_BASIC;
    int err = viewer_join(e, p->worker, name, kind, &p->viewer);
    if (err < 0) {
        METRIC_INC(p->worker->metrics.play_refused_total);
        player_free(p);
        respond_unavailable(x, 503, "unavailable", player_refusal_text(err));
        return;
    }
    tell_open(p);
    http_exchange_watch(x, &exchange_ops, p);
}
