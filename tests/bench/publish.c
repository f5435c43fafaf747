/*
 * Publishers that replay a file in real time, round after round, from one thread.  Headers are
 * written per message; bodies go to the socket from where the file lies in memory, unless they are
 * marked (mark.h).
 *
 * With --again a publisher whose connection breaks begins anew at the next address, as an encoder
 * with a list of servers does: its time starts at 0, with the first frames of the file.
 */
#include "bench.h"
#include "client.h"
#include "flv_file.h"
#include "mark.h"
#include "options.h"
#include "peers.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/clock.h"
#include "proto/flv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECES_MAX    (2 * (FLV_BODY_MAX / RTMP_CHUNK_SIZE_OUT + 1)) /* iovecs of one message */
#define SCRATCH_BYTES (64 * 1024)
#define RATE_DEFAULT  200
#define SECONDS       10
#define FILES_MAX     4
#define PROGRESS_US   1000000 /* between two lines */
#define RETRY_MS      200     /* from a refusal to the next attempt */
#define GRANT_MS      3000    /* an attempt that is not granted by then is given up */

struct publish_options {
    struct target targets[TARGETS_MAX];
    int target_count;
    int publishers, rate;
    int64_t run_us, life_us; /* life: of each publisher, 0 for as long as the run */
    int64_t retry_us;
    int session; /* of the first connection; 0: frames are not marked */
    bool events, again, timed, json, quiet;
    struct option_list more_urls, more_files;
    const char *files[FILES_MAX]; /* a publisher's connections play one after the other */
    int file_count;
};

struct publisher {
    struct client client;
    int fd, number, attempts;
    bool connecting, granted, done;
    int64_t begun_us, granted_us; /* of this connection */
    int64_t again_us;             /* when the next one begins, while there is none */
    const struct flv_file *file;
    struct flv_place at;
    struct mark mark;
    struct buf rest; /* of a message the socket took in part */
};

struct publish {
    struct publish_options options;
    struct flv_file files[FILES_MAX];
    struct publisher *publishers;
    int epoll, signals, started, granted, lost, refused;
    bool stopped, complained;
    int64_t begin_us, progress_us;
    uint64_t bytes;
    uint32_t sessions;
    uint8_t *marked; /* the body that is being sent, with its mark */
};

static void on_message(struct client *c, uint8_t type, uint32_t timestamp_ms, struct slice body)
{
}

static void publisher_close(struct publisher *one)
{
    if (one->fd < 0)
        return;
    close(one->fd);
    one->fd = -1;
    buf_fini(&one->rest);
    client_fini(&one->client);
}

static int target_index(const struct publish *p, const struct publisher *one)
{
    return (one->number + one->attempts) % p->options.target_count;
}

static void tell(const struct publish *p, const struct publisher *one, const char *event)
{
    if (p->options.events)
        printf("{\"event\":\"%s\",\"publisher\":%d,\"url\":%d,\"session\":%u,\"at_us\":%lld,"
               "\"status\":\"%s\"}\n",
               event, one->number, target_index(p, one), one->mark.session, (long long)clock_us(),
               one->client.status);
}

/* Of the first that failed; how many there were is in the report. */
static void complain(struct publish *p, const struct publisher *one)
{
    if (p->options.again || p->complained)
        return;
    p->complained = true;
    fprintf(stderr, "sluice-bench: publisher %d %s%s%s\n", one->number,
            one->granted ? "lost" : "refused", one->client.status[0] != '\0' ? ": " : "",
            one->client.status);
}

static void publisher_end(struct publish *p, struct publisher *one, bool lost)
{
    if (lost) {
        if (!one->granted)
            p->refused++;
        else
            p->lost++;
        complain(p, one);
        tell(p, one, one->granted ? "lost" : "refused");
    }
    bool waits = !one->granted;
    publisher_close(one);
    one->granted = false;
    one->done = !lost || !p->options.again;
    one->again_us = clock_us() + (waits ? p->options.retry_us : 0);
    one->attempts++;
}

