#include "edge/play_rtmp.h"

#include "base/mem.h"
#include "base/obj.h"
#include "edge/player.h"

#include <stdlib.h>

#define PLAYER_MAGIC 0x706c7274

struct rtmp_player {
    uint32_t magic;
    struct rtmp_session *session;
    struct viewer viewer;
};

static struct rtmp_player *player_of(void *p)
{
    return OBJ_CAST(struct rtmp_player, p, PLAYER_MAGIC);
}

static void on_start(void *owner, const struct run *run)
{
    struct rtmp_player *p = player_of(owner);
    struct io *io = rtmp_session_io(p->session);
    player_set_buffers(io, p->viewer.audience);
    p->viewer.ahead[0] = p->session;
    p->viewer.ahead[1] = io;
    rtmp_session_play_started(p->session);
}

static void on_resumed(void *owner)
{
    rtmp_session_play_resumed(player_of(owner)->session);
}

static int on_write(void *owner, struct slice bytes)
{
    return rtmp_session_write(player_of(owner)->session, bytes);
}

static ssize_t on_writev(void *owner, const struct iovec *iov, int count)
{
    return rtmp_session_writev(player_of(owner)->session, iov, count);
}

static void on_bitrate(void *owner, int64_t bitrate_bps)
{
    player_follow_bitrate(rtmp_session_io(player_of(owner)->session), bitrate_bps);
}

static void on_end(void *owner, enum close_reason why)
{
    struct rtmp_player *p = player_of(owner);
    if (why == CLOSE_NOT_FOUND)
        rtmp_session_refuse(p->session, why, "no such stream");
    else if (why == CLOSE_UNSUPPORTED)
        rtmp_session_refuse(p->session, why, PLAYER_NEEDS_WEBRTC);
    else
        rtmp_session_end(p->session, why);
}

static const struct viewer_ops ops = {
    .on_start = on_start,
    .on_resumed = on_resumed,
    .write = on_write,
    .writev = on_writev,
    .on_bitrate = on_bitrate,
    .on_end = on_end,
};

static void *play_open(struct rtmp_session *s, const struct rtmp_request *req, void *arg)
{
    struct rtmp_player *p = xcalloc_line(sizeof *p);
    p->magic = PLAYER_MAGIC;
    p->session = s;
    p->viewer.ops = &ops;
    p->viewer.owner = p;
    bool all = (req->caps_ex & RTMP_CAP_MULTITRACK) != 0 ||
               player_wants_all_tracks(slice_text(req->query));
    p->viewer.plain_sound = !all && !req->announced;
    int err = viewer_join(arg, rtmp_session_worker(s), req->name, all ? WIRE_RTMP : WIRE_RTMP_BASIC,
                          &p->viewer);
    if (err == 0)
        return p;
    METRIC_INC(rtmp_session_worker(s)->metrics.play_refused_total);
    rtmp_session_refuse(s, player_refusal(err), player_refusal_text(err));
    OBJ_POISON(p);
    free(p);
    return NULL;
}

static void play_on_pause(void *h, bool paused)
{
    viewer_pause(&player_of(h)->viewer, paused);
}

static void play_on_receive(void *h, bool audio, bool video)
{
    viewer_mute(&player_of(h)->viewer, audio, video);
}

static void play_on_writable(void *h)
{
    viewer_writable(&player_of(h)->viewer);
}

static void play_on_close(void *h, enum close_reason why, bool clean)
{
    struct rtmp_player *p = player_of(h);
    viewer_leave(&p->viewer);
    OBJ_POISON(p);
    free(p);
}

const struct rtmp_handler play_rtmp_handler = {
    .open = play_open,
    .on_pause = play_on_pause,
    .on_receive = play_on_receive,
    .on_writable = play_on_writable,
    .on_close = play_on_close,
};
