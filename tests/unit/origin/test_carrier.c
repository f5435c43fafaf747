#include "relay_node.h"

#include "base/err.h"
#include "media/relay_frames.h"
#include "origin/carried.h"
#include "origin/carrier.h"

#include <stdio.h>

/*
 * An edge whose publishers are carried on to origins: two real ones (a, b), and one that says what
 * the test wants (stub).
 */

/* --- a cluster that says what the test tells it to --- */

struct cluster {
    struct cluster_self self;
    enum claim_verdict verdict;
    uint64_t epoch;
    int claims, releases;
    char publisher[CLUSTER_PUBLISHER_MAX]; /* of the last claim */
    struct cluster_node nodes[3];
    size_t node_count;
};

struct answer {
    struct message m;
    struct cluster *c;
    cluster_claim_done *claimed;
    cluster_nodes_done *nodes;
    void (*released)(void *arg);
    void *arg;
};

static void run_answer(struct message *m)
{
    struct answer *a = container_of(m, struct answer, m);
    struct cluster *c = a->c;
    if (a->claimed != NULL)
        a->claimed(&(struct cluster_claimed){.verdict = c->verdict, .epoch = c->epoch}, a->arg);
    else if (a->nodes != NULL)
        a->nodes(c->nodes, c->node_count, a->arg);
    else if (a->released != NULL)
        a->released(a->arg);
    free(a);
}

static struct answer *answer_new(struct cluster *c, struct worker *caller, void *arg)
{
    struct answer *a = xcalloc(1, sizeof *a);
    *a = (struct answer){.m.run = run_answer, .c = c, .arg = arg};
    worker_post(caller, &a->m);
    return a;
}

const struct cluster_self *cluster_self(const struct cluster *c)
{
    return &c->self;
}

const char *claim_verdict_name(enum claim_verdict v)
{
    return "said";
}

struct worker *cluster_worker(const struct cluster *c)
{
    fail();
    return NULL;
}

void cluster_acquire(struct cluster *c, struct worker *caller, const struct cluster_claim *claim,
                     cluster_claim_done *done, void *arg)
{
    c->claims++;
    c->epoch += 100;
    strcpy(c->publisher, claim->publisher); /* NOLINT: the same type */
    answer_new(c, caller, arg)->claimed = done;
}

void cluster_set_lost(struct cluster *c, const char *name, uint64_t epoch, bool lost)
{
}

void cluster_set_next(struct cluster *c, const char *name, uint64_t epoch, int64_t msn, int64_t dsn,
                      int tracks)
{
}

void cluster_release(struct cluster *c, const char *name, uint64_t epoch, const char *why,
                     struct worker *caller, void (*done)(void *arg), void *arg)
{
    c->releases++;
    answer_new(c, caller, arg)->released = done;
}

void cluster_revalidate(struct cluster *c, struct worker *caller, void (*done)(void *arg),
                        void *arg)
{
}

void cluster_known_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done,
                         void *arg)
{
    answer_new(c, caller, arg)->nodes = done;
}

void cluster_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done, void *arg)
{
    cluster_known_nodes(c, caller, done, arg);
}

bool cluster_is_up(const struct cluster *c)
{
    return true;
}

/* --- the world --- */

struct origin {
    struct relay_node node;
    struct ingest *ingest;
    struct carried_server carried;
};

/* The publisher at the edge. */
struct source {
    struct publisher *p;
    int accepted, refused, ended, keys, full, room;
    enum close_reason why;
    uint64_t next; /* of test_frame() */
};

struct world {
    struct net_fixture f;
    struct cluster cluster;
    struct origin a, b;
    struct relay_node stub, edge;
    struct ingest *ingest;
    struct source s;

    struct http_exchange *x; /* at the stub */
    const char *word;        /* what the stub ends with, once accepted (or, with `deny`, before) */
    bool deny, mute, garbage;
    int posts;
    uint64_t last_seq, frames, keepalives, holes;
    struct relay_end end;
    char end_text[RELAY_END_TEXT_MAX + 1];
    bool body_ended;
};

static void on_accepted(void *owner, uint64_t epoch)
{
    ((struct source *)owner)->accepted++;
    assert_true(epoch > 0);
}

