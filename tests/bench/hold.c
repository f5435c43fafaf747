/*
 * Many players that wait for the same part: how soon after it the last of them has its playlist.
 *
 *   all ask for the next segment's first part ─▶ nobody reads until it is there ─▶ times of the
 *   kernel, bodies compared
 *
 * Nothing of this program runs while the server answers, so that one machine's processors are the
 * server's.  With -B the server is a child that does nothing but one write to each.
 */
#include "bench.h"
#include "hls_peer.h"
#include "procstat.h"

#include "base/mem.h"
#include "core/clock.h"
#include "proto/hls_name.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLAYERS     10000
#define ROUNDS      5
#define REST_MS     500 /* after the first answer nobody reads */
#define BARE_MS     1500
#define HEAD_BYTES  400 /* of what the bare calls send, so that it is two pieces as an answer is */
#define BODY_BYTES  (1 << 20)
#define ASK_STEP    64 /* requests between two looks at the clock */
#define ASK_STEP_US 1000

/* What the child is told. */
enum { BARE_READ = 'r', BARE_ANSWER = 'a' };

struct hold {
    struct target target;
    int players, rounds, *fds;
    bool gzip;
    pid_t server;
    size_t bare_bytes;
    int bare_pipe;
    int64_t *at_us;
    struct buf room, first;
};

struct round {
    int64_t asked_us, first_us, sent_us, done_us;
    int answered, different;
    size_t bytes;
};

static int64_t rss_kib(const struct hold *h)
{
    return h->server > 0 ? procstat_read(h->server).rss_kib : 0;
}

/* ---- the bare calls ---- */

static void bare_answer(const int *fds, int count, size_t bytes)
{
    static char data[BODY_BYTES];
    char head[HEAD_BYTES];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nX-Fill: ", bytes - HEAD_BYTES);
    memset(head + n, 'x', sizeof head - (size_t)n);
    memcpy(head + sizeof head - 4, "\r\n\r\n", 4);
    for (int i = 0; i < count; i++) {
        struct iovec iov[] = {{head, sizeof head}, {data, bytes - sizeof head}};
        const struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
        (void)!sendmsg(fds[i], &m, MSG_NOSIGNAL);
    }
}

/* The child: reads requests and answers all of them when it is told to. */
static void bare_serve(int listener, int go, int count, size_t bytes)
{
    int on = 1, *fds = xcalloc((size_t)count, sizeof fds[0]);
    char word;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < count; i++) {
        fds[i] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    while (read(go, &word, 1) == 1) {
        char request[1024];
        for (int i = 0; i < count && word == BARE_READ; i++)
            (void)!recv(fds[i], request, sizeof request, 0);
        if (word == BARE_ANSWER)
            bare_answer(fds, count, bytes);
    }
    _exit(BENCH_OK);
}

static void start_bare(struct hold *h)
{
    struct sockaddr_in *a = (struct sockaddr_in *)&h->target.address;
    socklen_t len = sizeof *a;
    int go[2], listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)a, sizeof *a) < 0 || listen(listener, SOMAXCONN) < 0 ||
        getsockname(listener, (struct sockaddr *)a, &len) < 0 || pipe(go) < 0) {
        perror("sluice-bench: listen");
        exit(BENCH_FAILED);
    }
    h->target.address_len = len;
    h->server = fork();
    if (h->server == 0) {
        close(go[1]);
        bare_serve(listener, go[0], h->players, h->bare_bytes);
    }
    close(listener);
    close(go[0]);
    h->bare_pipe = go[1];
}

static void tell_bare(const struct hold *h, char word)
{
    if (write(h->bare_pipe, &word, 1) == 1)
        return;
    perror("sluice-bench: pipe");
    exit(BENCH_FAILED);
}

/* ---- a round ---- */

