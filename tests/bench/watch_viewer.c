/* One player: what it gets is judged frame by frame. */
#include "watch.h"

#include "base/err.h"
#include "base/list.h"
#include "core/clock.h"
#include "proto/flv.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VIDEO, AUDIO };

#define TELL(v, event, format, ...)                                                                \
    printf("{\"event\":\"%s\",\"viewer\":%d,\"url\":%d,\"at_us\":%lld" format "}\n", event,        \
           (v)->number, target_index(v), (long long)clock_us(), __VA_ARGS__)

static int target_index(const struct watch_viewer *v)
{
    return (v->number + v->attempts) % v->watch->options.target_count;
}

/* ---- what comes ---- */

static void judge_time(struct watch_viewer *v, int kind, uint32_t timestamp_ms)
{
    if (v->timed[kind] && (int32_t)(timestamp_ms - v->newest_ms[kind]) < 0) {
        v->watch->counts.back++;
        TELL(v, "back", ",\"kind\":%d,\"from_ms\":%u,\"to_ms\":%u", kind, v->newest_ms[kind],
             timestamp_ms);
    }
    v->timed[kind] = true;
    v->newest_ms[kind] = timestamp_ms;
}

static bool is_over(const struct watch_viewer *v, uint32_t session)
{
    int from = v->over_count > WATCH_SESSIONS ? v->over_count - WATCH_SESSIONS : 0;
    for (int i = from; i < v->over_count; i++)
        if (v->over[i % WATCH_SESSIONS] == session)
            return true;
    return false;
}

static void judge_session(struct watch_viewer *v, struct mark m, bool key, uint32_t timestamp_ms)
{
    struct watch_counts *counts = &v->watch->counts;
    if (is_over(v, m.session)) {
        counts->stale++;
        TELL(v, "stale", ",\"session\":%u,\"index\":%u", m.session, m.index);
    }
    counts->runs++;
    counts->keyless += !key;
    TELL(v, "run",
         ",\"session\":%u,\"index\":%u,\"from\":%u,\"last_us\":%lld,\"key\":%d,\"configs\":%d,"
         "\"step_ms\":%d",
         m.session, m.index, v->mark.session, (long long)v->frame_us, key, v->configs,
         (int32_t)(timestamp_ms - v->newest_ms[VIDEO]));
    v->over[v->over_count++ % WATCH_SESSIONS] = v->mark.session;
}

/* The first frame of a connection has nothing to compare with. */
static void judge_mark(struct watch_viewer *v, struct slice body, bool key, uint32_t timestamp_ms)
{
    struct mark m;
    if (!mark_read(body, &m))
        return;
    if (v->mark.session != 0 && m.session != v->mark.session) {
        judge_session(v, m, key, timestamp_ms);
    } else if (v->mark.session != 0 && v->frame_us != 0 && m.index != v->mark.index + 1) {
        v->watch->counts.holes++;
        v->watch->counts.lost_frames += m.index - v->mark.index - 1;
        TELL(v, "hole", ",\"session\":%u,\"from\":%u,\"to\":%u,\"key\":%d", m.session,
             v->mark.index, m.index, key);
    }
    v->mark = m;
}

static void judge_gap(struct watch_viewer *v, int64_t now_us, bool key)
{
    int64_t gap_us = now_us - v->frame_us;
    v->gap_us = gap_us > v->gap_us ? gap_us : v->gap_us;
    if (gap_us < WATCH_STALL_MS * 1000)
        return;
    v->watch->counts.stalls++;
    TELL(v, "stall", ",\"from_us\":%lld,\"to_us\":%lld,\"key\":%d,\"configs\":%d",
         (long long)v->frame_us, (long long)now_us, key, v->configs);
}

static void on_frame(struct watch_viewer *v, struct slice body, bool key, uint32_t timestamp_ms)
{
    int64_t now_us = clock_us();
    v->watch->counts.frames++;
    judge_mark(v, body, key, timestamp_ms);
    judge_time(v, VIDEO, timestamp_ms);
    if (v->frame_us != 0)
        judge_gap(v, now_us, key);
    else if (key)
        TELL(v, "framed", ",\"connect_us\":%lld,\"session\":%u,\"index\":%u",
             (long long)v->connect_us, v->mark.session, v->mark.index);
    if (v->frame_us != 0 || key)
        v->frame_us = now_us;
    v->configs = 0;
}

