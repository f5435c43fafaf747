/*
 * One WebRTC player that decodes nothing: it joins by WHEP, opens every packet and tells what comes
 * as lines of JSON, with times of the monotonic clock.
 *
 *   whep_watch PORT APP/STREAM
 *
 * PORT: of HTTP on 127.0.0.1.  Lines on standard input are commands: "restart PORT" does ICE again,
 * by the HTTP of that port; "delete PORT" ends the session.  Ends when its standard input does.
 */
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/crypto.h"
#include "tools/rtc_remote.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TICK_MS      2
#define CHECK_US     1000000 /* of consent … */
#define CHECK_NEW_US 50000   /* … and until it is answered */
#define ANSWER_MAX   (64 * 1024)
#define LINE_BYTES   256
#define SOURCES      4
#define TYPE_H264    96 /* as offered */
#define TYPE_VP8     97

/* A frame whose last packet has not come, and where the source is. */
struct source {
    uint32_t ssrc, timestamp;
    uint16_t first, next;
    uint64_t missing, repeated;
    bool begun, open, key;
};

struct watch {
    struct remote r;
    struct worker *w;
    struct timer tick;
    struct event *input;
    struct source sources[SOURCES];
    int64_t posted_us, checked_us;
    bool connected, closed;
    char location[LINE_BYTES];
    char line[LINE_BYTES];
    size_t line_len;
};

static double seconds(void)
{
    return (double)clock_us() / 1e6;
}

static double since_ms(const struct watch *t)
{
    return (double)(clock_us() - t->posted_us) / 1e3;
}

/* ---- HTTP ---- */

static int exchange(long port, const char *request, char *answer)
{
    struct net_address to;
    size_t len = 0;
    ssize_t n = 0;
    must(net_address_parse("127.0.0.1:0", &to) == 0);
    net_address_set_port(&to, (uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to.sa, to.len) == 0 &&
        send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request))
        while ((n = recv(fd, answer + len, ANSWER_MAX - 1 - len, 0)) > 0)
            len += (size_t)n;
    close(fd);
    answer[len] = '\0';
    return len > 12 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

/* The rest of the line behind `key`. */
static bool find(const char *text, const char *key, char *out, size_t room)
{
    const char *at = strstr(text, key);
    return at != NULL &&
           slice_copy(slice_of(at + strlen(key), strcspn(at + strlen(key), "\r\n")), out, room);
}

/* "1 1 udp 2130706431 127.0.0.1 8000 typ host" */
static bool read_candidate(const char *text, struct net_address *to)
{
    char candidate[RTC_CANDIDATE_TEXT_MAX], address[96];
    if (!find(text, "a=candidate:", candidate, sizeof candidate))
        return false;
    struct slice rest = slice_text(candidate), host = rest;
    for (int i = 0; i < 5; i++)
        host = slice_cut(rest, ' ', &rest, NULL);
    struct slice port = slice_cut(rest, ' ', &rest, NULL);
    snprintf(address, sizeof address, "%.*s:%.*s", SLICE_ARG(host), SLICE_ARG(port));
    return net_address_parse(address, to) == 0;
}

static bool read_credentials(const char *text, struct rtc_local *local)
{
    return find(text, "a=ice-ufrag:", local->ufrag, sizeof local->ufrag) &&
           find(text, "a=ice-pwd:", local->pwd, sizeof local->pwd);
}

static void write_offer(const struct remote *r, char *out, size_t room)
{
    snprintf(out, room,
             "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
             "a=ice-ufrag:%s\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:%s\r\n"
             "a=setup:actpass\r\n"
             "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\n"
             "a=rtcp-mux\r\na=rtpmap:96 H264/90000\r\n"
             "a=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\na=rtpmap:97 VP8/90000\r\n"
             "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=recvonly\r\n"
             "a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n",
             r->ufrag, dtls_identity_fingerprint(r->identity));
}