static void ask_all(struct hold *h, const char *name)
{
    for (int i = 0; i < h->players; i++) {
        if (!hls_ask(h->fds[i], &h->target, name, h->gzip)) {
            perror("sluice-bench: send");
            exit(BENCH_FAILED);
        }
        if (i % ASK_STEP == ASK_STEP - 1)
            usleep(ASK_STEP_US); /* the server has other things to do */
    }
}

static void wait_for_first(const struct hold *h)
{
    struct pollfd p = {h->fds[0], POLLIN, 0};
    if (poll(&p, 1, HLS_ANSWER_S * 1000) != 1) {
        fprintf(stderr, "sluice-bench: no answer\n");
        exit(BENCH_FAILED);
    }
    usleep(REST_MS * 1000);
}

static void take_all(struct hold *h, struct round *r)
{
    struct hls_answer a;
    for (int i = 0; i < h->players; i++) {
        h->at_us[r->answered] = INT64_MAX;
        if (!hls_take(h->fds[i], &h->room, &a) || a.status != 200)
            continue;
        h->at_us[r->answered++] = a.at_us;
        if (i == 0) {
            r->bytes = a.head.len + a.body.len;
            buf_consume(&h->first, buf_len(&h->first));
            (void)buf_append(&h->first, a.body.p, a.body.len);
        } else if (!slice_eq(a.body, buf_slice(&h->first))) {
            r->different++;
        }
    }
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* From the first answer until so many of the sorted ones were there. */
static double ms_until(const struct hold *h, int answers)
{
    return answers > 0 ? (double)(h->at_us[answers - 1] - h->at_us[0]) / 1000 : 0;
}

static void report(struct hold *h, const struct round *r, int64_t held_kib, int64_t after_kib)
{
    int n = r->answered, half = (n + 1) / 2, most = n - n / 100;
    qsort(h->at_us, (size_t)n, sizeof h->at_us[0], compare);
    int64_t first_us = n > 0 ? h->at_us[0] : 0;
    printf("{\"event\":\"%s\",\"players\":%d,\"answered\":%d,\"different\":%d,\"early\":%s,"
           "\"answer_bytes\":%zu,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"all_ms\":%.2f,"
           "\"held_kib\":%lld,\"after_kib\":%lld",
           h->bare_bytes > 0 ? "hold_bare" : "hold", h->players, n, r->different,
           first_us < r->asked_us ? "true" : "false", r->bytes, ms_until(h, half),
           ms_until(h, most), ms_until(h, n), (long long)held_kib, (long long)after_kib);
    if (r->sent_us != 0 && n > 0)
        printf(",\"first_after_frame_ms\":%.2f,\"all_after_frame_ms\":%.2f",
               (double)(first_us - r->sent_us) / 1000,
               (double)(first_us - r->sent_us) / 1000 + ms_until(h, n));
    printf("}\n");
}

/* All ask at the beginning of a segment for the first part of the next. */
static void ask_for_next_segment(struct hold *h, struct hls_place *next, int64_t *asked_us)
{
    char name[HLS_NAME_MAX + TARGET_TEXT_MAX];
    struct hls_answer a;
    const char *slash = strrchr(h->target.stream, '/');
    const char *playlist = slash != NULL ? slash + 1 : h->target.stream;
    struct hls_place at;
    int watch = h->fds[0];
    hls_get(watch, &h->target, NULL, &h->room, &a);
    if (!hls_hint(a.body, &at)) {
        fprintf(stderr, "sluice-bench: the playlist has no hint\n");
        exit(BENCH_FAILED);
    }
    snprintf(name, sizeof name, "%s?_HLS_msn=%llu&_HLS_part=0", playlist,
             (unsigned long long)at.msn + 1);
    hls_get(watch, &h->target, name, &h->room, &a);
    *next = (struct hls_place){at.epoch, at.msn + 2, 0};
    snprintf(name, sizeof name, "%s?_HLS_msn=%llu&_HLS_part=0", playlist,
             (unsigned long long)next->msn);
    ask_all(h, name);
    *asked_us = clock_us();
}

/* What ended that part is the first frame of the one behind it. */
static int64_t ended_us(struct hold *h, const struct hls_place *part)
{
    char name[HLS_NAME_MAX];
    struct hls_answer a;
    const struct hls_object o = {.kind = HLS_PART,
                                 .rendition = {HLS_MAIN, 0},
                                 .epoch = part->epoch,
                                 .msn = part->msn,
                                 .part = part->part + 1};
    hls_name_write(&o, name);
    hls_get(h->fds[0], &h->target, name, &h->room, &a);
    return hls_sent_us(a.body, false);
}

static void run_round(struct hold *h)
{
    struct round r = {0};
    struct hls_place next = {0};
    if (h->bare_bytes == 0) {
        ask_for_next_segment(h, &next, &r.asked_us);
    } else {
        ask_all(h, NULL);
        tell_bare(h, BARE_READ);
        usleep(BARE_MS * 1000); /* as long ago as where a segment is waited for */
        r.asked_us = clock_us();
        tell_bare(h, BARE_ANSWER);
    }
    usleep(REST_MS * 100);
    int64_t held_kib = rss_kib(h);
    wait_for_first(h);
    int64_t after_kib = rss_kib(h);
    take_all(h, &r);
    if (h->bare_bytes == 0)
        r.sent_us = ended_us(h, &next);
    report(h, &r, held_kib, after_kib);
}

/* ---- the command ---- */

static int parse(struct hold *h, int argc, char **argv)
{
    const char *url = NULL;
    for (int c; (c = getopt(argc, argv, "u:n:k:P:B:z")) != -1;) {
        switch (c) {
        case 'u':
            url = optarg;
            break;
        case 'n':
            h->players = (int)bench_number(optarg, 1, BENCH_PEERS_MAX);
            break;
        case 'k':
            h->rounds = (int)bench_number(optarg, 1, 1000);
            break;
        case 'P':
            h->server = (pid_t)bench_number(optarg, 1, INT32_MAX);
            break;
        case 'B':
            h->bare_bytes = (size_t)bench_number(optarg, HEAD_BYTES + 1, BODY_BYTES);
            break;
        case 'z':
            h->gzip = true;
            break;
        default:
            return BENCH_USAGE;
        }
    }
    if (optind != argc || (url == NULL) == (h->bare_bytes == 0))
        return BENCH_USAGE;
    return url == NULL || target_parse_plain(url, &h->target) == 0 ? BENCH_OK : BENCH_USAGE;
}

int hold_main(int argc, char **argv)
{
    struct hold h = {.players = PLAYERS, .rounds = ROUNDS};
    int code = parse(&h, argc, argv);
    if (code != BENCH_OK)
        return code;
    if (h.bare_bytes > 0)
        start_bare(&h);
    buf_init(&h.room, HLS_ANSWER_MAX);
    buf_init(&h.first, HLS_ANSWER_MAX);
    h.fds = xcalloc((size_t)h.players, sizeof h.fds[0]);
    h.at_us = xcalloc((size_t)h.players, sizeof h.at_us[0]);
    int64_t before_kib = rss_kib(&h);
    for (int i = 0; i < h.players; i++)
        h.fds[i] = hls_connect(&h.target);
    usleep(REST_MS * 1000);
    printf("{\"event\":\"hold_open\",\"players\":%d,\"before_kib\":%lld,\"open_kib\":%lld}\n",
           h.players, (long long)before_kib, (long long)rss_kib(&h));
    for (int i = 0; i < h.rounds; i++)
        run_round(&h);
    for (int i = 0; i < h.players; i++)
        close(h.fds[i]);
    if (h.bare_bytes > 0) {
        kill(h.server, SIGKILL);
        waitpid(h.server, NULL, 0);
    }
    free(h.fds);
    free(h.at_us);
    buf_fini(&h.room);
    buf_fini(&h.first);
    return BENCH_OK;
}
