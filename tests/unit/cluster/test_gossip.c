#include "test.h"

#include "cluster/gossip_sim.h"

#include "base/err.h"
#include "core/logline.h"
#include "proto/gossip.h"

static void joins_in_any_order(void **state)
{
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct sim s;
        sim_init(&s, seed % 2, 6, seed);
        for (int i = 0; i < 6; i++) {
            sim_start(&s, (int)((unsigned)(i * 5) + seed) % 6, 0);
            sim_run(&s, (int64_t)(sim_random(&s) % 2) * S);
        }
        int64_t took_us = sim_until(&s, 3 * S, sim_all_met, NULL);
        assert_true(took_us >= 0);
        sim_fini(&s);
    }
}

static void a_chain_becomes_a_mesh(void **state)
{
    struct sim s;
    sim_init(&s, true, 12, 7);
    for (int i = 0; i < 12; i++)
        sim_start(&s, i, i < 11 ? i + 1 : 10);
    int64_t took_us = sim_until(&s, 15 * S, sim_all_met, NULL);
    print_message("chain of 12: %lld ms\n", (long long)(took_us / MS));
    assert_true(took_us >= 0);
    sim_announce(&s, 0, "live/a", 5);
    assert_in_range(sim_agree_within(&s, S, "live/a", "n0"), 0, 20 * MS);
    sim_fini(&s);
}

static void owners_come_and_go(void **state)
{
    for (int unicast = 0; unicast < 2; unicast++) {
        struct sim s;
        sim_init(&s, unicast, 4, 3);
        for (int i = 0; i < 4; i++)
            sim_start(&s, i, 0);
        assert_true(sim_until(&s, 5 * S, sim_all_met, NULL) >= 0);
        sim_announce(&s, 1, "live/a", 100);
        assert_in_range(sim_agree_within(&s, S, "live/a", "n1"), 0, 20 * MS);
        sim_announce(&s, 2, "live/a", 101);
        assert_true(sim_owner_is(&s, 2, "live/a", "n1"));
        sim_run(&s, 20 * MS);
        assert_true(sim_owner_is(&s, 0, "live/a", "n2"));
        assert_true(sim_owner_is(&s, 1, "live/a", "n2"));
        gossip_withdraw(s.nodes[2].g, "live/a", "unpublished", s.now_us);
        assert_in_range(sim_agree_within(&s, S, "live/a", "n1"), 0, 20 * MS);
        sim_kill(&s, 1);
        int64_t took_us = sim_agree_within(&s, 10 * S, "live/a", NULL);
        print_message("killed: %lld ms\n", (long long)(took_us / MS));
        assert_in_range(took_us, 1 * S, 4 * S);
        assert_true(sim_all_met(&s, NULL));
        sim_start(&s, 1, 0);
        assert_true(sim_until(&s, 3 * S, sim_all_met, NULL) >= 0);
        sim_announce(&s, 1, "live/a", 102);
        assert_in_range(sim_agree_within(&s, S, "live/a", "n1"), 0, 20 * MS);
        gossip_leave(s.nodes[1].g, s.now_us);
        sim_run(&s, 5 * MS);
        sim_kill(&s, 1);
        assert_in_range(sim_agree_within(&s, S, "live/a", NULL), 0, 1);
        sim_fini(&s);
    }
}

