#include "cluster/gossip_internal.h"

static const int64_t pause_us[BURST_ROUNDS] = {50000, 150000, 0};

void announce_changes(struct gossip *g)
{
    struct burst *last = g->burst_count > 0 ? &g->bursts[g->burst_count - 1] : NULL;
    bool started = last != NULL && (last->round > 0 || last->told > last->since);
    if (last == NULL || (started && g->burst_count < BURSTS_MAX)) {
        last = &g->bursts[g->burst_count++];
        *last = (struct burst){.since = g->version - 1, .told = g->version - 1};
        last->due_us = g->now_us;
    } else if (started) {
        last->round = 0;
        last->told = last->since;
        last->due_us = g->now_us;
    }
    last->to = g->version;
    gossip_wake(g, last->due_us);
}

/* As many of the changes after `since` as fit; where the next datagram goes on. */
static uint64_t write_changes(struct gossip *g, struct outgoing *out, uint64_t since, uint64_t to)
{
    struct gossip_stream s;
    size_t room = outgoing_room(out) - GOSSIP_FIELD_HEADER - 16;
    uint64_t last = since;
    for (; last < to; last++) {
        if (!own_change_get(g, last + 1, &s))
            continue;
        if (gossip_stream_size(&s) > room)
            break;
        room -= gossip_stream_size(&s);
    }
    gossip_write_range(&out->w, since, last);
    for (uint64_t v = since + 1; v <= last; v++)
        if (own_change_get(g, v, &s))
            gossip_write_stream(&out->w, &s);
    return last;
}

/* One round of a burst: false when no more may be sent now. */
static bool burst_send(struct gossip *g, struct burst *b)
{
    while (b->told < b->to) {
        if (!bucket_take(&g->all, g->now_us)) {
            b->due_us = bucket_due(&g->all, g->now_us);
            return false;
        }
        struct outgoing out;
        outgoing_begin(g, &out, GOSSIP_ANNOUNCE);
        b->told = write_changes(g, &out, b->told, b->to);
        outgoing_to_all(g, &out);
    }
    b->due_us = g->now_us + pause_us[b->round++];
    b->told = b->since;
    return true;
}

/* So many changes are had sooner by a fetch, which the heartbeat brings about. */
static bool is_too_long(const struct gossip *g, const struct burst *b)
{
    return b->to - b->since > BURST_CHANGES_MAX || g->version - b->since > GOSSIP_CHANGES_MAX / 2;
}

int64_t announce_run(struct gossip *g)
{
    int64_t due_us = INT64_MAX;
    size_t kept = 0;
    for (size_t i = 0; i < g->burst_count; i++) {
        struct burst *b = &g->bursts[i];
        if (is_too_long(g, b))
            continue;
        if (b->due_us <= g->now_us)
            burst_send(g, b);
        if (b->round == BURST_ROUNDS)
            continue;
        if (b->due_us < due_us)
            due_us = b->due_us;
        g->bursts[kept++] = *b;
    }
    g->burst_count = kept;
    return due_us;
}

void announce_in(struct gossip *g, struct gossip_node *n, struct slice body,
                 const struct gossip_message *m)
{
    node_heard(g, n);
    if (!m->has_range || !n->introduced)
        return;
    struct delta d = {.since = m->since, .to = m->to, .streams = body};
    owner_apply(g, n, &d);
    n->told_seq = n->window.top;
    fetch_told(g, n, m->to);
}

void gossip_ask(struct gossip *g, const char *name, int64_t now_us)
{
    g->now_us = now_us;
    if (g->left)
        return;
    if (!bucket_take(&g->asks, now_us) || !bucket_take(&g->all, now_us)) {
        gossip_refused(g, "questions");
        return;
    }
    struct outgoing out;
    outgoing_begin(g, &out, GOSSIP_REQUEST);
    gossip_write_ask(&out.w, name);
    outgoing_to_all(g, &out);
}

void request_in(struct gossip *g, struct gossip_node *n, const struct gossip_message *m)
{
    char name[NAME_STREAM_MAX + 1];
    if (!slice_copy(m->ask, name, sizeof name) || name[0] == '\0')
        return;
    const struct own_stream *own = map_get(g->own, name);
    if (own == NULL || !bucket_take(&n->replies, g->now_us))
        return;
    struct gossip_stream s;
    own_describe(own, &s);
    struct outgoing out;
    outgoing_begin(g, &out, GOSSIP_HAVE);
    gossip_write_stream(&out.w, &s);
    outgoing_seal(g, &out);
    outgoing_to(g, &out, &n->address);
}

void have_in(struct gossip *g, struct gossip_node *n, struct slice body)
{
    struct rd r = rd_slice(body);
    struct gossip_stream s;
    while (n->alive && n->introduced && gossip_stream_next(&r, &s) > 0) {
        if (s.state == GOSSIP_ENDED || s.version <= n->version)
            continue;
        owner_apply_one(g, n, &s);
        fetch_told(g, n, s.version);
    }
}
