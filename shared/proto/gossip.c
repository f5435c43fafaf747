#include "proto/gossip.h"

#include "base/err.h"
#include "base/name.h"

/* Reading.  The other direction is gossip_write.c. */

static const uint8_t magic[3] = {'L', 'M', 'G'};
static const uint8_t set_magic[3] = {'L', 'M', 'S'};

int gossip_header_read(struct slice datagram, struct gossip_header *out, struct slice *body)
{
    if (datagram.len > GOSSIP_DATAGRAM_MAX)
        return ERR_TOO_LARGE;
    if (datagram.len < GOSSIP_HEADER_SIZE + GOSSIP_TAG_SIZE)
        return ERR_PROTOCOL;
    struct rd r = rd_slice(datagram);
    if (!slice_eq(rd_slice_of(&r, sizeof magic), slice_of(magic, sizeof magic)))
        return ERR_PROTOCOL;
    if (rd_u8(&r) != GOSSIP_VERSION)
        return ERR_UNSUPPORTED;
    out->type = rd_u8(&r);
    out->flags = rd_u16(&r);
    out->keyid = rd_u8(&r);
    out->cluster = rd_u64(&r);
    out->node = rd_u64(&r);
    out->instance = rd_u64(&r);
    out->start_us = rd_u64(&r);
    out->seq = rd_u64(&r);
    *body = slice_of(r.p, rd_left(&r) - GOSSIP_TAG_SIZE);
    return out->seq == 0 ? ERR_PROTOCOL : 0;
}

static int read_text(struct rd *r, size_t max, struct slice *out)
{
    *out = rd_rest(r);
    if (out->len > max)
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < out->len; i++)
        if (out->p[i] < ' ' || out->p[i] > '~')
            return ERR_PROTOCOL;
    return 0;
}

static int check_stream_name(struct slice name)
{
    char text[NAME_STREAM_MAX + 1];
    return name_stream_of(name, text);
}

/* One reader per field: the value's bytes in, 0 or an error; a short value shows as an underrun. */
typedef int field_reader(struct gossip_message *m, struct rd *r);

static int read_node(struct gossip_message *m, struct rd *r)
{
    m->hello.node = rd_rest(r);
    return name_node_ok(m->hello.node) ? 0 : ERR_NAME;
}

static int read_relay(struct gossip_message *m, struct rd *r)
{
    return read_text(r, GOSSIP_TEXT_MAX, &m->hello.relay);
}

static int read_http(struct gossip_message *m, struct rd *r)
{
    return read_text(r, GOSSIP_TEXT_MAX, &m->hello.http);
}

static int read_role(struct gossip_message *m, struct rd *r)
{
    return read_text(r, GOSSIP_TEXT_MAX, &m->hello.role);
}

static int read_zone(struct gossip_message *m, struct rd *r)
{
    return read_text(r, GOSSIP_TEXT_MAX, &m->hello.zone);
}

static int read_software(struct gossip_message *m, struct rd *r)
{
    return read_text(r, GOSSIP_TEXT_MAX, &m->hello.software);
}

static int read_load(struct gossip_message *m, struct rd *r)
{
    m->hello.draining = (rd_u8(r) & 1) != 0;
    m->hello.load_percent = rd_u8(r);
    m->hello.streams = rd_u32(r);
    m->hello.viewers = rd_u32(r);
    return 0;
}

static int read_summary(struct gossip_message *m, struct rd *r)
{
    m->has_set = true;
    m->set.version = rd_u64(r);
    m->set.count = rd_u32(r);
    m->set.digest = rd_u64(r);
    return 0;
}

static int read_peer(struct gossip_message *m, struct rd *r)
{
    if (m->peer_count == GOSSIP_PEERS_MAX)
        return ERR_TOO_MANY;
    struct gossip_peer *p = &m->peers[m->peer_count];
    p->node = rd_u64(r);
    p->instance = rd_u64(r);
    p->version = rd_u64(r);
    p->port = rd_u16(r);
    struct slice host = rd_rest(r);
    if (host.len != 4 && host.len != sizeof p->host)
        return ERR_PROTOCOL;
    p->host_len = (uint8_t)host.len;
    memcpy(p->host, host.p, host.len);
    m->peer_count++;
    return 0;
}

static int read_range(struct gossip_message *m, struct rd *r)
{
    m->has_range = true;
    m->since = rd_u64(r);
    m->to = rd_u64(r);
    return m->since <= m->to ? 0 : ERR_PROTOCOL;
}