/* Publishing all over at 30 % loss, doubled and reordered datagrams. */
static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void loss_delays_and_kills_nobody(void **state)
{
    enum { NODES = 8, PUBLISHES = 300 };
    for (int unicast = 0; unicast < 2; unicast++) {
        struct sim s;
        sim_init(&s, unicast, NODES, 11);
        for (int i = 0; i < NODES; i++)
            sim_start(&s, i, 0);
        s.loss_percent = 30;
        s.double_percent = 10;
        s.delay_spread_us = 80 * MS;
        assert_true(sim_until(&s, 20 * S, sim_all_met, NULL) >= 0);
        int64_t took_us[PUBLISHES];
        uint64_t lost = 0;
        for (int i = 0; i < PUBLISHES; i++) {
            char name[32], owner[8];
            snprintf(name, sizeof name, "live/s%d", i);
            snprintf(owner, sizeof owner, "n%d", i % NODES);
            sim_announce(&s, i % NODES, name, 1);
            int64_t start_us = s.now_us;
            took_us[i] = sim_agree_within(&s, 20 * S, name, owner);
            assert_true(took_us[i] >= 0);
            /* 600 s in all. */
            while (s.now_us - start_us < 2 * S) {
                sim_run(&s, 100 * MS);
                lost += !sim_all_met(&s, NULL);
            }
        }
        qsort(took_us, PUBLISHES, sizeof *took_us, by_size);
        print_message("%s, 30 %% lost: known everywhere p50 %lld p90 %lld p99 %lld max %lld ms\n",
                      unicast ? "unicast" : "group", (long long)(took_us[PUBLISHES / 2] / MS),
                      (long long)(took_us[PUBLISHES * 90 / 100] / MS),
                      (long long)(took_us[PUBLISHES * 99 / 100] / MS),
                      (long long)(took_us[PUBLISHES - 1] / MS));
        assert_true(took_us[PUBLISHES * 99 / 100] <= 2500 * MS);
        assert_int_equal(lost, 0);
        sim_fini(&s);
    }
}

static void publishers_race(void **state)
{
    struct sim s;
    sim_init(&s, false, 5, 4);
    for (int i = 0; i < 5; i++)
        sim_start(&s, i, -1);
    assert_true(sim_until(&s, 5 * S, sim_all_met, NULL) >= 0);
    s.loss_percent = 30;
    sim_announce(&s, 1, "live/a", 100);
    sim_announce(&s, 3, "live/a", 100);
    sim_run(&s, 5 * S);
    struct cluster_owner at1, at3, at0;
    gossip_owner(s.nodes[1].g, "live/a", s.now_us, &at1, NULL);
    gossip_owner(s.nodes[3].g, "live/a", s.now_us, &at3, NULL);
    struct gossip_record record;
    gossip_owner(s.nodes[0].g, "live/a", s.now_us, &at0, &record);
    assert_string_equal(at1.node, "n3");
    assert_string_equal(at3.node, "n1");
    /* The same epoch: the higher instance has it, everywhere. */
    const char *higher = at1.instance > at3.instance ? "n3" : "n1";
    struct sim_want w = {.name = "live/a", .owner = higher, .except = higher[1] == '3' ? 1 : 3};
    assert_true(sim_agreed(&s, &w));
    assert_string_equal(record.publisher, "p");
    assert_int_equal(record.takeovers, 1);
    assert_in_range(record.silent_us, 0, 3 * S);
    assert_string_equal(at0.address, higher[1] == '3' ? "10.0.0.3:1935" : "10.0.0.1:1935");
    sim_fini(&s);
}

/* What a listener on the wire keeps of one node. */
struct captured {
    int from, count;
    struct {
        size_t len;
        uint8_t bytes[1200];
    } items[64];
};

static void capture(struct sim *s, int from, const struct net_address *to, struct slice bytes)
{
    (void)to;
    struct captured *c = s->tap_arg;
    if (from != c->from || c->count == (int)COUNT_OF(c->items))
        return;
    memcpy(c->items[c->count].bytes, bytes.p, bytes.len);
    c->items[c->count++].len = bytes.len;
}

static struct slice captured_at(const struct captured *c, int i)
{
    return slice_of(c->items[i].bytes, c->items[i].len);
}

