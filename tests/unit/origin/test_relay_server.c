#include "relay_node.h"

#include "base/err.h"
#include "media/relay_frames.h"
#include "proto/relay_record.h"

#include <inttypes.h>
#include <stdio.h>

/* --- a node that asks --- */

struct asker {
    struct relay_call *call;
    int status;
    bool ended, has_end, has_gap;
    enum close_reason why;
    struct buf body; /* of answers that are not a flow */
    struct buf states;
    struct relay_state state;
    int state_count, keepalives;
    struct relay_end end;
    struct relay_cut_ahead cut;
    uint64_t cut_seq; /* the newest frame that had one */
    uint64_t gap_first, first, last;
    size_t frames;
    uint64_t bytes;
};

static void got_head(struct relay_call *c, int status, void *owner)
{
    struct asker *a = owner;
    a->status = status;
}

static void got_frame(struct asker *a, const struct relay_record *rec)
{
    struct frame *f = test_frame(rec->seq, rec->payload.len);
    assert_true(slice_eq(rec->payload, frame_payload(f)));
    assert_int_equal(rec->flags, f->flags);
    assert_int_equal(rec->wire_ms, f->wire_ms);
    assert_int_equal(rec->dts_us, f->dts_us);
    assert_int_equal(rec->cts_us, f->cts_us);
    assert_true(f->cut == NULL || (a->cut.seq == f->seq && same_cut(&a->cut.cut, f->cut)));
    a->cut_seq = a->cut.seq == rec->seq ? rec->seq : a->cut_seq;
    a->cut.seq = 0;
    frame_unref(&f);
    if (a->frames++ == 0)
        a->first = rec->seq;
    a->last = rec->seq;
    a->bytes += rec->payload.len;
}

static void got_state(struct asker *a, const struct relay_record *rec)
{
    buf_consume(&a->states, buf_len(&a->states));
    assert_int_equal(buf_append(&a->states, rec->payload.p, rec->payload.len), 0);
    memset(&a->state, 0, sizeof a->state);
    assert_int_equal(relay_state_decode(buf_slice(&a->states), &a->state), 0);
    a->state_count++;
    if (a->frames > 0)
        a->first = a->last + 1;
}

static void got_record(struct asker *a, const struct relay_record *rec)
{
    switch (rec->type) {
    case RELAY_STATE:
        got_state(a, rec);
        break;
    case RELAY_FRAME:
        assert_true(a->state_count > 0);
        got_frame(a, rec);
        break;
    case RELAY_KEEPALIVE:
        a->keepalives++;
        break;
    case RELAY_END:
        assert_int_equal(relay_end_decode(rec->payload, &a->end), 0);
        a->has_end = true;
        break;
    case RELAY_CUT:
        assert_int_equal(relay_cut_take(&a->cut, rec), 0);
        break;
    case RELAY_GAP:
        assert_int_equal(relay_gap_decode(rec->payload, &a->gap_first), 0);
        a->has_gap = true;
        break;
    case RELAY_ACCEPTED:
    case RELAY_WANT_KEY:
    case RELAY_UNKNOWN:
        fail();
    }
}

static ssize_t got_body(struct relay_call *c, struct slice bytes, void *owner)
{
    struct asker *a = owner;
    struct relay_record rec;
    if (a->status != 200 || bytes.p[0] == '{') {
        assert_int_equal(buf_append(&a->body, bytes.p, bytes.len), 0);
        return (ssize_t)bytes.len;
    }
    ssize_t n = relay_record_read(bytes.p, bytes.len, &rec);
    if (n > 0)
        got_record(a, &rec);
    return n;
}

static void got_end(enum close_reason why, void *owner)
{
    struct asker *a = owner;
    a->call = NULL;
    a->ended = true;
    a->why = why;
}

static const struct relay_call_ops asker_ops = {
    .on_head = got_head, .on_body = got_body, .on_end = got_end};

