/*
 * The least that WebRTC players can cost: a stream's packets, sealed for each of N and sent to
 * loopback sockets of a child that discards them.  No server around it: no ICE, no reports, nothing
 * is read.
 *
 *   own           AEAD_AES_128_GCM by OpenSSL, one GSO message per unit, sendmmsg
 *   libsrtp       AES_CM_128_HMAC_SHA1_80 by libsrtp2, sendto
 *   libsrtp-gcm   AEAD_AES_128_GCM by libsrtp2, sendto
 */
#include "bench.h"

#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "proto/rtp.h"
#include "rtc/srtp.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <signal.h>
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* 1.37 Mbit/s of video and 64 kbit/s of sound, as the measured stream has them: units of six
 * packets, and every third of seven. */
#define VIDEO_US      40000 /* between two units of video; sound lies in between */
#define VIDEO_BYTES   6880  /* of a unit's payload */
#define PACKETS_LEAST 6
#define PACKETS_MOST  7
#define SOUND_BYTES   161

#define PACKET_ROOM   1300
#define MESSAGES      64 /* of one sendmmsg */
#define ARENA_SIZE    (MESSAGES * PACKETS_MOST * PACKET_ROOM)
#define BUFFER_BYTES  (8 * 1024 * 1024)
#define DISCARD_BATCH 32

struct way {
    const char *name;
    bool own;
    enum srtp_profile profile;
};
static const struct way ways[] = {{"own", true, SRTP_AEAD_AES_128_GCM},
                                  {"libsrtp", false, SRTP_AES128_CM_HMAC_SHA1_80},
                                  {"libsrtp-gcm", false, SRTP_AEAD_AES_128_GCM}};

struct bare_player {
    struct sockaddr_in to;
    struct rtc_sealer *sealer;
    srtp_t srtp;
};

/* One GSO message on its way. */
struct message {
    struct iovec iov;
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))];
};

struct bare_whep {
    const struct way *way;
    int count, fd;
    int64_t window_us;
    pid_t sink;
    struct bare_player *players;
    uint16_t seqs[2]; /* of video and sound */
    uint64_t units, packets, calls, refused;
    unsigned queued;
    size_t arena_len;
    struct message messages[MESSAGES];
    struct mmsghdr headers[MESSAGES];
    uint8_t arena[ARENA_SIZE];
};

/* ---- the other side ---- */

static int open_sink(struct sockaddr_in *at)
{
    int bytes = BUFFER_BYTES / 2,
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof *at;
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)at, sizeof *at) < 0 ||
        getsockname(fd, (struct sockaddr *)at, &len) < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    return fd;
}

static void discard(int fd)
{
    static uint8_t byte;
    struct iovec iov = {&byte, 1};
    struct mmsghdr headers[DISCARD_BATCH];
    memset(headers, 0, sizeof headers);
    for (int i = 0; i < DISCARD_BATCH; i++)
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
    (void)recvmmsg(fd, headers, DISCARD_BATCH, MSG_DONTWAIT, NULL);
}

/* The child: takes what comes until it is killed. */
static void run_sink(const int *fds, int count)
{
    struct epoll_event events[BENCH_EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < count; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fds[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &e);
    }
    for (;;) {
        int n = epoll_wait(epoll, events, BENCH_EVENTS, -1);
        for (int i = 0; i < n; i++)
            discard(events[i].data.fd);
    }
}

static void open_sinks(struct bare_whep *b)
{
    int *fds = xcalloc((size_t)b->count, sizeof *fds);
    for (int i = 0; i < b->count; i++) {
        fds[i] = open_sink(&b->players[i].to);
        if (fds[i] < 0) {
            perror("sluice-bench: socket");
            exit(BENCH_FAILED);
        }
    }
    b->sink = fork();
    if (b->sink == 0)
        run_sink(fds, b->count);
    for (int i = 0; i < b->count; i++)
        close(fds[i]);
    free(fds);
}

/* ---- this side ---- */

static void open_libsrtp(struct bare_player *p, enum srtp_profile profile, uint8_t *key)
{
    srtp_policy_t policy;
    memset(&policy, 0, sizeof policy);
    if (profile == SRTP_AEAD_AES_128_GCM) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
    } else {
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
    }
    policy.ssrc.type = ssrc_any_outbound;
    policy.key = key;
    must(srtp_create(&p->srtp, &policy) == srtp_err_status_ok);
}

