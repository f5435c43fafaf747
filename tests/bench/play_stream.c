/*
 * Viewers of RTMP and HTTP-FLV.  All messages are looked at: timestamps, marks.  With --no-check
 * only until the first key frame; what follows is discarded in the kernel, so that the load costs
 * as little as it can beside the server.
 */
#include "client.h"
#include "play.h"

#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"
#include "core/clock.h"
#include "proto/flv.h"

enum { VIDEO, AUDIO, KINDS };

struct stream_viewer {
    struct viewer viewer;
    struct client client;
    struct link link;
    bool discarding;
    bool timed[KINDS];
    uint32_t newest_ms[KINDS];
    bool marked;
    uint32_t index; /* of the last mark */
};

static struct stream_viewer *of(struct viewer *v)
{
    return container_of(v, struct stream_viewer, viewer);
}

static void check_time(struct stream_viewer *s, int kind, uint32_t timestamp_ms)
{
    int32_t step_ms = (int32_t)(timestamp_ms - s->newest_ms[kind]);
    if (s->timed[kind] && step_ms < 0)
        s->viewer.stats->backs++;
    else if (s->timed[kind] && step_ms > PLAY_STEP_MS)
        viewer_hole(&s->viewer, 0);
    s->timed[kind] = true;
    s->newest_ms[kind] = timestamp_ms;
}

static void check_mark(struct stream_viewer *s, struct slice body)
{
    struct mark m;
    if (!mark_read(body, &m))
        return;
    if (s->marked && m.index != s->index + 1)
        viewer_hole(&s->viewer, m.index > s->index ? m.index - s->index - 1 : 0);
    if (m.timed)
        viewer_latency(&s->viewer, m.session);
    s->marked = true;
    s->index = m.index;
}

static void on_message(struct client *c, uint8_t type, uint32_t timestamp_ms, struct slice body)
{
    struct stream_viewer *s = container_of(c, struct stream_viewer, client);
    struct flv_packet packets[FLV_PACKETS_MAX];
    viewer_media(&s->viewer);
    if ((type != FLV_TAG_VIDEO && type != FLV_TAG_AUDIO) || flv_packets(type, body, packets) < 1 ||
        packets[0].class != FLV_FRAMES)
        return;
    check_time(s, type == FLV_TAG_VIDEO ? VIDEO : AUDIO, timestamp_ms);
    if (type == FLV_TAG_AUDIO)
        return;
    check_mark(s, body);
    if (packets[0].frame_type != FLV_FRAME_KEY)
        return;
    if (s->viewer.stats->frame_us == 0)
        link_move(&s->link, s->viewer.play->playing);
    viewer_framed(&s->viewer);
    s->discarding = s->viewer.play->options.unchecked;
}

static int send_out(struct stream_viewer *s)
{
    int err = link_send(&s->link, buf_slice(&s->client.out));
    buf_consume(&s->client.out, buf_len(&s->client.out));
    return err;
}

static int stream_open(struct viewer *v)
{
    struct stream_viewer *s = of(v);
    const struct target *to = &v->play->options.target;
    link_init(&s->link);
    if (!client_init(&s->client, to, viewer_stream(v), CLIENT_PLAY, on_message)) {
        viewer_why(v, "the stream's name is too long");
        return ERR_TOO_LARGE;
    }
    return viewer_connect(v, &s->link);
}

static int lost(struct stream_viewer *s, int err)
{
    const char *status = s->client.status;
    viewer_why(&s->viewer, "%s%s%s", err_text(err), status[0] != '\0' ? ", the server said " : "",
               status);
    return err;
}

static int take(struct stream_viewer *s)
{
    struct viewer *v = &s->viewer;
    ssize_t n = s->discarding ? link_discard(&s->link, v->play->scratch, PLAY_SCRATCH_BYTES)
                              : link_recv(&s->link, v->play->scratch, PLAY_SCRATCH_BYTES);
    if (n < 0)
        return lost(s, (int)n);
    if (n == 0)
        return 0;
    int64_t gap_us = viewer_bytes(v, (size_t)n, clock_us());
    if (v->stats->frame_us != 0 && gap_us >= v->play->options.stall_us)
        v->stats->stalls++;
    if (s->discarding)
        return 0;
    int err = client_feed(&s->client, slice_of(v->play->scratch, (size_t)n));
    return err < 0 ? lost(s, err) : send_out(s);
}

static int stream_event(struct viewer *v, uint32_t events)
{
    struct stream_viewer *s = of(v);
    int state = viewer_link(v, &s->link);
    if (state == LINK_READY)
        return send_out(s);
    int err = state == LINK_DATA ? take(s) : state;
    while (err == 0 && state == LINK_DATA && link_has_more(&s->link))
        err = take(s);
    return err;
}

static void stream_close(struct viewer *v)
{
    struct stream_viewer *s = of(v);
    client_fini(&s->client);
    link_close(&s->link);
}

static bool is_rtmp(const char *url)
{
    return slice_starts(slice_text(url), "rtmp");
}

/* Whatever else HTTP is asked for: an FLV file that does not end. */
static bool is_http(const char *url)
{
    return slice_starts(slice_text(url), "http");
}

const struct play_protocol play_rtmp = {.name = "RTMP",
                                        .matches = is_rtmp,
                                        .viewer_size = sizeof(struct stream_viewer),
                                        .open = stream_open,
                                        .event = stream_event,
                                        .close = stream_close};

const struct play_protocol play_flv = {.name = "HTTP-FLV",
                                       .matches = is_http,
                                       .viewer_size = sizeof(struct stream_viewer),
                                       .open = stream_open,
                                       .event = stream_event,
                                       .close = stream_close};