/* ---- one message ---- */

static struct iovec piece(const void *p, size_t len)
{
    return (struct iovec){(void *)(uintptr_t)p, len};
}

static uint8_t csid_of(uint8_t type)
{
    return type == FLV_TAG_VIDEO ? RTMP_CSID_VIDEO : RTMP_CSID_AUDIO;
}

/* Hands the pieces to the socket and keeps what it does not take. */
static bool send_pieces(struct publish *p, struct publisher *one, struct iovec *iov, int count)
{
    ssize_t n = writev(one->fd, iov, count);
    if (n < 0 && errno != EAGAIN)
        return false;
    size_t sent = n > 0 ? (size_t)n : 0;
    p->bytes += sent;
    for (int i = 0; i < count; i++) {
        size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;
        sent -= skip;
        const uint8_t *from = iov[i].iov_base;
        if (buf_append(&one->rest, from + skip, iov[i].iov_len - skip) < 0)
            return false;
    }
    return true;
}

/* The entry's body, marked when that was asked for. */
static struct slice body_of(struct publish *p, struct publisher *one, const struct flv_entry *e)
{
    if (one->mark.session == 0 || e->type != FLV_TAG_VIDEO || e->config)
        return e->body;
    memcpy(p->marked, e->body.p, e->body.len);
    one->mark.timed = p->options.timed;
    if (p->options.timed)
        one->mark.session = (uint32_t)clock_us();
    if (mark_write(p->marked, e->body.len, one->mark))
        one->mark.index++;
    return slice_of(p->marked, e->body.len);
}

static bool send_entry(struct publish *p, struct publisher *one, const struct flv_entry *e,
                       uint32_t timestamp_ms)
{
    static const size_t chunk = RTMP_CHUNK_SIZE_OUT;
    struct slice body = body_of(p, one, e);
    uint8_t header[RTMP_CHUNK_HEADER_MAX], again[RTMP_CHUNK_CONTINUATION_MAX];
    const struct rtmp_message m = {e->type, csid_of(e->type), one->client.sid, timestamp_ms, body};
    size_t again_len = rtmp_chunk_continuation(again, m.csid, timestamp_ms);
    struct iovec iov[PIECES_MAX];
    int count = 0;
    iov[count++] = piece(header, rtmp_chunk_header(header, &m));
    for (size_t at = 0; at < body.len; at += chunk) {
        if (at > 0)
            iov[count++] = piece(again, again_len);
        size_t left = body.len - at;
        iov[count++] = piece(body.p + at, left < chunk ? left : chunk);
    }
    return send_pieces(p, one, iov, count);
}

/* ---- one publisher ---- */

