/*
 * The chunk reader.  A call parses one header into locals, checks it, and only then touches the
 * chunk stream; payload is taken as it comes, straight from the input when a message lies there
 * whole.
 */
#include "proto/rtmp_chunk.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>

#define TIMESTAMP_EXTENDED 0xffffff /* in the 24-bit field: the value is in four further bytes */

struct rtmp_chunk_stream {
    uint32_t csid, sid;
    uint32_t timestamp_ms; /* of the current or last message */
    /* What the last header said: the timestamp (type 0) or the delta (types 1, 2).  Either way it
     * is what a type 3 chunk adds for a new message (section 5.3.1.2.4) and repeats when extended.
     */
    uint32_t field_ms;
    uint32_t length;     /* bytes of the current or last message */
    uint32_t have, room; /* bytes of the body received and allocated */
    uint32_t turn;       /* reader's turn at its last chunk */
    uint8_t type;
    bool extended; /* field_ms came in an extended timestamp */
    bool partial;  /* a message has begun and is not complete */
    uint8_t *body;
};

struct chunk_header {
    uint32_t csid, sid, field_ms, length;
    uint8_t fmt, type;
    bool extended;
};

void rtmp_chunk_reader_init(struct rtmp_chunk_reader *cr, uint32_t message_max)
{
    *cr = (struct rtmp_chunk_reader){
        .message_max = message_max,
        .chunk_size = RTMP_CHUNK_SIZE_DEFAULT,
    };
}

void rtmp_chunk_reader_fini(struct rtmp_chunk_reader *cr)
{
    for (size_t i = 0; i < cr->count; i++) {
        free(cr->streams[i]->body);
        free(cr->streams[i]);
    }
    *cr = (struct rtmp_chunk_reader){0};
}

static struct rtmp_chunk_stream *find_stream(const struct rtmp_chunk_reader *cr, uint32_t csid)
{
    for (size_t i = 0; i < cr->count; i++)
        if (cr->streams[i]->csid == csid)
            return cr->streams[i];
    return NULL;
}

/* Gives a buffer back that is worth it; the stream must be between messages. */
static void trim_body(struct rtmp_chunk_reader *cr, struct rtmp_chunk_stream *cs, uint32_t kept)
{
    if (cs->room <= kept)
        return;
    cr->held -= cs->room;
    free(cs->body);
    cs->body = NULL;
    cs->room = 0;
}

static struct rtmp_chunk_stream *oldest_idle(const struct rtmp_chunk_reader *cr)
{
    struct rtmp_chunk_stream *oldest = NULL;
    for (size_t i = 0; i < cr->count; i++) {
        struct rtmp_chunk_stream *cs = cr->streams[i];
        if (cs->partial)
            continue;
        if (oldest == NULL || cr->turn - cs->turn > cr->turn - oldest->turn)
            oldest = cs;
    }
    return oldest;
}

/* A blank stream for csid, or NULL when all that may exist are in use. */
static struct rtmp_chunk_stream *add_stream(struct rtmp_chunk_reader *cr, uint32_t csid)
{
    struct rtmp_chunk_stream *cs;
    if (cr->count < RTMP_CHUNK_STREAMS_MAX) {
        cs = xcalloc(1, sizeof *cs);
        cr->streams[cr->count++] = cs;
    } else {
        cs = oldest_idle(cr);
        if (cs == NULL)
            return NULL;
        trim_body(cr, cs, 0);
        *cs = (struct rtmp_chunk_stream){0};
    }
    cs->csid = csid;
    return cs;
}

static void read_basic_header(struct rd *r, struct chunk_header *h)
{
    uint8_t first = rd_u8(r);
    h->fmt = first >> 6;
    h->csid = first & 0x3f;
    if (h->csid > 1)
        return;
    bool wide = h->csid == 1;
    h->csid = 64U + rd_u8(r);
    if (wide)
        h->csid += 256U * rd_u8(r);
}

static void read_message_header(struct rd *r, struct chunk_header *h)
{
    h->field_ms = rd_u24(r);
    if (h->fmt <= 1) {
        h->length = rd_u24(r);
        h->type = rd_u8(r);
    }
    if (h->fmt == 0)
        h->sid = rd_u32le(r);
    h->extended = h->field_ms == TIMESTAMP_EXTENDED;
    if (h->extended)
        h->field_ms = rd_u32(r);
}

/* Flash-era writers leave the extended timestamp out of type 3 chunks.  The first byte that differs
 * decides, so that a short chunk of theirs does not have to wait for bytes of the next. */
