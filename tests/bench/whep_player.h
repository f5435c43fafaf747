#ifndef SLUICE_TESTS_BENCH_WHEP_PLAYER_H
#define SLUICE_TESTS_BENCH_WHEP_PLAYER_H

#include "base/buf.h"
#include "link.h"
#include "tools/rtc_remote.h"

/*
 * A WebRTC player that decodes nothing: it joins by WHEP, shakes hands, opens a share of the
 * packets and looks for gaps in all of them.
 *
 *   POST (http) ─▶ answer ─▶ check, handshake (media) ─▶ packets: numbers, every k-th opened
 */
#define WHEP_SOURCES     2     /* of a player: video and audio */
#define WHEP_SESSION_MAX 1024  /* bytes of a session's path */
#define WHEP_LOOK_US     10000 /* between two looks at a player while nothing comes */

/* What all players of a process have in common. */
struct whep_crew {
    int epoll;
    const struct target *target;
    SSL_CTX *tls;
    unsigned open_each; /* packet of a player; 0: none */
    struct rtc_srtp *srtp;
    struct dtls_identity *identity;
    struct whep_datagrams *datagrams; /* where they are read */
};
void whep_crew_init(struct whep_crew *c, int epoll, const struct target *target, SSL_CTX *tls,
                    unsigned open_each);
void whep_crew_fini(struct whep_crew *c);

struct whep_source {
    uint32_t ssrc;
    bool begun;
    uint16_t newest;
    uint64_t packets, numbers; /* that came, and that were used up to the newest */
};

struct whep_player {
    struct whep_crew *crew;
    void *owner; /* of its sockets, for epoll */
    struct link http;
    int media; /* socket; -1: none */
    struct buf answer;
    char path[WHEP_SESSION_MAX];    /* that is posted to */
    char session[WHEP_SESSION_MAX]; /* its path; "": none */
    struct remote remote;
    struct whep_source sources[WHEP_SOURCES];
    uint64_t packets, bytes;
    int64_t posted_us, connected_us, packet_us, frame_us; /* 0: not yet */
    int64_t last_us, silence_us, checked_us;
    uint8_t goodbye[DTLS_GOODBYE_MAX];
    size_t goodbye_len;
};

/* Begins; path is what is posted to.  0 or negative.  The player is to be closed in any case. */
int whep_player_open(struct whep_player *p, struct whep_crew *c, void *owner, const char *path);
/* One of its sockets has something; 0, or negative when it was refused. */
int whep_player_event(struct whep_player *p);
/* Every WHEP_LOOK_US. */
void whep_player_look(struct whep_player *p, int64_t now_us);
/* Ends its session: the server would send on to a port that is soon somebody else's. */
void whep_player_leave(struct whep_player *p);
void whep_player_close(struct whep_player *p);

/* Packets that have not come. */
uint64_t whep_player_missing(const struct whep_player *p);
/* What the server said to the offer, for people. */
const char *whep_player_why(struct whep_player *p);

#endif