/* What is queued goes first; false when the connection is lost. */
static bool send_queue(struct publish *p, struct publisher *one, struct buf *queue)
{
    struct slice s = buf_slice(queue);
    if (s.len == 0)
        return true;
    ssize_t n = send(one->fd, s.p, s.len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN;
    p->bytes += (uint64_t)n;
    buf_consume(queue, (size_t)n);
    return true;
}

/* Sends what is due; returns when the next is, INT64_MAX while the socket takes nothing. */
static int64_t publisher_step(struct publish *p, struct publisher *one, int64_t now_us)
{
    if (!send_queue(p, one, &one->rest)) {
        publisher_end(p, one, true);
        return INT64_MAX;
    }
    while (buf_len(&one->rest) == 0) {
        int64_t due_ms = flv_file_due_ms(one->file, &one->at);
        int64_t due_us = one->granted_us + due_ms * 1000;
        if (due_us > now_us)
            return due_us;
        if (!send_entry(p, one, flv_file_at(one->file, &one->at), (uint32_t)due_ms)) {
            publisher_end(p, one, true);
            return INT64_MAX;
        }
        flv_file_next(one->file, &one->at);
    }
    return INT64_MAX;
}

static void publisher_granted(struct publish *p, struct publisher *one)
{
    one->granted = true;
    one->granted_us = clock_us();
    p->granted++;
    /* The file's first key frame goes with it. */
    tell(p, one, "granted");
    publisher_step(p, one, one->granted_us);
}

static bool publisher_read(struct publisher *one)
{
    uint8_t scratch[SCRATCH_BYTES];
    ssize_t n;
    while ((n = recv(one->fd, scratch, sizeof scratch, 0)) > 0)
        if (client_feed(&one->client, slice_of(scratch, (size_t)n)) < 0)
            return false;
    return n < 0 && errno == EAGAIN;
}

static void publisher_event(struct publish *p, struct publisher *one, uint32_t events)
{
    if (one->fd < 0)
        return;
    if (one->connecting && (events & EPOLLOUT) == 0)
        return;
    one->connecting = false;
    bool alive = publisher_read(one) && send_queue(p, one, &one->client.out);
    if (alive && !one->granted && one->client.state == CLIENT_GRANTED)
        publisher_granted(p, one);
    else if (!alive)
        publisher_end(p, one, true);
}

static void publisher_start(struct publish *p, struct publisher *one)
{
    const struct target *to = &p->options.targets[target_index(p, one)];
    one->connecting = true;
    one->begun_us = clock_us();
    one->file = &p->files[one->attempts % p->options.file_count];
    one->at = (struct flv_place){0};
    one->mark = (struct mark){
        .session = p->options.session > 0 ? (uint32_t)p->options.session + p->sessions++ : 0};
    buf_init(&one->rest, FLV_BODY_MAX);
    bool named = client_init(&one->client, to, one->number, CLIENT_PUBLISH, on_message);
    one->fd = named ? target_connect(to) : -1;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = one};
    if (one->fd >= 0 && epoll_ctl(p->epoll, EPOLL_CTL_ADD, one->fd, &e) == 0)
        return;
    if (named && p->options.again) {
        publisher_end(p, one, true);
        return;
    }
    perror("sluice-bench: connect");
    exit(BENCH_FAILED);
}

/* ---- all of them ---- */

/* One that is not publishing: when it has something to do next. */
static int64_t attempt_step(struct publish *p, struct publisher *one, int64_t now_us)
{
    if (one->fd < 0 && now_us >= one->again_us)
        publisher_start(p, one);
    if (one->fd < 0)
        return one->again_us;
    if (!p->options.again)
        return INT64_MAX;
    int64_t until_us = one->begun_us + GRANT_MS * 1000;
    if (now_us < until_us)
        return until_us;
    publisher_end(p, one, true);
    return one->again_us;
}

static int64_t one_step(struct publish *p, struct publisher *one, int64_t now_us)
{
    int64_t life_us = p->options.life_us;
    if (one->done)
        return INT64_MAX;
    if (!one->granted)
        return attempt_step(p, one, now_us);
    if (life_us == 0 || now_us - one->granted_us < life_us)
        return publisher_step(p, one, now_us);
    publisher_end(p, one, false);
    return INT64_MAX;
}

/* Lets every publisher do what is due; returns when the next one has something to do. */
static int64_t step_all(struct publish *p)
{
    const struct publish_options *o = &p->options;
    int64_t now_us = clock_us(), next_us = INT64_MAX;
    while (p->started < o->publishers && (now_us - p->begin_us) * o->rate / 1000000 >= p->started) {
        struct publisher *one = &p->publishers[p->started];
        one->number = p->started++;
        publisher_start(p, one);
    }
    if (p->started < o->publishers)
        next_us = p->begin_us + (int64_t)p->started * 1000000 / o->rate;
    for (int i = 0; i < p->started; i++) {
        int64_t due_us = one_step(p, &p->publishers[i], now_us);
        next_us = due_us < next_us ? due_us : next_us;
    }
    return next_us;
}

/* Every publisher gives its connection up and goes to the next address. */
static void move_all(struct publish *p)
{
    for (int i = 0; i < p->started; i++)
        if (p->publishers[i].fd >= 0)
            publisher_end(p, &p->publishers[i], true);
}