static void ask_as(struct asker *a, const struct relay_node *from, const struct relay_node *to,
                   const char *path, const char *method, const char *target, const char *body)
{
    memset(a, 0, sizeof *a);
    buf_init(&a->body, 4096);
    buf_init(&a->states, 1 << 20);
    const struct relay_call_options o = {
        .address = to->address,
        .peer = to->id.node,
        .method = method,
        .target = target,
        .path = path,
        .body = slice_text(body),
        .head_deadline_ms = 5000,
        .unread_max = RELAY_RECORD_MAX,
    };
    a->call = relay_call_start(from->f->w, &from->client, &o, &asker_ops, a);
}

static void asker_fini(struct asker *a)
{
    relay_call_cancel(&a->call);
    buf_fini(&a->body);
    buf_fini(&a->states);
}

/* --- the tests --- */

struct world {
    struct net_fixture f;
    struct relay_node origin, edge;
    struct asker a;
};

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    fixture_open(&w->f);
    relay_config(&w->f.config);
    node_open(&w->origin, &w->f, "o1", 11);
    node_open(&w->edge, &w->f, "e1", 21);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    asker_fini(&w->a);
    node_close(&w->edge);
    node_close(&w->origin);
    assert_int_equal(METRIC_GET(w->f.w->metrics.relays), 0);
    fixture_close(&w->f);
    free(w);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static void get(struct world *w, const char *query)
{
    char target[256];
    asker_fini(&w->a);
    snprintf(target, sizeof target, "/relay/v1/" RELAY_STREAM "%s", query);
    ask_as(&w->a, &w->edge, &w->origin, NULL, "GET", target, "");
}

static void a_flow_begins_at_the_newest_key_frame(void **state)
{
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 25); /* keys at 2, 12, 22 */
    get(w, "");
    TURN_UNTIL(&w->f, w->a.last == 25);
    assert_int_equal(w->a.status, 200);
    assert_int_equal(w->a.first, 22);
    assert_int_equal(w->a.state_count, 1);
    const struct relay_state *s = &w->a.state;
    assert_int_equal(s->version, RELAY_STATE_VERSION);
    assert_int_equal(s->epoch, 100);
    assert_int_equal(s->instance, 11);
    assert_true(slice_is(s->path, "o1"));
    assert_int_equal(s->first_seq, 2);
    assert_int_equal(s->head_seq, 1);
    assert_int_equal(s->tail_seq, 25);
    assert_int_equal(s->segment_ms, 2000);
    assert_int_equal(s->window_segments, 6);
    assert_int_equal(s->base_msn, 500);
    assert_int_equal(s->frame_rate_milli, 25000);
    assert_int_equal(s->peak_bps, 1200);
    assert_int_equal(s->date_base_us, 1700000000000000);
    assert_int_equal(s->track_count, 1);
    assert_int_equal(s->tracks[0].codec, 0x61766331);
    assert_int_equal(s->in_force_count, 1);
    assert_int_equal(s->in_force[0].seq, 1);
    assert_false(s->lost);
    assert_int_equal(w->origin.feed->viewers[VIEWER_RELAY], 1);

    node_frames(&w->origin, 1);
    TURN_UNTIL(&w->f, w->a.last == 26);
    feed_end(w->origin.feed, CLOSE_UNPUBLISHED);
    TURN_UNTIL(&w->f, w->a.ended);
    assert_true(w->a.has_end);
    assert_int_equal(w->a.end.reason, RELAY_END_STREAM);
    assert_int_equal(w->a.why, CLOSE_FINISHED);
    assert_int_equal(METRIC_GET(w->f.w->metrics.frames_relayed_total), 5);
}

static void a_run_without_a_key_frame_is_sent_whole(void **state)
{
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 1);
    get(w, "");
    TURN_UNTIL(&w->f, w->a.last == 1);
    assert_int_equal(w->a.state.in_force_count, 0);
    assert_int_equal(w->a.state.first_seq, 0);
}

