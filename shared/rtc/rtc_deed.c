/*
 * What is asked of a session, done where the session is, and the way there:
 *
 *   errand ──this worker, next turn──▶ deed      (key of ours)
 *      │ ───message──▶ other worker ──▶ deed ──message──▶ done
 *      └ ───find_node──▶ rtc_carry ──▶ other node          (another node's id)
 */
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/obj.h"
#include "rtc/rtc_resource_internal.h"

#include <stdlib.h>

#define RTC_ERRAND_MAGIC 0x72747265U

/* ---- the deed ---- */

struct worker *rtc_key_worker(struct rtc_resources *rs, const char *key)
{
    uint8_t index;
    if (hex_decode(slice_of(key, 2), &index, 1) < 0 || index >= rs->o.workers->count)
        return NULL;
    return &rs->o.workers->workers[index];
}

/* A list of entity tags, or *, has it (RFC 9110, 13.1.1; weak tags never match). */
static bool is_match(const char *list, const char *etag)
{
    struct slice rest = slice_text(list);
    while (rest.len > 0) {
        struct slice tag = slice_trim(slice_cut(rest, ',', &rest, NULL));
        if (slice_is(tag, "*") || slice_is(tag, "\"*\"") || slice_is(tag, etag))
            return true;
    }
    return false;
}

static void restart(struct rtc_resource *r, const struct rtc_deed *deed, struct rtc_outcome *out)
{
    const struct rtc_maker *maker = &r->owner->o.makers[r->kind];
    struct rtc_remote remote = {0};
    struct rtc_local local = {0};
    struct wr w = wr_init(out->fragment, sizeof out->fragment - 1);
    if (maker->restart == NULL) {
        out->status = 422;
        return;
    }
    memcpy(remote.ufrag, deed->ufrag, sizeof remote.ufrag);
    memcpy(remote.pwd, deed->pwd, sizeof remote.pwd);
    maker->restart(r->session, &remote, &local);
    struct sdp_local l = {.ufrag = local.ufrag,
                          .pwd = local.pwd,
                          .fingerprint = local.fingerprint,
                          .candidate_count = local.candidate_count};
    for (size_t i = 0; i < local.candidate_count; i++)
        l.candidates[i] = local.candidates[i];
    sdp_fragment_write(&w, r->kind_of_mid, r->mid, &l);
    must(!w.overflow);
    rtc_resource_set_remote(r, slice_text(deed->ufrag), slice_text(deed->pwd));
    rtc_resource_new_etag(r);
    memcpy(out->etag, r->etag, sizeof out->etag);
    out->status = 200;
}

/* Candidates of the remote mean nothing to an ICE-lite agent; credentials do when they are new. */
static void patch(struct rtc_resource *r, const struct rtc_deed *deed, struct rtc_outcome *out)
{
    bool is_new = deed->ufrag[0] != '\0' &&
                  (strcmp(deed->ufrag, r->ufrag) != 0 || strcmp(deed->pwd, r->pwd) != 0);
    if (!is_match(deed->match, r->etag))
        out->status = 412;
    else if (is_new)
        restart(r, deed, out);
    else
        out->status = 204;
}

static void end(struct rtc_resource *r, struct rtc_outcome *out)
{
    const struct rtc_maker *maker = &r->owner->o.makers[r->kind];
    enum close_reason why = r->kind == RTC_WHIP ? CLOSE_UNPUBLISHED : CLOSE_PEER_CLOSED;
    void *session = r->session;
    rtc_resource_forget(&r);
    maker->close(session, why);
    out->status = 200;
}

void rtc_deed_do(struct rtc_resources *rs, struct worker *w, const struct rtc_deed *deed,
                 struct rtc_outcome *out)
{
    struct rtc_resource *r = map_get(rs->tables[w->index].by_key, deed->key);
    *out = (struct rtc_outcome){.status = 404};
    bool is_it =
        r != NULL && r->post == NULL && r->kind == deed->kind && strcmp(r->name, deed->name) == 0;
    if (!is_it)
        return;
    if (r->asker[0] != '\0' && !crypto_equal(slice_text(r->asker), slice_text(deed->asker))) {
        out->status = 401;
        return;
    }
    switch (deed->verb) {
    case RTC_LOOK:
        out->status = 204;
        break;
    case RTC_PATCH:
        patch(r, deed, out);
        break;
    case RTC_DELETE:
        end(r, out);
        break;
    }
}

