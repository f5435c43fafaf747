#include "proto/rtmp_message.h"

#include "base/err.h"
#include "base/must.h"

static void read_event(struct rd *r, struct rtmp_control *c)
{
    c->event = rd_u16(r);
    if (c->event <= RTMP_EVENT_PING_RESPONSE || rd_left(r) >= sizeof c->value)
        c->value = rd_u32(r);
    if (c->event == RTMP_EVENT_SET_BUFFER_LENGTH)
        c->buffer_ms = rd_u32(r);
}

int rtmp_control_read(const struct rtmp_message *m, struct rtmp_control *c)
{
    struct rd r = rd_slice(m->body);
    *c = (struct rtmp_control){0};
    if (m->type < RTMP_SET_CHUNK_SIZE || m->type > RTMP_SET_PEER_BANDWIDTH)
        return ERR_TYPE;
    if (m->type == RTMP_USER_CONTROL)
        read_event(&r, c);
    else
        c->value = rd_u32(&r);
    if (m->type == RTMP_SET_PEER_BANDWIDTH)
        c->limit = rd_u8(&r);
    if (r.underrun)
        return ERR_PROTOCOL;
    if (m->type == RTMP_SET_CHUNK_SIZE && (c->value == 0 || c->value > RTMP_CHUNK_SIZE_MAX))
        return ERR_PROTOCOL;
    return 0;
}

void rtmp_control_write(struct wr *w, enum rtmp_type type, const struct rtmp_control *c)
{
    must(type >= RTMP_SET_CHUNK_SIZE && type <= RTMP_SET_PEER_BANDWIDTH);
    if (type == RTMP_USER_CONTROL)
        wr_u16(w, c->event);
    wr_u32(w, c->value);
    if (type == RTMP_USER_CONTROL && c->event == RTMP_EVENT_SET_BUFFER_LENGTH)
        wr_u32(w, c->buffer_ms);
    if (type == RTMP_SET_PEER_BANDWIDTH)
        wr_u8(w, c->limit);
}

void rtmp_aggregate_init(struct rtmp_aggregate *a, const struct rtmp_message *m)
{
    *a = (struct rtmp_aggregate){.r = rd_slice(m->body), .whole = *m};
}

int rtmp_aggregate_next(struct rtmp_aggregate *a, struct rtmp_message *sub)
{
    struct rd *r = &a->r;
    if (rd_left(r) == 0)
        return 0;
    if (a->count == RTMP_AGGREGATE_MAX)
        return ERR_TOO_MANY;
    *sub = a->whole;
    sub->type = rd_u8(r);
    uint32_t len = rd_u24(r);
    uint32_t tag_ms = rd_u24(r);
    tag_ms |= (uint32_t)rd_u8(r) << 24;
    rd_u24(r); /* the aggregate's stream id overrides the tag's */
    sub->body = rd_slice_of(r, len);
    if (r->underrun)
        return ERR_PROTOCOL;
    if (sub->type != RTMP_AUDIO && sub->type != RTMP_VIDEO && sub->type != RTMP_DATA &&
        sub->type != RTMP_DATA_AMF3)
        return ERR_PROTOCOL;
    /* The back pointer only serves seeking in files; the last one may be missing. */
    if (rd_left(r) > 0)
        rd_u32(r);
    if (r->underrun)
        return ERR_PROTOCOL;
    if (a->count++ == 0)
        a->first_ms = tag_ms;
    sub->timestamp_ms = a->whole.timestamp_ms + (tag_ms - a->first_ms);
    return 1;
}

struct slice rtmp_amf_body(const struct rtmp_message *m)
{
    struct slice body = m->body;
    bool amf3 = m->type == RTMP_COMMAND_AMF3 || m->type == RTMP_DATA_AMF3;
    if (amf3 && body.len > 0 && body.p[0] == 0)
        return slice_of(body.p + 1, body.len - 1);
    return body;
}

int rtmp_command_read(const struct rtmp_message *m, struct amf0_value *values, size_t room,
                      struct rtmp_command *command)
{
    *command = (struct rtmp_command){0};
    if (m->type != RTMP_COMMAND && m->type != RTMP_COMMAND_AMF3)
        return ERR_TYPE;
    size_t count;
    int err = amf0_parse_all(rtmp_amf_body(m), false, values, room, &count);
    if (err < 0)
        return err;
    if (count == 0 || values[0].type != AMF0_STRING)
        return ERR_PROTOCOL;
    command->name = values[0].text;
    if (count == 1)
        return 0;
    if (values[1].type != AMF0_NUMBER)
        return ERR_PROTOCOL;
    command->transaction = values[1].number;
    command->args = values + 2;
    command->count = count - 2;
    return 0;
}

const struct amf0_value *rtmp_command_arg(const struct rtmp_command *command, size_t n)
{
    size_t at = 0;
    while (at < command->count && n > 0) {
        at += command->args[at].span;
        n--;
    }
    return at < command->count ? &command->args[at] : NULL;
}