static void open_players(struct bare_whep *b, const struct rtc_srtp *lib)
{
    uint8_t key[SRTP_MAX_KEY_LEN] = {0};
    for (int i = 0; i < b->count; i++) {
        struct srtp_keys keys = {.profile = b->way->profile};
        keys.local.key[0] = key[0] = (uint8_t)i;
        keys.local.key[1] = key[1] = (uint8_t)(i >> 8);
        if (b->way->own)
            must((b->players[i].sealer = rtc_sealer_new(lib, &keys)) != NULL);
        else
            open_libsrtp(&b->players[i], b->way->profile, key);
    }
}

static void write_header(uint8_t header[RTP_HEADER_SIZE], bool video, uint16_t seq)
{
    struct wr w = wr_init(header, RTP_HEADER_SIZE);
    const struct rtp_header h = {
        .payload_type = video ? 96 : 111, .seq = seq, .ssrc = video ? 1 : 2};
    rtp_write_header(&w, &h, NULL, 0);
}

static void flush(struct bare_whep *b)
{
    if (b->queued == 0)
        return;
    int n = sendmmsg(b->fd, b->headers, b->queued, 0);
    b->calls++;
    b->refused += b->queued - (n > 0 ? (unsigned)n : 0);
    b->queued = 0;
    b->arena_len = 0;
}

static void add_message(struct bare_whep *b, struct bare_player *p, size_t len, size_t segment)
{
    struct message *m = &b->messages[b->queued];
    struct mmsghdr *h = &b->headers[b->queued++];
    uint16_t size = (uint16_t)segment;
    m->iov = (struct iovec){b->arena + b->arena_len, len};
    *h = (struct mmsghdr){
        .msg_hdr = {
            .msg_name = &p->to, .msg_namelen = sizeof p->to, .msg_iov = &m->iov, .msg_iovlen = 1}};
    b->arena_len += len;
    if (len == segment)
        return;
    h->msg_hdr.msg_control = m->control;
    h->msg_hdr.msg_controllen = sizeof m->control;
    struct cmsghdr *c = CMSG_FIRSTHDR(&h->msg_hdr);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(c), &size, sizeof size);
}

static size_t payload_of(bool video, int packets)
{
    return video ? VIDEO_BYTES / (size_t)packets : SOUND_BYTES;
}

static void send_own(struct bare_whep *b, struct bare_player *p, bool video, int packets)
{
    static const uint8_t payload[VIDEO_BYTES];
    size_t bytes = payload_of(video, packets), len = 0, segment = 0;
    for (int i = 0; i < packets; i++) {
        uint8_t header[RTP_HEADER_SIZE];
        const struct slice pieces[] = {slice_of(payload, 2), slice_of(payload + 2, bytes - 2)};
        write_header(header, video, (uint16_t)(b->seqs[!video] + i));
        ssize_t n = rtc_sealer_rtp(p->sealer, slice_of(header, sizeof header), pieces, 2,
                                   b->arena + b->arena_len + len, PACKET_ROOM);
        must(n > 0);
        segment = (size_t)n;
        len += segment;
    }
    add_message(b, p, len, segment);
    if (b->queued == MESSAGES)
        flush(b);
}

static void send_libsrtp(struct bare_whep *b, struct bare_player *p, bool video, int packets)
{
    uint8_t packet[PACKET_ROOM + SRTP_MAX_TRAILER_LEN];
    size_t bytes = payload_of(video, packets);
    for (int i = 0; i < packets; i++) {
        int len = (int)(RTP_HEADER_SIZE + bytes);
        write_header(packet, video, (uint16_t)(b->seqs[!video] + i));
        memset(packet + RTP_HEADER_SIZE, 0, bytes);
        must(srtp_protect(p->srtp, packet, &len) == srtp_err_status_ok);
        b->calls++;
        b->refused +=
            sendto(b->fd, packet, (size_t)len, 0, (struct sockaddr *)&p->to, sizeof p->to) != len;
    }
}

