/*
 * What is asked of endpoints: offers, and what a client may want to know before.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/config.h"
#include "net/admission.h"
#include "proto/url.h"
#include "rtc/rtc_resource_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define METHODS      "OPTIONS, GET, HEAD, POST"
#define SDP_TYPE     "application/sdp"
#define REFUSAL_TEXT 160 /* bytes */
#define TOKEN_MAX    512 /* bytes, of ?token= */

static const struct http_header accept_post = {"Accept-Post",
                                               {(const uint8_t *)SDP_TYPE, sizeof SDP_TYPE - 1}};

/* ---- what all handlers need ---- */

void rtc_refuse(struct http_exchange *x, int status, const char *code, const char *text, bool retry)
{
    struct http_header headers[2] = {{0}};
    size_t count = 0;
    if (status == 401)
        headers[count++] =
            (struct http_header){"WWW-Authenticate", slice_text("Bearer realm=\"sluice\"")};
    if (status == 415)
        headers[count++] = accept_post;
    if (retry)
        headers[count++] = (struct http_header){"Retry-After", slice_text(RTC_RETRY_AFTER_S)};
    http_respond_error_with(x, status, code, text, headers, count);
}

bool rtc_may_ask(struct rtc_resources *rs, struct http_exchange *x)
{
    struct worker *w = http_exchange_worker(x);
    const struct net_address *peer = http_exchange_peer(x);
    if (admission_trusts(&w->config->limits.trusted, peer) ||
        rate_limit_take(rs->tables[w->index].limit, peer, clock_us()))
        return true;
    METRIC_INC(w->metrics.rtc_offers_refused_total);
    rtc_refuse(x, 503, "too_often", "too many requests of this address", true);
    return false;
}

static int identify(const struct text_list *keys, const struct http_request *req,
                    char out[PUBLISH_IDENTITY_SIZE])
{
    char token[TOKEN_MAX];
    struct slice given = publish_bearer(req);
    if (given.len == 0 && http_request_query(req, "token", token, sizeof token))
        given = slice_text(token);
    return publish_identity(keys, given, slice_of(NULL, 0), out);
}

void rtc_asker(const struct http_request *req, char out[PUBLISH_IDENTITY_SIZE])
{
    static const struct text_list any;
    (void)identify(&any, req, out);
}

/* False when a publisher's request has no valid key and was told so. */
static bool may_publish(struct http_exchange *x, const struct http_request *req,
                        char identity[PUBLISH_IDENTITY_SIZE])
{
    if (identify(&http_exchange_worker(x)->config->auth.publish_keys, req, identity) == 0)
        return true;
    rtc_refuse(x, 401, "unauthorized", "a valid token is needed to publish", false);
    return false;
}

bool rtc_has_type(const struct http_request *req, const char *type)
{
    struct slice parameters;
    struct slice value = http_request_header(req, "Content-Type");
    return slice_is_nocase(slice_trim(slice_cut(value, ';', &parameters, NULL)), type);
}

void rtc_answer_method(struct http_exchange *x, const char *methods)
{
    const struct http_header allow = {"Allow", slice_text(methods)};
    http_respond_error_with(x, 405, "method_not_allowed", "not with this method", &allow, 1);
}

void rtc_answer_options(const struct rtc_resources *rs, struct http_exchange *x,
                        const struct http_request *req, const char *methods,
                        const struct http_header *accept)
{
    struct http_header headers[5 + RTC_LINKS_MAX] = {
        *accept,
        {"Allow", slice_text(methods)},
        {"Access-Control-Allow-Methods", slice_text("OPTIONS, GET, HEAD, POST, PATCH, DELETE")},
        {"Access-Control-Allow-Headers", slice_text("Authorization, Content-Type, If-Match")},
        {"Access-Control-Max-Age", slice_text("86400")},
    };
    size_t count = 5;
    bool preflight = http_request_header(req, "Access-Control-Request-Method").p != NULL;
    for (size_t i = 0; i < rs->link_count && !preflight; i++)
        headers[count++] = (struct http_header){"Link", slice_text(rs->links[i])};
    http_respond(x, 204, headers, count, slice_of(NULL, 0));
}

/* ---- offers ---- */

/* ?video=vp8: a publisher whose offer has several says which one it is to be. */
static enum sdp_codec wished_video(const struct http_request *req)
{
    char text[16];
    if (!http_request_query(req, "video", text, sizeof text))
        return SDP_CODEC_OTHER;
    for (int c = SDP_H264; c < SDP_OPUS; c++)
        if (slice_is_nocase(slice_text(text), sdp_codec_name((enum sdp_codec)c)))
            return (enum sdp_codec)c;
    return SDP_CODEC_OTHER;
}

static struct rtc_post *post_new(struct http_exchange *x, const struct http_request *req)
{
    struct rtc_post *p = xcalloc(1, sizeof *p);
    p->x = x;
    p->text = xcalloc(1, req->body.len + 1);
    if (req->body.len > 0)
        memcpy(p->text, req->body.p, req->body.len);
    p->client = *req->peer;
    return p;
}

static void post_drop(struct rtc_post **pp)
{
    if (*pp != NULL)
        free((*pp)->text);
    free(*pp);
    *pp = NULL;
}

static void refuse_offer(struct http_exchange *x, const struct sdp_error *error)
{
    char text[REFUSAL_TEXT];
    if (error->line > 0)
        snprintf(text, sizeof text, "line %u: %s", error->line, error->why);
    else
        snprintf(text, sizeof text, "%s", error->why);
    rtc_refuse(x, 400, "bad_offer", text, false);
}