static bool join(struct watch *t, long port, const char *name)
{
    static char request[8192], answer[ANSWER_MAX];
    char offer[2048];
    struct rtc_local local = {0};
    struct net_address to;
    write_offer(&t->r, offer, sizeof offer);
    snprintf(request, sizeof request,
             "POST /%s/whep HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
             "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
             name, strlen(offer), offer);
    t->posted_us = clock_us();
    int status = exchange(port, request, answer);
    bool ok = status == 201 && read_credentials(answer, &local) &&
              find(answer, "a=fingerprint:", local.fingerprint, sizeof local.fingerprint) &&
              find(answer, "Location: ", t->location, sizeof t->location) &&
              read_candidate(answer, &to);
    printf("{\"event\":\"answer\",\"status\":%d,\"ms\":%.1f,\"location\":\"%s\"}\n", status,
           since_ms(t), t->location);
    if (ok)
        remote_answered(&t->r, &local, &to);
    return ok;
}

/* New credentials on both sides; the handshake's keys stay. */
static void restart(struct watch *t, long port)
{
    static char request[2048], answer[ANSWER_MAX];
    char body[256];
    struct rtc_local local = t->r.peer;
    snprintf(t->r.ufrag, sizeof t->r.ufrag, "re%08x", (unsigned)crypto_random_u64());
    snprintf(body, sizeof body, "a=ice-ufrag:%s\r\na=ice-pwd:0123456789012345678901\r\n",
             t->r.ufrag);
    snprintf(request, sizeof request,
             "PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/trickle-ice-sdpfrag\r\n"
             "If-Match: \"*\"\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
             t->location, strlen(body), body);
    int status = exchange(port, request, answer);
    if (status == 200 && read_credentials(answer, &local)) {
        t->r.peer = local;
        t->checked_us = 0;
        must(remote_move(&t->r) == 0);
    }
    printf("{\"event\":\"restarted\",\"status\":%d}\n", status);
}