static void on_refused(void *owner, enum close_reason why, const char *text)
{
    struct source *s = owner;
    assert_non_null(text);
    s->refused++;
    s->why = why;
}

static void on_ended(void *owner, enum close_reason why)
{
    struct source *s = owner;
    s->ended++;
    s->why = why;
}

static void on_want_key(void *owner)
{
    ((struct source *)owner)->keys++;
}

static void on_full(void *owner, bool full)
{
    struct source *s = owner;
    s->full += full;
    s->room += !full;
}

static const struct publisher_ops source_ops = {.on_accepted = on_accepted,
                                                .on_refused = on_refused,
                                                .on_ended = on_ended,
                                                .on_want_key = on_want_key,
                                                .on_full = on_full};

static void publish_as(struct world *w, const char *identity)
{
    w->s = (struct source){.next = 1};
    w->s.p = publisher_open(w->ingest, w->f.w,
                            &(struct publisher_options){.name = RELAY_STREAM,
                                                        .identity = identity,
                                                        .proto = "rtmp",
                                                        .peer = "10.0.0.1:5",
                                                        .ops = &source_ops,
                                                        .owner = &w->s});
}

static void publish(struct world *w)
{
    publish_as(w, "");
    TURN_UNTIL(&w->f, w->s.accepted == 1);
}

static void push_of(struct world *w, int count, size_t size)
{
    for (int i = 0; i < count; i++, w->s.next++) {
        struct frame *f = test_frame(w->s.next, size);
        assert_int_equal(publisher_push(w->s.p, 9, (uint32_t)f->wire_ms, frame_payload(f)), 0);
        frame_unref(&f);
        publisher_flush(w->s.p);
    }
}

static void push(struct world *w, int count)
{
    push_of(w, count, 100);
}

static const struct run *run_at(struct world *w, struct origin *o)
{
    struct feed *f = feed_find(o->node.hub, w->f.w, RELAY_STREAM);
    return f != NULL ? log_newest(f->log) : NULL;
}

static bool has_frames(struct world *w, struct origin *o, uint64_t count)
{
    const struct run *run = run_at(w, o);
    return run != NULL && run->next == count + 1;
}

static void same_as_published(const struct frame *f, uint64_t published, uint64_t first)
{
    struct frame *like = test_frame(published, 100);
    assert_true(slice_eq(frame_payload(f), frame_payload(like)));
    assert_int_equal(f->wire_ms, like->wire_ms);
    assert_int_equal(f->flags, like->flags);
    assert_int_equal(f->codec, like->codec);
    assert_int_equal(f->dts_us, (int64_t)(published - first) * 40000);
    frame_unref(&like);
}

static void add_node(struct world *w, const struct relay_node *n)
{
    struct cluster_node *to = &w->cluster.nodes[w->cluster.node_count++];
    *to = (struct cluster_node){.role = "origin", .state = "up"};
    snprintf(to->id, sizeof to->id, "%s", n->id.node);
    snprintf(to->address, sizeof to->address, "%s", n->address);
}

static void open_origin(struct world *w, struct origin *o, const char *id, uint64_t instance)
{
    node_open(&o->node, &w->f, id, instance);
    o->ingest = ingest_new(&w->f.group, o->node.hub, &w->cluster);
    o->carried = (struct carried_server){o->ingest, o->node.relay};
    node_shut(&o->node);
    carried_routes(&o->carried, &o->node.routes[RELAY_ROUTES]);
    o->node.more = CARRIED_ROUTES;
    node_listen(&o->node);
}

/* --- the stub --- */

static void stub_say(struct world *w, enum relay_type type, struct slice payload)
{
    struct buf b;
    const struct relay_record rec = {.type = type, .payload = payload};
    buf_init(&b, 1024);
    assert_int_equal(relay_record_append(&b, &rec), 0);
    assert_int_equal(http_stream_write(w->x, buf_slice(&b)), 0);
    buf_fini(&b);
}

static void stub_accept(struct world *w)
{
    uint8_t room[8];
    struct wr wr = wr_init(room, sizeof room);
    relay_accepted_write(&wr, 77);
    stub_say(w, RELAY_ACCEPTED, wr_slice(&wr));
}