/* Feeds all of them to node 0, which must not say a word. */
static void expect_silence(struct sim *s, const struct captured *c, const struct net_address *from,
                           int want)
{
    uint64_t before = sim_stats(s, 0).sent;
    for (int i = 0; i < c->count; i++) {
        int64_t due_us = gossip_due(s->nodes[0].g);
        assert_int_equal(gossip_input(s->nodes[0].g, from, captured_at(c, i), s->now_us), want);
        assert_int_equal(gossip_due(s->nodes[0].g), due_us);
    }
    assert_int_equal(sim_stats(s, 0).sent, before);
}

static void forged_and_replayed_are_dropped(void **state)
{
    struct sim s;
    struct captured *c = xcalloc(1, sizeof *c);
    struct net_address elsewhere;
    sim_init(&s, false, 3, 5);
    sim_address(77, &elsewhere);
    c->from = 1;
    s.tap = capture;
    s.tap_arg = c;
    sim_start(&s, 0, -1);
    sim_start(&s, 1, -1);
    assert_true(sim_until(&s, 5 * S, sim_all_met, NULL) >= 0);
    sim_announce(&s, 1, "live/a", 5);
    sim_run(&s, 3 * S);
    assert_true(c->count > 5);
    /* The same again. */
    struct gossip_stats before = sim_stats(&s, 0);
    expect_silence(&s, c, &elsewhere, ERR_EXISTS);
    assert_int_equal(sim_stats(&s, 0).dropped_replayed,
                     before.dropped_replayed + (uint64_t)c->count);
    /* A bit changed, anywhere. */
    struct captured *bad = xcalloc(1, sizeof *bad);
    for (int i = 0; i < c->count; i++) {
        *bad = *c;
        bad->count = 1;
        bad->items[0] = c->items[i];
        size_t at = (size_t)sim_random(&s) % (bad->items[0].len - 16) + 16;
        bad->items[0].bytes[at] ^= 1;
        expect_silence(&s, bad, &elsewhere, ERR_AUTH);
    }
    assert_int_equal(sim_stats(&s, 0).dropped_forged, (uint64_t)c->count);
    /* Cut short, everywhere. */
    uint64_t sent = sim_stats(&s, 0).sent;
    for (size_t len = 0; len < c->items[0].len; len++)
        assert_true(
            gossip_input(s.nodes[0].g, &elsewhere, slice_of(c->items[0].bytes, len), s.now_us) < 0);
    assert_int_equal(sim_stats(&s, 0).sent, sent);
    /* Another instance, then the captures of the one before; also once it is dead. */
    *bad = *c;
    sim_kill(&s, 1);
    sim_run(&s, 100 * MS);
    sim_start(&s, 1, -1);
    sim_run(&s, 3 * S);
    assert_true(sim_all_met(&s, NULL));
    expect_silence(&s, bad, &elsewhere, ERR_EXISTS);
    expect_silence(&s, bad, &s.nodes[1].address, ERR_EXISTS);
    sim_kill(&s, 1);
    sim_run(&s, 5 * S);
    assert_int_equal(sim_seen(&s, 0), 0);
    /* When it is dead its name is free: whoever says it is asked, and nobody answers. */
    for (int i = 0; i < bad->count; i++)
        gossip_input(s.nodes[0].g, &elsewhere, captured_at(bad, i), s.now_us);
    sim_run(&s, 10 * S);
    assert_int_equal(sim_seen(&s, 0), 0);
    free(bad);
    free(c);
    sim_fini(&s);
}

/* A machine whose clock was put back starts its node again. */
static void a_clock_that_went_back(void **state)
{
    struct sim s;
    sim_init(&s, false, 2, 5);
    sim_start(&s, 0, -1);
    sim_start(&s, 1, -1);
    assert_true(sim_until(&s, 5 * S, sim_all_met, NULL) >= 0);
    sim_kill(&s, 1);
    s.wall_step_us = -3600 * S;
    sim_start(&s, 1, -1);
    assert_true(sim_until(&s, 8 * S, sim_all_met, NULL) >= 0);
    sim_fini(&s);
}