static int read_stream(struct rd *r, struct gossip_stream *s)
{
    uint8_t state = rd_u8(r);
    s->version = rd_u64(r);
    s->epoch = rd_u64(r);
    s->takeovers = rd_u8(r);
    struct rd text = rd_slice(rd_slice_of(r, rd_u8(r)));
    s->name = rd_rest(r);
    if (r->underrun || state > GOSSIP_ENDED)
        return ERR_PROTOCOL;
    s->state = (enum gossip_stream_state)state;
    int err = read_text(&text, GOSSIP_PUBLISHER_MAX, &s->text);
    return err < 0 ? err : check_stream_name(s->name);
}

static int count_stream(struct gossip_message *m, struct rd *r)
{
    struct gossip_stream ignored;
    m->stream_count++;
    return read_stream(r, &ignored);
}

static int read_ask(struct gossip_message *m, struct rd *r)
{
    m->ask = rd_rest(r);
    return check_stream_name(m->ask);
}

static int read_challenge(struct gossip_message *m, struct rd *r)
{
    m->challenge = rd_take(r, GOSSIP_CHALLENGE_SIZE);
    return 0;
}

static field_reader *const readers[] = {
    [GOSSIP_FIELD_NODE] = read_node,           [GOSSIP_FIELD_RELAY] = read_relay,
    [GOSSIP_FIELD_HTTP] = read_http,           [GOSSIP_FIELD_ROLE] = read_role,
    [GOSSIP_FIELD_ZONE] = read_zone,           [GOSSIP_FIELD_SOFTWARE] = read_software,
    [GOSSIP_FIELD_LOAD] = read_load,           [GOSSIP_FIELD_SET] = read_summary,
    [GOSSIP_FIELD_PEER] = read_peer,           [GOSSIP_FIELD_RANGE] = read_range,
    [GOSSIP_FIELD_STREAM] = count_stream,      [GOSSIP_FIELD_ASK] = read_ask,
    [GOSSIP_FIELD_CHALLENGE] = read_challenge,
};

static int next_field(struct rd *r, uint8_t *type, struct rd *value)
{
    *type = rd_u8(r);
    uint16_t len = rd_u16(r);
    *value = rd_slice(rd_slice_of(r, len));
    return r->underrun ? ERR_PROTOCOL : 0;
}

static int read_field(struct gossip_message *m, struct rd *r)
{
    uint8_t type;
    struct rd value;
    if (next_field(r, &type, &value) < 0)
        return ERR_PROTOCOL;
    if (type >= sizeof readers / sizeof readers[0] || readers[type] == NULL)
        return 0;
    int err = readers[type](m, &value);
    if (err < 0)
        return err;
    return value.underrun ? ERR_PROTOCOL : 0;
}

int gossip_message_read(struct slice body, struct gossip_message *out)
{
    *out = (struct gossip_message){0};
    struct rd r = rd_slice(body);
    while (rd_left(&r) > 0) {
        int err = read_field(out, &r);
        if (err < 0)
            return err;
    }
    return 0;
}

int gossip_stream_next(struct rd *fields, struct gossip_stream *out)
{
    while (rd_left(fields) > 0) {
        uint8_t type;
        struct rd value;
        if (next_field(fields, &type, &value) < 0)
            return ERR_PROTOCOL;
        if (type != GOSSIP_FIELD_STREAM)
            continue;
        int err = read_stream(&value, out);
        return err < 0 ? err : 1;
    }
    return 0;
}

static int check_streams(const struct gossip_set *s, size_t streams_max)
{
    struct gossip_stream stream;
    struct rd r = rd_slice(s->streams);
    size_t n = 0;
    int got;
    while ((got = gossip_stream_next(&r, &stream)) > 0)
        if (++n > streams_max)
            return ERR_TOO_MANY;
    if (got < 0)
        return got;
    return n == s->count ? 0 : ERR_PROTOCOL;
}

int gossip_set_read(struct slice bytes, size_t streams_max, struct gossip_set *out)
{
    struct rd r = rd_slice(bytes);
    if (!slice_eq(rd_slice_of(&r, sizeof set_magic), slice_of(set_magic, sizeof set_magic)))
        return ERR_PROTOCOL;
    if (rd_u8(&r) != GOSSIP_VERSION)
        return ERR_UNSUPPORTED;
    out->full = rd_u8(&r) != 0;
    out->instance = rd_u64(&r);
    out->since = rd_u64(&r);
    out->to = rd_u64(&r);
    out->count = rd_u32(&r);
    out->streams = rd_rest(&r);
    if (r.underrun || out->since > out->to)
        return ERR_PROTOCOL;
    return check_streams(out, streams_max);
}