static void a_flow_goes_on_from_a_place(void **state)
{
    static const struct {
        const char *query;
        uint64_t first;
    } table[] = {
        {"?from=100.7", 7},   {"?from=100.1", 1},
        {"?from=100.27", 22},                       /* not yet: the newest key frame */
        {"?from=99.7", 22},   {"?from=100.26", 26}, /* what comes next */
    };
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 25);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        get(w, table[i].query);
        TURN_UNTIL(&w->f, w->a.state_count == 1);
        if (table[i].first == 26)
            node_frames(&w->origin, 1);
        uint64_t last = log_newest(w->origin.feed->log)->next - 1;
        TURN_UNTIL(&w->f, w->a.last == last);
        assert_int_equal(w->a.first, table[i].first);
        assert_int_equal(w->a.frames, last - table[i].first + 1);
    }
}

static void a_whole_run_begins_where_it_is_held(void **state)
{
    struct world *w = *state;
    w->f.config.stream.window_ms = 1000;
    node_publish(&w->origin, 100);
    feed_set_plan(w->origin.feed, &(struct cut_plan){0}); /* HLS needs nothing of it */
    node_frames(&w->origin, 45);                          /* the first 20 have left the window */
    uint64_t oldest = run_key_from(log_newest(w->origin.feed->log), 0)->seq;
    assert_true(oldest > 2 && oldest < 42);
    get(w, "?from=100.1");
    TURN_UNTIL(&w->f, w->a.last == 45);
    assert_int_equal(w->a.first, oldest);
    assert_int_equal(w->a.state.in_force_count, 1);
}

static void the_past_is_a_finite_answer(void **state)
{
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 25);
    get(w, "?epoch=100&from=1&to=21");
    TURN_UNTIL(&w->f, w->a.ended);
    assert_int_equal(w->a.first, 1);
    assert_int_equal(w->a.last, 21);
    assert_int_equal(w->a.frames, 21);
    assert_true(w->a.has_end);
    assert_int_equal(w->a.state.in_force_count, 0);

    get(w, "?epoch=100&from=3&to=21"); /* from the first key frame after it */
    TURN_UNTIL(&w->f, w->a.ended);
    assert_int_equal(w->a.first, 12);
    assert_int_equal(w->a.frames, 10);
    assert_int_equal(w->a.state.in_force_count, 1);
}

/* For the owner that follows: the run before its own, once that is over. */
static void the_run_before_is_a_finite_answer(void **state)
{
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 25);
    get(w, "?before=200");
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays) == 1);
    for (int i = 0; i < 20; i++)
        fixture_turn(&w->f);
    assert_int_equal(w->a.status, 0);
    feed_set_last(w->origin.feed, 25);
    TURN_UNTIL(&w->f, w->a.ended);
    assert_int_equal(w->a.frames, 25);
    assert_int_equal(w->a.state.epoch, 100);
    assert_int_equal(w->a.state.last_seq, 25);
    assert_true(w->a.has_end);

    node_publish(&w->origin, 150); /* without segments: no trace */
    node_frames(&w->origin, 1);
    node_publish(&w->origin, 300);
    node_frames(&w->origin, 12);
    get(w, "?before=200");
    TURN_UNTIL(&w->f, w->a.ended);
    assert_int_equal(w->a.state.epoch, 100);
    assert_int_equal(w->a.frames, 25);

    node_publish(&w->origin, 400); /* and what became of the one before is not known */
    get(w, "?before=400");
    TURN_UNTIL(&w->f, w->a.ended);
    assert_int_equal(w->a.status, 404);
}