static void others_are_not_listened_to(void **state)
{
    static const struct {
        const char *secret, *cluster;
    } cases[] = {{"another secret", "test"}, {"a secret of the cluster", "another cluster"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sim s;
        sim_init(&s, true, 2, 5);
        sim_start(&s, 0, 1);
        sim_start_with(&s, 1, cases[i].secret, cases[i].cluster, 0);
        sim_run(&s, 10 * S);
        struct gossip_stats st = sim_stats(&s, 0);
        assert_int_equal(st.received, 0);
        assert_true((i == 0 ? st.dropped_forged : st.dropped_foreign) > 4);
        assert_int_equal(sim_seen(&s, 0), 0);
        sim_fini(&s);
    }
}

/* A capture of a dead instance, when it is forgotten: it is asked, and nobody answers. */
static void a_stranger_must_answer(void **state)
{
    struct sim s;
    struct captured *c = xcalloc(1, sizeof *c);
    c->from = 1;
    sim_init(&s, false, 2, 5);
    s.tap = capture;
    s.tap_arg = c;
    sim_start(&s, 0, -1);
    sim_start(&s, 1, -1);
    sim_run(&s, 3 * S);
    sim_kill(&s, 1);
    s.tap = NULL;
    sim_run(&s, 700 * S);
    struct net_address elsewhere;
    sim_address(77, &elsewhere);
    uint64_t before = sim_stats(&s, 0).challenges;
    for (int k = 0; k < 10; k++) {
        for (int i = 0; i < c->count; i++)
            gossip_input(s.nodes[0].g, &elsewhere, captured_at(c, i), s.now_us);
        sim_run(&s, 100 * MS);
    }
    sim_run(&s, 10 * S);
    assert_in_range(sim_stats(&s, 0).challenges - before, 1, 10);
    assert_int_equal(sim_seen(&s, 0), 0);
    free(c);
    sim_fini(&s);
}

/* Its address changes under it; the others follow, so that their questions reach it. */
static void a_node_that_moves(void **state)
{
    for (int unicast = 0; unicast < 2; unicast++) {
        struct sim s;
        sim_init(&s, unicast, 2, 6);
        sim_start(&s, 0, -1);
        sim_start(&s, 1, 0);
        sim_run(&s, 3 * S);
        net_address_set_port(&s.nodes[1].address, 6001);
        sim_run(&s, 10 * S);
        assert_int_equal(sim_seen(&s, 0), 1);
        assert_int_equal(sim_seen(&s, 1), 1);
        uint64_t in = s.nodes[1].datagrams_in;
        sim_run(&s, 10 * S);
        assert_in_range(s.nodes[1].datagrams_in - in, 8, 40);
        s.loss_percent = 100;
        sim_announce(&s, 1, "live/a", 1);
        sim_run(&s, 300 * MS);
        s.loss_percent = 0;
        gossip_ask(s.nodes[0].g, "live/a", s.now_us);
        sim_announce(&s, 0, "live/b", 1);
        sim_run(&s, 5 * MS);
        assert_true(sim_owner_is(&s, 0, "live/a", "n1"));
        assert_true(sim_owner_is(&s, 1, "live/b", "n0"));
        sim_fini(&s);
    }
}

static void two_with_one_id(void **state)
{
    struct sim s;
    sim_init(&s, true, 3, 6);
    snprintf(s.nodes[2].id, sizeof s.nodes[2].id, "n1");
    sim_start(&s, 0, -1);
    sim_start(&s, 1, 0);
    sim_run(&s, 3 * S);
    sim_announce(&s, 1, "live/old", 1);
    assert_in_range(sim_agree_within(&s, S, "live/old", "n1"), 0, 20 * MS);
    sim_start(&s, 2, 0);
    sim_run(&s, 3 * S);
    sim_announce(&s, 2, "live/new", 1);
    sim_run(&s, 3 * S);
    assert_int_equal(sim_seen(&s, 0), 1);
    assert_true(sim_owner_is(&s, 0, "live/new", "n1"));
    assert_true(sim_owner_is(&s, 0, "live/old", NULL));
    sim_fini(&s);
}

static void a_seed_that_is_ourselves(void **state)
{
    struct sim s;
    sim_init(&s, true, 2, 6);
    sim_start(&s, 0, 0);
    sim_run(&s, 30 * S);
    assert_in_range(s.nodes[0].datagrams_out, 1, 2);
    assert_int_equal(sim_seen(&s, 0), 0);
    sim_start(&s, 1, 0);
    struct net_address second;
    sim_address(0, &second);
    gossip_seed(s.nodes[1].g, &second);
    assert_in_range(sim_until(&s, 3 * S, sim_all_met, NULL), 0, 100 * MS);
    sim_fini(&s);
}

/* A name that has stood for many addresses: those where nobody is make room. */
static void seeds_that_have_gone_make_room(void **state)
{
    struct sim s;
    sim_init(&s, true, 2, 8);
    sim_start(&s, 0, -1);
    for (int i = 0; i < 400; i++) {
        struct net_address gone;
        sim_address(100 + i, &gone);
        gossip_seed(s.nodes[0].g, &gone);
        sim_run(&s, 100 * MS);
    }
    sim_start(&s, 1, -1);
    struct net_address last;
    sim_address(1, &last);
    gossip_seed(s.nodes[0].g, &last);
    assert_in_range(sim_until(&s, 10 * S, sim_all_met, NULL), 0, 5 * S);
    sim_fini(&s);
}

/* Seeds are asked for ever; whoever comes back there is found, with whatever instance. */
static void seeds_are_retried(void **state)
{
    struct sim s;
    sim_init(&s, true, 2, 9);
    sim_start(&s, 0, 1);
    sim_run(&s, 3600 * S);
    assert_in_range(s.nodes[0].datagrams_out, 1500, 2200);
    for (int i = 0; i < 3; i++) {
        sim_start(&s, 1, -1);
        assert_in_range(sim_until(&s, 10 * S, sim_all_met, NULL), 0, 5 * S);
        sim_kill(&s, 1);
        sim_run(&s, i * 2 * S);
    }
    sim_fini(&s);
}

/* Two halves that have no seed of the other, and forget each other's streams meanwhile. */
static void a_split_heals(void **state)
{
    for (int unicast = 0; unicast < 2; unicast++) {
        struct sim s;
        sim_init(&s, unicast, 5, 9);
        for (int i = 0; i < 5; i++)
            sim_start(&s, i, 4);
        assert_true(sim_until(&s, 5 * S, sim_all_met, NULL) >= 0);
        sim_announce(&s, 1, "live/a", 1);
        sim_run(&s, 1 * S);
        sim_kill(&s, 4);
        s.nodes[0].cut = s.nodes[1].cut = true;
        sim_run(&s, 20 * S);
        assert_true(sim_owner_is(&s, 0, "live/a", "n1"));
        assert_true(sim_owner_is(&s, 2, "live/a", NULL));
        assert_int_equal(sim_seen(&s, 2), 1);
        sim_announce(&s, 1, "live/b", 2);
        s.nodes[0].cut = s.nodes[1].cut = false;
        assert_in_range(sim_until(&s, 10 * S, sim_all_met, NULL), 0, 6 * S);
        assert_in_range(sim_agree_within(&s, 5 * S, "live/a", "n1"), 0, 2 * S);
        assert_in_range(sim_agree_within(&s, 5 * S, "live/b", "n1"), 0, 2 * S);
        sim_fini(&s);
    }
}

static void a_link_keeps_alive(void **state)
{
    struct sim s;
    sim_init(&s, false, 2, 9);
    sim_start(&s, 0, -1);
    sim_start(&s, 1, -1);
    sim_run(&s, 3 * S);
    sim_announce(&s, 1, "live/a", 1);
    sim_run(&s, 1 * S);
    s.nodes[0].linked = true;
    s.nodes[1].cut = true;
    sim_run(&s, 60 * S);
    assert_true(sim_owner_is(&s, 0, "live/a", "n1"));
    struct gossip_record record;
    struct cluster_owner owner;
    gossip_owner(s.nodes[0].g, "live/a", s.now_us, &owner, &record);
    assert_true(record.silent_us > 55 * S);
    s.nodes[0].linked = false;
    assert_in_range(sim_agree_within(&s, 5 * S, "live/a", NULL), 0, 1 * S);
    sim_fini(&s);
}

/* A process that was held up does not take the others for dead. */
static void our_own_sleep_kills_nobody(void **state)
{
    struct sim s;
    sim_init(&s, false, 2, 9);
    sim_start(&s, 0, -1);
    sim_start(&s, 1, -1);
    sim_run(&s, 3 * S);
    sim_announce(&s, 1, "live/a", 1);
    sim_run(&s, 1 * S);
    s.now_us += 30 * S;
    sim_run(&s, 3 * S);
    assert_true(sim_owner_is(&s, 0, "live/a", "n1"));
    assert_int_equal(s.nodes[0].owner_calls, 1);
    sim_fini(&s);
}

static void a_question_is_answered(void **state)
{
    struct sim s;
    sim_init(&s, false, 2, 9);
    sim_start(&s, 0, -1);
    sim_start(&s, 1, -1);
    sim_run(&s, 3 * S);
    s.loss_percent = 100;
    sim_announce(&s, 1, "live/a", 1);
    sim_run(&s, 300 * MS);
    s.loss_percent = 0;
    assert_true(sim_owner_is(&s, 0, "live/a", NULL));
    gossip_ask(s.nodes[0].g, "live/a", s.now_us);
    gossip_ask(s.nodes[0].g, "live/none", s.now_us);
    sim_run(&s, 2 * MS);
    assert_true(sim_owner_is(&s, 0, "live/a", "n1"));
    for (int i = 0; i < 1000; i++)
        gossip_ask(s.nodes[0].g, "live/none", s.now_us);
    assert_true(sim_stats(&s, 0).refused > 950);
    sim_fini(&s);
}

/* What one node had, another one has after one fetch. */
static void fetch_set(struct sim *s, uint64_t instance, uint64_t since, struct gossip_set *set,
                      struct buf *b)
{
    buf_init(b, 16U << 20);
    assert_int_equal(gossip_set_write(s->nodes[1].g, instance, since, b), 0);
    assert_int_equal(gossip_set_read(buf_slice(b), GOSSIP_STREAMS_MAX, set), 0);
}

static uint64_t instance_of(struct sim *s)
{
    struct cluster_node node;
    assert_int_equal(gossip_nodes(s->nodes[0].g, s->now_us, &node, 1), 1);
    return node.instance;
}

static void the_log_of_changes_has_an_end(void **state)
{
    struct sim s;
    sim_init(&s, false, 2, 9);
    sim_start(&s, 0, -1);
    sim_start(&s, 1, -1);
    sim_run(&s, 3 * S);
    uint64_t instance = instance_of(&s);
    sim_announce(&s, 1, "live/first", 1);
    sim_announce(&s, 1, "live/second", 1);
    gossip_withdraw(s.nodes[1].g, "live/second", "unpublished", s.now_us);
    struct gossip_set set;
    struct buf b;
    static const struct {
        uint64_t since;
        bool ours, full;
        uint32_t count;
    } cases[] = {
        {0, true, true, 1},  {1, true, false, 1}, {2, true, false, 1},
        {3, true, false, 0}, {4, true, true, 1},  {1, false, true, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fetch_set(&s, instance + !cases[i].ours, cases[i].since, &set, &b);
        assert_int_equal(set.full, cases[i].full);
        assert_int_equal(set.count, cases[i].count);
        assert_int_equal(set.to, 3);
        assert_int_equal(set.instance, instance);
        buf_fini(&b);
    }
    for (int i = 0; i < GOSSIP_CHANGES_MAX; i++)
        sim_announce(&s, 1, "live/first", (uint64_t)(10 + i));
    fetch_set(&s, instance, 4, &set, &b);
    assert_false(set.full);
    assert_int_equal(set.count, 1);
    buf_fini(&b);
    fetch_set(&s, instance, 2, &set, &b);
    assert_true(set.full);
    buf_fini(&b);
    /* The other one finds its way all the same. */
    assert_in_range(sim_agree_within(&s, 5 * S, "live/first", "n1"), 0, 2 * S);
    sim_run(&s, 2 * S);
    struct cluster_owner owner;
    gossip_owner(s.nodes[0].g, "live/first", s.now_us, &owner, NULL);
    assert_int_equal(owner.epoch, 9 + GOSSIP_CHANGES_MAX);
    sim_fini(&s);
}

/* Streams come and go under loss; in the end all sets are the same, and nothing is fetched then. */
static void churn_ends_equal(void **state)
{
    struct sim s;
    sim_init(&s, true, 4, 21);
    for (int i = 0; i < 4; i++)
        sim_start(&s, i, 0);
    sim_run(&s, 3 * S);
    s.loss_percent = 40;
    s.double_percent = 20;
    s.delay_spread_us = 300 * MS;
    for (int i = 0; i < 3000; i++) {
        char name[32];
        snprintf(name, sizeof name, "live/s%d", (int)(sim_random(&s) % 40));
        int at = (int)(sim_random(&s) % 4);
        if (sim_random(&s) % 3 == 0)
            gossip_withdraw(s.nodes[at].g, name, "unpublished", s.now_us);
        else
            sim_announce(&s, at, name, (uint64_t)(100 + i));
        sim_run(&s, (int64_t)(sim_random(&s) % 20) * MS);
    }
    s.loss_percent = 0;
    sim_run(&s, 5 * S);
    uint64_t fetches = 0;
    for (int i = 0; i < 4; i++)
        fetches += sim_stats(&s, i).fetches;
    sim_run(&s, 30 * S);
    for (int i = 0; i < 4; i++)
        fetches -= sim_stats(&s, i).fetches;
    assert_int_equal(fetches, 0);
    for (int k = 0; k < 40; k++) {
        char name[32];
        snprintf(name, sizeof name, "live/s%d", k);
        /* Two that both own nothing see the same owner; sim_owner_is checks what was told. */
        for (int i = 0; i < 4; i++) {
            struct cluster_owner o;
            gossip_owner(s.nodes[i].g, name, s.now_us, &o, NULL);
            sim_owner_is(&s, i, name, NULL);
        }
    }
    sim_fini(&s);
}

static void bounds_hold(void **state)
{
    struct sim s;
    sim_init(&s, false, 2, 9);
    sim_start(&s, 0, -1);
    sim_start(&s, 1, -1);
    sim_run(&s, 3 * S);
    for (int i = 0; i < GOSSIP_STREAMS_MAX; i++) {
        char name[32];
        snprintf(name, sizeof name, "live/s%d", i);
        sim_announce(&s, 1, name, 1);
    }
    const struct gossip_claim more = {.name = "live/more", .epoch = 1, .publisher = ""};
    assert_int_equal(gossip_announce(s.nodes[1].g, &more, s.now_us), ERR_TOO_MANY);
    sim_run(&s, 5 * S);
    assert_int_equal(sim_stats(&s, 0).streams_known, GOSSIP_STREAMS_MAX);
    assert_in_range(sim_stats(&s, 0).fetches, 1, 3);
    /* 50 datagrams a second, whatever happens. */
    uint64_t before = s.nodes[1].datagrams_out;
    for (int i = 0; i < 10000; i++) {
        sim_announce(&s, 1, "live/s0", (uint64_t)(i + 2));
        sim_run(&s, 1 * MS);
    }
    assert_in_range(s.nodes[1].datagrams_out - before, 100, 560);
    sim_run(&s, 3 * S);
    struct cluster_owner o;
    gossip_owner(s.nodes[0].g, "live/s0", s.now_us, &o, NULL);
    assert_int_equal(o.epoch, 10001);
    sim_fini(&s);
}

static bool all_streams_known(struct sim *s, void *arg)
{
    size_t want = *(size_t *)arg * (s->count - 1);
    for (size_t i = 0; i < s->count; i++)
        if (sim_stats(s, (int)i).streams_known != want)
            return false;
    return true;
}

/* A hundred nodes of STREAMS streams each. */
static void hundred_nodes(void **state)
{
    enum { NODES = 100 };
    for (int unicast = 0; unicast < 2; unicast++) {
        struct sim s;
        sim_init(&s, unicast, NODES, 13);
        for (int i = 0; i < NODES; i++) {
            sim_start(&s, i, i / 2);
            for (int k = 0; k < STREAMS; k++) {
                char name[32];
                snprintf(name, sizeof name, "live/n%d-%d", i, k);
                sim_announce(&s, i, name, 1);
            }
        }
        size_t want = STREAMS;
        int64_t met_us = sim_until(&s, 30 * S, sim_all_met, NULL);
        int64_t known_us = sim_until(&s, 60 * S, all_streams_known, &want);
        assert_true(met_us >= 0 && known_us >= 0);
        uint64_t bytes = 0, datagrams = 0, fetches = 0, in = 0;
        for (int i = 0; i < NODES; i++) {
            bytes -= s.nodes[i].bytes_out;
            datagrams -= s.nodes[i].datagrams_out;
            in -= s.nodes[i].datagrams_in;
            fetches += sim_stats(&s, i).fetches;
        }
        sim_run(&s, 10 * S);
        for (int i = 0; i < NODES; i++) {
            bytes += s.nodes[i].bytes_out;
            datagrams += s.nodes[i].datagrams_out;
            in += s.nodes[i].datagrams_in;
        }
        print_message("%s, %d nodes x %d streams: met %lld ms, known %lld ms later, %llu fetches; "
                      "a node sends %llu bytes/s in %.1f datagrams/s, gets %.1f datagrams/s\n",
                      unicast ? "unicast" : "group", NODES, STREAMS, (long long)(met_us / MS),
                      (long long)(known_us / MS), (unsigned long long)fetches,
                      (unsigned long long)(bytes / NODES / 10), (double)datagrams / NODES / 10,
                      (double)in / NODES / 10);
        assert_true(sim_all_met(&s, NULL));
        sim_fini(&s);
    }
}

int main(void)
{
    log_setup(LOG_ERROR, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_in_any_order),
        cmocka_unit_test(a_chain_becomes_a_mesh),
        cmocka_unit_test(owners_come_and_go),
        cmocka_unit_test(loss_delays_and_kills_nobody),
        cmocka_unit_test(publishers_race),
        cmocka_unit_test(forged_and_replayed_are_dropped),
        cmocka_unit_test(a_clock_that_went_back),
        cmocka_unit_test(others_are_not_listened_to),
        cmocka_unit_test(a_stranger_must_answer),
        cmocka_unit_test(a_node_that_moves),
        cmocka_unit_test(two_with_one_id),
        cmocka_unit_test(a_seed_that_is_ourselves),
        cmocka_unit_test(seeds_that_have_gone_make_room),
        cmocka_unit_test(seeds_are_retried),
        cmocka_unit_test(a_split_heals),
        cmocka_unit_test(a_link_keeps_alive),
        cmocka_unit_test(our_own_sleep_kills_nobody),
        cmocka_unit_test(a_question_is_answered),
        cmocka_unit_test(the_log_of_changes_has_an_end),
        cmocka_unit_test(churn_ends_equal),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(hundred_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