static void stub_end(struct world *w, const char *word)
{
    uint8_t room[64];
    struct wr wr = wr_init(room, sizeof room);
    relay_end_write(&wr, &(struct relay_end){RELAY_END_STREAM, slice_text(word)});
    stub_say(w, RELAY_END, wr_slice(&wr));
}

static ssize_t stub_body(struct http_exchange *x, struct slice bytes, void *owner)
{
    struct world *w = owner;
    struct relay_record rec;
    ssize_t n = relay_record_read(bytes.p, bytes.len, &rec);
    assert_true(n >= 0);
    if (n == 0)
        return 0;
    if (rec.type == RELAY_FRAME) {
        bool hole = rec.seq > w->last_seq + 1;
        assert_true(!hole || (rec.flags & (FRAME_CONFIG | FRAME_KEY)) != 0);
        w->holes += hole;
        w->last_seq = rec.seq;
        w->frames++;
    }
    w->keepalives += rec.type == RELAY_KEEPALIVE;
    if (rec.type == RELAY_END) {
        assert_int_equal(relay_end_decode(rec.payload, &w->end), 0);
        slice_copy(w->end.text, w->end_text, sizeof w->end_text);
    }
    return n;
}

static void stub_body_end(struct http_exchange *x, void *owner)
{
    struct world *w = owner;
    w->body_ended = true;
    w->x = NULL;
    http_stream_end(x, CLOSE_FINISHED);
}

static void stub_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    ((struct world *)owner)->x = NULL;
}

static void stub_handle(struct http_exchange *x, const struct http_request *req, void *arg)
{
    static const struct http_exchange_ops ops = {
        .on_gone = stub_gone, .on_body = stub_body, .on_body_end = stub_body_end};
    struct world *w = arg;
    w->posts++;
    w->x = x;
    http_exchange_watch(x, &ops, w);
    http_stream(x, 200, NULL, 0);
    if (w->mute)
        return;
    if (w->garbage)
        assert_int_equal(http_stream_write(x, slice_text("\0\0\0\1x")), 0);
    if (!w->deny)
        stub_accept(w);
    if (w->word != NULL)
        stub_end(w, w->word);
}

static void use_stub(struct world *w)
{
    w->stub.routes[RELAY_ROUTES] = (struct http_route){.method = "POST",
                                                       .pattern = "/relay/v1/*/*/publish",
                                                       .handle = stub_handle,
                                                       .arg = w,
                                                       .body_unread_max = 1 << 20};
    node_shut(&w->stub);
    w->stub.more = 1;
    node_listen(&w->stub);
    w->cluster.node_count = 0;
    add_node(w, &w->stub);
}

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    fixture_open(&w->f);
    relay_config(&w->f.config);
    w->f.config.stream.publisher_timeout_ms = 60000;
    w->f.config.stream.lost_ms = 60000;
    open_origin(w, &w->a, "o1", 11);
    open_origin(w, &w->b, "o2", 12);
    node_open(&w->stub, &w->f, "s1", 13);
    node_open(&w->edge, &w->f, "e1", 21);
    w->ingest = ingest_new(&w->f.group, w->edge.hub, &w->cluster);
    ingest_carry(w->ingest, &w->edge.client);
    w->cluster.verdict = CLAIM_GRANTED;
    w->cluster.self.instance = 21;
    add_node(w, &w->a.node);
    *state = w;
    return 0;
}

static void turns(struct world *w)
{
    for (int i = 0; i < 20; i++)
        fixture_turn(&w->f);
}

static void close_origin(struct world *w, struct origin *o)
{
    node_shut(&o->node);
    turns(w);
    ingest_free(&o->ingest);
    node_close(&o->node);
}

static int teardown(void **state)
{
    struct world *w = *state;
    publisher_close(&w->s.p, true);
    turns(w);
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.publishers) <= 1);
    assert_int_equal(METRIC_GET(w->f.w->metrics.carried_publishers) > 1, 0);
    node_close(&w->stub);
    ingest_free(&w->ingest);
    assert_int_equal(METRIC_GET(w->f.w->metrics.carried_publishers), 0);
    close_origin(w, &w->a);
    close_origin(w, &w->b);
    node_close(&w->edge);
    fixture_close(&w->f);
    free(w);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

/* --- with real origins --- */

