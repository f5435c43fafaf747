#include "test.h"

#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "origin/claim.h"
#include "proto/flv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Claims of one worker whose loop the test turns itself, against a cluster that says what the test
 * wants it to.  Everything that is said is written down, one line each, and compared.
 */
#define NAME       "live/cam1"
#define GIVE_UP_US 10000000
#define LOST_MS    40
#define SILENCE_MS 60 /* publisher_timeout_ms */

/* Time that goes on while this process stands still on a busy machine is not the publishers'
 * silence. */
#define STEP_MAX_US 3000
int64_t __real_clock_us(void);
int64_t __wrap_clock_us(void);
int64_t __wrap_clock_us(void)
{
    static int64_t real_us, now_us = 1;
    int64_t step_us = __real_clock_us() - real_us;
    real_us += step_us;
    now_us += step_us < STEP_MAX_US ? step_us : STEP_MAX_US;
    return now_us;
}

struct transcript {
    char text[4096];
    size_t len;
};

static struct transcript said;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(said.text + said.len, sizeof said.text - said.len, format, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < sizeof said.text - said.len);
    said.len += (size_t)n;
}

static void expect_said(const char *text)
{
    assert_string_equal(said.text, text);
    said = (struct transcript){0};
}

/* --- the cluster --- */

static struct {
    cluster_claim_done *claim;
    void *claim_arg;
    int asks;
    struct {
        void (*done)(void *arg);
        void *arg;
    } releases[8];
    int release_count;
    void (*checked)(void *arg);
    void *checked_arg;
    int64_t next_msn, next_dsn;     /* as told by set_next */
    struct cluster_claimed numbers; /* what the next answer says of numbers */
} fake;

static const struct cluster_self self = {.node = "here", .instance = 7};

const struct cluster_self *cluster_self(const struct cluster *c)
{
    return &self;
}

const char *claim_verdict_name(enum claim_verdict v)
{
    return "said";
}

void cluster_acquire(struct cluster *c, struct worker *caller, const struct cluster_claim *claim,
                     cluster_claim_done *done, void *arg)
{
    must(fake.claim == NULL);
    fake.claim = done;
    fake.claim_arg = arg;
    fake.asks++;
    note("acquire %s by '%s' floor %d%s\n", claim->name, claim->publisher, (int)claim->floor,
         claim->owner_gone ? " gone" : "");
}

void cluster_set_lost(struct cluster *c, const char *name, uint64_t epoch, bool lost)
{
    note("set_lost %d %d\n", (int)epoch, lost);
}

void cluster_set_next(struct cluster *c, const char *name, uint64_t epoch, int64_t msn, int64_t dsn,
                      int tracks)
{
    fake.next_msn = msn;
    fake.next_dsn = dsn;
}

void cluster_release(struct cluster *c, const char *name, uint64_t epoch, const char *why,
                     struct worker *caller, void (*done)(void *arg), void *arg)
{
    note("release %d %s\n", (int)epoch, why);
    must(fake.release_count < (int)COUNT_OF(fake.releases));
    fake.releases[fake.release_count].done = done;
    fake.releases[fake.release_count++].arg = arg;
}

void cluster_known_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done,
                         void *arg)
{
    fail_msg("nobody is to be asked");
}

void cluster_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done, void *arg)
{
    cluster_known_nodes(c, caller, done, arg);
}

bool cluster_is_up(const struct cluster *c)
{
    return true;
}

void cluster_revalidate(struct cluster *c, struct worker *caller, void (*done)(void *arg),
                        void *arg)
{
    must(fake.checked == NULL);
    fake.checked = done;
    fake.checked_arg = arg;
    note("revalidate\n");
}

static void answer_check(void)
{
    void (*checked)(void *arg) = fake.checked;
    assert_non_null(checked);
    fake.checked = NULL;
    checked(fake.checked_arg);
}

static void answer(enum claim_verdict verdict, uint64_t epoch, uint64_t owner_instance)
{
    cluster_claim_done *done = fake.claim;
    assert_non_null(done);
    fake.claim = NULL;
    struct cluster_claimed a = fake.numbers;
    a.verdict = verdict;
    a.epoch = epoch;
    a.owner.found = owner_instance != 0;
    a.owner.instance = owner_instance;
    done(&a, fake.claim_arg);
}

static void grant(uint64_t epoch)
{
    answer(CLAIM_GRANTED, epoch, 0);
}

static void answer_releases(void)
{
    for (int i = 0; i < fake.release_count; i++)
        fake.releases[i].done(fake.releases[i].arg);
    fake.release_count = 0;
}

/* --- the node --- */

static struct node {
    struct config config;
    struct workers group;
    struct worker *w;
    struct hub *hub;
    struct claims claims;
} node;

