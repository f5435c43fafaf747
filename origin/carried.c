/*
 *   records ──▶ frames on a line of our own ──publisher_push_frame──▶ claim, like any publisher's
 *   news of the claim ──▶ records
 *
 * On the connection's worker.
 */
#include "origin/carried.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "origin/relay_internal.h"

#include <stdlib.h>

#define CARRIED_MAGIC        0x63726465U
#define CARRIED_UNREAD_MAX   (RELAY_RECORD_HEADER_SIZE + FRAME_BYTES_MAX) /* one record */
#define CARRIED_DEAD_PEER_MS 10000 /* a node that vanished without a word */
/* A silence that is noticed this late is our own: the loop was away. */
#define CARRIED_LATE_US 1000000

struct carried {
    uint32_t magic;
    struct worker *worker;
    struct ingest *ingest;
    struct http_exchange *x;
    struct publisher *publisher;
    struct log_id log;
    char name[NAME_STREAM_MAX + 1], peer[NAME_NODE_MAX + 1];
    struct frame_pool pool;
    struct timer timer; /* keepalives, and the watch on theirs */
    int64_t last_in_us; /* clock_us */
    bool full;          /* nothing is read for now */
    bool begun;
    int64_t base_dts_us; /* of the first frame: our run's line begins there */
};

/* --- the end --- */

static void carried_free(struct carried *c, bool clean)
{
    publisher_close(&c->publisher, clean);
    timer_fini(&c->timer);
    frame_pool_fini(&c->pool);
    OBJ_POISON(c);
    free(c);
}

static void finish(struct carried *c, enum close_reason why)
{
    struct http_exchange *x = c->x;
    log_info(&c->log, "carried.end stream=%s peer=%s reason=%s", c->name, c->peer,
             close_reason_name(why));
    carried_free(c, why == CLOSE_UNPUBLISHED);
    http_stream_end(x, why);
}

static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    struct carried *c = OBJ_CAST(struct carried, owner, CARRIED_MAGIC);
    log_info(&c->log, "carried.end stream=%s peer=%s reason=%s", c->name, c->peer,
             close_reason_name(why));
    carried_free(c, false);
}

/* --- news of the claim --- */

static void send_record(struct carried *c, const struct buf *record)
{
    /* One that takes nothing is found dead by its own silence. */
    (void)http_stream_write(c->x, buf_slice(record));
}

static void send_type(struct carried *c, enum relay_type type, struct slice payload)
{
    struct buf record;
    buf_init(&record, RELAY_RECORD_HEADER_SIZE + payload.len);
    relay_add(&record, type, payload);
    send_record(c, &record);
    buf_fini(&record);
}

static void on_accepted(void *owner, uint64_t epoch)
{
    uint8_t room[8];
    struct wr w = wr_init(room, sizeof room);
    relay_accepted_write(&w, epoch);
    send_type(OBJ_CAST(struct carried, owner, CARRIED_MAGIC), RELAY_ACCEPTED, wr_slice(&w));
}

static void on_ended(void *owner, enum close_reason why)
{
    struct carried *c = OBJ_CAST(struct carried, owner, CARRIED_MAGIC);
    struct buf record;
    buf_init(&record, RELAY_RECORD_HEADER_SIZE + 1 + RELAY_END_TEXT_MAX);
    relay_add_end(&record, why);
    send_record(c, &record);
    buf_fini(&record);
    finish(c, why);
}

static void on_refused(void *owner, enum close_reason why, const char *text)
{
    on_ended(owner, why);
}

static void on_want_key(void *owner)
{
    send_type(OBJ_CAST(struct carried, owner, CARRIED_MAGIC), RELAY_WANT_KEY, slice_of(NULL, 0));
}

static void on_full(void *owner, bool full)
{
    struct carried *c = OBJ_CAST(struct carried, owner, CARRIED_MAGIC);
    c->full = full;
    c->last_in_us = clock_us();
    http_exchange_pause(c->x, full);
}

static const struct publisher_ops publisher_ops = {
    .on_accepted = on_accepted,
    .on_refused = on_refused,
    .on_ended = on_ended,
    .on_want_key = on_want_key,
    .on_full = on_full,
};

/* --- records --- */

/* A run's line begins with its first frame, wherever the publisher's stands by now. */
static int take_frame(struct carried *c, const struct relay_record *rec)
{
    struct frame *f;
    int err = relay_frame_new(&c->pool, rec, &f);
    if (err < 0)
        return err;
    if (!c->begun)
        c->base_dts_us = f->dts_us;
    c->begun = true;
    f->dts_us = (int64_t)((uint64_t)f->dts_us - (uint64_t)c->base_dts_us);
    publisher_push_frame(c->publisher, &f);
    return 0;
}

/* 0, 1 when it was the end, or negative. */
static int take_record(struct carried *c, const struct relay_record *rec)
{
    struct relay_end end;
    enum close_reason why;
    switch (rec->type) {
    case RELAY_FRAME:
        return take_frame(c, rec);
    case RELAY_END:
        if (relay_end_decode(rec->payload, &end) < 0)
            return ERR_PROTOCOL;
        finish(c, close_reason_parse(end.text, &why) ? why : CLOSE_SOURCE_LOST);
        return 1;
    case RELAY_STATE:
    case RELAY_KEEPALIVE:
    case RELAY_GAP:
    case RELAY_ACCEPTED:
    case RELAY_WANT_KEY:
    case RELAY_CUT:
    case RELAY_UNKNOWN:
        break;
    }
    return 0;
}