static void frames_arrive_as_published(void **state)
{
    struct world *w = *state;
    publish(w);
    push(w, 25);
    TURN_UNTIL(&w->f, has_frames(w, &w->a, 25));
    for (uint64_t i = 1; i <= 25; i++)
        same_as_published(run_frame(run_at(w, &w->a), i), i, 1);
    assert_int_equal(METRIC_GET(w->f.w->metrics.frames_carried_total), 25);
    assert_int_equal(METRIC_GET(w->f.w->metrics.carried_publishers), 1);
    assert_int_equal(strlen(w->cluster.publisher), CLUSTER_PUBLISHER_MAX - 1);
}

static void large_frames_arrive_whole(void **state)
{
    struct world *w = *state;
    publish(w);
    push(w, 1);
    push_of(w, 11, 700000);
    push_of(w, 1, FRAME_BYTES_MAX);
    TURN_UNTIL(&w->f, has_frames(w, &w->a, 13));
    assert_int_equal(run_frame(run_at(w, &w->a), 13)->size, FRAME_BYTES_MAX);
}

static enum feed_state state_at(struct world *w, struct origin *o)
{
    return feed_find(o->node.hub, w->f.w, RELAY_STREAM)->state;
}

static void a_goodbye_ends_the_stream(void **state)
{
    struct world *w = *state;
    w->a.node.feed = feed_hold(w->a.node.hub, w->f.w, RELAY_STREAM);
    publish(w);
    push(w, 5);
    publisher_close(&w->s.p, true); /* with frames under way */
    TURN_UNTIL(&w->f, state_at(w, &w->a) == FEED_ENDED);
    assert_int_equal(run_at(w, &w->a)->next, 6);
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.carried_publishers) == 0);
    assert_int_equal(w->cluster.releases, 1);
}

static void a_lost_publisher_may_come_back(void **state)
{
    struct world *w = *state;
    publish_as(w, "me");
    TURN_UNTIL(&w->f, w->s.accepted == 1);
    assert_string_equal(w->cluster.publisher, "me");
    push(w, 5);
    publisher_close(&w->s.p, false);
    TURN_UNTIL(&w->f, run_at(w, &w->a) != NULL && state_at(w, &w->a) == FEED_LOST);
    publish_as(w, "me");
    TURN_UNTIL(&w->f, w->s.accepted == 1);
    push(w, 3);
    TURN_UNTIL(&w->f, has_frames(w, &w->a, 3));
    assert_int_equal(state_at(w, &w->a), FEED_LIVE);
}

/* The origin is gone: the next begins with what is in force, at the newest key frame. */
static void another_origin_goes_on(void **state)
{
    struct world *w = *state;
    publish(w);
    push(w, 25); /* key frames: 2, 12, 22 */
    TURN_UNTIL(&w->f, has_frames(w, &w->a, 25));
    char identity[CLUSTER_PUBLISHER_MAX];
    memcpy(identity, w->cluster.publisher, sizeof identity);
    node_shut(&w->a.node);
    add_node(w, &w->b.node);
    push(w, 2); /* while nobody takes them */
    TURN_UNTIL(&w->f, has_frames(w, &w->b, 7));
    const struct run *run = run_at(w, &w->b);
    const struct frame *config = run_frame(run, 1);
    assert_int_equal(config->flags, FRAME_CONFIG);
    assert_int_equal(config->wire_ms, 5000 + 22 * 40);
    assert_int_equal(config->dts_us, 0);
    for (uint64_t i = 2; i <= 7; i++)
        same_as_published(run_frame(run, i), i + 20, 22);
    push(w, 10);
    TURN_UNTIL(&w->f, has_frames(w, &w->b, 17));
    assert_string_equal(w->cluster.publisher, identity);
    assert_int_equal(w->s.accepted, 1);
    assert_int_equal(w->s.ended, 0);
    assert_int_equal(METRIC_GET(w->f.w->metrics.carry_reconnects_total), 1);
}

static void an_origin_that_leaves_hands_over(void **state)
{
    struct world *w = *state;
    publish(w);
    push(w, 5);
    TURN_UNTIL(&w->f, has_frames(w, &w->a, 5));
    add_node(w, &w->b.node);
    ingest_drain(w->a.ingest, w->f.w, 60000);
    TURN_UNTIL(&w->f, has_frames(w, &w->b, 5));
    assert_int_equal(w->s.ended, 0);
}