/* It may begin where a viewer could not. */
static void a_part_is_a_finite_answer(void **state)
{
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 15);
    struct frame *f = test_frame(16, 100);
    struct cut cut = *run_frame(log_newest(w->origin.feed->log), 12)->cut;
    cut.part = 1;
    cut.start_us = f->dts_us;
    cut.track_count = 0;
    frame_set_cut(f, &cut);
    feed_append(w->origin.feed, f);
    get(w, "?epoch=100&from=16&to=16");
    TURN_UNTIL(&w->f, w->a.ended);
    assert_int_equal(w->a.first, 16);
    assert_int_equal(w->a.frames, 1);
    assert_int_equal(w->a.cut_seq, 16);
    assert_int_equal(w->a.state.in_force_count, 1);
    assert_true(same_cut(&w->a.cut.cut, &cut));
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *path, *target;
        int status;
    } table[] = {
        {NULL, "/relay/v1/live/other", 404},
        {NULL, "/relay/v1/live/cam?epoch=100&from=1&to=26", 404},
        {NULL, "/relay/v1/live/cam?epoch=99&from=1&to=5", 404},
        {NULL, "/relay/v1/live/cam?epoch=100&from=6&to=5", 400},
        {NULL, "/relay/v1/live/cam?epoch=100&to=5", 400},
        {NULL, "/relay/v1/live/cam?from=100", 400},
        {NULL, "/relay/v1/live/cam?before=100", 404},
        {NULL, "/relay/v1/live/cam?before=0", 400},
        {NULL, "/relay/v1/live/cam?before=x", 400},
        {NULL, "/relay/v1/live/cam?from=x.1", 400},
        {NULL, "/relay/v1/live/cam.flv", 400},
        {"e1,o1", "/relay/v1/live/cam", 508},
        {"a,b,c,d,e1", "/relay/v1/live/cam", 508},
        {"a,,e1", "/relay/v1/live/cam", 400},
        {NULL, "/relay/v1/live/other?probe=1", 404},
    };
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 25);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        asker_fini(&w->a);
        ask_as(&w->a, &w->edge, &w->origin, table[i].path, "GET", table[i].target, "");
        TURN_UNTIL(&w->f, w->a.ended);
        assert_int_equal(w->a.status, table[i].status);
    }
}

static void a_claimed_stream_is_waited_for(void **state)
{
    struct world *w = *state;
    w->origin.feed = feed_hold(w->origin.hub, w->f.w, RELAY_STREAM);
    get(w, "");
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays) == 1);
    assert_int_equal(w->a.status, 0);
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 3);
    TURN_UNTIL(&w->f, w->a.last == 3);

    get(w, "?from=101.1"); /* a run that has not begun, and does not */
    TURN_UNTIL(&w->f, w->a.ended);
    assert_int_equal(w->a.status, 409);
    get(w, "?from=101.1");
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.relays) == 1);
    node_publish(&w->origin, 101);
    node_frames(&w->origin, 3);
    TURN_UNTIL(&w->f, w->a.frames == 3);
    assert_int_equal(w->a.state.epoch, 101);
}

static void only_the_secret_opens(void **state)
{
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 3);
    w->edge.id.secret = "another secret!!";
    get(w, "");
    TURN_UNTIL(&w->f, w->a.ended);
    assert_int_equal(w->a.status, 403);
    w->edge.id.secret = "";
    get(w, "");
    TURN_UNTIL(&w->f, w->a.ended);
    assert_true(w->a.status == 401 || w->a.status == 403);
    assert_int_equal(METRIC_GET(w->f.w->metrics.relay_auth_failed_total), 2);
    assert_int_equal(METRIC_GET(w->f.w->metrics.relays_total), 0);
}

static int64_t an_hour_later(void)
{
    return clock_wall_us() / 1000 + 3600000;
}