static void skip_repeated_timestamp(struct rd *r, uint32_t field_ms)
{
    uint8_t expected[4];
    struct wr w = wr_init(expected, sizeof expected);
    wr_u32(&w, field_ms);
    size_t n = rd_left(r) < sizeof expected ? rd_left(r) : sizeof expected;
    if (memcmp(r->p, expected, n) == 0)
        rd_take(r, sizeof expected);
}

/* Fills in what the header inherits and says whether it may stand here. */
static int check_header(const struct rtmp_chunk_reader *cr, const struct rtmp_chunk_stream *cs,
                        struct chunk_header *h)
{
    if (cs == NULL && h->fmt > 1)
        return ERR_PROTOCOL;
    if (h->fmt > 1) {
        h->length = cs->length;
        h->type = cs->type;
    }
    if (cs != NULL && cs->partial && (h->length != cs->length || h->type != cs->type))
        return ERR_PROTOCOL;
    return h->length > cr->message_max ? ERR_TOO_LARGE : 0;
}

static void begin_message(struct rtmp_chunk_stream *cs, const struct chunk_header *h)
{
    if (h->fmt == 0)
        cs->sid = h->sid;
    if (h->fmt != 3) {
        cs->field_ms = h->field_ms;
        cs->extended = h->extended;
    }
    cs->timestamp_ms = h->fmt == 0 ? cs->field_ms : cs->timestamp_ms + cs->field_ms;
    cs->length = h->length;
    cs->type = h->type;
    cs->have = 0;
    cs->partial = true;
}

/* Reads a chunk's header and makes its stream the current one. */
static ssize_t begin_chunk(struct rtmp_chunk_reader *cr, const uint8_t *src, size_t len)
{
    struct rd r = rd_init(src, len);
    struct chunk_header h = {0};
    read_basic_header(&r, &h);
    if (r.underrun)
        return 0;
    struct rtmp_chunk_stream *cs = find_stream(cr, h.csid);
    if (h.fmt != 3)
        read_message_header(&r, &h);
    else if (cs != NULL && cs->extended)
        skip_repeated_timestamp(&r, cs->field_ms);
    if (r.underrun)
        return 0;
    int err = check_header(cr, cs, &h);
    if (err < 0)
        return err;
    if (cs == NULL && (cs = add_stream(cr, h.csid)) == NULL)
        return ERR_TOO_MANY;
    if (!cs->partial)
        begin_message(cs, &h);
    cs->turn = ++cr->turn;
    uint32_t left = cs->length - cs->have;
    cr->chunk_left = left < cr->chunk_size ? left : cr->chunk_size;
    cr->current = cs;
    return (ssize_t)(len - rd_left(&r));
}

static int grow_body(struct rtmp_chunk_reader *cr, struct rtmp_chunk_stream *cs, uint32_t need)
{
    if (need <= cs->room)
        return 0;
    size_t room = (size_t)cs->room * 2 > need ? (size_t)cs->room * 2 : need;
    if (room > cs->length)
        room = cs->length;
    size_t held_max = (size_t)cr->message_max * 2 + RTMP_CHUNK_STREAMS_MAX * RTMP_CHUNK_BODY_KEPT;
    if (cr->held - cs->room + room > held_max)
        return ERR_TOO_LARGE;
    uint8_t *body = realloc(cs->body, room);
    if (body == NULL)
        return ERR_NOMEM;
    cr->held = cr->held - cs->room + room;
    cs->body = body;
    cs->room = (uint32_t)room;
    return 0;
}

/* SetChunkSize and Abort, which the reader itself obeys. */
static int obey(struct rtmp_chunk_reader *cr, const struct rtmp_message *msg)
{
    struct rtmp_control c;
    if (msg->type != RTMP_SET_CHUNK_SIZE && msg->type != RTMP_ABORT)
        return 0;
    int err = rtmp_control_read(msg, &c);
    if (err < 0)
        return err;
    if (msg->type == RTMP_SET_CHUNK_SIZE) {
        cr->chunk_size = c.value;
        return 0;
    }
    struct rtmp_chunk_stream *cs = find_stream(cr, c.value);
    if (cs != NULL && cs->partial) {
        cs->partial = false;
        trim_body(cr, cs, RTMP_CHUNK_BODY_KEPT);
    }
    return 0;
}

