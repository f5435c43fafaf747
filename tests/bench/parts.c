/*
 * A player with low latency: how long after the frame that ended a part was sent the playlist that
 * lists it, and the part itself, are there.
 *
 *   playlist ─▶ hint ─▶ asked for on two connections: the playlist with that part, and the part
 *
 * Frames say when they were sent (publish -T); the one that ends a part is the first of the next.
 */
#include "bench.h"
#include "hls_peer.h"

#include "core/clock.h"
#include "proto/hls_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARTS 10

struct parts {
    struct target target; /* of the stream that is played */
    int number, count;
    int playlist_fd, part_fd;
    struct buf playlist, part;
};

struct arrival {
    struct hls_place place;       /* of the part that is waited for */
    int64_t playlist_us, part_us; /* of the part before it */
};

static const char *playlist_name(const struct target *t)
{
    const char *slash = strrchr(t->stream, '/');
    return slash != NULL ? slash + 1 : t->stream;
}

static void fail(const struct parts *p, const char *what)
{
    fprintf(stderr, "sluice-bench: stream %d: no %s\n", p->number, what);
    exit(BENCH_FAILED);
}

/* Waits for the part at *place and goes on to the next; when the frame that ended the one before
 * was sent. */
static int64_t take_part(struct parts *p, struct arrival *a)
{
    char playlist[TARGET_TEXT_MAX + HLS_NAME_MAX], part[HLS_NAME_MAX];
    const struct hls_object o = {.kind = HLS_PART,
                                 .rendition = {HLS_MAIN, 0},
                                 .epoch = a->place.epoch,
                                 .msn = a->place.msn,
                                 .part = a->place.part};
    struct hls_answer list, bytes;
    hls_name_write(&o, part);
    snprintf(playlist, sizeof playlist, "%s?_HLS_msn=%llu&_HLS_part=%u", playlist_name(&p->target),
             (unsigned long long)a->place.msn, a->place.part);
    if (!hls_ask(p->playlist_fd, &p->target, playlist, false) ||
        !hls_ask(p->part_fd, &p->target, part, false))
        fail(p, "connection");
    if (!hls_take(p->playlist_fd, &p->playlist, &list) || list.status != 200)
        fail(p, "playlist");
    if (!hls_take(p->part_fd, &p->part, &bytes) || bytes.status != 200)
        fail(p, "part");
    a->playlist_us = list.at_us;
    a->part_us = bytes.at_us;
    if (!hls_hint(list.body, &a->place))
        fail(p, "hint");
    return hls_sent_us(bytes.body, false);
}

static void play(struct parts *p)
{
    struct hls_answer first;
    struct arrival now = {0}, before;
    int64_t begin_us = clock_us();
    p->playlist_fd = hls_connect(&p->target);
    p->part_fd = hls_connect(&p->target);
    hls_get(p->playlist_fd, &p->target, NULL, &p->playlist, &first);
    printf("{\"event\":\"joined\",\"stream\":%d,\"ms\":%.3f}\n", p->number,
           (double)(first.at_us - begin_us) / 1000);
    if (!hls_hint(first.body, &now.place))
        fail(p, "hint");
    for (int i = 0; i <= p->count; i++) {
        before = now;
        int64_t ended_us = take_part(p, &now);
        if (i > 0 && ended_us != 0)
            printf("{\"event\":\"part\",\"stream\":%d,\"index\":%d,\"playlist_ms\":%.3f,"
                   "\"part_ms\":%.3f}\n",
                   p->number, i - 1, (double)(before.playlist_us - ended_us) / 1000,
                   (double)(before.part_us - ended_us) / 1000);
    }
    close(p->playlist_fd);
    close(p->part_fd);
}

int parts_main(int argc, char **argv)
{
    struct parts p = {.count = PARTS};
    struct target target;
    const char *url = NULL;
    int streams = 1;
    for (int c; (c = getopt(argc, argv, "u:n:k:")) != -1;) {
        switch (c) {
        case 'u':
            url = optarg;
            break;
        case 'n':
            streams = (int)bench_number(optarg, 1, BENCH_PEERS_MAX);
            break;
        case 'k':
            p.count = (int)bench_number(optarg, 1, 1000000);
            break;
        default:
            return BENCH_USAGE;
        }
    }
    if (url == NULL || optind != argc || target_parse_plain(url, &target) < 0)
        return BENCH_USAGE;
    buf_init(&p.playlist, HLS_ANSWER_MAX);
    buf_init(&p.part, HLS_ANSWER_MAX);
    for (p.number = 0; p.number < streams; p.number++) {
        p.target = target;
        if (!target_stream(&target, p.number, p.target.stream, sizeof p.target.stream))
            return BENCH_USAGE;
        play(&p);
    }
    buf_fini(&p.playlist);
    buf_fini(&p.part);
    return BENCH_OK;
}