static void a_clock_that_is_off_is_learned(void **state)
{
    struct world *w = *state;
    node_shut(&w->origin);
    relay_server_free(&w->origin.relay);
    const struct relay_options o = {.hub = w->origin.hub,
                                    .identity = &w->origin.id,
                                    .guard = w->origin.guard,
                                    .wall_ms = an_hour_later};
    w->origin.relay = relay_server_new(&o);
    node_listen(&w->origin);
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 3);
    get(w, "");
    TURN_UNTIL(&w->f, w->a.last == 3);
    assert_int_equal(w->a.status, 200);
    assert_true(relay_offset_get(w->edge.client.offsets, "o1") > 3590000);
    assert_true(METRIC_GET(w->f.w->metrics.clock_offset_ms_max) > 3590000);
    assert_int_equal(METRIC_GET(w->f.w->metrics.relay_auth_failed_total), 1);
    get(w, ""); /* known now */
    TURN_UNTIL(&w->f, w->a.last == 3);
    assert_int_equal(METRIC_GET(w->f.w->metrics.relay_auth_failed_total), 1);
}

static void news_are_told_by_states(void **state)
{
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 12);
    get(w, "");
    TURN_UNTIL(&w->f, w->a.last == 12);
    feed_lost(w->origin.feed);
    TURN_UNTIL(&w->f, w->a.state_count == 2);
    assert_true(w->a.state.lost);
    feed_resumed(w->origin.feed);
    TURN_UNTIL(&w->f, w->a.state_count == 3);
    assert_false(w->a.state.lost);

    node_publish(&w->origin, 200);
    TURN_UNTIL(&w->f, w->a.state_count == 4);
    assert_int_equal(w->a.state.epoch, 200);
    node_frames(&w->origin, 2);
    TURN_UNTIL(&w->f, w->a.last == 2);
}

static void silence_is_filled_with_keepalives(void **state)
{
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 3);
    get(w, "");
    int64_t start_us = clock_us();
    TURN_UNTIL(&w->f, w->a.keepalives == 2);
    assert_true(clock_us() - start_us >= (RELAY_KEEPALIVE_MS * 2 - 50) * 1000);
}

static void out_of_the_log_is_a_gap(void **state)
{
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 12);
    get(w, "");
    TURN_UNTIL(&w->f, w->a.last == 12);
    feed_restart(w->origin.feed, 100, NULL);
    TURN_UNTIL(&w->f, w->a.ended);
    assert_true(w->a.has_gap);
    assert_int_equal(w->a.gap_first, 100);
    assert_int_equal(METRIC_GET(w->f.w->metrics.relay_gaps_total), 1);
}

static void large_frames_arrive_whole(void **state)
{
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames_of(&w->origin, 102, 150000);
    get(w, "?from=100.1");
    TURN_UNTIL(&w->f, w->a.last == 102);
    assert_int_equal(w->a.frames, 102);
    node_frames_of(&w->origin, 1, FRAME_BYTES_MAX);
    TURN_UNTIL(&w->f, w->a.last == 103);
    assert_int_equal(w->a.bytes, 102 * 150000 + FRAME_BYTES_MAX);
}

static void every_end_has_its_reason(void **state)
{
    static const struct {
        enum close_reason why;
        enum relay_end_reason reason;
    } table[] = {
        {CLOSE_UNPUBLISHED, RELAY_END_STREAM}, {CLOSE_FENCED, RELAY_END_MOVED},
        {CLOSE_DRAIN, RELAY_END_DRAIN},        {CLOSE_KICKED, RELAY_END_KICKED},
        {CLOSE_SOURCE_LOST, RELAY_END_STREAM},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        node_publish(&w->origin, 100 + i);
        node_frames(&w->origin, 3);
        get(w, "");
        TURN_UNTIL(&w->f, w->a.last == 3);
        feed_end(w->origin.feed, table[i].why);
        TURN_UNTIL(&w->f, w->a.ended);
        assert_int_equal(w->a.end.reason, table[i].reason);
    }
    get(w, ""); /* an ended run is there for a while */
    TURN_UNTIL(&w->f, w->a.ended);
    assert_int_equal(w->a.frames, 2);
    assert_true(w->a.has_end);
}

