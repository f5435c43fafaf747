/* GET …?probe=1 and its answer. */
#include "relay/probe.h"

#include "base/buf.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PROBE_MAGIC      0x70726f62U
#define PROBE_ANSWER_MAX 4096 /* bytes of a node's answer */

struct probe {
    uint32_t magic;
    struct relay_call *call;
    struct buf answer;
    int status;
    probe_done *done;
    void *arg;
};

static void probe_free(struct probe *p)
{
    relay_call_cancel(&p->call);
    buf_fini(&p->answer);
    OBJ_POISON(p);
    free(p);
}

static struct slice text_at(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    return slice_of(json_string_value(v), json_string_length(v));
}

static bool instance_at(const json_t *j, uint64_t *out)
{
    uint8_t bytes[8];
    if (hex_decode(text_at(j, "instance"), bytes, sizeof bytes) < 0)
        return false;
    *out = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        *out = *out << 8 | bytes[i];
    return true;
}

static void read_answer(struct slice text, struct probe_answer *a)
{
    json_t *j = json_parse(text);
    a->wanted = slice_is(text_at(j, "state"), "wanted");
    a->held =
        slice_u64(text_at(j, "epoch"), UINT64_MAX, &a->epoch) == 0 && instance_at(j, &a->instance);
    a->owns = a->held && json_is_true(json_object_get(j, "owner"));
    a->fed = a->held && json_is_true(json_object_get(j, "fed"));
    const json_t *msn = json_object_get(j, "msn"), *part = json_object_get(j, "part");
    a->is_cut = a->held && json_is_integer(msn) && json_is_integer(part);
    a->msn = (uint64_t)json_integer_value(msn);
    a->dsn = (uint64_t)json_integer_value(json_object_get(j, "dsn"));
    a->part = (uint32_t)json_integer_value(part);
    (void)slice_u64(text_at(j, "last"), UINT64_MAX, &a->last_seq);
    (void)slice_copy(text_at(j, "path"), a->path, sizeof a->path);
    json_decref(j);
}

static void on_head(struct relay_call *c, int status, void *owner)
{
    OBJ_CAST(struct probe, owner, PROBE_MAGIC)->status = status;
}

static ssize_t on_body(struct relay_call *c, struct slice bytes, void *owner)
{
    struct probe *p = OBJ_CAST(struct probe, owner, PROBE_MAGIC);
    int err = buf_append(&p->answer, bytes.p, bytes.len);
    return err < 0 ? err : (ssize_t)bytes.len;
}

static void on_end(enum close_reason why, void *owner)
{
    struct probe *p = OBJ_CAST(struct probe, owner, PROBE_MAGIC);
    struct probe_answer a = {0};
    probe_done *done = p->done;
    void *arg = p->arg;
    p->call = NULL;
    if (why == CLOSE_FINISHED && p->status == 200)
        read_answer(buf_slice(&p->answer), &a);
    probe_free(p);
    done(&a, arg);
}

struct probe *probe_start(struct worker *w, const struct probe_options *o, probe_done *done,
                          void *arg)
{
    static const struct relay_call_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end};
    struct probe *p = xcalloc(1, sizeof *p);
    char target[RELAY_CALL_TARGET_MAX];
    int n = o->before != 0 ? snprintf(target, sizeof target, "/relay/v1/%s?probe=1&before=%" PRIu64,
                                      o->name, o->before)
                           : snprintf(target, sizeof target, "/relay/v1/%s?probe=1", o->name);
    must(n > 0 && (size_t)n < sizeof target);
    p->magic = PROBE_MAGIC;
    p->done = done;
    p->arg = arg;
    buf_init(&p->answer, PROBE_ANSWER_MAX);
    const struct relay_call_options call = {
        .address = o->address,
        .peer = o->node,
        .method = "GET",
        .target = target,
        .head_deadline_ms = o->deadline_ms,
        .idle_ms = o->deadline_ms,
    };
    p->call = relay_call_start(w, o->client, &call, &ops, p);
    return p;
}

void probe_cancel(struct probe **pp)
{
    struct probe *p = *pp;
    *pp = NULL;
    if (p != NULL)
        probe_free(OBJ_CAST(struct probe, p, PROBE_MAGIC));
}
