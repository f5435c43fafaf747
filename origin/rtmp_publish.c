#include "origin/rtmp_publish.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "net/publish_identity.h"
#include "proto/url.h"

#include <stdlib.h>

#define RTMP_PUBLISH_MAGIC 0x72707562

struct rtmp_publish {
    uint32_t magic;
    struct rtmp_session *session;
    struct publisher *publisher;
    struct log_limit passed_over;
    bool over; /* the session is closing: nothing more is taken from it */
};

/* --- who publishes --- */

_Static_assert(CLUSTER_PUBLISHER_MAX == PUBLISH_IDENTITY_SIZE, "an identity is a hash as text");

int rtmp_publish_identity(const struct text_list *keys, const char *query,
                          char out[CLUSTER_PUBLISHER_MAX])
{
    char token[RTMP_QUERY_MAX];
    struct slice all = slice_text(query);
    ssize_t n = url_query_get(all, "token", token, sizeof token);
    return publish_identity(keys, slice_of(token, n > 0 ? (size_t)n : 0), all, out);
}

/* --- the claim's word --- */

static void on_accepted(void *owner, uint64_t epoch)
{
    struct rtmp_publish *h = OBJ_CAST(struct rtmp_publish, owner, RTMP_PUBLISH_MAGIC);
    if (h->over)
        return;
    rtmp_session_publish_started(h->session);
    rtmp_session_pause(h->session, false);
}

static void on_refused(void *owner, enum close_reason why, const char *text)
{
    struct rtmp_publish *h = OBJ_CAST(struct rtmp_publish, owner, RTMP_PUBLISH_MAGIC);
    if (h->over)
        return;
    h->over = true;
    rtmp_session_refuse(h->session, why, text);
}

static void end(struct rtmp_publish *h, enum close_reason why)
{
    if (h->over)
        return;
    h->over = true;
    rtmp_session_end(h->session, why);
}

static void on_ended(void *owner, enum close_reason why)
{
    end(OBJ_CAST(struct rtmp_publish, owner, RTMP_PUBLISH_MAGIC), why);
}

static void on_full(void *owner, bool full)
{
    struct rtmp_publish *h = OBJ_CAST(struct rtmp_publish, owner, RTMP_PUBLISH_MAGIC);
    if (!h->over)
        rtmp_session_pause(h->session, full);
}

static const struct publisher_ops publisher_ops = {
    .on_accepted = on_accepted,
    .on_refused = on_refused,
    .on_ended = on_ended,
    .on_full = on_full,
};

/* --- the session --- */

static void *open_publish(struct rtmp_session *s, const struct rtmp_request *req, void *arg)
{
    struct worker *w = rtmp_session_worker(s);
    char identity[CLUSTER_PUBLISHER_MAX], peer[NET_ADDRESS_TEXT_MAX];
    if (rtmp_publish_identity(&w->config->auth.publish_keys, req->query, identity) < 0) {
        METRIC_INC(w->metrics.publish_refused_total);
        rtmp_session_refuse(s, CLOSE_AUTH, "This node wants a valid token to publish.");
        return NULL;
    }
    struct rtmp_publish *h = xcalloc(1, sizeof *h);
    h->magic = RTMP_PUBLISH_MAGIC;
    h->session = s;
    net_address_text(io_peer(rtmp_session_io(s)), peer);
    rtmp_session_pause(s, true);
    h->publisher = publisher_open(arg, w,
                                  &(struct publisher_options){.name = req->name,
                                                              .identity = identity,
                                                              .proto = "rtmp",
                                                              .peer = peer,
                                                              .ops = &publisher_ops,
                                                              .owner = h});
    return h;
}

static void pass_over(struct rtmp_publish *h, const struct rtmp_message *m, int err)
{
    const struct log_id *log = rtmp_session_log(h->session);
    if (log_limit_pass(&h->passed_over, clock_us(), log))
        log_warn(log, "publish.passed_over type=%u bytes=%zu error=\"%s\"", m->type, m->body.len,
                 err_text(err));
}

static void on_message(void *handler, const struct rtmp_message *m)
{
    struct rtmp_publish *h = OBJ_CAST(struct rtmp_publish, handler, RTMP_PUBLISH_MAGIC);
    if (h->over)
        return;
    int err = publisher_push(h->publisher, m->type, m->timestamp_ms, m->body);
    if (err == ERR_UNSUPPORTED || err == ERR_TOO_MANY || err == ERR_TOO_LARGE)
        pass_over(h, m, err);
    else if (err < 0)
        end(h, err == ERR_NOMEM ? CLOSE_OVERLOAD : CLOSE_BAD_INPUT);
}

static void on_input_end(void *handler)
{
    struct rtmp_publish *h = OBJ_CAST(struct rtmp_publish, handler, RTMP_PUBLISH_MAGIC);
    publisher_flush(h->publisher);
}

static void on_close(void *handler, enum close_reason why, bool clean)
{
    struct rtmp_publish *h = OBJ_CAST(struct rtmp_publish, handler, RTMP_PUBLISH_MAGIC);
    h->over = true;
    publisher_close(&h->publisher, clean);
    OBJ_POISON(h);
    free(h);
}

const struct rtmp_handler rtmp_publish_handler = {
    .open = open_publish,
    .on_message = on_message,
    .on_input_end = on_input_end,
    .on_close = on_close,
};
