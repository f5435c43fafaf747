#ifndef SLUICE_PROTO_RELAY_RECORD_H
#define SLUICE_PROTO_RELAY_RECORD_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The endless body by which one node sends a log to another (design: relay).  Big-endian records:
 *
 *   u32 length | u8 type | u8 flags | u16 track | u64 seq | i64 dts_us | i32 cts_us | i64 wire_ms |
 * payload
 *
 * `length` counts what follows it.  Records other than frames have zero in the fields they do not
 * use.  Slices point into the caller's bytes.
 */
#define RELAY_RECORD_HEADER_SIZE 36                 /* bytes before the payload */
#define RELAY_RECORD_MAX         (16 * 1024 * 1024) /* bytes; what `length` may be */
#define RELAY_PAYLOAD_MAX        (RELAY_RECORD_MAX - RELAY_RECORD_HEADER_SIZE + 4) /* bytes */

enum relay_type {
    RELAY_UNKNOWN, /* a type of a later version: skip the record */
    RELAY_STATE,
    RELAY_FRAME,
    RELAY_KEEPALIVE,
    RELAY_END,
    RELAY_GAP,
    RELAY_ACCEPTED, /* to who carries a publisher: the name is its, with this epoch */
    RELAY_WANT_KEY, /* to the same: a reader needs a key frame soon; no payload */
    RELAY_CUT,      /* the frame that follows, of the same seq, begins a unit */
};

struct relay_record {
    enum relay_type type;
    uint8_t flags;  /* of a frame: KEY 1, CONFIG 2, META 4, END 8, DISCONTINUITY 16, as in media */
    uint16_t track; /* relay_track() */
    uint64_t seq;
    int64_t dts_us;
    int32_t cts_us;
    int64_t wire_ms;
    struct slice payload; /* of a frame: its FLV tag body */
};

enum relay_kind { RELAY_VIDEO, RELAY_AUDIO, RELAY_DATA };

static inline uint16_t relay_track(unsigned kind, uint8_t id)
{
    return (uint16_t)(kind << 8 | id);
}

static inline uint8_t relay_track_kind(uint16_t track)
{
    return (uint8_t)(track >> 8);
}

static inline uint8_t relay_track_id(uint16_t track)
{
    return (uint8_t)track;
}

/* Times that a peer may tell, in us or ms: what is calculated with them stays in 64 bits. */
#define RELAY_TIME_MAX (1LL << 53)

static inline bool relay_time_ok(int64_t t)
{
    return t >= -RELAY_TIME_MAX && t <= RELAY_TIME_MAX;
}

/* Reads one record: bytes consumed, 0, ERR_TOO_LARGE, or ERR_PROTOCOL (shorter than its header). */
ssize_t relay_record_read(const uint8_t *src, size_t len, struct relay_record *out);

/* Writes what goes before a payload of payload_len (at most RELAY_PAYLOAD_MAX) bytes; rec->payload
 * is not looked at. */
void relay_record_header(uint8_t out[RELAY_RECORD_HEADER_SIZE], const struct relay_record *rec,
                         size_t payload_len);

/* Appends the whole record; 0, ERR_TOO_LARGE or ERR_NOMEM (nothing appended). */
int relay_record_append(struct buf *out, const struct relay_record *rec);

/*
 * The state: what a reader must know of the log besides its frames.  Its payload is a sequence of
 * fields `u16 type | u32 length | value`; unknown types are skipped, and so is what a value has
 * beyond the fields known here.
 */
#define RELAY_STATE_VERSION 1
#define RELAY_TRACKS_MAX    16
#define RELAY_IN_FORCE_MAX  48
#define RELAY_NUMBER_MAX    (1ULL << 53) /* of segments: what a number of ECMAScript holds */
#define RELAY_LENGTH_MS_MAX 86400000     /* of a segment or part: a day */
#define RELAY_WINDOW_MAX    65536        /* segments of a playlist */
#define RELAY_PATH_MAX      1024         /* bytes of the node path */
#define RELAY_PATH_NODES    8            /* ids in it */

enum relay_field {
    RELAY_FIELD_VERSION = 1,    /* u32 */
    RELAY_FIELD_EPOCH = 2,      /* u64 */
    RELAY_FIELD_INSTANCE = 3,   /* u64 */
    RELAY_FIELD_PATH = 4,       /* text */
    RELAY_FIELD_FIRST_SEQ = 5,  /* u64 */
    RELAY_FIELD_HEAD_SEQ = 6,   /* u64 */
    RELAY_FIELD_TAIL_SEQ = 7,   /* u64 */
    RELAY_FIELD_SEGMENTS = 8,   /* u32 segment_ms, u32 part_ms, u32 window_segments */
    RELAY_FIELD_DATE_BASE = 9,  /* i64 */
    RELAY_FIELD_PREVIOUS = 10,  /* u64 epoch, u64 last seq */
    RELAY_FIELD_BANDWIDTH = 11, /* u64 peak, u64 average */
    RELAY_FIELD_LOST = 12,      /* u8 */
    RELAY_FIELD_TRACK =
        13, /* u16 track, u32 codec, u8 flags [, u32 rate, i64 anchor, u64 samples] */
    RELAY_FIELD_IN_FORCE = 14, /* a whole frame record */
    RELAY_FIELD_LISTED = 15,   /* u64 */
    RELAY_FIELD_RATE = 16,     /* u32 */
    RELAY_FIELD_NUMBERS = 17,  /* u64 msn, u64 dsn */
    RELAY_FIELD_LAST_SEQ = 18, /* u64 */
    RELAY_FIELD_PARTS = 19,    /* u32 PART-TARGET in microseconds */
    RELAY_FIELD_RATES = 20,    /* of each track: u16 track, u32 bps, u32 frame rate */
};