/* ---- the way there ---- */

struct rtc_errand {
    uint32_t magic;
    struct message m; /* to the other worker and back */
    struct task task; /* ours, in the next turn */
    struct rtc_resources *rs;
    struct worker *from, *to;
    char node[NAME_NODE_MAX + 1];
    struct rtc_deed deed;
    struct rtc_outcome outcome;
    struct rtc_carry *carry;
    bool finding; /* find_node() has not answered */
    rtc_errand_done *done;
    void *arg; /* done's */
};

static void errand_free(struct rtc_errand *e)
{
    task_cancel(&e->task);
    OBJ_POISON(e);
    free(e);
}

static void errand_finish(struct rtc_errand *e)
{
    struct rtc_outcome outcome = e->outcome;
    rtc_errand_done *done = e->done;
    void *arg = e->arg;
    errand_free(e);
    if (done != NULL)
        done(&outcome, arg);
}

static void run_finish(void *arg)
{
    errand_finish(OBJ_CAST(struct rtc_errand, arg, RTC_ERRAND_MAGIC));
}

static void run_here(void *arg)
{
    struct rtc_errand *e = OBJ_CAST(struct rtc_errand, arg, RTC_ERRAND_MAGIC);
    rtc_deed_do(e->rs, e->from, &e->deed, &e->outcome);
    errand_finish(e);
}

static void run_back(struct message *m)
{
    run_finish(container_of(m, struct rtc_errand, m));
}

static void run_there(struct message *m)
{
    struct rtc_errand *e = container_of(m, struct rtc_errand, m);
    rtc_deed_do(e->rs, e->to, &e->deed, &e->outcome);
    e->m.run = run_back;
    worker_post(e->from, &e->m);
}

static void on_carried(const struct rtc_outcome *outcome, void *arg)
{
    struct rtc_errand *e = OBJ_CAST(struct rtc_errand, arg, RTC_ERRAND_MAGIC);
    e->carry = NULL;
    e->outcome = *outcome;
    errand_finish(e);
}

/* A node that has left the cluster has no sessions any more. */
static void on_found(const char *address, void *arg)
{
    struct rtc_errand *e = OBJ_CAST(struct rtc_errand, arg, RTC_ERRAND_MAGIC);
    e->finding = false;
    if (e->done == NULL) {
        errand_free(e);
    } else if (address != NULL) {
        e->carry = rtc_carry_start(e->rs, e->from, e->node, address, &e->deed, on_carried, e);
    } else {
        task_init(&e->task, run_finish, e); /* this may be inside of the start */
        task_defer(e->from, &e->task);
    }
}

static void start_here(struct rtc_errand *e)
{
    e->to = rtc_key_worker(e->rs, e->deed.key);
    if (e->to != NULL && e->to != e->from) {
        e->m.run = run_there;
        worker_post(e->to, &e->m);
        return;
    }
    task_init(&e->task, e->to != NULL ? run_here : run_finish, e);
    task_defer(e->from, &e->task);
}

struct rtc_errand *rtc_errand_start(struct rtc_resources *rs, struct worker *from, const char *node,
                                    const struct rtc_deed *deed, rtc_errand_done *done, void *arg)
{
    struct rtc_errand *e = xcalloc(1, sizeof *e);
    e->magic = RTC_ERRAND_MAGIC;
    e->rs = rs;
    e->from = from;
    e->deed = *deed;
    e->outcome.status = 404;
    e->done = done;
    e->arg = arg;
    task_init(&e->task, run_finish, e);
    must(slice_copy(slice_text(node), e->node, sizeof e->node));
    if (strcmp(node, rs->o.identity->node) == 0) {
        start_here(e);
    } else {
        e->finding = true;
        rs->o.find_node(rs->o.arg, from, e->node, on_found, e);
    }
    return e;
}

void rtc_errand_drop(struct rtc_errand **ep)
{
    struct rtc_errand *e = *ep;
    *ep = NULL;
    if (e == NULL)
        return;
    OBJ_CHECK(e, RTC_ERRAND_MAGIC);
    e->done = NULL;
    if (e->carry == NULL) /* what is under way comes back and frees it */
        return;
    rtc_carry_cancel(&e->carry);
    errand_free(e);
}
