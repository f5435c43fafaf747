#include "net/net_test.h"

#include "cluster/redis_error.h"
#include "cluster/redis_sentinel.h"

#include <stdio.h>

/* --- what errors mean --- */

static void every_error_has_its_way(void **state)
{
    static const struct {
        const char *text;
        enum redis_error_kind kind;
        bool ends;
    } cases[] = {
        {"NOSCRIPT No matching script.", REDIS_ERROR_RELOAD, false},
        {"READONLY You can't write against a read only replica.", REDIS_ERROR_MOVE, true},
        {"MASTERDOWN Link with MASTER is down", REDIS_ERROR_MOVE, true},
        {"LOADING Redis is loading the dataset in memory", REDIS_ERROR_MOVE, true},
        {"CLUSTERDOWN The cluster is down", REDIS_ERROR_MOVE, true},
        {"ERR max number of clients reached", REDIS_ERROR_MOVE, true},
        {"OOM command not allowed", REDIS_ERROR_LATER, false},
        {"BUSY Redis is busy running a script", REDIS_ERROR_LATER, false},
        {"TRYAGAIN Multiple keys request during rehashing", REDIS_ERROR_LATER, false},
        {"MISCONF Redis is configured to save RDB snapshots", REDIS_ERROR_LATER, false},
        {"NOREPLICAS Not enough good replicas to write.", REDIS_ERROR_LATER, false},
        {"NOAUTH Authentication required.", REDIS_ERROR_REFUSED, true},
        {"WRONGPASS invalid username-password pair", REDIS_ERROR_REFUSED, true},
        {"NOPERM this user has no permissions", REDIS_ERROR_REFUSED, false},
        {"ERR The user executing the script can't", REDIS_ERROR_REFUSED, false},
        {"READONLYX", REDIS_ERROR_REFUSED, false},
        {"ERR max number of clientsx", REDIS_ERROR_REFUSED, false},
        {"", REDIS_ERROR_REFUSED, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[128];
        snprintf(text, sizeof text, "%s", cases[i].text);
        redisReply r = {.type = REDIS_REPLY_ERROR, .str = text, .len = strlen(text)};
        assert_int_equal(redis_error_kind(&r), cases[i].kind);
        assert_int_equal(redis_error_ends_connection(&r), cases[i].ends);
    }
    redisReply status = {.type = REDIS_REPLY_STATUS, .str = (char[]){"READONLY"}};
    assert_int_equal(redis_error_kind(&status), REDIS_ERROR_NONE);
    assert_int_equal(redis_error_kind(NULL), REDIS_ERROR_NONE);
    assert_false(redis_error_ends_connection(&status) || redis_error_ends_connection(NULL));
}

/* --- what a Sentinel may say --- */

static void addresses(void **state)
{
    static const struct {
        const char *host, *port, *want;
    } cases[] = {
        {"10.0.0.5", "6379", "10.0.0.5:6379"},
        {"redis-1.example", "1", "redis-1.example:1"},
        {"::1", "65535", "[::1]:65535"},
        {"fe80::1%eth0", "1", "[fe80::1%eth0]:1"},
        {"", "6379", ""},
        {"a", "0", ""},
        {"a", "65536", ""},
        {"a", "", ""},
        {"a", "-1", ""},
        {"a", "1x", ""},
        {"a b", "1", ""},
        {"a\nredis.up", "1", ""},
        {"a\"", "1", ""},
        {"[::1]", "1", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[300];
        bool ok = redis_sentinel_address(slice_text(cases[i].host), slice_text(cases[i].port), out,
                                         sizeof out);
        assert_string_equal(out, cases[i].want);
        assert_int_equal(ok, cases[i].want[0] != '\0');
    }
    char out[16];
    assert_false(
        redis_sentinel_address(slice_text("a-rather-long-name"), slice_text("1"), out, sizeof out));
    assert_string_equal(out, "");
}

/* --- two Sentinels and two Redis, of which the test says every answer --- */

#define LINKS_MAX 16

struct peer {
    int listen_fd;
    uint16_t port;
    const char *master; /* a Sentinel's answer; NULL: says nothing at all */
    const char *role;   /* a Redis' */
    int asked, greeted; /* questions of both kinds */
    struct link {
        int fd;
        struct inbox in;
        size_t done;
    } links[LINKS_MAX];
    size_t count;
};

struct stage {
    struct net_fixture net;
    struct peer sentinels[2], masters[2];
    char texts[2][32];
    char *items[2];
    struct text_list list;
    struct redis_url url;
    struct redis_sentinel *sentinel;
    struct redis_conn *conn;
    struct log_id log;
    int ups, downs, refusals, moves;
};

static void peer_send(struct peer *p, struct link *l, const char *word)
{
    if (strcmp(word, "PING") == 0)
        send_text(l->fd, "+PONG\r\n");
    else if (strcmp(word, "SETNAME") == 0)
        send_text(l->fd, "+OK\r\n");
    else if (strcmp(word, "ROLE") == 0)
        send_text(l->fd, p->role);
    else if (strcmp(word, "SUBSCRIBE") == 0)
        send_text(l->fd, "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n");
    else if (p->master != NULL)
        send_text(l->fd, p->master);
}

static void peer_answer(struct peer *p, struct link *l)
{
    static const char *const words[] = {"SETNAME", "ROLE", "PING", "SUBSCRIBE", "BY-NAME"};
    for (;;) {
        const char *first = NULL, *word = NULL;
        for (size_t i = 0; i < COUNT_OF(words) && l->in.data != NULL; i++) {
            const char *at = strstr(l->in.data + l->done, words[i]);
            if (at != NULL && (first == NULL || at < first)) {
                first = at;
                word = words[i];
            }
        }
        if (first == NULL)
            return;
        l->done = (size_t)(first - l->in.data) + strlen(word);
        p->asked += strcmp(word, "BY-NAME") == 0;
        p->greeted += strcmp(word, "ROLE") == 0;
        peer_send(p, l, word);
    }
}

static void peer_turn(struct peer *p)
{
    struct pollfd waiting = {.fd = p->listen_fd, .events = POLLIN};
    if (poll(&waiting, 1, 0) == 1) {
        assert_true(p->count < LINKS_MAX);
        p->links[p->count++].fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    }
    for (size_t i = 0; i < p->count; i++) {
        struct link *l = &p->links[i];
        if (!l->in.eof)
            inbox_read(&l->in, l->fd, 4096);
        if (!l->in.eof)
            peer_answer(p, l);
    }
}

static void peer_close(struct peer *p)
{
    for (size_t i = 0; i < p->count; i++) {
        close(p->links[i].fd);
        inbox_free(&p->links[i].in);
    }
    close(p->listen_fd);
}

static void stage_turn(struct stage *s)
{
    fixture_turn(&s->net);
    for (int i = 0; i < 2; i++) {
        peer_turn(&s->sentinels[i]);
        peer_turn(&s->masters[i]);
    }
}

#define STAGE_UNTIL(s, cond)                                                                       \
    do {                                                                                           \
        int64_t give_up_us = clock_us() + TEST_GIVE_UP_US;                                         \
        while (!(cond)) {                                                                          \
            assert_true(clock_us() < give_up_us);                                                  \
            stage_turn(s);                                                                         \
        }                                                                                          \
    } while (0)

static void on_up(void *arg)
{
    ((struct stage *)arg)->ups++;
}

static void on_down(void *arg)
{
    ((struct stage *)arg)->downs++;
}

static void on_refused(const char *text, void *arg)
{
    ((struct stage *)arg)->refusals++;
}

static void on_moved(const char *address, void *arg)
{
    struct stage *s = arg;
    s->moves++;
    redis_conn_move(s->conn, address);
}

static const struct redis_conn_events conn_events = {
    .on_up = on_up, .on_down = on_down, .on_refused = on_refused};
static const struct redis_sentinel_events sentinel_events = {on_moved};

#define ROLE_MASTER "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
#define ROLE_SLAVE  "*2\r\n$5\r\nslave\r\n$1\r\nx\r\n"

static void stage_open(struct stage *s)
{
    memset(s, 0, sizeof *s);
    fixture_open(&s->net);
    for (int i = 0; i < 2; i++) {
        s->sentinels[i].listen_fd = tcp_listen(&s->sentinels[i].port);
        s->masters[i].listen_fd = tcp_listen(&s->masters[i].port);
        s->masters[i].role = ROLE_MASTER;
        snprintf(s->texts[i], sizeof s->texts[i], "127.0.0.1:%u", s->sentinels[i].port);
        s->items[i] = s->texts[i];
    }
    s->list = (struct text_list){s->items, 2};
    s->sentinel =
        redis_sentinel_new(s->net.w, &s->list, "m", "sluice-t", &s->log, &sentinel_events, s);
    s->conn = redis_conn_new(s->net.w, &s->url, "redis", "sluice-t", &conn_events, s);
    redis_conn_set_finder(s->conn, redis_sentinel_find, s->sentinel, true);
}

static void stage_close(struct stage *s)
{
    redis_conn_free(&s->conn);
    redis_sentinel_free(&s->sentinel);
    for (int i = 0; i < 2; i++) {
        peer_close(&s->sentinels[i]);
        peer_close(&s->masters[i]);
    }
    fixture_close(&s->net);
}

static const char *answer_of(char *out, size_t room, uint16_t port)
{
    snprintf(out, room, "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%05u\r\n", port);
    return out;
}

/* Whatever the first one that is asked says, the other one knows. */
static void the_next_is_asked(void **state)
{
    static const char *const lies[] = {"*-1\r\n",
                                       "-NOAUTH Authentication required.\r\n",
                                       "*2\r\n$1\r\n \r\n$1\r\n1\r\n",
                                       "*1\r\n$9\r\n127.0.0.1\r\n",
                                       ":5\r\n",
                                       "?\r\n",
                                       "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n99999\r\n"};
    for (size_t i = 0; i < COUNT_OF(lies) * 2; i++) {
        struct stage s;
        char text[64];
        stage_open(&s);
        s.sentinels[i % 2].master = answer_of(text, sizeof text, s.masters[0].port);
        s.sentinels[1 - i % 2].master = lies[i / 2];
        redis_conn_start(s.conn);
        STAGE_UNTIL(&s, s.ups == 1);
        assert_int_equal(s.sentinels[i % 2].asked, 1);
        assert_in_range(s.sentinels[1 - i % 2].asked, 0, 1);
        snprintf(text, sizeof text, "127.0.0.1:%u", s.masters[0].port);
        assert_string_equal(redis_conn_address(s.conn), text);
        stage_close(&s);
    }
}

/* ROLE has the last word: what one Sentinel takes for the master is none. */
static void a_replica_is_left_for_the_next(void **state)
{
    struct stage s;
    char texts[2][64];
    stage_open(&s);
    s.masters[0].role = ROLE_SLAVE;
    for (int i = 0; i < 2; i++)
        s.sentinels[i].master = answer_of(texts[i], sizeof texts[i], s.masters[i].port);
    redis_conn_start(s.conn);
    STAGE_UNTIL(&s, s.ups == 1);
    assert_in_range(s.masters[0].greeted, 0, 1);
    assert_int_equal(s.masters[1].greeted, 1);
    assert_int_equal(s.refusals, 0);
    stage_close(&s);
}

static void a_refused_role_is_told(void **state)
{
    struct stage s;
    char text[64];
    stage_open(&s);
    s.masters[0].role = "-NOPERM no\r\n";
    for (int i = 0; i < 2; i++)
        s.sentinels[i].master = answer_of(text, sizeof text, s.masters[0].port);
    redis_conn_start(s.conn);
    STAGE_UNTIL(&s, s.refusals == 2);
    assert_int_equal(s.ups, 0);
    stage_close(&s);
}

static void a_hint_moves_the_connection_at_once(void **state)
{
    struct stage s;
    char text[64];
    stage_open(&s);
    for (int i = 0; i < 2; i++)
        s.sentinels[i].master = answer_of(text, sizeof text, s.masters[0].port);
    redis_conn_start(s.conn);
    redis_sentinel_start(s.sentinel);
    struct peer *told = NULL;
    struct link *hint = NULL;
    STAGE_UNTIL(&s, s.ups == 1);
    while (hint == NULL) {
        stage_turn(&s);
        for (size_t i = 0; i < 2 * LINKS_MAX && hint == NULL; i++) {
            told = &s.sentinels[i / LINKS_MAX];
            if (inbox_has(&told->links[i % LINKS_MAX].in, "SUBSCRIBE"))
                hint = &told->links[i % LINKS_MAX];
        }
    }
    char moved[64], message[256], next[64];
    static const char *const not_for_us[] = {"other 127.0.0.1 1 127.0.0.1 2", "m 127.0.0.1 1", "",
                                             "m a 1 b 0"};
    for (size_t i = 0; i < COUNT_OF(not_for_us); i++) {
        snprintf(message, sizeof message,
                 "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%zu\r\n%s\r\n",
                 strlen(not_for_us[i]), not_for_us[i]);
        send_text(hint->fd, message);
    }
    snprintf(moved, sizeof moved, "m 127.0.0.1 1 127.0.0.1 %05u", s.masters[1].port);
    told->master = answer_of(next, sizeof next, s.masters[1].port);
    snprintf(message, sizeof message,
             "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%zu\r\n%s\r\n", strlen(moved),
             moved);
    int64_t began_us = clock_us();
    send_text(hint->fd, message);
    send_text(hint->fd, message);
    STAGE_UNTIL(&s, s.ups == 2 && s.moves == 2);
    assert_true(clock_us() - began_us < (int64_t)REDIS_COMMAND_MS * 1000);
    assert_int_equal(s.downs, 1);
    assert_int_equal(s.masters[1].greeted, 1);
    stage_close(&s);
}

/* Each would be a line in the log, and a new connection. */
static void a_flood_of_hints_is_not_followed(void **state)
{
    struct stage s;
    struct link *hint = NULL;
    char text[64];
    stage_open(&s);
    for (int i = 0; i < 2; i++)
        s.sentinels[i].master = answer_of(text, sizeof text, s.masters[0].port);
    redis_sentinel_start(s.sentinel);
    while (hint == NULL) {
        stage_turn(&s);
        for (size_t i = 0; i < 2 * LINKS_MAX && hint == NULL; i++)
            if (inbox_has(&s.sentinels[i / LINKS_MAX].links[i % LINKS_MAX].in, "SUBSCRIBE"))
                hint = &s.sentinels[i / LINKS_MAX].links[i % LINKS_MAX];
    }
    for (int i = 0; i < 200; i++) {
        char moved[64], message[256];
        snprintf(moved, sizeof moved, "m a 1 127.0.0.1 %d", 1000 + i);
        snprintf(message, sizeof message,
                 "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%zu\r\n%s\r\n", strlen(moved),
                 moved);
        send_text(hint->fd, message);
    }
    int64_t until_us = clock_us() + 200000;
    while (clock_us() < until_us)
        stage_turn(&s);
    assert_in_range(s.moves, 1, 2 * LOG_LIMIT_PER_SECOND);
    stage_close(&s);
}

/* Nobody knows: the connection's own deadline and retries are what counts; nothing is left over. */
static void silence_is_no_answer(void **state)
{
    struct stage s;
    stage_open(&s);
    int64_t began_us = clock_us();
    redis_conn_start(s.conn);
    STAGE_UNTIL(&s, s.sentinels[0].asked + s.sentinels[1].asked >= 2);
    assert_in_range((clock_us() - began_us) / 1000, REDIS_COMMAND_MS, 2 * REDIS_COMMAND_MS);
    char text[64];
    for (int i = 0; i < 2; i++)
        s.sentinels[i].master = answer_of(text, sizeof text, s.masters[0].port);
    STAGE_UNTIL(&s, s.ups == 1);
    stage_close(&s);
}

static void ends_while_it_asks(void **state)
{
    struct stage s;
    stage_open(&s);
    redis_conn_start(s.conn);
    redis_sentinel_start(s.sentinel);
    STAGE_UNTIL(&s, s.sentinels[0].asked + s.sentinels[1].asked == 1);
    redis_sentinel_stop(s.sentinel);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_way),
        cmocka_unit_test(addresses),
        cmocka_unit_test(the_next_is_asked),
        cmocka_unit_test(a_replica_is_left_for_the_next),
        cmocka_unit_test(a_refused_role_is_told),
        cmocka_unit_test(a_hint_moves_the_connection_at_once),
        cmocka_unit_test(a_flood_of_hints_is_not_followed),
        cmocka_unit_test(silence_is_no_answer),
        cmocka_unit_test(ends_while_it_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