#define RELAY_TRACK_ANCHORED 1 /* flag of a track: sample rate, anchor and sample count follow */

struct relay_state_track {
    uint16_t track;        /* relay_track() */
    uint8_t flags;         /* RELAY_TRACK_ANCHORED */
    uint32_t codec;        /* FourCC */
    uint32_t sample_rate;  /* Hz; this and the next two are for audio with RELAY_TRACK_ANCHORED */
    int64_t anchor_dts_us; /* dts of sample 0 */
    uint64_t samples;      /* counted from there up to the tail */
};

/* What the owner measured of a track. */
struct relay_state_rate {
    uint16_t track; /* relay_track() */
    uint32_t bps;
    uint32_t frame_rate_milli; /* 0: sound */
};

struct relay_state {
    uint32_t version;         /* RELAY_STATE_VERSION of the sender */
    uint64_t epoch, instance; /* the run, and the process that owns it */
    struct slice path;        /* node ids from the owner to the sender, comma separated */
    uint64_t first_seq;       /* the run's first joinable frame; 0: none yet */
    uint64_t head_seq;        /* the oldest frame held; 0: none */
    uint64_t tail_seq;        /* the newest; 0: none */
    uint32_t segment_ms, part_ms, window_segments; /* the owner's, which count everywhere */
    bool has_date_base, has_previous, has_bandwidth;
    bool lost;            /* the publisher's transport is gone; it may come back */
    int64_t date_base_us; /* unix time at dts 0 */
    uint64_t previous_epoch, previous_last_seq; /* the run this one goes on from */
    uint64_t peak_bps, average_bps;             /* declared */
    uint64_t first_msn, first_dsn; /* of the run's first segment, from which cuts count */
    uint64_t last_seq;             /* of the run's last frame; 0: more may come */
    uint64_t base_msn;             /* the oldest that playlists of the run may list; 0: not told */
    uint32_t frame_rate_milli;     /* declared: frames per 1000 s; 0: not told */
    uint32_t part_target_us;       /* declared; 0: not told */
    size_t rate_count, track_count, in_force_count;
    struct relay_state_rate rates[RELAY_TRACKS_MAX];
    struct relay_state_track tracks[RELAY_TRACKS_MAX];
    struct relay_record in_force[RELAY_IN_FORCE_MAX]; /* RELAY_FRAME, at the newest key frame */
};

/* Bytes of the payload that relay_state_encode() appends. */
size_t relay_state_size(const struct relay_state *s);

/* Appends the payload of a state record (not its header); 0, ERR_TOO_LARGE or ERR_NOMEM (nothing
 * appended). */
int relay_state_encode(const struct relay_state *s, struct buf *out);

/* Reads the payload of a state record.  0, ERR_PROTOCOL (cut short, an epoch or version missing, a
 * field of the wrong shape, a number beyond its limit), ERR_TOO_MANY, ERR_NAME (the path),
 * ERR_TOO_LARGE. */
int relay_state_decode(struct slice payload, struct relay_state *out);

/* A cut: the first frame of a part or segment (media/cut.h says what the fields mean). */
#define RELAY_CUT_FIXED_SIZE  44 /* bytes of a payload without tracks */
#define RELAY_CUT_SIZE_MAX    (RELAY_CUT_FIXED_SIZE + 2 * RELAY_TRACKS_MAX)
#define RELAY_CUT_INDEPENDENT 1 /* its flag */

struct relay_cut {
    uint64_t msn, dsn;
    uint32_t part, init;
    int64_t start_us, wall_us;
    uint16_t clock;
    bool independent;
    uint8_t track_count;
    uint16_t tracks[RELAY_TRACKS_MAX];
};
/* The payload of a cut record.  The reader returns 0, ERR_PROTOCOL (also when tracks do not rise,
 * or beyond RELAY_TIME_MAX) or ERR_TOO_MANY. */
void relay_cut_write(struct wr *w, const struct relay_cut *cut);
int relay_cut_decode(struct slice payload, struct relay_cut *out);

/* Why a body ends; readers take numbers they do not know for RELAY_END_STREAM. */
enum relay_end_reason {
    RELAY_END_STREAM = 1, /* the stream is over */
    RELAY_END_MOVED = 2,  /* another node owns it now: ask the cluster */
    RELAY_END_DRAIN = 3,  /* this node leaves: ask the cluster */
    RELAY_END_KICKED = 4, /* an operator ended the stream */
};

#define RELAY_END_TEXT_MAX 256 /* bytes */

struct relay_end {
    uint8_t reason; /* enum relay_end_reason */
    struct slice text;
};

/* Payloads of end, gap and accepted records.  Text beyond RELAY_END_TEXT_MAX is cut off by the
 * writer and refused by the reader.  Readers return 0 or ERR_PROTOCOL. */
void relay_end_write(struct wr *w, const struct relay_end *end);
int relay_end_decode(struct slice payload, struct relay_end *out);
void relay_gap_write(struct wr *w, uint64_t first_seq);
/* *first_seq is the oldest seq that the sender still holds. */
int relay_gap_decode(struct slice payload, uint64_t *first_seq);
void relay_accepted_write(struct wr *w, uint64_t epoch);
int relay_accepted_decode(struct slice payload, uint64_t *epoch);

#endif
