#include "whep_player.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "core/config.h"
#include "proto/http1.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH         32 /* datagrams that are read at once */
#define DATAGRAM_MAX  1600
#define ANSWER_MAX    (64 * 1024)
#define RECEIVE_BYTES (4 * 1024 * 1024) /* socket buffer: a load that is late is no loss */
#define CHECK_US      2500000           /* between two checks */
#define REPEAT_US     200000            /* of a check that was not answered */
#define VIDEO_TYPE    96

struct whep_datagrams {
    struct mmsghdr headers[BATCH];
    struct iovec iov[BATCH];
    uint8_t bytes[BATCH][DATAGRAM_MAX];
};

void whep_crew_init(struct whep_crew *c, int epoll, const struct target *target, SSL_CTX *tls,
                    unsigned open_each)
{
    struct whep_datagrams *d = xcalloc(1, sizeof *d);
    *c = (struct whep_crew){.epoll = epoll,
                            .target = target,
                            .tls = tls,
                            .open_each = open_each,
                            .srtp = rtc_srtp_new(),
                            .identity = dtls_identity_new(),
                            .datagrams = d};
    must(c->srtp != NULL && c->identity != NULL);
    for (int i = 0; i < BATCH; i++) {
        d->iov[i] = (struct iovec){d->bytes[i], DATAGRAM_MAX};
        d->headers[i].msg_hdr = (struct msghdr){.msg_iov = &d->iov[i], .msg_iovlen = 1};
    }
}

void whep_crew_fini(struct whep_crew *c)
{
    dtls_identity_unref(&c->identity);
    rtc_srtp_free(&c->srtp);
    free(c->datagrams);
}

/* ---- the offer ---- */

static size_t write_offer(const struct whep_player *p, char *out, size_t room)
{
    return (size_t)snprintf(
        out, room,
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
        "a=ice-ufrag:%s\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:%s\r\n"
        "a=setup:actpass\r\n"
        "m=video 9 UDP/TLS/RTP/SAVPF %d\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\n"
        "a=rtcp-mux\r\na=rtpmap:%d H264/90000\r\n"
        "a=fmtp:%d packetization-mode=1;profile-level-id=42e01f\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=recvonly\r\n"
        "a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n",
        p->remote.ufrag, dtls_identity_fingerprint(p->remote.identity), VIDEO_TYPE, VIDEO_TYPE,
        VIDEO_TYPE);
}

static int post(struct whep_player *p)
{
    char request[4096], offer[2048];
    size_t len = write_offer(p, offer, sizeof offer);
    int n = snprintf(request, sizeof request,
                     "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/sdp\r\n"
                     "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
                     p->path, p->crew->target->authority, len, offer);
    return n < (int)sizeof request ? link_send(&p->http, slice_of(request, (size_t)n))
                                   : ERR_TOO_LARGE;
}

/* The rest of the line behind `key`, which servers write in any case. */
static bool find(const char *text, const char *key, char *out, size_t room)
{
    const char *at = strcasestr(text, key);
    if (at == NULL)
        return false;
    at += strlen(key);
    return slice_copy(slice_of(at, strcspn(at, "\r\n")), out, room);
}

/* "1 1 udp 2130706431 127.0.0.1 8000 typ host" */
static bool read_candidate(const char *candidate, struct net_address *to)
{
    struct slice rest = slice_text(candidate), host = rest, words[5];
    char address[96];
    for (int i = 0; i < 5; i++)
        words[i] = host = slice_cut(rest, ' ', &rest, NULL);
    struct slice port = slice_cut(rest, ' ', &rest, NULL);
    bool v6 = memchr(host.p, ':', host.len) != NULL;
    snprintf(address, sizeof address, v6 ? "[%.*s]:%.*s" : "%.*s:%.*s", SLICE_ARG(host),
             SLICE_ARG(port));
    return slice_is_nocase(words[2], "udp") && net_address_parse(address, to) == 0;
}

