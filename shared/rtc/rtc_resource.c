/*
 * The resources of a node, by worker and key, and the answers to posts.
 */
#include "rtc/rtc_resource.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/config.h"
#include "core/crypto.h"
#include "rtc/rtc_resource_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADERS_MAX (5 + RTC_LINKS_MAX)

const char *rtc_kind_name(enum rtc_kind k)
{
    return k == RTC_WHIP ? "whip" : "whep";
}

/* ---- of the node ---- */

/* "URL [USER PASSWORD]" as the value of a Link (RFC 9725, 4.6). */
static bool link_of(const char *server, char out[RTC_LINK_MAX])
{
    struct slice rest, password;
    struct slice url = slice_cut(slice_text(server), ' ', &rest, NULL);
    struct slice user = slice_cut(rest, ' ', &password, NULL);
    int n = user.len > 0
                ? snprintf(out, RTC_LINK_MAX,
                           "<%.*s>; rel=\"ice-server\"; username=\"%.*s\"; credential=\"%.*s\"; "
                           "credential-type=\"password\"",
                           SLICE_ARG(url), SLICE_ARG(user), SLICE_ARG(password))
                : snprintf(out, RTC_LINK_MAX, "<%.*s>; rel=\"ice-server\"", SLICE_ARG(url));
    return n > 0 && n < RTC_LINK_MAX;
}

struct rtc_resources *rtc_resources_new(const struct rtc_resources_options *o)
{
    struct rtc_resources *rs = xcalloc(1, sizeof *rs);
    const struct config *c = o->workers->config;
    rs->magic = RTC_RESOURCES_MAGIC;
    rs->o = *o;
    for (size_t i = 0; i < c->webrtc.ice_servers.count && rs->link_count < RTC_LINKS_MAX; i++)
        if (link_of(c->webrtc.ice_servers.items[i], rs->links[rs->link_count]))
            rs->link_count++;
    for (int i = 0; i < o->workers->count; i++) {
        rs->tables[i].by_key = map_new();
        rs->tables[i].limit = rate_limit_new(RTC_REQUEST_BURST, RTC_REQUESTS_PER_S);
    }
    return rs;
}

void rtc_resources_free(struct rtc_resources **rp)
{
    struct rtc_resources *rs = *rp;
    *rp = NULL;
    if (rs == NULL)
        return;
    OBJ_CHECK(rs, RTC_RESOURCES_MAGIC);
    for (int i = 0; i < rs->o.workers->count; i++) {
        must(map_count(rs->tables[i].by_key) == 0);
        map_free(&rs->tables[i].by_key);
        rate_limit_free(&rs->tables[i].limit);
    }
    OBJ_POISON(rs);
    free(rs);
}

void rtc_resources_routes(struct rtc_resources *rs, struct http_route out[RTC_ROUTES])
{
    static const struct http_route routes[RTC_ROUTES] = {
        {.method = "*", .pattern = "/rtc/v1/whip/", .handle = rtc_endpoint_srs_whip},
        {.method = "*", .pattern = "/rtc/v1/whep/", .handle = rtc_endpoint_srs_whep},
        {.method = "*", .pattern = "/rtc/v1/whip", .handle = rtc_endpoint_srs_whip},
        {.method = "*", .pattern = "/rtc/v1/whep", .handle = rtc_endpoint_srs_whep},
        {.method = "*", .pattern = "/*/*/whip", .handle = rtc_endpoint_whip},
        {.method = "*", .pattern = "/*/*/whep", .handle = rtc_endpoint_whep},
        {.method = "*", .pattern = "/*/*/whip/*", .handle = rtc_member_whip},
        {.method = "*", .pattern = "/*/*/whep/*", .handle = rtc_member_whep},
    };
    for (size_t i = 0; i < RTC_ROUTES; i++) {
        out[i] = routes[i];
        out[i].arg = rs;
    }
}

void rtc_resources_cluster_routes(struct rtc_resources *rs,
                                  struct http_route out[RTC_CLUSTER_ROUTES])
{
    out[0] = (struct http_route){
        .method = "POST", .pattern = RTC_CARRY_TARGET, .handle = rtc_carry_serve, .arg = rs};
}

/* ---- one resource ---- */

static struct rtc_table *table_of(struct rtc_resource *r)
{
    return &r->owner->tables[r->worker->index];
}

static void post_free(struct rtc_post **pp)
{
    struct rtc_post *p = *pp;
    *pp = NULL;
    if (p == NULL)
        return;
    free(p->text);
    free(p);
}

/* The client did not wait. */
static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    struct rtc_resource *r = OBJ_CAST(struct rtc_resource, owner, RTC_RESOURCE_MAGIC);
    const struct rtc_maker *maker = &r->owner->o.makers[r->kind];
    void *session = r->session;
    rtc_resource_forget(&r);
    if (session != NULL)
        maker->close(session, CLOSE_PEER_CLOSED);
}