/* The body as a post, or NULL when it was refused. */
static struct rtc_post *read_post(struct http_exchange *x, const struct http_request *req)
{
    struct sdp_error error;
    if (!rtc_has_type(req, SDP_TYPE)) {
        rtc_refuse(x, 415, "type", "an offer is " SDP_TYPE, false);
        return NULL;
    }
    struct rtc_post *p = post_new(x, req);
    if (sdp_offer_read(slice_of(p->text, req->body.len), &p->offer, &error) < 0) {
        refuse_offer(x, &error);
        post_drop(&p);
    }
    return p;
}

/* Who sends a bearer sends it always (RFC 9725, 4.7).  A token in the endpoint's URL is not in the
 * session's: it is asked for only where it is a key. */
static bool asks_again_with(struct http_exchange *x, const struct http_request *req,
                            enum rtc_kind kind)
{
    bool has_keys = http_exchange_worker(x)->config->auth.publish_keys.count > 0;
    return publish_bearer(req).len > 0 || (kind == RTC_WHIP && has_keys);
}

static void post_offer(struct rtc_resources *rs, struct http_exchange *x,
                       const struct http_request *req, enum rtc_kind kind, const char *name)
{
    const struct rtc_maker *maker = &rs->o.makers[kind];
    char identity[PUBLISH_IDENTITY_SIZE] = "";
    if (maker->open == NULL) {
        rtc_refuse(x, 403, "refused", rs->o.refused_text[kind], false);
        return;
    }
    if (!rtc_may_ask(rs, x) || (kind == RTC_WHIP && !may_publish(x, req, identity)))
        return;
    struct rtc_post *p = read_post(x, req);
    if (p == NULL)
        return;
    METRIC_INC(http_exchange_worker(x)->metrics.rtc_offers_total);
    memcpy(p->identity, identity, sizeof identity);
    if (asks_again_with(x, req, kind))
        rtc_asker(req, p->asker);
    p->request = (struct rtc_request){.kind = kind,
                                      .name = name,
                                      .offer = &p->offer,
                                      .identity = p->identity,
                                      .client = &p->client,
                                      .video = wished_video(req)};
    struct rtc_resource *r = rtc_resource_new(rs, http_exchange_worker(x), &p);
    if (r != NULL) {
        maker->open(r, maker->arg);
        return;
    }
    post_drop(&p);
    rtc_refuse(x, 503, "overload", "too many offers wait for their answer", true);
}

/* ---- methods ---- */

/* The draft of WHEP wants HEAD to tell a player what to post. */
static void answer_nothing(struct http_exchange *x, const struct http_request *req,
                           enum rtc_kind kind)
{
    const struct http_header type = {"Content-Type", slice_text(SDP_TYPE)};
    bool head = req->method == HTTP_HEAD;
    http_respond(x, head ? 200 : 204, &type, head && kind == RTC_WHEP ? 1 : 0, slice_of(NULL, 0));
}

static void serve(struct rtc_resources *rs, struct http_exchange *x, const struct http_request *req,
                  enum rtc_kind kind, const char *name)
{
    switch (req->method) {
    case HTTP_POST:
        post_offer(rs, x, req, kind, name);
        break;
    case HTTP_GET:
    case HTTP_HEAD:
        answer_nothing(x, req, kind);
        break;
    case HTTP_OPTIONS:
        rtc_answer_options(rs, x, req, METHODS, &accept_post);
        break;
    case HTTP_PUT:
    case HTTP_PATCH:
    case HTTP_DELETE:
        rtc_answer_method(x, METHODS);
        break;
    }
}

static void serve_named(struct rtc_resources *rs, struct http_exchange *x,
                        const struct http_request *req, enum rtc_kind kind, struct slice app,
                        struct slice stream)
{
    char name[NAME_STREAM_MAX + 1];
    if (name_stream(app, stream, name) < 0)
        rtc_refuse(x, 400, "bad_name", "not a valid stream name", false);
    else
        serve(rs, x, req, kind, name);
}

static void serve_path(struct http_exchange *x, const struct http_request *req, void *arg,
                       enum rtc_kind kind)
{
    struct rtc_resources *rs = OBJ_CAST(struct rtc_resources, arg, RTC_RESOURCES_MAGIC);
    serve_named(rs, x, req, kind, req->captures[0], req->captures[1]);
}

void rtc_endpoint_whip(struct http_exchange *x, const struct http_request *req, void *arg)
{
    serve_path(x, req, arg, RTC_WHIP);
}

void rtc_endpoint_whep(struct http_exchange *x, const struct http_request *req, void *arg)
{
    serve_path(x, req, arg, RTC_WHEP);
}

static void serve_query(struct http_exchange *x, const struct http_request *req, void *arg,
                        enum rtc_kind kind)
{
    struct rtc_resources *rs = OBJ_CAST(struct rtc_resources, arg, RTC_RESOURCES_MAGIC);
    char app[NAME_PART_MAX + 1] = "", stream[NAME_PART_MAX + 1] = "";
    (void)http_request_query(req, "app", app, sizeof app);
    (void)http_request_query(req, "stream", stream, sizeof stream);
    if (req->method == HTTP_OPTIONS) /* a preflight need not name a stream */
        rtc_answer_options(rs, x, req, METHODS, &accept_post);
    else
        serve_named(rs, x, req, kind, slice_text(app), slice_text(stream));
}

void rtc_endpoint_srs_whip(struct http_exchange *x, const struct http_request *req, void *arg)
{
    serve_query(x, req, arg, RTC_WHIP);
}

void rtc_endpoint_srs_whep(struct http_exchange *x, const struct http_request *req, void *arg)
{
    serve_query(x, req, arg, RTC_WHEP);
}