static void on_event(struct publish *p, const struct epoll_event *e)
{
    if (e->data.ptr != NULL) {
        publisher_event(p, e->data.ptr, e->events);
        return;
    }
    enum peers_word word = peers_read(p->signals);
    if (word == PEERS_STOP)
        p->stopped = true;
    else if (word == PEERS_MOVE)
        move_all(p);
}

static void progress(struct publish *p, int64_t now_us)
{
    if (p->options.quiet || now_us < p->progress_us)
        return;
    p->progress_us = now_us + PROGRESS_US;
    bool terminal = isatty(STDERR_FILENO) == 1;
    fprintf(stderr, "%ssluice-bench: %6d started %6d taken %6d refused %6d lost %10.1f MB%s",
            terminal ? "\r" : "", p->started, p->granted, p->refused, p->lost,
            (double)p->bytes / 1e6, terminal ? "" : "\n");
}

static void run(struct publish *p)
{
    struct epoll_event events[BENCH_EVENTS];
    p->begin_us = clock_us();
    int64_t end_us = p->begin_us + p->options.run_us;
    for (int64_t now_us; (now_us = clock_us()) < end_us && !p->stopped;) {
        progress(p, now_us);
        int64_t next_us = step_all(p);
        next_us = next_us < end_us ? next_us : end_us;
        int64_t wait_us = next_us > now_us ? next_us - now_us : 0;
        const struct timespec wait = {wait_us / 1000000, wait_us % 1000000 * 1000};
        int n = epoll_pwait2(p->epoll, events, BENCH_EVENTS, &wait, NULL);
        for (int i = 0; i < n; i++)
            on_event(p, &events[i]);
    }
}

#define AT(member) offsetof(struct publish_options, member)
static const struct option_row rows[] = {
    {"streams", 'n', OPTION_INT, AT(publishers), 1, BENCH_PEERS_MAX, "N",
     "connections; %d in the URL is the number of each (1)"},
    {"rate", 'r', OPTION_INT, AT(rate), 1, 100000, "N", "that begin each second (200)"},
    {"seconds", 't', OPTION_SECONDS, AT(run_us), 1, BENCH_SECONDS_MAX, "S",
     "until the program ends (10)"},
    {"life", 'l', OPTION_SECONDS, AT(life_us), 1, BENCH_SECONDS_MAX, "S",
     "that each of them publishes (all the time)"},
    {"mark", 'T', OPTION_FLAG, AT(timed), 0, 0, NULL,
     "the end of each video frame is overwritten with when it was sent, for play's latency; "
     "pictures suffer"},
    {"again", 'R', OPTION_FLAG, AT(again), 0, 0, NULL,
     "who is refused or loses the connection begins anew, at the next URL; SIGUSR1: all do"},
    {"pause-ms", 'a', OPTION_MS, AT(retry_us), 1, BENCH_SECONDS_MAX * 1000, "MS",
     "from a refusal to the next attempt (200)"},
    {"url", 'u', OPTION_LIST, AT(more_urls), 0, 0, "URL", "the next one for --again; repeatable"},
    {"file", 'f', OPTION_LIST, AT(more_files), 0, 0, "FILE",
     "what the next connection of --again plays; repeatable"},
    {"session", 'M', OPTION_INT, AT(session), 1, INT32_MAX, "N",
     "as --mark, but with the number of the connection, the first is N"},
    {"events", 'e', OPTION_FLAG, AT(events), 0, 0, NULL,
     "a JSON line for each that gets going or ends"},
    {"json", 'j', OPTION_FLAG, AT(json), 0, 0, NULL, "the report as one JSON object"},
    {"quiet", 'q', OPTION_FLAG, AT(quiet), 0, 0, NULL, "no progress on stderr"},
};

