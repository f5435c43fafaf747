#ifndef SLUICE_MEDIA_WIRE_H
#define SLUICE_MEDIA_WIRE_H

#include "base/buf.h"
#include "media/log.h"

#include <sys/uio.h>

/*
 * The wire form of frames for the continuous protocols: a small header, the payload where it lies,
 * and a small trailer (RTMP chunk continuation headers, FLV's previous tag size).  It is the same
 * for everybody who reads the same frames in the same protocol, so it is gathered once for all
 * cursors that stand at the same place (a span) and handed to writev as it is; what many of them
 * read is copied together first, so that a write of many messages is one piece.
 */
enum wire_kind {
    WIRE_RTMP,       /* every track, as published */
    WIRE_RTMP_BASIC, /* track 0 only, no track metadata: players that announced nothing */
    WIRE_FLV,
    WIRE_FLV_BASIC,
};

#define WIRE_RTMP_SID    1            /* message stream id of every play */
#define WIRE_SPAN_FRAMES 256          /* frames of one span */
#define WIRE_SPAN_IOV    1024         /* its iovecs: what one writev takes (IOV_MAX) */
#define WIRE_SPAN_BYTES  (128 * 1024) /* a span ends after the frame that passes this */
#define WIRE_SPANS       8            /* places of which a worker remembers the span */
#define WIRE_FLAT_BYTES  (192 * 1024) /* a longer span stays in pieces */
#define WIRE_FLATS       2            /* spans of a worker that are in one piece */

struct wire_form {
    uint32_t total; /* bytes on the wire; 0: this kind does not carry the frame */
    uint32_t skip;  /* payload bytes that head replaces */
    uint8_t head_len, tail_len;
    uint8_t body_head; /* of head_len: bytes that belong to the message body */
    uint8_t head[24];
    uint8_t tail[6];
};

/* The form of f; shift_ms is added to its published time. */
void wire_form(enum wire_kind kind, const struct frame *f, int64_t shift_ms, struct wire_form *out);
/* Its iovecs; returns how many, or -1 when they do not fit into room. */
int wire_iov(enum wire_kind kind, const struct wire_form *form, const struct frame *f,
             struct iovec *iov, int room);

struct wire_span {
    const struct log *log;
    uint64_t change, epoch, from, to; /* frames [from, to) of the run */
    enum wire_kind kind;
    unsigned mute;
    uint64_t used;
    size_t bytes;
    int iov_count;
    uint32_t readers;                  /* how often it was asked for */
    uint8_t *flat;                     /* what it is copied to, WIRE_FLAT_BYTES; or NULL */
    uint32_t totals[WIRE_SPAN_FRAMES]; /* wire bytes of each frame */
    struct wire_form forms[WIRE_SPAN_FRAMES];
    struct iovec iov[WIRE_SPAN_IOV];
};

/* The spans of one worker. */
struct wire_cache {
    uint64_t tick;
    struct wire_span *spans[WIRE_SPANS];
};
void wire_cache_fini(struct wire_cache *c);
/* A log is about to be freed: forget what was gathered from it. */
void wire_cache_forget(struct wire_cache *c, const struct log *l);

/* A place in a log, and for whom: `mute` has the bit 1 << kind of each enum frame_kind left out. */
struct wire_place {
    const struct log *log;
    const struct run *run;
    uint64_t from;
    enum wire_kind kind;
    unsigned mute;
};

/* Frames from there on in wire form; valid until the log changes or the next call with another
 * place. At the end of the run to == from; bytes 0 with to > from when nothing of it is for this
 * kind. */
const struct wire_span *wire_span_get(struct wire_cache *c, const struct wire_place *at);

/* What is in force, for one who joins at a frame published at wire_ms: appended to out.  0 or
 * negative. */
int wire_preamble(enum wire_kind kind, const struct inforce *i, int64_t wire_ms, int64_t shift_ms,
                  struct buf *out);

/* The rest of a half-sent frame. Returns the number of iovecs, or -1. */
int wire_rest(enum wire_kind kind, const struct frame *f, int64_t shift_ms, size_t offset,
              struct wire_form *form, struct iovec *iov, int room);

#endif