static void on_message(struct client *c, uint8_t type, uint32_t timestamp_ms, struct slice body)
{
    struct watch_viewer *v = container_of(c, struct watch_viewer, client);
    struct flv_packet packets[FLV_PACKETS_MAX];
    if ((type != FLV_TAG_VIDEO && type != FLV_TAG_AUDIO) || flv_packets(type, body, packets) < 1)
        return;
    if (type == FLV_TAG_AUDIO && packets[0].class == FLV_FRAMES)
        judge_time(v, AUDIO, timestamp_ms);
    else if (type == FLV_TAG_VIDEO && packets[0].class == FLV_CONFIG)
        v->configs++;
    else if (type == FLV_TAG_VIDEO && packets[0].class == FLV_FRAMES)
        on_frame(v, body, packets[0].frame_type == FLV_FRAME_KEY, timestamp_ms);
}

/* ---- its connection ---- */

void watch_viewer_close(struct watch_viewer *v)
{
    if (v->fd < 0)
        return;
    close(v->fd);
    v->fd = -1;
    client_fini(&v->client);
}

/* A player that connects again is another player: nothing it had before is compared. */
static void forget(struct watch_viewer *v)
{
    v->frame_us = 0;
    v->timed[VIDEO] = v->timed[AUDIO] = false;
    v->mark = (struct mark){0};
    v->over_count = v->configs = 0;
}

static void lost(struct watch_viewer *v, const char *why)
{
    bool granted = v->fd >= 0 && v->client.state == CLIENT_GRANTED;
    if (granted)
        v->watch->counts.closed++;
    else
        v->watch->counts.refused++;
    TELL(v, "closed", ",\"granted\":%d,\"why\":\"%s\",\"status\":\"%s\"", granted, why,
         v->client.status);
    watch_viewer_close(v);
    forget(v);
    v->attempts++;
    v->again_us = clock_us() + (granted ? 0 : WATCH_RETRY_MS * 1000);
}

void watch_viewer_start(struct watch_viewer *v)
{
    struct watch *w = v->watch;
    const struct target *to = &w->options.targets[target_index(v)];
    v->connect_us = clock_us();
    v->connecting = true;
    bool named =
        client_init(&v->client, to, v->number % w->options.modulo, CLIENT_PLAY, on_message);
    v->fd = named ? target_connect(to) : -1;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = v};
    if (v->fd < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, v->fd, &e) < 0) {
        lost(v, "connect");
        return;
    }
    int room = WATCH_SLOW_RCVBUF;
    if (w->options.slow_bits > 0)
        setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
}

/* What a player says is so little that a socket which does not take it is as good as closed. */
static bool send_out(struct watch_viewer *v)
{
    struct slice out = buf_slice(&v->client.out);
    if (out.len == 0)
        return true;
    ssize_t n = send(v->fd, out.p, out.len, MSG_NOSIGNAL);
    buf_consume(&v->client.out, n > 0 ? (size_t)n : 0);
    return n == (ssize_t)out.len;
}

static void connected(struct watch_viewer *v)
{
    int code = 0;
    socklen_t len = sizeof code;
    bool slow = v->watch->options.slow_bits > 0;
    struct epoll_event e = {.events = slow ? 0 : EPOLLIN, .data.ptr = v};
    getsockopt(v->fd, SOL_SOCKET, SO_ERROR, &code, &len);
    v->connecting = false;
    if (code != 0 || epoll_ctl(v->watch->epoll, EPOLL_CTL_MOD, v->fd, &e) < 0 || !send_out(v))
        lost(v, "connect");
    else
        v->watch->counts.opened++;
}

static void read_some(struct watch_viewer *v, size_t most)
{
    ssize_t n = recv(v->fd, v->watch->scratch, most, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        lost(v, n == 0 ? "eof" : errno == ECONNRESET ? "reset" : "error");
        return;
    }
    int err = client_feed(&v->client, slice_of(v->watch->scratch, (size_t)n));
    if (err == ERR_CLOSED)
        lost(v, "end");
    else if (err < 0)
        lost(v, err == ERR_REFUSED ? "refused" : "protocol");
    else if (!send_out(v))
        lost(v, "send");
}

void watch_viewer_event(struct watch_viewer *v)
{
    if (v->fd < 0)
        return;
    if (v->connecting)
        connected(v);
    else
        read_some(v, WATCH_SCRATCH);
}

void watch_viewer_tick(struct watch_viewer *v)
{
    size_t share = (size_t)(v->watch->options.slow_bits / 8 * WATCH_TICK_MS / 1000);
    if (v->fd >= 0 && !v->connecting)
        read_some(v, share);
}