static const struct option_command command = {
    .name = "publish",
    .words = "rtmp://HOST[:PORT]/APP/STREAM FILE",
    .about = "Publishes an FLV or fragmented MP4 file in real time, round after round, by RTMP.\n",
    .words_min = 2,
    .words_max = 2,
    .rows = rows,
    .row_count = sizeof rows / sizeof rows[0]};

static void add_url(struct publish_options *o, const char *url)
{
    if (o->target_count == TARGETS_MAX)
        options_refuse(&command, "too many URLs", url);
    options_target(&command, url, &o->targets[o->target_count]);
    const struct target *to = &o->targets[o->target_count++];
    if (to->http || to->tls)
        options_refuse(&command, "publishers speak RTMP, not HTTP", url);
}

static void read_options(struct publish_options *o, int argc, char **argv)
{
    struct option_list words;
    options_read(&command, argc, argv, o, &words);
    add_url(o, words.values[0]);
    for (int i = 0; i < o->more_urls.count; i++)
        add_url(o, o->more_urls.values[i]);
    o->files[o->file_count++] = words.values[1];
    for (int i = 0; i < o->more_files.count && o->file_count < FILES_MAX; i++)
        o->files[o->file_count++] = o->more_files.values[i];
    if (o->timed)
        o->session = 1;
}

static bool open_files(struct publish *p)
{
    for (int i = 0; i < p->options.file_count; i++) {
        const char *path = p->options.files[i];
        int err = flv_file_open(&p->files[i], path);
        if (err == 0)
            continue;
        fprintf(stderr, "sluice-bench publish: %s: %s\n", path,
                err == ERR_IO ? strerror(errno)
                : err == ERR_UNSUPPORTED
                    ? "MP4 without fragments, or of other codecs than H.264, "
                      "HEVC, AV1 and AAC; ffmpeg -i IN -c copy -movflags "
                      "frag_keyframe+empty_moov OUT.mp4 makes fragments"
                    : "neither FLV nor fragmented MP4, or without a key frame");
        return false;
    }
    return true;
}

static void report(const struct publish *p)
{
    const struct publish_options *o = &p->options;
    double seconds = (double)(clock_us() - p->begin_us) / 1e6;
    if (o->json || o->events)
        printf("{\"event\":\"publish\",\"publishers\":%d,\"granted\":%d,\"lost\":%d,"
               "\"refused\":%d,\"bytes\":%llu}\n",
               o->publishers, p->granted, p->lost, p->refused, (unsigned long long)p->bytes);
    else
        printf(
            "%d publishers: %d connections were taken, %d refused, %d lost; %.3f GB, %.3f Mbit/s "
            "in %.1f s\n",
            o->publishers, p->granted, p->refused, p->lost, (double)p->bytes / 1e9,
            (double)p->bytes * 8e-6 / seconds, seconds);
}

int publish_main(int argc, char **argv)
{
    struct publish p = {.options = {.publishers = 1,
                                    .rate = RATE_DEFAULT,
                                    .retry_us = RETRY_MS * 1000,
                                    .run_us = SECONDS * 1000000}};
    read_options(&p.options, argc, argv);
    if (!open_files(&p))
        return BENCH_FAILED;
    p.publishers = xcalloc((size_t)p.options.publishers, sizeof p.publishers[0]);
    p.marked = xmalloc(FLV_BODY_MAX);
    p.epoll = epoll_create1(EPOLL_CLOEXEC);
    p.signals = peers_signals(p.epoll);
    run(&p);
    report(&p);
    for (int i = 0; i < p.started; i++)
        publisher_close(&p.publishers[i]);
    close(p.signals);
    close(p.epoll);
    free(p.marked);
    free(p.publishers);
    for (int i = 0; i < p.options.file_count; i++)
        flv_file_close(&p.files[i]);
    if (p.options.again)
        return p.granted > 0 ? BENCH_OK : BENCH_FAILED;
    return p.granted == p.options.publishers && p.lost + p.refused == 0 ? BENCH_OK : BENCH_FAILED;
}