static void set_key(struct rtc_resource *r)
{
    uint8_t random[RTC_KEY_RANDOM];
    crypto_random(random, sizeof random);
    snprintf(r->key, sizeof r->key, "%02x", (unsigned)r->worker->index);
    hex_encode(random, sizeof random, r->key + 2);
}

void rtc_resource_new_etag(struct rtc_resource *r)
{
    snprintf(r->etag, sizeof r->etag, "\"%016" PRIx64 "\"", crypto_random_u64());
}

void rtc_resource_set_remote(struct rtc_resource *r, struct slice ufrag, struct slice pwd)
{
    free(r->ufrag);
    free(r->pwd);
    r->ufrag = xcalloc(1, ufrag.len + 1);
    r->pwd = xcalloc(1, pwd.len + 1);
    must(slice_copy(ufrag, r->ufrag, ufrag.len + 1) && slice_copy(pwd, r->pwd, pwd.len + 1));
}

/* The m-line that stands for the transport (RFC 8843, 7.2.1). */
static void set_mid(struct rtc_resource *r, const struct sdp_offer *o)
{
    for (size_t i = 0; i < o->media_count; i++) {
        if (!o->media[i].usable)
            continue;
        r->kind_of_mid = o->media[i].kind;
        (void)slice_copy(o->media[i].mid, r->mid, sizeof r->mid);
        return;
    }
}

struct rtc_resource *rtc_resource_new(struct rtc_resources *rs, struct worker *w,
                                      struct rtc_post **post)
{
    static const struct http_exchange_ops ops = {.on_gone = on_gone};
    struct rtc_table *t = &rs->tables[w->index];
    if (t->waiting >= RTC_WAITING_MAX)
        return NULL;
    struct rtc_resource *r = xcalloc(1, sizeof *r);
    r->magic = RTC_RESOURCE_MAGIC;
    r->owner = rs;
    r->worker = w;
    r->post = *post;
    *post = NULL;
    r->kind = r->post->request.kind;
    must(slice_copy(slice_text(r->post->request.name), r->name, sizeof r->name));
    r->post->request.name = r->name;
    memcpy(r->asker, r->post->asker, sizeof r->asker);
    set_key(r);
    rtc_resource_new_etag(r);
    rtc_resource_set_remote(r, r->post->offer.transport.ufrag, r->post->offer.transport.pwd);
    set_mid(r, &r->post->offer);
    must(map_put(t->by_key, r->key, r) == NULL);
    t->waiting++;
    http_exchange_watch(r->post->x, &ops, r);
    return r;
}

/* Nobody waits for it any more; the exchange, to be answered at once. */
static struct http_exchange *settle(struct rtc_resource *r)
{
    must(r->post != NULL);
    struct http_exchange *x = r->post->x;
    table_of(r)->waiting--;
    http_exchange_watch(x, NULL, NULL);
    post_free(&r->post);
    return x;
}

void rtc_resource_forget(struct rtc_resource **rp)
{
    struct rtc_resource *r = *rp;
    *rp = NULL;
    OBJ_CHECK(r, RTC_RESOURCE_MAGIC);
    if (r->post != NULL)
        (void)settle(r);
    must(map_take(table_of(r)->by_key, r->key) == r);
    free(r->ufrag);
    free(r->pwd);
    OBJ_POISON(r);
    free(r);
}

/* ---- for the makers ---- */

const struct rtc_request *rtc_resource_request(const struct rtc_resource *r)
{
    must(r->post != NULL);
    return &r->post->request;
}

struct worker *rtc_resource_worker(const struct rtc_resource *r)
{
    return r->worker;
}

void rtc_resource_set_session(struct rtc_resource *r, void *session)
{
    r->session = session;
}

int rtc_resource_negotiate(struct rtc_resource **rp, const struct sdp_wish *wish,
                           struct sdp_session *out)
{
    struct sdp_error error;
    int err = sdp_negotiate(rtc_resource_request(*rp)->offer, wish, out, &error);
    if (err < 0)
        rtc_resource_refuse(rp, err == ERR_UNSUPPORTED ? CLOSE_UNSUPPORTED : CLOSE_BAD_INPUT,
                            error.why);
    return err;
}

_Static_assert((int)SDP_SHA256 == (int)RTC_SHA256 && (int)SDP_SHA512 == (int)RTC_SHA512 &&
                   SDP_FINGERPRINTS_MAX <= RTC_FINGERPRINTS && SDP_HASH_MAX == RTC_FINGERPRINT_MAX,
               "fingerprints are the same on both sides");

