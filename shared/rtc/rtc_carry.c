/*
 * A deed to the node that has the session, and back: a balancer sends a client's PATCH and DELETE
 * where it likes.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/json.h"
#include "rtc/rtc_resource_internal.h"

#include <stdlib.h>

#define RTC_CARRY_MAGIC      0x72747263U
#define RTC_CARRY_MS         2000                   /* to the whole answer */
#define RTC_CARRY_ANSWER_MAX (2 * RTC_FRAGMENT_MAX) /* bytes */

static const char *const verb_names[] = {
    [RTC_LOOK] = "look", [RTC_PATCH] = "patch", [RTC_DELETE] = "delete"};
#define VERBS (sizeof verb_names / sizeof verb_names[0])

/* ---- asking ---- */

struct rtc_carry {
    uint32_t magic;
    struct relay_call *call;
    int status;
    struct buf body;
    rtc_errand_done *done;
    void *arg;
};

static void carry_free(struct rtc_carry *c)
{
    buf_fini(&c->body);
    OBJ_POISON(c);
    free(c);
}

static bool read_outcome(struct slice text, struct rtc_outcome *out)
{
    const char *etag = "", *fragment = "";
    json_t *j = json_parse(text);
    bool ok = j != NULL && json_unpack(j, "{s:i, s?s, s?s}", "status", &out->status, "etag", &etag,
                                       "fragment", &fragment) == 0;
    ok = ok && slice_copy(slice_text(etag), out->etag, sizeof out->etag) &&
         slice_copy(slice_text(fragment), out->fragment, sizeof out->fragment);
    json_decref(j);
    return ok && out->status >= 200 && out->status <= 599;
}

static void on_head(struct relay_call *call, int status, void *owner)
{
    struct rtc_carry *c = OBJ_CAST(struct rtc_carry, owner, RTC_CARRY_MAGIC);
    c->status = status;
}

static ssize_t on_body(struct relay_call *call, struct slice bytes, void *owner)
{
    struct rtc_carry *c = OBJ_CAST(struct rtc_carry, owner, RTC_CARRY_MAGIC);
    int err = buf_append(&c->body, bytes.p, bytes.len);
    return err < 0 ? err : (ssize_t)bytes.len;
}

static void on_end(enum close_reason why, void *owner)
{
    struct rtc_carry *c = OBJ_CAST(struct rtc_carry, owner, RTC_CARRY_MAGIC);
    struct rtc_outcome outcome = {0};
    rtc_errand_done *done = c->done;
    void *arg = c->arg;
    bool ok =
        why == CLOSE_FINISHED && c->status == 200 && read_outcome(buf_slice(&c->body), &outcome);
    carry_free(c);
    if (!ok)
        outcome = (struct rtc_outcome){.status = 503};
    done(&outcome, arg);
}

static void write_deed(const struct rtc_deed *d, struct buf *out)
{
    json_t *j =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "kind", rtc_kind_name(d->kind),
                  "verb", verb_names[d->verb], "name", d->name, "key", d->key, "match", d->match,
                  "ufrag", d->ufrag, "pwd", d->pwd, "asker", d->asker);
    /* Bounded by what a deed can hold; only text that is no UTF-8 cannot be written. */
    if (j == NULL || json_print(j, out) < 0)
        buf_consume(out, buf_len(out));
    json_decref(j);
}

struct rtc_carry *rtc_carry_start(struct rtc_resources *rs, struct worker *w, const char *node,
                                  const char *address, const struct rtc_deed *deed,
                                  rtc_errand_done *done, void *arg)
{
    static const struct relay_call_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end};
    struct rtc_carry *c = xcalloc(1, sizeof *c);
    struct buf body;
    c->magic = RTC_CARRY_MAGIC;
    c->done = done;
    c->arg = arg;
    buf_init(&c->body, RTC_CARRY_ANSWER_MAX);
    buf_init(&body, RELAY_CALL_BODY_MAX);
    write_deed(deed, &body);
    METRIC_INC(w->metrics.rtc_carries_total);
    c->call = relay_call_start(w, rs->o.client,
                               &(struct relay_call_options){.address = address,
                                                            .peer = node,
                                                            .method = "POST",
                                                            .target = RTC_CARRY_TARGET,
                                                            .body = buf_slice(&body),
                                                            .head_deadline_ms = RTC_CARRY_MS,
                                                            .idle_ms = RTC_CARRY_MS,
                                                            .unread_max = RTC_CARRY_ANSWER_MAX},
                               &ops, c);
    buf_fini(&body);
    return c;
}

void rtc_carry_cancel(struct rtc_carry **cp)
{
    struct rtc_carry *c = *cp;
    *cp = NULL;
    if (c == NULL)
        return;
    OBJ_CHECK(c, RTC_CARRY_MAGIC);
    relay_call_cancel(&c->call);
    carry_free(c);
}

/* ---- answering ---- */

struct rtc_reply {
    struct http_exchange *x;
    struct rtc_errand *errand;
};

static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    struct rtc_reply *r = owner;
    rtc_errand_drop(&r->errand);
    free(r);
}

static void on_done(const struct rtc_outcome *o, void *arg)
{
    struct rtc_reply *r = arg;
    struct http_exchange *x = r->x;
    free(r);
    http_exchange_watch(x, NULL, NULL);
    http_respond_json(x, 200,
                      json_pack("{s:i, s:s, s:s}", "status", o->status, "etag", o->etag, "fragment",
                                o->fragment));
}

static bool take(const char *from, char *to, size_t room)
{
    return slice_copy(slice_text(from), to, room);
}

static bool read_deed(struct slice text, struct rtc_deed *d)
{
    const char *kind, *verb, *name, *key, *match, *ufrag, *pwd, *asker;
    size_t v = 0;
    json_t *j = json_parse(text);
    bool ok = j != NULL && json_unpack(j, "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "kind", &kind,
                                       "verb", &verb, "name", &name, "key", &key, "match", &match,
                                       "ufrag", &ufrag, "pwd", &pwd, "asker", &asker) == 0;
    while (ok && v < VERBS && strcmp(verb, verb_names[v]) != 0)
        v++;
    ok = ok && v < VERBS && strlen(key) == RTC_KEY_LEN && take(name, d->name, sizeof d->name) &&
         take(key, d->key, sizeof d->key) && take(match, d->match, sizeof d->match) &&
         take(ufrag, d->ufrag, sizeof d->ufrag) && take(pwd, d->pwd, sizeof d->pwd) &&
         take(asker, d->asker, sizeof d->asker);
    if (ok) {
        d->kind = strcmp(kind, "whip") == 0 ? RTC_WHIP : RTC_WHEP;
        d->verb = (enum rtc_verb)v;
    }
    json_decref(j);
    return ok;
}

void rtc_carry_serve(struct http_exchange *x, const struct http_request *req, void *arg)
{
    static const struct http_exchange_ops ops = {.on_gone = on_gone};
    struct rtc_resources *rs = OBJ_CAST(struct rtc_resources, arg, RTC_RESOURCES_MAGIC);
    struct relay_sender sender;
    struct rtc_deed deed = {0};
    if (!relay_admit(rs->o.guard, rs->o.identity, x, req, clock_wall_us() / 1000, &sender))
        return;
    if (!read_deed(req->body, &deed)) {
        http_respond_error(x, 400, "bad_request", "not something to do with a session");
        return;
    }
    struct rtc_reply *r = xcalloc(1, sizeof *r);
    r->x = x;
    http_exchange_watch(x, &ops, r);
    r->errand =
        rtc_errand_start(rs, http_exchange_worker(x), rs->o.identity->node, &deed, on_done, r);
}
