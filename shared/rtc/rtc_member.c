/*
 * What is asked of a session by its URL, on any worker of any node.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "rtc/rtc_resource_internal.h"

#include <stdlib.h>

#define METHODS       "OPTIONS, GET, HEAD, PATCH, DELETE"
#define FRAGMENT_TYPE "application/trickle-ice-sdpfrag"

static const struct http_header accept_patch = {
    "Accept-Patch", {(const uint8_t *)FRAGMENT_TYPE, sizeof FRAGMENT_TYPE - 1}};

/* ---- the answer ---- */

struct rtc_question {
    struct http_exchange *x;
    struct rtc_errand *errand;
    enum rtc_verb verb;
};

static const struct {
    int status;
    const char *code, *text;
} refusals[] = {
    {401, "unauthorized", "the token that came with the offer is needed"},
    {404, "not_found", "there is no such session"},
    {412, "changed", "the session has another ETag"},
    {422, "unsupported", "ICE restarts are not supported here"},
    {503, "unavailable", "the node of the session does not answer"},
};

static void answer(struct http_exchange *x, enum rtc_verb verb, const struct rtc_outcome *o)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (refusals[i].status != o->status)
            continue;
        rtc_refuse(x, o->status, refusals[i].code, refusals[i].text, o->status == 503);
        return;
    }
    const struct http_header headers[] = {{"Content-Type", slice_text(FRAGMENT_TYPE)},
                                          {"ETag", slice_text(o->etag)}};
    bool restarted = verb == RTC_PATCH && o->status == 200;
    http_respond(x, o->status, headers, restarted ? 2 : 0,
                 slice_text(restarted ? o->fragment : ""));
}

static void on_done(const struct rtc_outcome *o, void *arg)
{
    struct rtc_question *q = arg;
    struct http_exchange *x = q->x;
    enum rtc_verb verb = q->verb;
    free(q);
    http_exchange_watch(x, NULL, NULL);
    answer(x, verb, o);
}

static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    struct rtc_question *q = owner;
    rtc_errand_drop(&q->errand);
    free(q);
}

static void ask(struct rtc_resources *rs, struct http_exchange *x, const char *node,
                const struct rtc_deed *deed)
{
    static const struct http_exchange_ops ops = {.on_gone = on_gone};
    struct rtc_question *q = xcalloc(1, sizeof *q);
    q->x = x;
    q->verb = deed->verb;
    http_exchange_watch(x, &ops, q);
    q->errand = rtc_errand_start(rs, http_exchange_worker(x), node, deed, on_done, q);
}

/* ---- the question ---- */

/* "<node>~<key>"; false: no session was ever called so. */
static bool read_id(struct slice id, char node[NAME_NODE_MAX + 1], char key[RTC_KEY_LEN + 1])
{
    struct slice key_text;
    bool found;
    struct slice node_text = slice_cut(id, '~', &key_text, &found);
    return found && name_node_ok(node_text) && key_text.len == RTC_KEY_LEN &&
           slice_copy(node_text, node, NAME_NODE_MAX + 1) &&
           slice_copy(key_text, key, RTC_KEY_LEN + 1);
}

static bool is_utf8_safe(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    return true;
}

/* The fragment and If-Match of a PATCH; false when it was refused. */
static bool read_patch(struct http_exchange *x, const struct http_request *req,
                       struct rtc_deed *deed)
{
    struct sdp_fragment f;
    struct sdp_error error;
    struct slice match = http_request_header(req, "If-Match");
    if (!rtc_has_type(req, FRAGMENT_TYPE)) {
        http_respond_error_with(x, 415, "type", "a change is " FRAGMENT_TYPE, &accept_patch, 1);
        return false;
    }
    if (sdp_fragment_read(req->body, &f, &error) < 0) {
        rtc_refuse(x, 400, "bad_fragment", error.why, false);
        return false;
    }
    if (match.len == 0) {
        rtc_refuse(x, 428, "no_match", "a change needs If-Match", false);
        return false;
    }
    if (!is_utf8_safe(match) || !slice_copy(match, deed->match, sizeof deed->match)) {
        rtc_refuse(x, 412, "changed", "the session has another ETag", false);
        return false;
    }
    must(slice_copy(f.ufrag, deed->ufrag, sizeof deed->ufrag) &&
         slice_copy(f.pwd, deed->pwd, sizeof deed->pwd));
    return true;
}

static void serve(struct rtc_resources *rs, struct http_exchange *x, const struct http_request *req,
                  enum rtc_verb verb, enum rtc_kind kind)
{
    struct rtc_deed deed = {.kind = kind, .verb = verb};
    char node[NAME_NODE_MAX + 1];
    if (!rtc_may_ask(rs, x))
        return;
    rtc_asker(req, deed.asker);
    if (name_stream(req->captures[0], req->captures[1], deed.name) < 0 ||
        !read_id(req->captures[2], node, deed.key)) {
        rtc_refuse(x, 404, "not_found", "there is no such session", false);
        return;
    }
    if (verb != RTC_PATCH || read_patch(x, req, &deed))
        ask(rs, x, node, &deed);
}

static void member(struct http_exchange *x, const struct http_request *req, void *arg,
                   enum rtc_kind kind)
{
    struct rtc_resources *rs = OBJ_CAST(struct rtc_resources, arg, RTC_RESOURCES_MAGIC);
    switch (req->method) {
    case HTTP_GET:
    case HTTP_HEAD:
        serve(rs, x, req, RTC_LOOK, kind);
        break;
    case HTTP_PATCH:
        serve(rs, x, req, RTC_PATCH, kind);
        break;
    case HTTP_DELETE:
        serve(rs, x, req, RTC_DELETE, kind);
        break;
    case HTTP_OPTIONS:
        rtc_answer_options(rs, x, req, METHODS, &accept_patch);
        break;
    case HTTP_POST:
    case HTTP_PUT:
        rtc_answer_method(x, METHODS);
        break;
    }
}

void rtc_member_whip(struct http_exchange *x, const struct http_request *req, void *arg)
{
    member(x, req, arg, RTC_WHIP);
}

void rtc_member_whep(struct http_exchange *x, const struct http_request *req, void *arg)
{
    member(x, req, arg, RTC_WHEP);
}