static bool media_open(struct whep_player *p, const struct net_address *to)
{
    int bytes = RECEIVE_BYTES;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p->owner};
    p->media = socket(to->sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->media < 0)
        return false;
    if (connect(p->media, (const struct sockaddr *)&to->sa, to->len) < 0) {
        close(p->media);
        p->media = -1;
        return false;
    }
    if (setsockopt(p->media, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
        setsockopt(p->media, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    return epoll_ctl(p->crew->epoll, EPOLL_CTL_ADD, p->media, &e) == 0;
}

/* The first candidate that a datagram can be sent to. */
static bool reach(struct whep_player *p, const char *text, struct net_address *to)
{
    static const char key[] = "a=candidate:";
    char candidate[RTC_CANDIDATE_TEXT_MAX];
    for (; find(text, key, candidate, sizeof candidate); text = strcasestr(text, key) + 1)
        if (read_candidate(candidate, to) && media_open(p, to))
            return true;
    return false;
}

/* The path of an absolute URL, or of what is none. */
static void keep_session(struct whep_player *p, const char *location)
{
    const char *host = strstr(location, "://");
    const char *path = strchr(host != NULL ? host + strlen("://") : location, '/');
    if (path != NULL)
        slice_copy(slice_text(path), p->session, sizeof p->session);
}

static bool take_answer(struct whep_player *p, const char *text)
{
    struct rtc_local local = {0};
    char location[WHEP_SESSION_MAX];
    struct net_address to;
    if (strncmp(text, "HTTP/1.1 201", strlen("HTTP/1.1 201")) != 0 ||
        !find(text, "a=ice-ufrag:", local.ufrag, sizeof local.ufrag) ||
        !find(text, "a=ice-pwd:", local.pwd, sizeof local.pwd) ||
        !find(text, "a=fingerprint:", local.fingerprint, sizeof local.fingerprint) ||
        !reach(p, text, &to))
        return false;
    if (find(text, "\nLocation: ", location, sizeof location))
        keep_session(p, location);
    remote_answered(&p->remote, &local, &to);
    remote_check(&p->remote, STUN_NOMINATES);
    p->checked_us = clock_us();
    return true;
}

const char *whep_player_why(struct whep_player *p)
{
    static const uint8_t end = 0;
    if (p->http.error != 0)
        return link_why(&p->http);
    return buf_append(&p->answer, &end, 1) == 0 ? (const char *)buf_slice(&p->answer).p : "";
}

static int read_answer(struct whep_player *p)
{
    uint8_t bytes[4096];
    ssize_t n;
    while ((n = link_recv(&p->http, bytes, sizeof bytes)) > 0)
        if (buf_append(&p->answer, bytes, (size_t)n) < 0)
            return ERR_TOO_LARGE;
    if (n == 0)
        return 0;
    bool taken = p->http.error == 0 && take_answer(p, whep_player_why(p));
    if (!taken)
        return ERR_REFUSED;
    link_close(&p->http);
    buf_fini(&p->answer);
    return 0;
}

static int on_http(struct whep_player *p)
{
    int state = link_event(&p->http);
    if (state == LINK_READY)
        return post(p);
    return state == LINK_DATA ? read_answer(p) : state;
}

/* ---- media ---- */

uint64_t whep_player_missing(const struct whep_player *p)
{
    uint64_t n = 0;
    for (int i = 0; i < WHEP_SOURCES; i++)
        n += p->sources[i].numbers - p->sources[i].packets;
    return n;
}

static void count(struct whep_source *s, uint32_t ssrc, uint16_t seq)
{
    if (!s->begun)
        *s = (struct whep_source){.ssrc = ssrc, .begun = true, .newest = (uint16_t)(seq - 1)};
    int16_t step = (int16_t)(seq - s->newest);
    s->packets++;
    if (step <= 0)
        return;
    s->numbers += (uint64_t)step;
    s->newest = seq;
}

/* Headers are in the clear. */
static void note_packet(struct whep_player *p, struct slice packet, int64_t now_us)
{
    struct rd r = rd_slice(packet);
    rd_u8(&r);
    unsigned type = rd_u8(&r);
    uint16_t seq = rd_u16(&r);
    rd_u32(&r);
    uint32_t ssrc = rd_u32(&r);
    bool video = (type & 0x7f) == VIDEO_TYPE;
    count(&p->sources[video ? 0 : 1], ssrc, seq);
    if (p->packet_us == 0)
        p->packet_us = now_us;
    else if (now_us - p->last_us > p->silence_us)
        p->silence_us = now_us - p->last_us;
    p->last_us = now_us;
    p->packets++;
    p->bytes += packet.len;
    if (p->frame_us == 0 && video && (type & 0x80) != 0 && whep_player_missing(p) == 0)
        p->frame_us = now_us;
}

static bool is_rtp(struct slice m)
{
    return m.len > 12 && m.p[0] >= 128 && (m.p[1] < 192 || m.p[1] > 223);
}

static void on_datagram(struct whep_player *p, struct slice m, int64_t now_us)
{
    static const uint8_t report[] = {0x80, 201, 0, 1, 1, 2, 3, 4};
    bool media = is_rtp(m);
    unsigned each = p->crew->open_each;
    if (media)
        note_packet(p, m, now_us);
    if (!media || (each > 0 && p->packets % each == 0))
        remote_receive(&p->remote, m);
    if (p->connected_us == 0 && p->remote.sealer != NULL) {
        p->connected_us = now_us;
        remote_send_rtcp(&p->remote, report, sizeof report);
    }
}

static void on_media(struct whep_player *p)
{
    struct whep_datagrams *d = p->crew->datagrams;
    int n = recvmmsg(p->media, d->headers, BATCH, MSG_DONTWAIT, NULL);
    int64_t now_us = clock_us();
    for (int i = 0; i < n; i++)
        on_datagram(p, slice_of(d->bytes[i], d->headers[i].msg_len), now_us);
}

static void send_datagram(struct remote *r, struct slice datagram)
{
    struct whep_player *p = r->owner;
    (void)send(p->media, datagram.p, datagram.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- its life ---- */

int whep_player_open(struct whep_player *p, struct whep_crew *c, void *owner, const char *path)
{
    struct rtc_remote unused;
    *p = (struct whep_player){.crew = c, .owner = owner, .media = -1, .posted_us = clock_us()};
    link_init(&p->http);
    buf_init(&p->answer, ANSWER_MAX);
    remote_init(&p->remote, c->srtp, dtls_identity_ref(c->identity), true, &unused);
    p->remote.owner = p;
    p->remote.send = send_datagram;
    if (!slice_copy(slice_text(path), p->path, sizeof p->path))
        return ERR_TOO_LARGE;
    return link_open(&p->http, c->epoll, owner, c->target, c->tls);
}

int whep_player_event(struct whep_player *p)
{
    if (p->http.fd >= 0)
        return on_http(p);
    if (p->media >= 0)
        on_media(p);
    return 0;
}

void whep_player_look(struct whep_player *p, int64_t now_us)
{
    if (p->media < 0)
        return;
    remote_on_time(&p->remote);
    if (p->connected_us != 0 && p->packet_us != 0 && p->remote.dtls != NULL) {
        p->goodbye_len = dtls_release(p->remote.dtls, p->goodbye);
        dtls_free(&p->remote.dtls);
    }
    if (now_us - p->checked_us < (p->remote.checked ? CHECK_US : REPEAT_US))
        return;
    remote_check(&p->remote, STUN_NOMINATES);
    p->checked_us = now_us;
}

static void delete_session(const struct whep_player *p)
{
    const struct target *t = p->crew->target;
    const struct timeval patience = {1, 0};
    char request[2 * WHEP_SESSION_MAX], answer[512];
    int n = snprintf(request, sizeof request,
                     "DELETE %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", p->session,
                     t->authority);
    int fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&t->address, t->address_len) == 0 &&
        send(fd, request, (size_t)n, MSG_NOSIGNAL) == n)
        (void)recv(fd, answer, sizeof answer, 0);
    close(fd);
}

void whep_player_leave(struct whep_player *p)
{
    if (p->media >= 0 && p->goodbye_len > 0)
        (void)send(p->media, p->goodbye, p->goodbye_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (p->session[0] != '\0' && !p->crew->target->tls)
        delete_session(p);
    p->session[0] = '\0';
}

void whep_player_close(struct whep_player *p)
{
    if (p->crew == NULL)
        return;
    link_close(&p->http);
    if (p->media >= 0)
        close(p->media);
    p->media = -1;
    remote_close(&p->remote);
    buf_fini(&p->answer);
    p->crew = NULL;
}