void rtc_resource_remote(const struct rtc_resource *r, struct rtc_remote *out)
{
    const struct sdp_transport *t = &rtc_resource_request(r)->offer->transport;
    *out = (struct rtc_remote){.fingerprint_count = t->fingerprint_count,
                               .passive = t->setup == SDP_PASSIVE};
    must(slice_copy(t->ufrag, out->ufrag, sizeof out->ufrag));
    must(slice_copy(t->pwd, out->pwd, sizeof out->pwd));
    for (size_t i = 0; i < t->fingerprint_count; i++) {
        out->fingerprints[i].hash = (enum rtc_hash)t->fingerprints[i].hash;
        memcpy(out->fingerprints[i].bytes, t->fingerprints[i].bytes, SDP_HASH_MAX);
    }
}

/* ---- answers ---- */

_Static_assert(RTC_CANDIDATES_MAX <= SDP_CANDIDATES_MAX, "every candidate is told");

static struct sdp_local local_of(const struct rtc_local *l)
{
    struct sdp_local out = {.ufrag = l->ufrag,
                            .pwd = l->pwd,
                            .fingerprint = l->fingerprint,
                            .candidate_count = l->candidate_count};
    for (size_t i = 0; i < l->candidate_count; i++)
        out.candidates[i] = l->candidates[i];
    return out;
}

static void write_answer(const struct rtc_resource *r, const struct sdp_session *s,
                         const struct rtc_local *local, const char *cname, struct wr *w)
{
    char stream_id[17];
    struct sdp_names names = {.session_id = crypto_random_u64(),
                              .cname = cname != NULL ? cname : "",
                              .stream_id = stream_id};
    const struct sdp_local l = local_of(local);
    snprintf(stream_id, sizeof stream_id, "%016" PRIx64, names.session_id);
    sdp_answer_write(w, &r->post->offer, s, &l, &names);
    must(!w->overflow);
}

void rtc_resource_answer(struct rtc_resource *r, const struct sdp_session *s,
                         const struct rtc_local *local, const char *cname)
{
    OBJ_CHECK(r, RTC_RESOURCE_MAGIC);
    const struct rtc_resources *rs = r->owner;
    char location[NAME_STREAM_MAX + RTC_ID_MAX + 16];
    uint8_t *text = xcalloc(1, SDP_ANSWER_MAX);
    struct wr w = wr_init(text, SDP_ANSWER_MAX);
    write_answer(r, s, local, cname, &w);
    snprintf(location, sizeof location, "/%s/%s/%s~%s", r->name, rtc_kind_name(r->kind),
             rs->o.identity->node, r->key);
    struct http_header headers[HEADERS_MAX] = {
        {"Content-Type", slice_text("application/sdp")},
        {"Location", slice_text(location)},
        {"ETag", slice_text(r->etag)},
        {"Accept-Patch", slice_text("application/trickle-ice-sdpfrag")},
        {"Cache-Control", slice_text("no-store")},
    };
    size_t count = HEADERS_MAX - RTC_LINKS_MAX;
    for (size_t i = 0; i < rs->link_count; i++)
        headers[count++] = (struct http_header){"Link", slice_text(rs->links[i])};
    http_respond(settle(r), 201, headers, count, wr_slice(&w));
    free(text);
}

static const struct {
    enum close_reason why;
    int status;
    const char *code;
    bool retry;
} refusals[] = {
    {CLOSE_BAD_INPUT, 400, "bad_offer", false},   {CLOSE_AUTH, 401, "unauthorized", false},
    {CLOSE_REFUSED, 403, "refused", false},       {CLOSE_NOT_FOUND, 409, "not_live", true},
    {CLOSE_NAME_TAKEN, 409, "name_taken", false}, {CLOSE_UNSUPPORTED, 422, "unsupported", false},
    {CLOSE_OVERLOAD, 503, "overload", true},      {CLOSE_DRAIN, 503, "drain", true},
    {CLOSE_NO_ORIGIN, 503, "no_origin", true},    {CLOSE_SOURCE_LOST, 503, "source_lost", true},
    {CLOSE_TIMEOUT, 503, "timeout", true},        {CLOSE_INTERNAL, 500, "internal", false},
};

void rtc_resource_refuse(struct rtc_resource **rp, enum close_reason why, const char *text)
{
    size_t i = 0, last = sizeof refusals / sizeof refusals[0] - 1;
    struct http_exchange *x = settle(*rp);
    while (i < last && refusals[i].why != why)
        i++;
    METRIC_INC((*rp)->worker->metrics.rtc_offers_refused_total);
    rtc_resource_forget(rp);
    rtc_refuse(x, refusals[i].status, refusals[i].code, text, refusals[i].retry);
}

void rtc_resource_end(struct rtc_resource **rp)
{
    must((*rp)->post == NULL);
    rtc_resource_forget(rp);
}
