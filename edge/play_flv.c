#include "edge/play_flv.h"

#include "base/mem.h"
#include "base/obj.h"
#include "edge/player.h"
#include "proto/flv.h"

#include <stdlib.h>

#define PLAYER_MAGIC 0x706c666c

struct flv_player {
    uint32_t magic;
    struct http_exchange *exchange;
    struct viewer viewer;
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
    http_stream(p->exchange, 200, stream_headers, STREAM_HEADERS);
    player_set_buffers(http_exchange_io(p->exchange), p->viewer.audience);
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
    task_defer(http_exchange_worker(x), &p->reap);
    if (started)
        http_stream_end(x, why);
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
    player_free(owner);
}

static const struct http_exchange_ops exchange_ops = {.on_writable = on_writable,
                                                      .on_gone = on_gone};

void play_flv(struct http_exchange *x, const struct http_request *req, struct edge *e)
{
    char name[NAME_STREAM_MAX + 1];
    if (name_stream(req->captures[0], req->captures[1], name) < 0) {
        http_respond_error(x, 400, "bad_name", "not a valid stream name");
        return;
    }
    struct flv_player *p = xcalloc(1, sizeof *p);
    p->magic = PLAYER_MAGIC;
    p->exchange = x;
    p->viewer.ops = &ops;
    p->viewer.owner = p;
    task_init(&p->reap, player_free, p);
    struct worker *w = http_exchange_worker(x);
    enum wire_kind kind = player_wants_all_tracks(req->query) ? WIRE_FLV : WIRE_FLV_BASIC;
    int err = viewer_join(e, w, name, kind, &p->viewer);
    if (err < 0) {
        METRIC_INC(w->metrics.play_refused_total);
        OBJ_POISON(p);
        free(p);
        respond_unavailable(x, 503, "unavailable", player_refusal_text(err));
        return;
    }
    http_exchange_watch(x, &exchange_ops, p);
}