static void a_replica_says_where_it_comes_from(void **state)
{
    struct world *w = *state;
    struct run_origin *from = run_origin_new(77, slice_text("o7,o8"));
    node_publish(&w->origin, 100);
    feed_set_origin(w->origin.feed, from);
    feed_set_plan(w->origin.feed, &(struct cut_plan){.segment_ms = 4000, .part_ms = 400});
    run_origin_unref(&from);
    node_frames(&w->origin, 3);
    get(w, "");
    TURN_UNTIL(&w->f, w->a.last == 3);
    assert_int_equal(w->a.state.instance, 77);
    assert_int_equal(w->a.state.segment_ms, 4000);
    assert_true(slice_is(w->a.state.path, "o7,o8,o1"));
}

static void a_probe_names_the_run(void **state)
{
    struct world *w = *state;
    node_publish(&w->origin, 100);
    node_frames(&w->origin, 3);
    get(w, "?probe=1");
    TURN_UNTIL(&w->f, w->a.ended);
    assert_int_equal(w->a.status, 200);
    assert_int_equal(buf_append(&w->a.body, "", 1), 0);
    const char *text = (const char *)buf_slice(&w->a.body).p;
    assert_non_null(strstr(text, "\"epoch\":\"100\""));
    assert_non_null(strstr(text, "\"instance\":\"000000000000000b\""));
    assert_non_null(strstr(text, "\"owner\":true"));
    assert_non_null(strstr(text, "\"fed\":false"));
    assert_non_null(strstr(text, "\"path\":\"o1\""));
    assert_non_null(strstr(text, "\"msn\":500"));
    assert_non_null(strstr(text, "\"part\":0"));
    feed_end(w->origin.feed, CLOSE_UNPUBLISHED);
    get(w, "?probe=1");
    TURN_UNTIL(&w->f, w->a.ended);
    assert_int_equal(w->a.status, 404);
}

struct wished {
    struct feed_source source;
    int keys;
};

static void on_want_key(struct feed_source *s)
{
    container_of(s, struct wished, source)->keys++;
}

static void on_displaced(struct feed_source *s, enum close_reason why)
{
}

static void a_wish_for_a_key_frame_reaches_the_source(void **state)
{
    static const struct feed_source_ops ops = {.on_displaced = on_displaced,
                                               .on_want_key = on_want_key};
    static const char target[] = "/relay/v1/" RELAY_STREAM "/want";
    static const struct {
        const char *body;
        int status, keys;
    } table[] = {
        {"{\"key\":true}", 204, 1},
        {"{\"key\":true}", 204, 1}, /* collapsed */
        {"{\"later\":1}", 204, 1},
        {"[]", 400, 1},
        {"", 400, 1},
    };
    struct world *w = *state;
    struct wished s = {.source = {.ops = &ops, .kind = "publish"}};
    node_publish(&w->origin, 100);
    feed_attach_source(w->origin.feed, &s.source);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        asker_fini(&w->a);
        ask_as(&w->a, &w->edge, &w->origin, NULL, "POST", target, table[i].body);
        TURN_UNTIL(&w->f, w->a.ended);
        assert_int_equal(w->a.status, table[i].status);
        assert_int_equal(s.keys, table[i].keys);
    }
    feed_detach_source(&s.source);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_flow_begins_at_the_newest_key_frame),
        T(a_run_without_a_key_frame_is_sent_whole),
        T(a_flow_goes_on_from_a_place),
        T(a_whole_run_begins_where_it_is_held),
        T(the_past_is_a_finite_answer),
        T(a_part_is_a_finite_answer),
        T(the_run_before_is_a_finite_answer),
        T(what_is_refused),
        T(a_claimed_stream_is_waited_for),
        T(only_the_secret_opens),
        T(a_clock_that_is_off_is_learned),
        T(news_are_told_by_states),
        T(silence_is_filled_with_keepalives),
        T(out_of_the_log_is_a_gap),
        T(large_frames_arrive_whole),
        T(every_end_has_its_reason),
        T(a_replica_says_where_it_comes_from),
        T(a_probe_names_the_run),
        T(a_wish_for_a_key_frame_reaches_the_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