static void delete (struct watch *t, long port)
{
    static char request[1024], answer[ANSWER_MAX];
    snprintf(request, sizeof request, "DELETE %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             t->location);
    printf("{\"event\":\"deleted\",\"status\":%d}\n", exchange(port, request, answer));
}

/* ---- media ---- */

static struct source *source_of(struct watch *t, uint32_t ssrc)
{
    for (int i = 0; i < SOURCES; i++)
        if (!t->sources[i].begun || t->sources[i].ssrc == ssrc)
            return &t->sources[i];
    return NULL;
}

/* H.264: parameter sets or a slice of an IDR picture, alone or in an FU-A; VP8: no inverse P. */
static bool is_key(unsigned type, struct slice p)
{
    if (type == TYPE_VP8)
        return p.len > 1 && (p.p[0] & 0x80) == 0 && (p.p[1] & 1) == 0;
    if (type != TYPE_H264 || p.len < 2)
        return false;
    unsigned nal = p.p[0] & 31;
    return nal == 24 || nal == 7 || nal == 5 || (nal == 28 && (p.p[1] & 31) == 5);
}

static void tell_frame(const struct watch *t, const struct source *s, unsigned type)
{
    const char *kind = type == TYPE_H264 ? "H264" : type == TYPE_VP8 ? "VP8" : "opus";
    printf("{\"event\":\"frame\",\"at_s\":%.6f,\"ms\":%.1f,\"codec\":\"%s\",\"ssrc\":%" PRIu32
           ",\"first\":%u,\"next\":%u,\"timestamp\":%" PRIu32 ",\"key\":%s,\"missing\":%" PRIu64
           ",\"repeated\":%" PRIu64 "}\n",
           seconds(), since_ms(t), kind, s->ssrc, s->first, s->next, s->timestamp,
           s->key ? "true" : "false", s->missing, s->repeated);
}

static void on_rtp(struct remote *r, const uint8_t *packet, size_t len)
{
    struct watch *t = r->owner;
    struct rd rd = rd_init(packet, len);
    rd_u8(&rd);
    unsigned type = rd_u8(&rd);
    uint16_t seq = rd_u16(&rd);
    uint32_t timestamp = rd_u32(&rd);
    uint32_t ssrc = rd_u32(&rd);
    struct source *s = source_of(t, ssrc);
    if (s == NULL)
        return;
    if (!s->begun)
        *s = (struct source){.ssrc = ssrc, .begun = true, .next = seq};
    int16_t step = (int16_t)(seq - s->next);
    if (step < 0) {
        s->repeated++;
        return;
    }
    s->missing += (uint64_t)step;
    s->next = (uint16_t)(seq + 1);
    if (!s->open) {
        s->open = true;
        s->first = seq;
        s->timestamp = timestamp;
        s->key = is_key(type & 0x7f, rd_rest(&rd));
    }
    if ((type & 0x80) == 0 && (type & 0x7f) <= TYPE_VP8)
        return;
    s->open = false;
    tell_frame(t, s, type & 0x7f);
}

/* ---- turns ---- */

static void on_tick(void *arg)
{
    static const uint8_t report[] = {0x80, 201, 0, 1, 1, 2, 3, 4};
    struct watch *t = arg;
    int64_t now_us = clock_us();
    timer_set_ms(&t->tick, TICK_MS);
    remote_on_time(&t->r);
    if (t->r.error != 0 && !t->closed) {
        t->closed = true;
        printf("{\"event\":\"closed\",\"at_s\":%.6f,\"why\":\"%s\"}\n", seconds(), t->r.why);
    }
    if (!t->connected && t->r.sealer != NULL) {
        t->connected = true;
        printf("{\"event\":\"connected\",\"ms\":%.1f}\n", since_ms(t));
        remote_send_rtcp(&t->r, report, sizeof report);
    }
    if (!t->closed && now_us - t->checked_us >= (t->r.checked ? CHECK_US : CHECK_NEW_US)) {
        t->checked_us = now_us;
        remote_check(&t->r, STUN_NOMINATES);
    }
}

static void obey(struct watch *t)
{
    struct slice rest, word = slice_cut(slice_text(t->line), ' ', &rest, NULL);
    long port = strtol(t->line + word.len, NULL, 10);
    if (slice_is(word, "restart"))
        restart(t, port);
    else if (slice_is(word, "delete"))
        delete (t, port);
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
    struct watch *t = arg;
    char c;
    if (read(fd, &c, 1) != 1) {
        event_base_loopbreak(t->w->base);
        return;
    }
    if (c != '\n') {
        if (t->line_len + 1 < sizeof t->line)
            t->line[t->line_len++] = c;
        return;
    }
    t->line[t->line_len] = '\0';
    t->line_len = 0;
    obey(t);
}

int main(int argc, char **argv)
{
    static struct config config;
    struct workers g;
    struct watch t = {0};
    struct rtc_remote unused;
    log_setup((enum log_level)(LOG_ERROR + 1), false);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 3 || workers_init(&g, &config, 1) < 0)
        return 2;
    struct rtc_srtp *srtp = rtc_srtp_new();
    t.w = &g.workers[0];
    must(remote_open(&t.r, t.w, srtp, dtls_identity_new(), true, &unused) == 0);
    t.r.owner = &t;
    t.r.on_rtp = on_rtp;
    t.input = event_new(t.w->base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, &t);
    timer_init(&t.tick, t.w, "watch.tick", on_tick, &t);
    bool ok = join(&t, strtol(argv[1], NULL, 10), argv[2]);
    if (ok) {
        timer_set_ms(&t.tick, 0);
        event_add(t.input, NULL);
        event_base_dispatch(t.w->base);
    }
    event_free(t.input);
    timer_fini(&t.tick);
    remote_close(&t.r);
    rtc_srtp_free(&srtp);
    workers_fini(&g);
    return ok ? 0 : 1;
}