static void kicked(void **state)
{
    struct world *w = *state;
    publish(w);
    push(w, 5);
    TURN_UNTIL(&w->f, has_frames(w, &w->a, 5));
    ingest_kick(w->a.ingest, w->f.w, RELAY_STREAM, CLOSE_KICKED, NULL, NULL);
    TURN_UNTIL(&w->f, w->s.ended == 1);
    assert_int_equal(w->s.why, CLOSE_KICKED);
    push(w, 5); /* too late, and harmless */
}

static void a_wish_for_a_key_frame_comes_back(void **state)
{
    struct world *w = *state;
    publish(w);
    push(w, 5);
    TURN_UNTIL(&w->f, has_frames(w, &w->a, 5));
    feed_want_key(feed_find(w->a.node.hub, w->f.w, RELAY_STREAM));
    TURN_UNTIL(&w->f, w->s.keys == 1);
}

static void a_taken_name_is_refused(void **state)
{
    struct world *w = *state;
    w->cluster.verdict = CLAIM_BUSY;
    publish_as(w, "");
    TURN_UNTIL(&w->f, w->s.refused == 1);
    assert_int_equal(w->s.why, CLOSE_NAME_TAKEN);
}

static void who_leaves_while_it_is_asked(void **state)
{
    struct world *w = *state;
    for (int n = 0; n < 12; n++) {
        publish_as(w, "");
        for (int i = 0; i < n; i++)
            fixture_turn(&w->f);
        publisher_close(&w->s.p, n % 2 == 0);
        turns(w);
    }
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.publishers) == 0);
}

static void a_node_that_leaves_ends_its_publishers(void **state)
{
    struct world *w = *state;
    publish(w);
    push(w, 5);
    ingest_drain(w->ingest, w->f.w, 0);
    TURN_UNTIL(&w->f, w->s.ended == 1);
    assert_int_equal(w->s.why, CLOSE_DRAIN);
    /* Its stream is lost, for it may come by another node. */
    TURN_UNTIL(&w->f, run_at(w, &w->a) != NULL && state_at(w, &w->a) == FEED_LOST);
    publisher_close(&w->s.p, false);
    publish_as(w, "");
    TURN_UNTIL(&w->f, w->s.refused == 1);
    assert_int_equal(w->s.why, CLOSE_DRAIN);
    ingest_undrain(w->ingest, w->f.w);
}

/* --- with the stub --- */

static void words_and_what_they_mean(void **state)
{
    static const struct {
        const char *word;
        bool before; /* the claim was granted */
        bool again;  /* another try */
        enum close_reason why;
    } cases[] = {
        {"kicked", false, false, CLOSE_KICKED},
        {"fenced", false, false, CLOSE_FENCED},
        {"name_taken", false, false, CLOSE_NAME_TAKEN},
        {"no_media", false, false, CLOSE_NO_MEDIA},
        {"drain", false, true, 0},
        {"overload", false, true, 0},
        {"of a later version", false, true, 0},
        {"name_taken", true, false, CLOSE_NAME_TAKEN},
        {"auth", true, false, CLOSE_AUTH},
        {"drain", true, true, 0},
        {"overload", true, true, 0},
    };
    struct world *w = *state;
    use_stub(w);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        w->posts = 0;
        w->word = cases[i].word;
        w->deny = cases[i].before;
        publish_as(w, "");
        if (cases[i].again) {
            TURN_UNTIL(&w->f, w->posts == 2);
            assert_int_equal(w->s.refused + w->s.ended, 0);
        } else {
            TURN_UNTIL(&w->f, w->s.refused + w->s.ended == 1);
            assert_int_equal(w->s.refused, cases[i].before);
            assert_int_equal(w->s.why, cases[i].why);
            assert_int_equal(w->posts, 1);
        }
        publisher_close(&w->s.p, true);
        turns(w);
    }
}

static void nonsense_is_no_origin(void **state)
{
    struct world *w = *state;
    use_stub(w);
    add_node(w, &w->a.node);
    w->cluster.nodes[1].load_percent = 50; /* the stub first */
    w->garbage = true;
    publish(w);
    assert_int_equal(w->posts, 1);
    push(w, 5);
    TURN_UNTIL(&w->f, has_frames(w, &w->a, 5));
}