static int setup(void **state)
{
    node = (struct node){.config.stream = {.window_ms = 1000,
                                           .window_bytes = 1 << 20,
                                           .publisher_timeout_ms = SILENCE_MS,
                                           .lost_ms = LOST_MS,
                                           .linger_ms = 1,
                                           .memory_bytes = 1 << 20},
                         .config.hls = {2000, 200, 6}};
    memset(&fake, 0, sizeof fake);
    fake.numbers.next_msn = fake.numbers.next_dsn = CLUSTER_NEXT_NONE;
    said = (struct transcript){0};
    log_setup(LOG_ERROR, false);
    assert_int_equal(workers_init(&node.group, &node.config, 1), 0);
    node.w = &node.group.workers[0];
    node.hub = hub_new(&node.group);
    claims_init(&node.claims, node.w, node.hub, NULL);
    return 0;
}

static void turn(void)
{
    event_base_loop(node.w->base, EVLOOP_NONBLOCK);
}

static int teardown(void **state)
{
    turn();
    assert_null(fake.claim);
    answer_releases();
    assert_int_equal(map_count(node.claims.by_name), 0);
    claims_fini(&node.claims);
    hub_free(&node.hub);
    workers_fini(&node.group);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

#define TURN_UNTIL(cond)                                                                           \
    do {                                                                                           \
        int64_t give_up_us = clock_us() + GIVE_UP_US;                                              \
        while (!(cond)) {                                                                          \
            assert_true(clock_us() < give_up_us);                                                  \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

/* --- publishers --- */

struct person {
    struct contender c;
    char letter;
};

static void tell(struct contender *c, const struct contender_news *news)
{
    char letter = container_of(c, struct person, c)->letter;
    switch (news->event) {
    case CONTENDER_ACCEPTED:
        note("%c accepted %d\n", letter, (int)news->epoch);
        break;
    case CONTENDER_REFUSED:
        assert_true(news->text != NULL && news->text[0] != '\0');
        note("%c refused %s\n", letter, close_reason_name(news->why));
        break;
    case CONTENDER_ENDED:
        note("%c ended %s\n", letter, close_reason_name(news->why));
        break;
    case CONTENDER_WANT_KEY:
        note("%c want_key\n", letter);
        break;
    case CONTENDER_FULL:
    case CONTENDER_ROOM:
        fail(); /* a carrier's */
    }
}

static void enter(struct person *p, char letter, const char *identity)
{
    *p = (struct person){.letter = letter, .c = {.proto = "rtmp", .tell = tell}};
    must(slice_copy(slice_text(NAME), p->c.name, sizeof p->c.name));
    must(slice_copy(slice_text(identity), p->c.identity, sizeof p->c.identity));
    claims_enter(&node.claims, &p->c);
}

static void leave(struct person *p, bool clean)
{
    contender_leave(&p->c, clean);
}

static void send_frame(struct person *p, uint8_t flags)
{
    struct frame *f = frame_new(FRAME_VIDEO, 10);
    memset(f->data, p->letter, 10);
    f->flags = flags;
    contender_frames(&p->c, &f, 1);
}

static struct feed *feed(void)
{
    return feed_find(node.hub, node.w, NAME);
}

static uint64_t newest_epoch(void)
{
    const struct run *r = feed() != NULL ? log_newest(feed()->log) : NULL;
    return r != NULL ? r->epoch : 0;
}

/* A publisher that has the name with this epoch and a run of one key frame. */
static void publish(struct person *p, char letter, const char *identity, uint64_t epoch)
{
    enter(p, letter, identity);
    grant(epoch);
    send_frame(p, FRAME_KEY);
    said = (struct transcript){0};
}

/* Sound of so many milliseconds. */
static void send_sound(struct person *p, int64_t from_ms, int64_t to_ms)
{
    static const uint8_t config[] = {0xaf, 0, 0x12, 0x10};
    if (from_ms == 0) {
        struct frame *f = frame_new(FRAME_AUDIO, sizeof config);
        memcpy(f->data, config, sizeof config);
        f->flags = FRAME_CONFIG;
        f->codec = FLV_CODEC_AAC;
        contender_frames(&p->c, &f, 1);
    }
    for (int64_t ms = from_ms; ms < to_ms; ms += 20) {
        struct frame *f = frame_new(FRAME_AUDIO, 10);
        memset(f->data, 0, 10);
        memcpy(f->data, "\xaf\1", 2);
        f->codec = FLV_CODEC_AAC;
        f->dts_us = ms * 1000;
        f->wire_ms = ms;
        contender_frames(&p->c, &f, 1);
    }
}

static const struct run *newest_run(void)
{
    return log_newest(feed()->log);
}

/* --- one publisher --- */

static void test_published_and_ended(void **state)
{
    struct person a;
    enter(&a, 'a', "id");
    expect_said("acquire live/cam1 by 'id' floor 0\n");
    grant(100);
    expect_said("a accepted 100\n");
    assert_int_equal(feed()->state, FEED_EMPTY);
    assert_int_equal(newest_epoch(), 0);

    send_frame(&a, FRAME_KEY);
    send_frame(&a, 0);
    assert_int_equal(feed()->state, FEED_LIVE);
    assert_int_equal(newest_epoch(), 100);
    assert_int_equal(log_newest(feed()->log)->first, 1);
    assert_int_equal(log_newest(feed()->log)->next, 3);
    assert_true(llabs(log_newest(feed()->log)->wall_us - clock_wall_us()) < GIVE_UP_US);

    leave(&a, true);
    expect_said("release 100 unpublished\n");
    assert_int_equal(feed()->state, FEED_ENDED);
    assert_int_equal(feed()->why, CLOSE_UNPUBLISHED);
    assert_int_equal(map_count(node.claims.by_name), 1);
    answer_releases();
    assert_int_equal(map_count(node.claims.by_name), 0);
}

static void test_unregistered_is_as_good(void **state)
{
    struct person a;
    enter(&a, 'a', "");
    said = (struct transcript){0};
    answer(CLAIM_UNREGISTERED, 5, 0);
    expect_said("a accepted 5\n");
    leave(&a, true);
    expect_said("release 5 unpublished\n");
}

static void test_lost_then_over(void **state)
{
    struct person a;
    publish(&a, 'a', "id", 100);
    leave(&a, false);
    expect_said("set_lost 100 1\n");
    assert_int_equal(feed()->state, FEED_LOST);
    TURN_UNTIL(said.len > 0);
    expect_said("release 100 lost\n");
    assert_int_equal(feed()->state, FEED_ENDED);
    assert_int_equal(feed()->why, CLOSE_UNPUBLISHED);
}

static void test_lost_before_a_frame_is_released(void **state)
{
    struct person a;
    enter(&a, 'a', "id");
    grant(100);
    said = (struct transcript){0};
    leave(&a, false);
    expect_said("release 100 lost\n");
    assert_int_equal(feed()->state, FEED_EMPTY);
}

static void test_lost_and_back(void **state)
{
    struct person a, b;
    publish(&a, 'a', "id", 100);
    leave(&a, false);
    enter(&b, 'b', "id");
    expect_said("set_lost 100 1\nacquire live/cam1 by 'id' floor 100 gone\n");
    grant(200);
    expect_said("b accepted 200\n");
    assert_int_equal(feed()->state, FEED_LOST);
    send_frame(&b, FRAME_KEY);
    assert_int_equal(feed()->state, FEED_LIVE);
    assert_int_equal(newest_epoch(), 200);
    int64_t start_us = clock_us();
    TURN_UNTIL(said.len > 0);
    assert_true(clock_us() - start_us < CLAIM_FIRST_MEDIA_MS * 1000 / 2);
    expect_said("b ended no_media\nset_lost 200 1\n");
    leave(&b, false);
    TURN_UNTIL(said.len > 0);
    expect_said("release 200 lost\n");
}

#define EPOCH_1 1700000000000000

static void sound_published(struct person *p, uint64_t epoch)
{
    enter(p, 'a', "id");
    grant(epoch);
    send_sound(p, 0, 6000);
}

static void assert_jumped(uint64_t msn, uint64_t dsn)
{
    const struct run *run = newest_run();
    assert_int_equal(run_first_part(run)->cut.msn, msn);
    assert_int_equal(run_first_part(run)->cut.dsn, dsn);
    assert_int_equal(run->plan.base_msn, msn);
    assert_int_equal(run->plan.previous_epoch, 0);
}

static void test_numbers_begin_by_the_epoch(void **state)
{
    struct person a;
    sound_published(&a, EPOCH_1);
    assert_jumped(1700000016, 16);
    assert_int_equal(newest_run()->plan.segment_ms, 2000);
    assert_int_equal(newest_run()->plan.part_ms, 200);
    assert_int_equal(newest_run()->plan.window_segments, 6);
    assert_true(newest_run()->plan.peak_bps > 0);
    /* Open since 1, 2.9 and 4.8 s. */
    assert_int_equal(run_newest_part(newest_run())->cut.msn, 1700000018);
    assert_int_equal(fake.next_msn, 1700000019);
    assert_int_equal(fake.next_dsn, 17);
    leave(&a, true);
}

static void test_numbers_go_on_when_it_comes_back(void **state)
{
    struct person a;
    sound_published(&a, EPOCH_1);
    uint64_t last = newest_run()->next - 1;
    leave(&a, false);
    fake.numbers.next_msn = 1700000018; /* not the newest, but of our run */
    fake.numbers.next_dsn = 17;
    fake.numbers.next_epoch = EPOCH_1;
    sound_published(&a, EPOCH_1 + 100);
    const struct run *run = newest_run();
    assert_int_equal(run->epoch, EPOCH_1 + 100);
    assert_int_equal(run_first_part(run)->cut.msn, 1700000019);
    assert_int_equal(run_first_part(run)->cut.dsn, 17);
    assert_int_equal(run_first_part(run)->cut.init, 1);
    assert_int_equal(run->plan.previous_epoch, EPOCH_1);
    assert_int_equal(run->plan.previous_last_seq, last);
    assert_int_equal(run->plan.base_msn, 1700000016);
    assert_ptr_equal(log_previous(feed()->log, run), log_oldest(feed()->log));
    leave(&a, true);
}

static void test_numbers_jump_over_another_owner(void **state)
{
    struct person a;
    sound_published(&a, EPOCH_1);
    leave(&a, true);
    answer_releases();
    fake.numbers.next_msn = 1800000000;
    fake.numbers.next_dsn = 5;
    fake.numbers.next_epoch = EPOCH_1 + 50;
    sound_published(&a, EPOCH_1 + 100);
    assert_jumped(1800000016, 16 + 16);
    leave(&a, true);
}

static void test_a_run_without_segments_leaves_no_trace(void **state)
{
    struct person a;
    sound_published(&a, EPOCH_1);
    leave(&a, false);
    enter(&a, 'a', "id");
    grant(EPOCH_1 + 50);
    send_sound(&a, 0, 500);
    leave(&a, false);
    sound_published(&a, EPOCH_1 + 100);
    assert_int_equal(run_first_part(newest_run())->cut.msn, 1700000019);
    assert_int_equal(newest_run()->plan.previous_epoch, EPOCH_1);
    leave(&a, true);
}

static void test_back_and_lost_before_a_frame(void **state)
{
    struct person a, b;
    publish(&a, 'a', "id", 100);
    leave(&a, false);
    enter(&b, 'b', "id");
    grant(200);
    said = (struct transcript){0};
    leave(&b, false);
    expect_said("set_lost 200 1\n");
    TURN_UNTIL(said.len > 0);
    expect_said("release 200 lost\n");
    assert_int_equal(feed()->state, FEED_ENDED);
}

static void test_silent_transport_is_given_up(void **state)
{
    struct person a;
    publish(&a, 'a', "id", 100);
    int64_t start_us = clock_us();
    TURN_UNTIL(said.len > 0);
    assert_true(clock_us() - start_us >= SILENCE_MS * 900);
    expect_said("a ended no_media\nset_lost 100 1\n");
    assert_int_equal(feed()->state, FEED_LOST);
    leave(&a, false);
    TURN_UNTIL(said.len > 0);
    expect_said("release 100 lost\n");
}

static void test_media_keeps_the_transport(void **state)
{
    struct person a;
    publish(&a, 'a', "id", 100);
    int64_t until_us = clock_us() + 4 * SILENCE_MS * 1000;
    while (clock_us() < until_us) {
        send_frame(&a, FRAME_KEY);
        turn();
    }
    expect_said("");
    leave(&a, true);
}

static void test_configuration_is_no_media(void **state)
{
    struct person a;
    publish(&a, 'a', "id", 100);
    TURN_UNTIL((send_frame(&a, FRAME_CONFIG), said.len > 0));
    expect_said("a ended no_media\nset_lost 100 1\n");
    leave(&a, false);
    TURN_UNTIL(said.len > 0);
}

static void test_gone_while_asking(void **state)
{
    struct person a;
    enter(&a, 'a', "id");
    leave(&a, false);
    said = (struct transcript){0};
    assert_int_equal(map_count(node.claims.by_name), 1);
    grant(100);
    expect_said("release 100 unpublished\n");
}

static void test_key_frame_wanted(void **state)
{
    struct person a;
    publish(&a, 'a', "id", 100);
    feed_want_key(feed());
    expect_said("a want_key\n");
    leave(&a, true);
}

/* --- two publishers --- */

static void test_who_may_displace(void **state)
{
    static const struct {
        enum takeover_policy policy;
        const char *old, *new;
        const char *said;
    } rows[] = {
        {TAKEOVER_SAME, "id", "id", "acquire live/cam1 by 'id' floor 100\n"},
        {TAKEOVER_SAME, "id", "other", ""},
        {TAKEOVER_SAME, "", "", ""},
        {TAKEOVER_SAME, "id", "", ""},
        {TAKEOVER_REPLACE, "", "", "acquire live/cam1 by '' floor 100\n"},
        {TAKEOVER_REPLACE, "id", "other", "acquire live/cam1 by 'other' floor 100\n"},
        {TAKEOVER_REJECT, "id", "id", "b refused name_taken\n"},
        {TAKEOVER_REJECT, "id", "other", "b refused name_taken\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct person a, b;
        teardown(NULL);
        setup(NULL);
        node.config.cluster.takeover = rows[i].policy;
        publish(&a, 'a', rows[i].old, 100);
        enter(&b, 'b', rows[i].new);
        expect_said(rows[i].said);
        leave(&b, false);
        if (fake.claim != NULL)
            answer(CLAIM_BUSY, 0, 0);
        leave(&a, true);
    }
}

static void test_old_one_feeds_until_the_grant(void **state)
{
    struct person a, b;
    publish(&a, 'a', "id", 100);
    enter(&b, 'b', "id");
    send_frame(&a, 0);
    assert_int_equal(log_newest(feed()->log)->next, 3);
    said = (struct transcript){0};
    grant(200);
    expect_said("a ended name_taken\nb accepted 200\n");
    send_frame(&a, 0);
    assert_int_equal(newest_epoch(), 100);
    assert_int_equal(log_newest(feed()->log)->next, 3);
    send_frame(&b, FRAME_KEY);
    assert_int_equal(newest_epoch(), 200);
    assert_int_equal(log_newest(feed()->log)->next, 2);
    leave(&a, false);
    assert_int_equal(feed()->state, FEED_LIVE);
    leave(&b, true);
    expect_said("release 200 unpublished\n");
}

static void test_newcomer_gone_when_granted(void **state)
{
    struct person a, b;
    publish(&a, 'a', "id", 100);
    enter(&b, 'b', "id");
    leave(&b, false);
    said = (struct transcript){0};
    grant(200);
    expect_said("a ended name_taken\nset_lost 200 1\n");
    leave(&a, false);
    TURN_UNTIL(said.len > 0);
    expect_said("release 200 lost\n");
}

static void test_stranger_waits_until_the_name_is_free(void **state)
{
    struct person a, b;
    publish(&a, 'a', "", 100);
    enter(&b, 'b', "");
    turn();
    expect_said("");
    leave(&a, true);
    expect_said("release 100 unpublished\nacquire live/cam1 by '' floor 100\n");
    grant(200);
    expect_said("b accepted 200\n");
    leave(&b, true);
}

static void test_stranger_is_refused_in_the_end(void **state)
{
    struct person a, b;
    node.config.stream.publisher_timeout_ms = 60000;
    publish(&a, 'a', "", 100);
    int64_t start_us = clock_us();
    enter(&b, 'b', "");
    TURN_UNTIL((send_frame(&a, FRAME_KEY), said.len > 0));
    int64_t took_us = clock_us() - start_us;
    assert_true(took_us >= CLAIM_HOLD_MS * 1000 && took_us < GIVE_UP_US);
    expect_said("b refused name_taken\n");
    leave(&b, false);
    leave(&a, true);
}

static void test_stranger_displaces_a_silent_one(void **state)
{
    struct person a, b;
    node.config.stream.publisher_timeout_ms = 60000;
    publish(&a, 'a', "", 100);
    int64_t start_us = clock_us();
    enter(&b, 'b', "");
    TURN_UNTIL(said.len > 0);
    assert_true(clock_us() - start_us >= CLAIM_SILENT_MS * 900);
    expect_said("acquire live/cam1 by '' floor 100 gone\n");
    grant(200);
    expect_said("a ended name_taken\nb accepted 200\n");
    leave(&a, false);
    leave(&b, true);
}

static void test_waiting_is_bounded(void **state)
{
    struct person a, waiting[CLAIM_WAITING_MAX], last;
    publish(&a, 'a', "", 100);
    for (int i = 0; i < CLAIM_WAITING_MAX; i++)
        enter(&waiting[i], 'w', "");
    expect_said("");
    enter(&last, 'z', "");
    expect_said("z refused name_taken\n");
    leave(&last, false);
    for (int i = 0; i < CLAIM_WAITING_MAX; i++)
        leave(&waiting[i], false);
    leave(&a, true);
}

/* --- the cluster says no --- */

static void test_asked_again_while_busy(void **state)
{
    static const enum claim_verdict no[] = {CLAIM_BUSY, CLAIM_HOLD};
    struct person a;
    enter(&a, 'a', "id");
    for (int i = 0; i < 2; i++) {
        said = (struct transcript){0};
        answer(no[i], 0, 9);
        expect_said("");
        TURN_UNTIL(fake.claim != NULL);
        expect_said("acquire live/cam1 by 'id' floor 0\n");
    }
    grant(100);
    expect_said("a accepted 100\n");
    leave(&a, true);
}

static void test_refused_when_busy_for_too_long(void **state)
{
    struct person a;
    int64_t start_us = clock_us();
    enter(&a, 'a', "id");
    while (strstr(said.text, "refused") == NULL) {
        assert_true(clock_us() - start_us < GIVE_UP_US);
        if (fake.claim != NULL) {
            said = (struct transcript){0};
            answer(CLAIM_BUSY, 0, 9);
        }
        turn();
    }
    expect_said("a refused name_taken\n");
    assert_true(clock_us() - start_us >= CLAIM_HOLD_MS * 1000);
    assert_in_range(fake.asks, 4, CLAIM_HOLD_MS / CLAIM_RETRY_MS + 1);
    leave(&a, false);
}

static struct {
    void (*done)(bool gone, void *arg);
    void *arg;
} asked;

static void asker(struct worker *w, const char *name, const struct cluster_owner *owner,
                  void (*done)(bool gone, void *arg), void *done_arg, void *arg)
{
    note("ask_owner %s %d\n", name, (int)owner->instance);
    asked.done = done;
    asked.arg = done_arg;
}

static void test_owner_is_asked(void **state)
{
    struct person a;
    node.claims.ask = asker;
    enter(&a, 'a', "id");
    said = (struct transcript){0};
    answer(CLAIM_BUSY, 0, 9);
    expect_said("ask_owner live/cam1 9\n");
    asked.done(false, asked.arg);
    expect_said("");
    TURN_UNTIL(fake.claim != NULL);
    expect_said("acquire live/cam1 by 'id' floor 0\n");
    answer(CLAIM_HOLD, 0, 9);
    asked.done(true, asked.arg);
    expect_said("ask_owner live/cam1 9\nacquire live/cam1 by 'id' floor 0 gone\n");
    grant(100);
    expect_said("a accepted 100\n");
    leave(&a, true);
}

static void test_owner_is_not_asked_in_vain(void **state)
{
    struct person a;
    node.claims.ask = asker;
    enter(&a, 'a', "id");
    said = (struct transcript){0};
    answer(CLAIM_BUSY, 0, self.instance);
    expect_said("");
    TURN_UNTIL(fake.claim != NULL);
    answer(CLAIM_BUSY, 0, 9);
    asked.done(true, asked.arg);
    said = (struct transcript){0};
    answer(CLAIM_BUSY, 0, 9); /* although nobody is there to displace */
    expect_said("");
    TURN_UNTIL(fake.claim != NULL);
    answer(CLAIM_BUSY, 0, 9);
    leave(&a, false);
    said = (struct transcript){0};
    asked.done(true, asked.arg);
    expect_said("");
}

/* --- from outside --- */

static void on_wanted(struct feed *f, void *arg)
{
    note("wanted %s\n", feed_state_name(f->state));
}

static void test_fenced(void **state)
{
    static const struct feed_reader_ops no_ops = {0};
    struct feed_reader reader = {.ops = &no_ops};
    struct person a;
    hub_set_hooks(node.hub, &(struct hub_hooks){.on_wanted = on_wanted});
    publish(&a, 'a', "id", 100);
    feed_join(node.hub, node.w, NAME, &reader);
    claims_fenced(&node.claims, NAME, 99);
    claims_fenced(&node.claims, "live/other", 100);
    expect_said("");
    claims_fenced(&node.claims, NAME, 100);
    expect_said("a ended fenced\nwanted lost\n");
    assert_null(feed()->source);
    send_frame(&a, 0);
    assert_int_equal(log_newest(feed()->log)->next, 2);
    leave(&a, false);
    expect_said("");
    feed_leave(&reader);
}

static void test_source_displaced(void **state)
{
    struct person a;
    publish(&a, 'a', "id", 100);
    feed_displace(feed(), CLOSE_FENCED);
    expect_said("a ended fenced\n");
    assert_int_equal(feed()->state, FEED_LOST);
    leave(&a, false);
    assert_int_equal(map_count(node.claims.by_name), 0);

    publish(&a, 'a', "id", 200);
    feed_displace(feed(), CLOSE_KICKED);
    expect_said("a ended kicked\nrelease 200 kicked\n");
    assert_int_equal(feed()->state, FEED_ENDED);
    leave(&a, false);
}

static void test_kicked(void **state)
{
    struct person a;
    assert_false(claims_kick(&node.claims, NAME, CLOSE_KICKED));
    publish(&a, 'a', "id", 100);
    assert_true(claims_kick(&node.claims, NAME, CLOSE_KICKED));
    expect_said("a ended kicked\nrelease 100 kicked\n");
    assert_int_equal(feed()->state, FEED_ENDED);
    assert_false(claims_kick(&node.claims, NAME, CLOSE_KICKED));
    leave(&a, false);
}

static void test_lost_one_kicked(void **state)
{
    struct person a;
    publish(&a, 'a', "id", 100);
    leave(&a, false);
    assert_true(claims_kick(&node.claims, NAME, CLOSE_KICKED));
    expect_said("set_lost 100 1\nrelease 100 kicked\n");
    assert_int_equal(feed()->state, FEED_ENDED);
}

static void test_yields(void **state)
{
    struct person a;
    node.config.stream.publisher_timeout_ms = 60000;
    assert_true(claims_yields(&node.claims, NAME));
    publish(&a, 'a', "id", 100);
    assert_false(claims_yields(&node.claims, NAME));
    TURN_UNTIL(claims_yields(&node.claims, NAME));
    send_frame(&a, 0);
    assert_false(claims_yields(&node.claims, NAME));
    leave(&a, false);
    assert_true(claims_yields(&node.claims, NAME));
    claims_kick(&node.claims, NAME, CLOSE_KICKED);
}

static void on_empty(struct claims_drained *d)
{
    note("drained\n");
}

static void test_drained(void **state)
{
    struct claims_drained d = {.on_empty = on_empty}, again = d;
    struct person a, b, c;
    publish(&a, 'a', "", 100);
    enter(&b, 'b', "");
    claims_drain(&node.claims, 0);
    claims_await_empty(&node.claims, &d);
    expect_said("b refused drain\na ended drain\nrelease 100 drain\n");
    assert_int_equal(feed()->state, FEED_LOST);
    enter(&c, 'c', "");
    expect_said("c refused drain\n");
    answer_releases();
    expect_said("drained\n");
    claims_await_empty(&node.claims, &again);
    expect_said("drained\n");
    leave(&a, false);
    leave(&b, false);
    leave(&c, false);

    claims_undrain(&node.claims);
    enter(&a, 'a', "");
    expect_said("acquire live/cam1 by '' floor 100\n");
    claims_drain(&node.claims, 0);
    claims_await_empty(&node.claims, &d);
    expect_said("a refused drain\n");
    leave(&a, false);
    grant(200);
    expect_said("release 200 unpublished\n");
    answer_releases();
    expect_said("drained\n");
}

static void test_drained_slowly(void **state)
{
    struct person a, b;
    publish(&a, 'a', "", 100);
    claims_drain(&node.claims, 50);
    claims_drain(&node.claims, 0); /* it is under way: nothing is hurried */
    expect_said("");
    send_frame(&a, 0);
    assert_true(claims_yields(&node.claims, NAME));
    enter(&b, 'b', "");
    expect_said("b refused drain\n");
    leave(&b, false);
    TURN_UNTIL(said.len > 0);
    expect_said("a ended drain\nrelease 100 drain\n");
    assert_int_equal(feed()->state, FEED_LOST);
    leave(&a, false);
    answer_releases();
    claims_undrain(&node.claims);
}

static void test_drain_taken_back(void **state)
{
    struct person a;
    publish(&a, 'a', "", 100);
    claims_drain(&node.claims, 30000);
    claims_undrain(&node.claims);
    assert_false(timer_is_set(&node.claims.grace));
    send_frame(&a, 0);
    assert_false(claims_yields(&node.claims, NAME));
    claims_kick(&node.claims, NAME, CLOSE_KICKED);
    leave(&a, false);
    answer_releases();
}

/* Who leaves a node that drains does not come back to it. */
static void test_lost_while_draining(void **state)
{
    struct person a;
    publish(&a, 'a', "", 100);
    leave(&a, false);
    said = (struct transcript){0};
    claims_drain(&node.claims, 30000);
    expect_said("release 100 drain\n");
    answer_releases();
    claims_undrain(&node.claims);
    publish(&a, 'a', "", 200);
    claims_drain(&node.claims, 30000);
    leave(&a, false);
    expect_said("release 200 lost\n");
    assert_int_equal(feed()->state, FEED_LOST);
    answer_releases();
    claims_undrain(&node.claims);
}

/* --- after having stood still --- */

static void stand_still(void)
{
    node.w->seen_us = 1;
    worker_enter(node.w, "test", WORKER_GAP_US + 2);
    node.w->seen_us = 0;
    expect_said("revalidate\n");
}

static uint64_t next_seq(void)
{
    return log_newest(feed()->log)->next;
}

static void test_still_ours(void **state)
{
    struct person a, b;
    publish(&a, 'a', "id", 100);
    stand_still();
    send_frame(&a, 0);
    send_frame(&a, 0);
    assert_int_equal(next_seq(), 2);
    enter(&b, 'b', "id");
    expect_said("");
    answer_check();
    assert_int_equal(next_seq(), 4);
    expect_said("acquire live/cam1 by 'id' floor 100\n");
    leave(&b, false);
    grant(101);
    leave(&a, false);
    claims_kick(&node.claims, NAME, CLOSE_KICKED);
}

static void test_lost_while_standing(void **state)
{
    struct person a;
    publish(&a, 'a', "", 100);
    stand_still();
    send_frame(&a, 0);
    claims_fenced(&node.claims, NAME, 100);
    expect_said("a ended fenced\n");
    assert_int_equal(next_seq(), 2); /* nothing of what came too late */
    leave(&a, false);
    answer_check();
    expect_said("");
}

/* The publisher went meanwhile: maybe to the node that has the name now. */
static void test_left_while_standing(void **state)
{
    static const struct {
        bool clean, fenced;
        const char *said;
        enum feed_state state;
        uint64_t next;
    } rows[] = {
        {false, true, "", FEED_LOST, 2},
        {true, true, "", FEED_LOST, 2},
        {false, false, "set_lost 100 1\n", FEED_LOST, 3},
        {true, false, "release 100 unpublished\n", FEED_ENDED, 3},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct person a;
        publish(&a, 'a', "", 100);
        stand_still();
        send_frame(&a, 0);
        leave(&a, rows[i].clean);
        expect_said("");
        assert_int_equal(feed()->state, FEED_LIVE);
        if (rows[i].fenced)
            claims_fenced(&node.claims, NAME, 100);
        answer_check();
        expect_said(rows[i].said);
        assert_int_equal(feed()->state, rows[i].state);
        assert_int_equal(next_seq(), rows[i].next);
        claims_kick(&node.claims, NAME, CLOSE_KICKED);
        teardown(state);
        setup(state);
    }
}

static void test_nobody_to_ask_about(void **state)
{
    node.w->seen_us = 1;
    worker_enter(node.w, "test", WORKER_GAP_US + 2);
    expect_said("");
    assert_int_equal(METRIC_GET(node.w->metrics.loop_gaps_total), 1);
}

/* --- beside pulls, and without memory --- */

static struct feed_source pull;
static void on_displaced(struct feed_source *s, enum close_reason why)
{
    note("pull displaced %s\n", close_reason_name(why));
}
static const struct feed_source_ops pull_ops = {.on_displaced = on_displaced};

static void attach_pull(uint64_t epoch)
{
    struct feed *f = feed_hold(node.hub, node.w, NAME);
    pull = (struct feed_source){.ops = &pull_ops, .kind = "pull"};
    feed_attach_source(f, &pull);
    feed_open_run(f, epoch, 1, 0, NULL);
    feed_release(&f);
}

static void test_pull_makes_room(void **state)
{
    struct person a;
    attach_pull(50);
    enter(&a, 'a', "");
    expect_said("acquire live/cam1 by '' floor 50\n");
    grant(51);
    expect_said("pull displaced name_taken\na accepted 51\n");
    send_frame(&a, FRAME_KEY);
    assert_int_equal(newest_epoch(), 51);
    leave(&a, true);
}

static void test_pull_got_a_higher_run_meanwhile(void **state)
{
    struct person a;
    attach_pull(50);
    enter(&a, 'a', "");
    feed_open_run(feed(), 60, 1, 0, NULL);
    said = (struct transcript){0};
    grant(55);
    expect_said("release 55 superseded\nacquire live/cam1 by '' floor 60\n");
    grant(61);
    expect_said("pull displaced name_taken\na accepted 61\n");
    leave(&a, true);
}

static void test_no_memory(void **state)
{
    struct person a, b;
    publish(&a, 'a', "id", 100);
    leave(&a, false);
    said = (struct transcript){0};
    struct log_account *account = hub_account(node.hub);
    atomic_fetch_add(&account->bytes, 2 << 20);
    enter(&b, 'b', "id"); /* comes back: nothing new */
    expect_said("acquire live/cam1 by 'id' floor 100 gone\n");
    grant(200);
    leave(&b, true);
    answer_releases();
    said = (struct transcript){0};
    enter(&b, 'b', "id");
    expect_said("b refused overload\n");
    leave(&b, false);
    atomic_fetch_sub(&account->bytes, 2 << 20);
}

/* The workers have stopped in the middle of everything: nothing is left behind. */
static void test_forgotten(void **state)
{
    struct person a, b;
    publish(&a, 'a', "", 100);
    enter(&b, 'b', "");
    contender_forget(&a.c);
    contender_forget(&b.c);
    assert_int_equal(map_count(node.claims.by_name), 1);
    claims_fini(&node.claims);
    claims_init(&node.claims, node.w, node.hub, NULL);
    expect_said("");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_published_and_ended),
        TEST(test_unregistered_is_as_good),
        TEST(test_lost_then_over),
        TEST(test_lost_before_a_frame_is_released),
        TEST(test_lost_and_back),
        TEST(test_numbers_begin_by_the_epoch),
        TEST(test_numbers_go_on_when_it_comes_back),
        TEST(test_numbers_jump_over_another_owner),
        TEST(test_a_run_without_segments_leaves_no_trace),
        TEST(test_back_and_lost_before_a_frame),
        TEST(test_silent_transport_is_given_up),
        TEST(test_media_keeps_the_transport),
        TEST(test_configuration_is_no_media),
        TEST(test_gone_while_asking),
        TEST(test_key_frame_wanted),
        TEST(test_who_may_displace),
        TEST(test_old_one_feeds_until_the_grant),
        TEST(test_newcomer_gone_when_granted),
        TEST(test_stranger_waits_until_the_name_is_free),
        TEST(test_stranger_is_refused_in_the_end),
        TEST(test_stranger_displaces_a_silent_one),
        TEST(test_waiting_is_bounded),
        TEST(test_asked_again_while_busy),
        TEST(test_refused_when_busy_for_too_long),
        TEST(test_owner_is_asked),
        TEST(test_owner_is_not_asked_in_vain),
        TEST(test_fenced),
        TEST(test_source_displaced),
        TEST(test_kicked),
        TEST(test_lost_one_kicked),
        TEST(test_yields),
        TEST(test_drained),
        TEST(test_drained_slowly),
        TEST(test_drain_taken_back),
        TEST(test_lost_while_draining),
        TEST(test_still_ours),
        TEST(test_lost_while_standing),
        TEST(test_left_while_standing),
        TEST(test_nobody_to_ask_about),
        TEST(test_pull_makes_room),
        TEST(test_pull_got_a_higher_run_meanwhile),
        TEST(test_no_memory),
        TEST(test_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
