#ifndef SLUICE_PROTO_GOSSIP_H
#define SLUICE_PROTO_GOSSIP_H

#include "base/bytes.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The datagrams by which nodes without Redis tell each other what they are and which streams they
 * own (ownership: the same semantics without Redis).  Big-endian:
 *
 *   'LMG' | u8 version | u8 type | u16 flags | u8 keyid | u64 cluster | u64 node | u64 instance |
 *   u64 start_us | u64 seq | fields | tag
 *
 * with fields of `u8 type | u16 length | value`; unknown ones are skipped, and so is what a value
 * has beyond what is known of it.  The tag is made and checked elsewhere (cluster/gossip_seal.h);
 * what is here has no keys and does no I/O.  Slices point into the caller's bytes.
 */
#define GOSSIP_VERSION        1
#define GOSSIP_DATAGRAM_MAX   1200 /* bytes, so that IPv6 never cuts it in pieces */
#define GOSSIP_HEADER_SIZE    48   /* bytes */
#define GOSSIP_TAG_SIZE       16   /* bytes of an HMAC-SHA256 */
#define GOSSIP_BODY_MAX       (GOSSIP_DATAGRAM_MAX - GOSSIP_HEADER_SIZE - GOSSIP_TAG_SIZE)
#define GOSSIP_FIELD_HEADER   3   /* bytes */
#define GOSSIP_CHALLENGE_SIZE 16  /* bytes */
#define GOSSIP_PEERS_MAX      12  /* entries in one heartbeat */
#define GOSSIP_TEXT_MAX       299 /* bytes of an address or another text */
#define GOSSIP_PUBLISHER_MAX  64  /* bytes of a publisher's identity, or of a reason */

enum gossip_type {
    GOSSIP_HEARTBEAT = 1, /* hello, load, set, entries of other nodes */
    GOSSIP_ANNOUNCE = 2,  /* range, streams */
    GOSSIP_REQUEST = 3,   /* ask, padding */
    GOSSIP_HAVE = 4,      /* stream */
    GOSSIP_CHALLENGE = 5, /* challenge */
    GOSSIP_RESPONSE = 6,  /* the same challenge */
    GOSSIP_BYE = 7,
};
#define GOSSIP_TYPE_LAST GOSSIP_BYE

struct gossip_header {
    uint8_t type; /* enum gossip_type, or one of a later minor version */
    uint16_t flags;
    uint8_t keyid;
    uint64_t cluster, node; /* hashes of the names */
    uint64_t instance, start_us, seq;
};

enum gossip_field {
    GOSSIP_FIELD_PAD = 0,
    GOSSIP_FIELD_NODE = 1,       /* text; the others of a hello follow */
    GOSSIP_FIELD_RELAY = 2,      /* text */
    GOSSIP_FIELD_HTTP = 3,       /* text */
    GOSSIP_FIELD_ROLE = 4,       /* text */
    GOSSIP_FIELD_ZONE = 5,       /* text */
    GOSSIP_FIELD_SOFTWARE = 6,   /* text */
    GOSSIP_FIELD_LOAD = 7,       /* u8 state, u8 percent, u32 streams, u32 viewers */
    GOSSIP_FIELD_SET = 8,        /* u64 version, u32 count, u64 digest */
    GOSSIP_FIELD_PEER = 9,       /* u64 node, instance, version; u16 port; 4 or 16 address bytes */
    GOSSIP_FIELD_RANGE = 10,     /* u64 since, u64 to */
    GOSSIP_FIELD_STREAM = 11,    /* u8 state, u64 version, u64 epoch, u8 takeovers, u8 n, n, name */
    GOSSIP_FIELD_ASK = 12,       /* text: a stream's name */
    GOSSIP_FIELD_CHALLENGE = 13, /* 16 bytes */
};

/* A node's own words about itself, checked: ids are ids, texts are printable ASCII. */
struct gossip_hello {
    struct slice node, relay, http, role, zone, software;
    bool draining;
    uint8_t load_percent;
    uint32_t streams, viewers;
};

/* What a set of streams is at `version`: how many there are, and a digest that does not depend on
 * their order. */
struct gossip_summary {
    uint64_t version, digest;
    uint32_t count;
};

struct gossip_peer {
    uint64_t node, instance, version;
    uint16_t port;
    uint8_t host_len; /* 4 or 16 */
    uint8_t host[16];
};

enum gossip_stream_state { GOSSIP_LIVE = 0, GOSSIP_LOST = 1, GOSSIP_ENDED = 2 };
struct gossip_stream {
    enum gossip_stream_state state;
    uint64_t version; /* of its set, when it became so */
    uint64_t epoch;
    uint8_t takeovers;
    struct slice text; /* the publisher's identity; of an end: why */
    struct slice name; /* checked: "APP/STREAM" */
};

/* The fields of a datagram; what was not in it is 0.  Streams are read one by one. */
struct gossip_message {
    struct gossip_hello hello;
    bool has_set, has_range;
    struct gossip_summary set;
    uint64_t since, to; /* the streams tell what changed after `since` up to `to` */
    struct gossip_peer peers[GOSSIP_PEERS_MAX];
    size_t peer_count, stream_count;
    struct slice ask;
    const uint8_t *challenge; /* GOSSIP_CHALLENGE_SIZE bytes, or NULL */
};

/* Reads the fixed part; *body is what lies between it and the tag.  0, ERR_PROTOCOL (too short, not
 * ours), ERR_TOO_LARGE, ERR_UNSUPPORTED (another major version). */
int gossip_header_read(struct slice datagram, struct gossip_header *out, struct slice *body);
void gossip_header_write(struct wr *w, const struct gossip_header *h);

/* Reads and checks all fields.  0, ERR_PROTOCOL (cut short, wrong shape), ERR_NAME, ERR_TOO_LARGE,
 * ERR_TOO_MANY. */
int gossip_message_read(struct slice body, struct gossip_message *out);
/* The next stream among the fields: 1, 0 at the end, or an error as above. */
int gossip_stream_next(struct rd *fields, struct gossip_stream *out);

/* Writers; `w` overflows when there is no room. */
void gossip_write_hello(struct wr *w, const struct gossip_hello *h);
void gossip_write_summary(struct wr *w, const struct gossip_summary *s);
void gossip_write_peer(struct wr *w, const struct gossip_peer *p);
void gossip_write_range(struct wr *w, uint64_t since, uint64_t to);
void gossip_write_stream(struct wr *w, const struct gossip_stream *s);
/* Bytes of that. */
size_t gossip_stream_size(const struct gossip_stream *s);
void gossip_write_challenge(struct wr *w, const uint8_t challenge[GOSSIP_CHALLENGE_SIZE]);
/* A question as large as any answer to it. */
void gossip_write_ask(struct wr *w, const char *name);

/*
 * A whole set, or what changed in it, as the answer to a fetch:
 *   'LMS' | u8 version | u8 full | u64 instance | u64 since | u64 to | u32 count | stream fields
 */
#define GOSSIP_SET_HEADER_SIZE 33 /* bytes */
struct gossip_set {
    bool full; /* the streams are all there are; since is 0 */
    uint64_t instance, since, to;
    uint32_t count;
    struct slice streams; /* for gossip_stream_next() */
};
void gossip_set_header_write(struct wr *w, const struct gossip_set *s);
/* Checks all streams too, that there are `count` of them and at most `streams_max`.  0 or an error
 * as of gossip_message_read(). */
int gossip_set_read(struct slice bytes, size_t streams_max, struct gossip_set *out);

#endif