/* Keepalives go both ways; a link without any is dead. */
static void a_silent_origin_is_dead(void **state)
{
    struct world *w = *state;
    use_stub(w);
    publish(w);
    push(w, 2);
    add_node(w, &w->a.node);
    int64_t start_us = clock_us();
    TURN_UNTIL(&w->f, has_frames(w, &w->a, 2));
    assert_in_range(clock_us() - start_us, (CARRY_DEAD_MS - 100) * 1000,
                    (CARRY_DEAD_MS + 3000) * 1000);
    assert_in_range(w->keepalives, 2, 5);
}

static void a_slow_link_stops_the_publisher(void **state)
{
    struct world *w = *state;
    use_stub(w);
    publish(w);
    http_exchange_pause(w->x, true);
    push(w, 1);
    int pushed = 1;
    while (w->s.full == 0) {
        assert_true(pushed++ < 100);
        push_of(w, 1, 1 << 20);
        fixture_turn(&w->f);
    }
    assert_int_equal(w->s.room, 0);
    http_exchange_pause(w->x, false);
    TURN_UNTIL(&w->f, w->s.room == 1);
    TURN_UNTIL(&w->f, w->frames == (uint64_t)pushed);
    publisher_close(&w->s.p, true);
    TURN_UNTIL(&w->f, w->body_ended);
    assert_string_equal(w->end_text, "unpublished");
}

/* What does not fit into the window is lost; what is sent then makes sense. */
static void out_of_the_window(void **state)
{
    struct world *w = *state;
    w->f.config.stream.window_bytes = 4 << 20;
    use_stub(w);
    publish(w);
    http_exchange_pause(w->x, true);
    push(w, 1);
    push_of(w, 60, 500000);
    turns(w);
    http_exchange_pause(w->x, false);
    push(w, 20);
    publisher_close(&w->s.p, true);
    TURN_UNTIL(&w->f, w->body_ended);
    assert_true(w->holes > 0 && w->frames < 81);
    assert_int_equal(w->last_seq, 81);
}

static void no_origin_takes_it(void **state)
{
    struct world *w = *state;
    w->cluster.node_count = 0;
    int64_t start_us = clock_us();
    publish_as(w, "");
    TURN_UNTIL(&w->f, w->s.refused == 1);
    assert_int_equal(w->s.why, CLOSE_NO_ORIGIN);
    assert_in_range(clock_us() - start_us, CARRY_FIRST_MS * 1000, (CARRY_FIRST_MS + 2000) * 1000);
}

/* --- the origin's side, asked by hand --- */

struct asker {
    struct relay_call *call;
    int status;
    bool ended, accepted;
    const char *body;
    size_t sent;
    char text[512]; /* the word of an end, or the text of a refusal */
};

static void ask_more(struct relay_call *c, void *owner)
{
    struct asker *a = owner;
    size_t len = a->body != NULL ? strlen(a->body) : 0;
    while (a->sent < len) {
        struct iovec iov = {(void *)(uintptr_t)(a->body + a->sent), len - a->sent};
        ssize_t n = relay_call_writev(c, &iov, 1);
        if (n <= 0)
            return;
        a->sent += (size_t)n;
    }
}

static void ask_head(struct relay_call *c, int status, void *owner)
{
    struct asker *a = owner;
    a->status = status;
    ask_more(c, a);
}

static ssize_t ask_body(struct relay_call *c, struct slice bytes, void *owner)
{
    struct asker *a = owner;
    struct relay_record rec;
    struct relay_end end;
    if (a->status != 200) {
        slice_copy(bytes, a->text, sizeof a->text);
        return (ssize_t)bytes.len;
    }
    ssize_t n = relay_record_read(bytes.p, bytes.len, &rec);
    if (n <= 0)
        return n;
    a->accepted = a->accepted || rec.type == RELAY_ACCEPTED;
    if (rec.type == RELAY_END && relay_end_decode(rec.payload, &end) == 0)
        slice_copy(end.text, a->text, sizeof a->text);
    return n;
}

static void ask_end(enum close_reason why, void *owner)
{
    struct asker *a = owner;
    a->call = NULL;
    a->ended = true;
}