/* One unit to all. */
static void send_unit(struct bare_whep *b, bool video)
{
    int packets = !video ? 1 : b->units++ % 3 == 0 ? PACKETS_MOST : PACKETS_LEAST;
    for (int i = 0; i < b->count; i++) {
        if (b->way->own)
            send_own(b, &b->players[i], video, packets);
        else
            send_libsrtp(b, &b->players[i], video, packets);
    }
    flush(b);
    b->seqs[!video] = (uint16_t)(b->seqs[!video] + packets);
    b->packets += (uint64_t)packets * (uint64_t)b->count;
}

static void wait_until(int64_t at_us)
{
    int64_t left_us = at_us - clock_us();
    if (left_us > 0)
        usleep((useconds_t)left_us);
}

/* So much of the stream in real time, or later when the processor does not suffice. */
static void play(struct bare_whep *b, int64_t stream_us)
{
    int64_t begin_us = clock_us();
    for (int64_t at_us = 0; at_us < stream_us; at_us += VIDEO_US) {
        static const struct {
            int64_t after_us;
            bool video;
        } units[] = {{0, true}, {VIDEO_US / 4, false}, {VIDEO_US * 3 / 4, false}};
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
            wait_until(begin_us + at_us + units[i].after_us);
            send_unit(b, units[i].video);
        }
    }
}

static void measure(struct bare_whep *b)
{
    play(b, 1000000);
    int64_t from_cpu_us = clock_thread_cpu_us();
    uint64_t packets = b->packets, calls = b->calls, refused = b->refused;
    int64_t from_us = clock_us();
    play(b, b->window_us);
    double cpu_s = (double)(clock_thread_cpu_us() - from_cpu_us) / 1e6;
    double late_ms = (double)(clock_us() - from_us - b->window_us) / 1000;
    printf("{\"event\":\"whep-bare\",\"way\":\"%s\",\"players\":%d,\"cpu_s\":%.3f,"
           "\"cpu_ms_per_player_s\":%.4f,\"packets\":%llu,\"calls\":%llu,\"refused\":%llu,"
           "\"late_ms\":%.1f}\n",
           b->way->name, b->count, cpu_s, cpu_s * 1000 / (b->count * ((double)b->window_us / 1e6)),
           (unsigned long long)(b->packets - packets), (unsigned long long)(b->calls - calls),
           (unsigned long long)(b->refused - refused), late_ms);
}

static void open_socket(struct bare_whep *b)
{
    int bytes = BUFFER_BYTES;
    b->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(b->fd >= 0);
    (void)setsockopt(b->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
}

static void close_players(struct bare_whep *b)
{
    for (int i = 0; i < b->count; i++) {
        rtc_sealer_free(&b->players[i].sealer);
        if (b->players[i].srtp != NULL)
            srtp_dealloc(b->players[i].srtp);
    }
    free(b->players);
}

static int parse(struct bare_whep *b, int argc, char **argv)
{
    for (int c; (c = getopt(argc, argv, "m:n:t:")) != -1;) {
        switch (c) {
        case 'm':
            for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
                if (strcmp(optarg, ways[i].name) == 0)
                    b->way = &ways[i];
            break;
        case 'n':
            b->count = (int)bench_number(optarg, 1, BENCH_PEERS_MAX);
            break;
        case 't':
            b->window_us = bench_number(optarg, 1, BENCH_SECONDS_MAX) * 1000000;
            break;
        default:
            return BENCH_USAGE;
        }
    }
    return b->way != NULL && optind == argc ? BENCH_OK : BENCH_USAGE;
}

int whep_bare_main(int argc, char **argv)
{
    struct bare_whep *b = xcalloc(1, sizeof *b);
    b->count = 100;
    b->window_us = 5000000;
    int code = parse(b, argc, argv);
    if (code == BENCH_OK) {
        b->players = xcalloc((size_t)b->count, sizeof b->players[0]);
        struct rtc_srtp *lib = rtc_srtp_new();
        must(lib != NULL);
        open_sinks(b);
        open_socket(b);
        open_players(b, lib);
        measure(b);
        kill(b->sink, SIGKILL);
        waitpid(b->sink, NULL, 0);
        close(b->fd);
        close_players(b);
        rtc_srtp_free(&lib);
    }
    free(b);
    return code;
}