static ssize_t on_body(struct http_exchange *x, struct slice bytes, void *owner)
{
    struct carried *c = OBJ_CAST(struct carried, owner, CARRIED_MAGIC);
    size_t used = 0;
    c->last_in_us = clock_us();
    for (;;) {
        struct relay_record rec;
        ssize_t n = relay_record_read(bytes.p + used, bytes.len - used, &rec);
        int err = n > 0 ? take_record(c, &rec) : (int)n;
        if (err > 0)
            return (ssize_t)bytes.len;
        if (err < 0)
            log_warn(&c->log, "carried.refused stream=%s peer=%s error=\"%s\"", c->name, c->peer,
                     err_text(err));
        if (err < 0)
            return err;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    publisher_flush(c->publisher);
    return (ssize_t)used;
}

static void on_body_end(struct http_exchange *x, void *owner)
{
    finish(OBJ_CAST(struct carried, owner, CARRIED_MAGIC), CLOSE_SOURCE_LOST);
}

static bool is_dead(const struct carried *c, int64_t due_us)
{
    int64_t now_us = clock_us();
    return !c->full && now_us - due_us < CARRIED_LATE_US &&
           now_us - c->last_in_us > CARRIED_DEAD_MS * 1000;
}

static void on_timer(void *arg)
{
    struct carried *c = OBJ_CAST(struct carried, arg, CARRIED_MAGIC);
    if (is_dead(c, c->timer.due_us)) {
        finish(c, CLOSE_TIMEOUT);
        return;
    }
    /* Its publisher has nothing to do with our going: it can go on elsewhere right away. */
    if (ingest_is_draining(c->ingest, c->worker)) {
        on_ended(c, CLOSE_DRAIN);
        return;
    }
    send_type(c, RELAY_KEEPALIVE, slice_of(NULL, 0));
    timer_set_ms(&c->timer, RELAY_KEEPALIVE_MS);
}

/* --- the request --- */

struct carried_query {
    char proto[8];
    char publisher[CLUSTER_PUBLISHER_MAX];
};

static bool is_word(const char *text)
{
    for (; *text != '\0'; text++)
        if (!(*text >= 'a' && *text <= 'z') && !(*text >= '0' && *text <= '9'))
            return false;
    return true;
}

static bool read_query(const struct http_request *req, struct carried_query *q)
{
    return http_request_query(req, "proto", q->proto, sizeof q->proto) &&
           http_request_query(req, "publisher", q->publisher, sizeof q->publisher) &&
           q->proto[0] != '\0' && is_word(q->proto) && is_word(q->publisher);
}

static bool takes_publishers(struct carried_server *s, struct http_exchange *x)
{
    struct worker *w = http_exchange_worker(x);
    if (!role_ingests(w->config->node.role))
        http_respond_error(x, 409, "not_an_origin", "this node owns no streams");
    else if (ingest_is_draining(s->ingest, w))
        http_respond_error(x, 503, "draining", "this node is going out of service");
    else
        return true;
    return false;
}

static void carried_open(struct carried_server *s, struct http_exchange *x,
                         const struct relay_request *q, const struct carried_query *who)
{
    static const struct http_exchange_ops ops = {
        .on_gone = on_gone, .on_body = on_body, .on_body_end = on_body_end};
    const struct http_header type = {"Content-Type", slice_text("application/octet-stream")};
    struct carried *c = xcalloc(1, sizeof *c);
    c->magic = CARRIED_MAGIC;
    c->worker = http_exchange_worker(x);
    c->ingest = s->ingest;
    c->x = x;
    c->log = (struct log_id){"carried", c->worker->index, log_new_id()};
    c->last_in_us = clock_us();
    must(slice_copy(slice_text(q->name), c->name, sizeof c->name) &&
         slice_copy(slice_text(q->peer), c->peer, sizeof c->peer));
    timer_init(&c->timer, c->worker, "carried.timer", on_timer, c);
    timer_set_ms(&c->timer, RELAY_KEEPALIVE_MS);
    http_exchange_watch(x, &ops, c);
    http_stream(x, 200, &type, 1);
    struct io *io = http_exchange_io(x);
    if (io != NULL)
        io_set_dead_peer(io, CARRIED_DEAD_PEER_MS);
    log_info(&c->log, "carried.start stream=%s peer=%s", c->name, c->peer);
    c->publisher = publisher_open(s->ingest, c->worker,
                                  &(struct publisher_options){.name = c->name,
                                                              .identity = who->publisher,
                                                              .proto = who->proto,
                                                              .peer = c->peer,
                                                              .ops = &publisher_ops,
                                                              .owner = c});
}

static void handle_publish(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct carried_server *s = arg;
    struct relay_request q;
    struct carried_query who;
    if (!relay_open_request(s->relay, x, req, &q) || !takes_publishers(s, x))
        return;
    if (!req->body_follows)
        http_respond_error(x, 400, "bad_body", "a chunked body is expected");
    else if (!read_query(req, &who))
        http_respond_error(x, 400, "bad_query", "proto or publisher is malformed");
    else
        carried_open(s, x, &q, &who);
}

void carried_routes(struct carried_server *s, struct http_route out[CARRIED_ROUTES])
{
    out[0] = (struct http_route){.method = "POST",
                                 .pattern = "/relay/v1/*/*/publish",
                                 .handle = handle_publish,
                                 .arg = s,
                                 .body_unread_max = CARRIED_UNREAD_MAX};
}
