/*
 * Short answers out of a name's home feed, which may live on another worker than the connection:
 * a message there, and for a probe one back.
 */
#include "origin/relay_internal.h"

#include "base/mem.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct probe {
    struct message m;
    struct relay_server *server;
    struct http_exchange *x; /* NULL: the peer has gone */
    struct worker *home, *back;
    char name[NAME_STREAM_MAX + 1];
    bool found, wanted, owner, fed;
    uint64_t before; /* epoch that the run asked about has to be below; 0: the newest run */
    uint64_t epoch, instance, last_seq;
    enum feed_state state;
    uint64_t msn, dsn; /* of the newest part, if there is one, as is the next */
    uint32_t part;
    bool is_cut;
    char path[RELAY_PATH_MAX + 1];
};

static void on_probe_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    struct probe *p = owner;
    p->x = NULL;
}

static json_t *found_json(const struct probe *p)
{
    char epoch[24], instance[24], last[24];
    snprintf(epoch, sizeof epoch, "%" PRIu64, p->epoch);
    snprintf(instance, sizeof instance, "%016" PRIx64, p->instance);
    snprintf(last, sizeof last, "%" PRIu64, p->last_seq);
    json_t *o = json_pack("{s:s,s:s,s:b,s:s,s:b,s:s,s:s}", "epoch", epoch, "instance", instance,
                          "owner", p->owner, "state", feed_state_name(p->state), "fed", p->fed,
                          "path", p->path, "last", last);
    if (p->is_cut) {
        json_object_set_new(o, "msn", json_integer((json_int_t)p->msn));
        json_object_set_new(o, "dsn", json_integer((json_int_t)p->dsn));
        json_object_set_new(o, "part", json_integer(p->part));
    }
    return o;
}

static void answer(struct message *m)
{
    struct probe *p = container_of(m, struct probe, m);
    if (p->x != NULL && p->found)
        http_respond_json(p->x, 200, found_json(p));
    else if (p->x != NULL && p->wanted)
        http_respond_json(p->x, 200, json_pack("{s:s}", "state", "wanted"));
    else if (p->x != NULL)
        http_respond_error(p->x, 404, "not_found", "no such stream here");
    free(p);
}

static const struct run *run_before(const struct log *l, uint64_t before)
{
    const struct run *r = log_newest(l);
    while (r != NULL && before != 0 && r->epoch >= before)
        r = log_before(l, r);
    return r;
}

static void look(struct message *m)
{
    struct probe *p = container_of(m, struct probe, m);
    const struct feed *f = feed_find(p->server->o.hub, p->home, p->name);
    const struct run *run = f != NULL ? run_before(f->log, p->before) : NULL;
    char path[RELAY_PATH_MAX + 1];
    p->found = run != NULL && (f->state == FEED_LIVE || f->state == FEED_LOST);
    p->wanted = f != NULL && !p->found && feed_is_wanted(f);
    if (p->found) {
        p->epoch = run->epoch;
        p->last_seq = run->next - 1;
        p->instance = relay_run_instance(p->server, run);
        p->owner = run->origin == NULL;
        const struct log_part *newest = run_newest_part(run);
        p->is_cut = newest != NULL;
        p->msn = p->is_cut ? newest->cut.msn : 0;
        p->dsn = p->is_cut ? newest->cut.dsn : 0;
        p->part = p->is_cut ? newest->cut.part : 0;
        p->state = f->state;
        p->fed = f->state == FEED_LIVE && f->source != NULL;
        must(slice_copy(relay_path_of(p->server, run, path), p->path, sizeof p->path));
    }
    p->m.run = answer;
    worker_post(p->back, &p->m);
}

void relay_answer_probe(struct relay_server *s, struct http_exchange *x, const char *name,
                        uint64_t before)
{
    static const struct http_exchange_ops ops = {.on_gone = on_probe_gone};
    struct worker *home = hub_home(s->o.hub, name);
    if (home == NULL) {
        http_respond_error(x, 404, "not_found", "no such stream here");
        return;
    }
    struct probe *p = xcalloc(1, sizeof *p);
    p->m.run = look;
    p->server = s;
    p->x = x;
    p->home = home;
    p->before = before;
    p->back = http_exchange_worker(x);
    must(slice_copy(slice_text(name), p->name, sizeof p->name));
    http_exchange_watch(x, &ops, p);
    worker_post(home, &p->m);
}

struct want {
    struct message m;
    struct hub *hub;
    struct worker *home;
    char name[NAME_STREAM_MAX + 1];
};

static void pass_want(struct message *m)
{
    struct want *v = container_of(m, struct want, m);
    struct feed *f = feed_find(v->hub, v->home, v->name);
    if (f != NULL)
        feed_want_key(f);
    free(v);
}

bool relay_answer_want_key(struct relay_server *s, const char *name)
{
    struct worker *home = hub_home(s->o.hub, name);
    if (home == NULL)
        return false;
    struct want *v = xcalloc(1, sizeof *v);
    v->m.run = pass_want;
    v->hub = s->o.hub;
    v->home = home;
    must(slice_copy(slice_text(name), v->name, sizeof v->name));
    worker_post(home, &v->m);
    return true;
}
