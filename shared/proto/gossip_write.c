#include "proto/gossip.h"

#include "base/must.h"
#include "base/name.h"

void gossip_header_write(struct wr *w, const struct gossip_header *h)
{
    wr_text(w, "LMG");
    wr_u8(w, GOSSIP_VERSION);
    wr_u8(w, h->type);
    wr_u16(w, h->flags);
    wr_u8(w, h->keyid);
    wr_u64(w, h->cluster);
    wr_u64(w, h->node);
    wr_u64(w, h->instance);
    wr_u64(w, h->start_us);
    wr_u64(w, h->seq);
}

static void put_field(struct wr *w, enum gossip_field field, size_t len)
{
    must(len <= UINT16_MAX);
    wr_u8(w, field);
    wr_u16(w, (unsigned)len);
}

static void put_text(struct wr *w, enum gossip_field field, struct slice text)
{
    must(text.len <= GOSSIP_TEXT_MAX);
    put_field(w, field, text.len);
    wr_put(w, text);
}

void gossip_write_hello(struct wr *w, const struct gossip_hello *h)
{
    put_text(w, GOSSIP_FIELD_NODE, h->node);
    put_text(w, GOSSIP_FIELD_RELAY, h->relay);
    put_text(w, GOSSIP_FIELD_HTTP, h->http);
    put_text(w, GOSSIP_FIELD_ROLE, h->role);
    put_text(w, GOSSIP_FIELD_ZONE, h->zone);
    put_text(w, GOSSIP_FIELD_SOFTWARE, h->software);
    put_field(w, GOSSIP_FIELD_LOAD, 1 + 1 + 4 + 4);
    wr_u8(w, h->draining ? 1 : 0);
    wr_u8(w, h->load_percent);
    wr_u32(w, h->streams);
    wr_u32(w, h->viewers);
}

void gossip_write_summary(struct wr *w, const struct gossip_summary *s)
{
    put_field(w, GOSSIP_FIELD_SET, 8 + 4 + 8);
    wr_u64(w, s->version);
    wr_u32(w, s->count);
    wr_u64(w, s->digest);
}

void gossip_write_peer(struct wr *w, const struct gossip_peer *p)
{
    must(p->host_len <= sizeof p->host);
    put_field(w, GOSSIP_FIELD_PEER, 8 + 8 + 8 + 2 + (size_t)p->host_len);
    wr_u64(w, p->node);
    wr_u64(w, p->instance);
    wr_u64(w, p->version);
    wr_u16(w, p->port);
    wr_bytes(w, p->host, p->host_len);
}

void gossip_write_range(struct wr *w, uint64_t since, uint64_t to)
{
    put_field(w, GOSSIP_FIELD_RANGE, 8 + 8);
    wr_u64(w, since);
    wr_u64(w, to);
}

#define STREAM_FIXED_SIZE (1 + 8 + 8 + 1 + 1) /* bytes of a stream's value without its texts */

size_t gossip_stream_size(const struct gossip_stream *s)
{
    return GOSSIP_FIELD_HEADER + STREAM_FIXED_SIZE + s->text.len + s->name.len;
}

void gossip_write_stream(struct wr *w, const struct gossip_stream *s)
{
    must(s->text.len <= GOSSIP_PUBLISHER_MAX && s->name.len <= NAME_STREAM_MAX);
    put_field(w, GOSSIP_FIELD_STREAM, STREAM_FIXED_SIZE + s->text.len + s->name.len);
    wr_u8(w, s->state);
    wr_u64(w, s->version);
    wr_u64(w, s->epoch);
    wr_u8(w, s->takeovers);
    wr_u8(w, (unsigned)s->text.len);
    wr_put(w, s->text);
    wr_put(w, s->name);
}

void gossip_write_challenge(struct wr *w, const uint8_t challenge[GOSSIP_CHALLENGE_SIZE])
{
    put_field(w, GOSSIP_FIELD_CHALLENGE, GOSSIP_CHALLENGE_SIZE);
    wr_bytes(w, challenge, GOSSIP_CHALLENGE_SIZE);
}

void gossip_write_ask(struct wr *w, const char *name)
{
    struct slice text = slice_text(name);
    put_field(w, GOSSIP_FIELD_ASK, text.len);
    wr_put(w, text);
    /* The answer names the stream as well; what it has besides is at most this. */
    const size_t pad = STREAM_FIXED_SIZE + GOSSIP_PUBLISHER_MAX - GOSSIP_FIELD_HEADER;
    put_field(w, GOSSIP_FIELD_PAD, pad);
    uint8_t *dst = wr_room(w, pad);
    if (dst != NULL)
        memset(dst, 0, pad);
}

void gossip_set_header_write(struct wr *w, const struct gossip_set *s)
{
    wr_text(w, "LMS");
    wr_u8(w, GOSSIP_VERSION);
    wr_u8(w, s->full ? 1 : 0);
    wr_u64(w, s->instance);
    wr_u64(w, s->since);
    wr_u64(w, s->to);
    wr_u32(w, s->count);
}
