#include "hls_peer.h"

#include "base/err.h"
#include "bench.h"
#include "core/clock.h"
#include "mark.h"
#include "proto/hls_name.h"
#include "proto/http1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (64 * 1024) /* at once */

int hls_connect(const struct target *t)
{
    const struct timeval patience = {HLS_ANSWER_S, 0};
    int on = 1, fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&t->address, t->address_len) < 0) {
        perror("sluice-bench: connect");
        exit(BENCH_FAILED);
    }
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

bool hls_ask(int fd, const struct target *t, const char *name, bool gzip)
{
    char text[3 * TARGET_TEXT_MAX + HLS_NAME_MAX];
    const char *slash = strrchr(t->stream, '/');
    int keep = name == NULL    ? (int)strlen(t->stream)
               : slash != NULL ? (int)(slash - t->stream) + 1
                               : 0;
    int n = snprintf(text, sizeof text, "GET /%s/%.*s%s HTTP/1.1\r\nHost: bench\r\n%s\r\n", t->app,
                     keep, t->stream, name != NULL ? name : "",
                     gzip ? "Accept-Encoding: gzip\r\n" : "");
    return n > 0 && (size_t)n < sizeof text && send(fd, text, (size_t)n, MSG_NOSIGNAL) == n;
}

/* By our clock, from what the kernel stamped with the wall's. */
static int64_t stamp_us(struct msghdr *m)
{
    struct timespec at, wall;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS)
            continue;
        memcpy(&at, CMSG_DATA(c), sizeof at);
        clock_gettime(CLOCK_REALTIME, &wall);
        int64_t age_ns = (wall.tv_sec - at.tv_sec) * 1000000000LL + wall.tv_nsec - at.tv_nsec;
        return clock_us() - age_ns / 1000;
    }
    return clock_us();
}

static bool read_some(int fd, struct buf *room, int64_t *at_us)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec iov = {buf_reserve(room, READ_BYTES), READ_BYTES};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = iov.iov_base != NULL ? recvmsg(fd, &m, 0) : -1;
    if (n <= 0)
        return false;
    *at_us = stamp_us(&m);
    buf_commit(room, (size_t)n);
    return true;
}

bool hls_take(int fd, struct buf *room, struct hls_answer *out)
{
    struct http1_response head;
    buf_consume(room, buf_len(room));
    for (;;) {
        struct slice all = buf_slice(room);
        ssize_t n = all.len > 0 ? http1_response_read(all.p, all.len, &head) : 0;
        if (n < 0)
            return false;
        if (n > 0 && all.len - (size_t)n >= head.fields.content_length) {
            out->status = head.status;
            out->head = slice_of(all.p, (size_t)n);
            out->body = slice_of(all.p + n, (size_t)head.fields.content_length);
            return true;
        }
        if (!read_some(fd, room, &out->at_us))
            return false;
    }
}

void hls_get(int fd, const struct target *t, const char *name, struct buf *room,
             struct hls_answer *out)
{
    *out = (struct hls_answer){0};
    if (hls_ask(fd, t, name, false) && hls_take(fd, room, out) && out->status == 200)
        return;
    fprintf(stderr, "sluice-bench: %s of /%s/%s: status %d\n", name != NULL ? name : "GET", t->app,
            t->stream, out->status);
    exit(BENCH_FAILED);
}

bool hls_hint(struct slice playlist, struct hls_place *out)
{
    static const char tag[] = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"";
    struct hls_object o;
    const uint8_t *at =
        playlist.len > 0 ? memmem(playlist.p, playlist.len, tag, sizeof tag - 1) : NULL;
    if (at == NULL)
        return false;
    at += sizeof tag - 1;
    struct slice rest,
        name = slice_cut(slice_of(at, (size_t)(playlist.p + playlist.len - at)), '"', &rest, NULL);
    if (hls_name_read(name, &o) < 0 || o.kind != HLS_PART)
        return false;
    *out = (struct hls_place){o.epoch, o.msn, o.part};
    return true;
}

int64_t hls_sent_us(struct slice part, bool last)
{
    struct mark m;
    int64_t now_us = clock_us(), sent_us = 0;
    const uint8_t *p = part.p, *end = part.p + part.len;
    while (p != NULL && end - p >= MARK_SIZE && (sent_us == 0 || last)) {
        p = memmem(p, (size_t)(end - p), "SLMT", 4);
        if (p == NULL || end - p < MARK_SIZE)
            break;
        /* The mark is read where a body ends. */
        if (mark_read(slice_of(part.p, (size_t)(p + MARK_SIZE - part.p)), &m))
            sent_us = now_us - (int64_t)(uint32_t)((uint32_t)now_us - m.session);
        p += MARK_SIZE;
    }
    return sent_us;
}