/* Takes n bytes of payload, all of them of the current chunk. */
static int take_payload(struct rtmp_chunk_reader *cr, const uint8_t *src, uint32_t n,
                        struct rtmp_message *msg, bool *complete)
{
    struct rtmp_chunk_stream *cs = cr->current;
    struct slice body = slice_of(src, n);
    if (n > 0 && n < cs->length) {
        int err = grow_body(cr, cs, cs->have + n);
        if (err < 0)
            return err;
        struct wr w = wr_init(cs->body + cs->have, cs->room - cs->have);
        wr_bytes(&w, src, n);
        body = slice_of(cs->body, cs->length);
    }
    cs->have += n;
    cr->chunk_left -= n;
    if (cr->chunk_left == 0)
        cr->current = NULL;
    if (cs->have < cs->length)
        return 0;
    cs->partial = false;
    if (cs->room > RTMP_CHUNK_BODY_KEPT)
        cr->done = cs;
    *complete = true;
    *msg = (struct rtmp_message){cs->type, cs->csid, cs->sid, cs->timestamp_ms, body};
    return obey(cr, msg);
}

ssize_t rtmp_chunk_read(struct rtmp_chunk_reader *cr, const uint8_t *src, size_t len,
                        struct rtmp_message *msg, bool *complete)
{
    size_t used = 0;
    *complete = false;
    if (cr->done != NULL)
        trim_body(cr, cr->done, RTMP_CHUNK_BODY_KEPT);
    cr->done = NULL;
    if (len == 0)
        return 0;
    if (cr->current == NULL) {
        ssize_t n = begin_chunk(cr, src, len);
        if (n <= 0)
            return n;
        used = (size_t)n;
    }
    size_t here = len - used < cr->chunk_left ? len - used : cr->chunk_left;
    int err = take_payload(cr, src + used, (uint32_t)here, msg, complete);
    return err < 0 ? err : (ssize_t)(used + here);
}

size_t rtmp_chunk_header(uint8_t out[RTMP_CHUNK_HEADER_MAX], const struct rtmp_message *m)
{
    must(m->csid >= RTMP_CSID_CONTROL && m->csid < 64 && m->body.len <= RTMP_MESSAGE_MAX);
    bool extended = m->timestamp_ms >= TIMESTAMP_EXTENDED;
    struct wr w = wr_init(out, RTMP_CHUNK_HEADER_MAX);
    wr_u8(&w, m->csid);
    wr_u24(&w, extended ? TIMESTAMP_EXTENDED : m->timestamp_ms);
    wr_u24(&w, (uint32_t)m->body.len);
    wr_u8(&w, m->type);
    wr_u32le(&w, m->sid);
    if (extended)
        wr_u32(&w, m->timestamp_ms);
    return wr_len(&w);
}

size_t rtmp_chunk_continuation(uint8_t out[RTMP_CHUNK_CONTINUATION_MAX], uint32_t csid,
                               uint32_t timestamp_ms)
{
    must(csid >= RTMP_CSID_CONTROL && csid < 64);
    struct wr w = wr_init(out, RTMP_CHUNK_CONTINUATION_MAX);
    wr_u8(&w, 3U << 6 | csid);
    if (timestamp_ms >= TIMESTAMP_EXTENDED)
        wr_u32(&w, timestamp_ms);
    return wr_len(&w);
}

size_t rtmp_chunk_write_size(const struct rtmp_message *m, uint32_t chunk_size)
{
    bool extended = m->timestamp_ms >= TIMESTAMP_EXTENDED;
    size_t further = m->body.len > 0 ? (m->body.len - 1) / chunk_size : 0;
    return (extended ? 16U : 12U) + m->body.len + further * (extended ? 5U : 1U);
}

void rtmp_chunk_write(struct wr *w, const struct rtmp_message *m, uint32_t chunk_size)
{
    uint8_t head[RTMP_CHUNK_HEADER_MAX];
    struct rd body = rd_slice(m->body);
    wr_bytes(w, head, rtmp_chunk_header(head, m));
    while (rd_left(&body) > chunk_size) {
        wr_put(w, rd_slice_of(&body, chunk_size));
        wr_bytes(w, head, rtmp_chunk_continuation(head, m->csid, m->timestamp_ms));
    }
    wr_put(w, rd_rest(&body));
}

void rtmp_chunk_write_control(struct wr *w, enum rtmp_type type, const struct rtmp_control *c)
{
    uint8_t body[RTMP_CONTROL_BODY_MAX];
    struct wr b = wr_init(body, sizeof body);
    rtmp_control_write(&b, type, c);
    struct rtmp_message m = {
        .type = (uint8_t)type, .csid = RTMP_CSID_CONTROL, .body = wr_slice(&b)};
    rtmp_chunk_write(w, &m, RTMP_CHUNK_SIZE_DEFAULT);
}