static void ask(struct world *w, struct asker *a, const char *path, const char *query, bool streams)
{
    static const struct relay_call_ops ops = {
        .on_head = ask_head, .on_body = ask_body, .on_end = ask_end, .on_writable = ask_more};
    char target[256];
    snprintf(target, sizeof target, "/relay/v1/" RELAY_STREAM "/publish%s", query);
    a->call = relay_call_start(w->f.w, &w->edge.client,
                               &(struct relay_call_options){.address = w->a.node.address,
                                                            .peer = "o1",
                                                            .method = "POST",
                                                            .target = target,
                                                            .path = path,
                                                            .streams_body = streams,
                                                            .head_deadline_ms = 5000,
                                                            .unread_max = 4096},
                               &ops, a);
}

#define GOOD "?proto=rtmp&publisher=abc"

static void what_an_origin_refuses(void **state)
{
    static const struct {
        const char *path, *query;
        bool streams, edge, drain;
        int status;
        const char *code;
    } cases[] = {
        {NULL, GOOD, true, true, false, 409, "not_an_origin"},
        {NULL, GOOD, true, false, true, 503, "draining"},
        {NULL, GOOD, false, false, false, 400, "bad_body"},
        {NULL, "", true, false, false, 400, "bad_query"},
        {NULL, "?proto=&publisher=abc", true, false, false, 400, "bad_query"},
        {NULL, "?proto=rtmprtmp&publisher=abc", true, false, false, 400, "bad_query"},
        {NULL, "?proto=rtmp", true, false, false, 400, "bad_query"},
        {NULL, "?proto=rtmp&publisher=a%0ab", true, false, false, 400, "bad_query"},
        {"e1,o1", GOOD, true, false, false, 508, "loop"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct asker a = {0};
        w->f.config.node.role = cases[i].edge ? ROLE_EDGE : ROLE_NODE;
        if (cases[i].drain)
            ingest_drain(w->a.ingest, w->f.w, 0);
        ask(w, &a, cases[i].path, cases[i].query, cases[i].streams);
        TURN_UNTIL(&w->f, a.ended);
        assert_int_equal(a.status, cases[i].status);
        assert_non_null(strstr(a.text, cases[i].code));
        ingest_undrain(w->a.ingest, w->f.w);
    }
    assert_int_equal(w->cluster.claims, 0);
}

static void an_origin_does_not_wait_for_the_dead(void **state)
{
    struct world *w = *state;
    struct asker a = {0};
    int64_t start_us = clock_us();
    ask(w, &a, NULL, GOOD, true);
    TURN_UNTIL(&w->f, a.ended);
    assert_true(a.accepted);
    assert_in_range(clock_us() - start_us, CARRIED_DEAD_MS * 1000, (CARRIED_DEAD_MS + 2000) * 1000);
    assert_int_equal(METRIC_GET(w->f.w->metrics.publishers), 0);
}

static void an_origin_takes_no_nonsense(void **state)
{
    static const char *const bodies[] = {
        "nonsense, which is a length of more than a record may have",
        "\1\1\1\1", /* a record that is larger than a frame; TURN_UNTIL sees to the rest */
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct asker a = {.body = bodies[i]};
        ask(w, &a, NULL, GOOD, true);
        TURN_UNTIL(&w->f, a.ended);
        assert_int_equal(a.status, 200);
    }
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.publishers) == 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(frames_arrive_as_published),
        T(large_frames_arrive_whole),
        T(a_goodbye_ends_the_stream),
        T(a_lost_publisher_may_come_back),
        T(another_origin_goes_on),
        T(an_origin_that_leaves_hands_over),
        T(kicked),
        T(a_wish_for_a_key_frame_comes_back),
        T(a_taken_name_is_refused),
        T(who_leaves_while_it_is_asked),
        T(a_node_that_leaves_ends_its_publishers),
        T(words_and_what_they_mean),
        T(nonsense_is_no_origin),
        T(a_silent_origin_is_dead),
        T(a_slow_link_stops_the_publisher),
        T(out_of_the_window),
        T(no_origin_takes_it),
        T(what_an_origin_refuses),
        T(an_origin_does_not_wait_for_the_dead),
        T(an_origin_takes_no_nonsense),
    };
    return cmocka_run_group_tests_name("carrier", tests, NULL, NULL);
}
