#ifndef SLUICE_RTC_RTC_INTERNAL_H
#define SLUICE_RTC_RTC_INTERNAL_H

#include "base/list.h"
#include "base/obj.h"
#include "core/timer.h"
#include "net/admission.h"
#include "net/listener.h"
#include "net/udp_batch.h"
#include "rtc/dtls.h"
#include "rtc/ice.h"
#include "rtc/rtc_peer.h"
#include "rtc/rtc_port.h"
#include "rtc/srtp.h"

/*
 * What the rtc_*.c share: rtc_ports.c opens and ends, rtc_port.c sorts what comes, rtc_stream.c is
 * ICE-TCP, rtc_candidates.c says where we are, rtc_handshake.c rations the work of joins,
 * rtc_peer.c is the life of a peer and rtc_media.c what it is for.
 */
#define RTC_PORT_MAGIC   0x72706f72U
#define RTC_PEER_MAGIC   0x72706565U
#define RTC_STREAM_MAGIC 0x72737472U

#define RTC_HALF_OPEN_MAX 256  /* peers of a worker that are not connected */
#define RTC_FRAME_MAX     1500 /* bytes of a frame of ICE-TCP (RFC 4571) */
#define RTC_ADDRESSES_MAX 8    /* of ours that are offered; twice as many candidates with TCP */

struct rtc_ports {
    struct rtc_port *ports;
    int count;
    struct rtc_srtp *srtp;
    struct admission *half_open; /* by the address of who sent the offer; on all workers */
    struct log_id log;
};

/* What the candidates say. */
struct rtc_addresses {
    struct net_address items[RTC_ADDRESSES_MAX]; /* port 0 */
    size_t count;
};

struct rtc_port {
    uint32_t magic;
    struct rtc_ports *ports;
    struct worker *worker;
    struct log_id log;
    struct udp_batch *udp;
    struct listener_set *tcp; /* NULL: none */
    uint16_t udp_port, tcp_port;
    struct rtc_addresses addresses;
    struct ice_agent *ice;
    struct dtls_identity *identity;
    struct timer renewal; /* of the identity */
    struct list peers, streams;
    size_t peer_count, half_open;

    struct list handshakes; /* peers that have datagrams of theirs waiting */
    size_t handshake_count; /* those datagrams, */
    size_t early_count;     /* and media behind them */
    struct task handshake_task;

    struct list dead_peers, dead_streams; /* freed when no code of theirs is on the stack */
    struct task bury_task;
    struct log_limit refused_limit;
    /* Frames of ICE-TCP: who reads one may write another one meanwhile. */
    uint8_t frame_in[RTC_FRAME_MAX];
    uint8_t frame_out[2 + RTC_FRAME_MAX + RTC_SRTP_TRAILER_MAX];
};

struct rtc_peer {
    uint32_t magic;
    struct rtc_port *port;
    struct log_id log;
    struct list node; /* of the port's peers, or of its dead ones */
    const struct rtc_peer_handler *handler;
    void *owner;
    bool publishes, closed, half_open;
    struct admission_count count;

    struct ice_session *ice; /* NULL once closed */
    struct dtls *dtls;
    struct rtc_sealer *sealer; /* NULL: not connected */
    struct rtc_opener *opener;
    struct list waiting; /* datagrams of the handshake, and media behind them */
    unsigned waiting_count, early_count;
    struct list handshake_node; /* of the port's handshakes while there are some */

    struct timer timer;   /* for the next of the moments that follow from these (clock_us) */
    int64_t opened_us;    /* … */
    int64_t checked_us;   /* first valid check; 0: none yet */
    int64_t connected_us; /* 0: not yet */
    int64_t media_us;     /* first authentic packet after that */
    int64_t suspected_us; /* the remote seems to have said goodbye, or its connection ended */
    bool released;        /* the memory of DTLS */
    uint8_t goodbye[DTLS_GOODBYE_MAX];
    size_t goodbye_len;
};

/* ---- rtc_port.c ---- */

/* What came, over UDP (stream NULL in from) or as a frame; it may be changed.  False when a stream
 * has brought something that no remote of a session here would send. */
bool rtc_port_receive(struct rtc_port *port, const struct ice_path *from, struct rtc_peer *peer,
                      uint8_t *bytes, size_t len, int64_t arrival_us);
/* One datagram that is no media; lost when there is no room. */
void rtc_port_send(struct rtc_port *port, const struct ice_path *to, struct slice datagram);
/* Frees dead peers and streams at the end of the turn. */
void rtc_port_bury(struct rtc_port *port);

/* ---- rtc_stream.c ---- */

/* arg: the port; so is that of rtc_handshake_run. */
void rtc_stream_accept(struct worker *w, struct io *io, void *arg);
/* Sends port->frame_out, whose packet of len bytes begins behind its first two; false: no room. */
bool rtc_stream_send_frame(struct rtc_stream *s, size_t len);
/* Bytes that wait to be sent. */
size_t rtc_stream_queued(const struct rtc_stream *s);
/* The connection is the peer's. */
void rtc_stream_bind(struct rtc_stream *s, struct rtc_peer *p);
/* The peer has gone: its connections follow when they have sent what they have. */
void rtc_streams_leave(struct rtc_peer *p);
/* Those that are left, when the port ends. */
void rtc_streams_free(struct rtc_port *port);
void rtc_stream_free(struct list *node);

/* ---- rtc_candidates.c ---- */

/* Where remotes reach a socket that is bound so. */
void rtc_addresses_find(struct rtc_addresses *out, const struct rtc_ports_options *o,
                        const struct net_address *bound);
void rtc_candidates_write(const struct rtc_port *port, struct rtc_local *out);

/* ---- rtc_handshake.c ---- */

/* Keeps the datagram until it is its turn. */
void rtc_handshake_queue(struct rtc_peer *p, const struct ice_path *from, struct slice datagram);
/* Media of a publisher that comes behind such a datagram is kept, too, if there is room; false: it
 * did not, and can be read now. */
bool rtc_handshake_queue_media(struct rtc_peer *p, const struct ice_path *from,
                               struct slice datagram, int64_t arrival_us);
void rtc_handshake_drop(struct rtc_peer *p);
void rtc_handshake_run(void *arg);

/* ---- rtc_peer.c ---- */

/* A valid check has come. */
void rtc_peer_checked(struct rtc_peer *p, const struct ice_path *from, bool moved);
/* A datagram of the handshake, and its turn has come. */
void rtc_peer_handshake(struct rtc_peer *p, const struct ice_path *from, struct slice datagram);
/* It may be that nobody is there any more: the next check, or its absence, tells. */
void rtc_peer_suspect(struct rtc_peer *p);
void rtc_peer_free(struct list *node);

/* ---- rtc_media.c ---- */

void rtc_peer_receive(struct rtc_peer *p, const struct ice_path *from, uint8_t *packet, size_t len,
                      int64_t arrival_us);

#endif
