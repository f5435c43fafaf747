#include "net/net_test.h"

#include "base/err.h"
#include "cluster/redis_conn.h"

#include <fcntl.h>
#include <stdio.h>

/* A Redis of which the test says every byte. */
struct fake {
    struct net_fixture net;
    struct redis_url url;
    struct redis_conn *conn;
    int listen_fd, fd;
    char got[65536];
    size_t got_len;
    int ups, downs, refusals, pushes;
    char refused[128], push[128];
};

static void on_up(void *arg)
{
    ((struct fake *)arg)->ups++;
}

static void on_down(void *arg)
{
    ((struct fake *)arg)->downs++;
}

static void on_push(const redisReply *reply, void *arg)
{
    struct fake *f = arg;
    f->pushes++;
    snprintf(f->push, sizeof f->push, "%.*s", SLICE_ARG(redis_text_at(reply, 2)));
}

static void on_refused(const char *text, void *arg)
{
    struct fake *f = arg;
    f->refusals++;
    snprintf(f->refused, sizeof f->refused, "%s", text);
}

static const struct redis_conn_events events = {
    .on_up = on_up, .on_down = on_down, .on_push = on_push, .on_refused = on_refused};

static void fake_open(struct fake *f, const char *credentials, int db)
{
    memset(f, 0, sizeof *f);
    fixture_open(&f->net);
    uint16_t port;
    f->listen_fd = tcp_listen(&port);
    f->fd = -1;
    char text[256];
    const char *why;
    snprintf(text, sizeof text, "redis://%s127.0.0.1:%u/%d", credentials, port, db);
    assert_int_equal(redis_url_parse(text, &f->url, &why), 0);
    f->conn = redis_conn_new(f->net.w, &f->url, "redis", "sluice-t", &events, f);
    redis_conn_start(f->conn);
}

static void fake_close(struct fake *f)
{
    redis_conn_free(&f->conn);
    if (f->fd >= 0)
        close(f->fd);
    close(f->listen_fd);
    fixture_close(&f->net);
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void fake_accept(struct fake *f)
{
    if (f->fd >= 0)
        close(f->fd);
    TURN_UNTIL(&f->net, readable(f->listen_fd));
    f->fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(f->fd >= 0);
    f->got_len = 0;
}

static bool fake_has(struct fake *f, const char *text)
{
    ssize_t n = recv(f->fd, f->got + f->got_len, sizeof f->got - f->got_len - 1, 0);
    if (n > 0)
        f->got_len += (size_t)n;
    f->got[f->got_len] = '\0';
    return strstr(f->got, text) != NULL;
}

static void fake_say_n(struct fake *f, const char *bytes, size_t len)
{
    assert_int_equal(send(f->fd, bytes, len, MSG_NOSIGNAL), len);
}

static void fake_say(struct fake *f, const char *bytes)
{
    fake_say_n(f, bytes, strlen(bytes));
}

static void fake_greet(struct fake *f)
{
    fake_accept(f);
    TURN_UNTIL(&f->net, fake_has(f, "PING\r\n"));
    int ups = f->ups;
    fake_say(f, "+OK\r\n+PONG\r\n");
    TURN_UNTIL(&f->net, f->ups == ups + 1);
}

struct answers {
    int count, none;
    char text[1024];
};

static void on_reply(const redisReply *reply, void *arg)
{
    struct answers *a = arg;
    size_t n = strlen(a->text);
    a->count++;
    if (reply == NULL)
        a->none++;
    else if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(a->text + n, sizeof a->text - n, "%lld;", reply->integer);
    else if (reply->type == REDIS_REPLY_ARRAY)
        snprintf(a->text + n, sizeof a->text - n, "[%zu]%.*s;", reply->elements,
                 SLICE_ARG(redis_text_at(reply, 0)));
    else
        snprintf(a->text + n, sizeof a->text - n, "%s;", reply->str != NULL ? reply->str : "nil");
}

static int ask(struct fake *f, struct answers *a, const char *const *words)
{
    struct redis_args args;
    redis_args_init(&args);
    redis_arg_list(&args, words);
    int err = redis_conn_command(f->conn, &args, on_reply, a);
    redis_args_fini(&args);
    return err;
}

static int ask_get(struct fake *f, struct answers *a)
{
    return ask(f, a, (const char *const[]){"GET", "k", NULL});
}

static void greets_with_everything_in_the_url(void **state)
{
    struct fake f;
    fake_open(&f, "origin:p%20w@", 3);
    fake_accept(&f);
    TURN_UNTIL(&f.net, fake_has(&f, "PING\r\n"));
    assert_string_equal(f.got, "*3\r\n$4\r\nAUTH\r\n$6\r\norigin\r\n$3\r\np w\r\n"
                               "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$8\r\nsluice-t\r\n"
                               "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$4\r\nPING\r\n");
    /* SETNAME may be refused: it is for people only. */
    fake_say(&f, "+OK\r\n-NOPERM no\r\n+OK\r\n+PONG\r\n");
    TURN_UNTIL(&f.net, f.ups == 1);
    assert_true(redis_conn_is_up(f.conn));
    assert_int_equal(f.refusals, 0);
    fake_close(&f);
}

static void words_cannot_become_commands(void **state)
{
    struct fake f;
    struct answers a = {0};
    fake_open(&f, "", 0);
    fake_greet(&f);
    assert_int_equal(ask(&f, &a, (const char *const[]){"GET", "a\r\nFLUSHALL\r\n", "%s{}*", NULL}),
                     0);
    TURN_UNTIL(&f.net,
               fake_has(&f, "*3\r\n$3\r\nGET\r\n$13\r\na\r\nFLUSHALL\r\n\r\n$5\r\n%s{}*\r\n"));
    fake_close(&f);
    assert_int_equal(a.none, 1);
}

static void replies_cut_everywhere(void **state)
{
    static const char wire[] = "$3\r\na\r\n\r\n*2\r\n$1\r\nx\r\n:5\r\n-ERR no\r\n$-1\r\n:7\r\n";
    struct fake f;
    fake_open(&f, "", 0);
    fake_greet(&f);
    for (size_t cut = 0; cut <= sizeof wire - 1; cut++) {
        struct answers a = {0};
        for (int i = 0; i < 5; i++)
            assert_int_equal(ask_get(&f, &a), 0);
        fake_say_n(&f, wire, cut);
        for (int i = 0; i < 3; i++)
            fixture_turn(&f.net);
        fake_say_n(&f, wire + cut, sizeof wire - 1 - cut);
        TURN_UNTIL(&f.net, a.count == 5);
        assert_string_equal(a.text, "a\r\n;[2]x;ERR no;nil;7;");
    }
    assert_int_equal(f.downs, 0);
    fake_close(&f);
}

/* Commands before the connection is there wait for it, and are sent after the greeting. */
static void early_commands_wait(void **state)
{
    struct fake f;
    struct answers a = {0};
    fake_open(&f, "", 0);
    assert_int_equal(ask_get(&f, &a), 0);
    fake_greet(&f);
    TURN_UNTIL(&f.net, fake_has(&f, "GET\r\n"));
    fake_say(&f, "+v\r\n");
    TURN_UNTIL(&f.net, a.count == 1);
    assert_string_equal(a.text, "v;");
    fake_close(&f);
}

static void what_cannot_be_a_reply_ends_the_connection(void **state)
{
    static const char *const wires[] = {"$1048577\r\n", "*100000\r\n", "?\r\n",
                                        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"};
    for (size_t i = 0; i < COUNT_OF(wires); i++) {
        struct fake f;
        struct answers a = {0};
        fake_open(&f, "", 0);
        fake_greet(&f);
        assert_int_equal(ask_get(&f, &a), 0);
        assert_int_equal(ask_get(&f, &a), 0);
        fake_say(&f, wires[i]);
        TURN_UNTIL(&f.net, f.downs == 1);
        assert_int_equal(a.count, 2);
        assert_int_equal(a.none, 2);
        assert_int_equal(ask_get(&f, &a), ERR_CLOSED);
        fake_greet(&f);
        assert_int_equal(ask_get(&f, &a), 0);
        assert_int_equal(METRIC_GET(f.net.w->metrics.redis_reconnects_total), 1);
        fake_close(&f);
        assert_int_equal(a.count, 3);
    }
}

static void a_reply_nobody_asked_for_ends_the_connection(void **state)
{
    struct fake f;
    fake_open(&f, "", 0);
    fake_greet(&f);
    fake_say(&f, "+surprise\r\n");
    TURN_UNTIL(&f.net, f.downs == 1);
    fake_close(&f);
}

static void a_missed_deadline_ends_the_connection(void **state)
{
    struct fake f;
    struct answers a = {0};
    fake_open(&f, "", 0);
    fake_greet(&f);
    int64_t start_us = clock_us();
    assert_int_equal(ask_get(&f, &a), 0);
    TURN_UNTIL(&f.net, a.count == 1);
    int64_t took_ms = (clock_us() - start_us) / 1000;
    assert_int_equal(a.none, 1);
    assert_in_range(took_ms, REDIS_COMMAND_MS, REDIS_COMMAND_MS + 300);
    fake_greet(&f);
    fake_close(&f);
}

/* A greeting that is not answered is tried again as well. */
static void a_silent_server_is_left(void **state)
{
    struct fake f;
    struct answers a = {0};
    fake_open(&f, "", 0);
    assert_int_equal(ask_get(&f, &a), 0);
    fake_accept(&f);
    TURN_UNTIL(&f.net, a.count == 1);
    assert_int_equal(a.none, 1);
    assert_int_equal(f.downs, 0);
    fake_greet(&f);
    fake_close(&f);
}

static void refusals_are_told_and_tried_again(void **state)
{
    static const struct {
        const char *credentials, *say;
        int refusals;
    } cases[] = {
        {"u:p@", "-WRONGPASS invalid username-password pair\r\n+OK\r\n+PONG\r\n", 1},
        {"", "-NOAUTH x\r\n-NOAUTH Authentication required.\r\n", 1},
        {"", "-LOADING x\r\n-LOADING Redis is loading the dataset in memory\r\n", 0},
        {"", "+OK\r\n-MASTERDOWN Link with MASTER is down\r\n", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fake f;
        fake_open(&f, cases[i].credentials, 0);
        fake_accept(&f);
        TURN_UNTIL(&f.net, fake_has(&f, "PING\r\n"));
        fake_say(&f, cases[i].say);
        fake_accept(&f);
        TURN_UNTIL(&f.net, fake_has(&f, "PING\r\n"));
        assert_int_equal(f.refusals, cases[i].refusals);
        assert_int_equal(f.ups, 0);
        fake_close(&f);
    }
}

static void a_node_that_lost_its_role_is_left(void **state)
{
    struct fake f;
    struct answers a = {0};
    fake_open(&f, "", 0);
    fake_greet(&f);
    assert_int_equal(ask_get(&f, &a), 0);
    fake_say(&f, "-READONLY You can't write against a read only replica.\r\n");
    TURN_UNTIL(&f.net, f.downs == 1);
    assert_int_equal(a.none, 0);
    assert_int_equal(a.count, 1);
    fake_close(&f);
}

static void pushes_after_subscribe(void **state)
{
    struct fake f;
    struct redis_args args;
    fake_open(&f, "", 0);
    fake_greet(&f);
    redis_args_init(&args);
    redis_arg_list(&args, (const char *const[]){"SUBSCRIBE", "c", NULL});
    redis_conn_subscribe(f.conn, &args);
    redis_args_fini(&args);
    fake_say(&f, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
                 "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n");
    TURN_UNTIL(&f.net, f.pushes == 2);
    assert_string_equal(f.push, "hello");
    fake_close(&f);
}

static void too_much_waiting_is_refused(void **state)
{
    struct fake f;
    struct answers a = {0};
    fake_open(&f, "", 0);
    fake_greet(&f);
    int err = 0, sent = 0;
    while ((err = ask_get(&f, &a)) == 0)
        sent++;
    assert_int_equal(err, ERR_TOO_MANY);
    assert_int_equal(sent, REDIS_PENDING_MAX);
    fake_close(&f);
    assert_int_equal(a.none, sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greets_with_everything_in_the_url),
        cmocka_unit_test(words_cannot_become_commands),
        cmocka_unit_test(replies_cut_everywhere),
        cmocka_unit_test(early_commands_wait),
        cmocka_unit_test(what_cannot_be_a_reply_ends_the_connection),
        cmocka_unit_test(a_reply_nobody_asked_for_ends_the_connection),
        cmocka_unit_test(a_missed_deadline_ends_the_connection),
        cmocka_unit_test(a_silent_server_is_left),
        cmocka_unit_test(refusals_are_told_and_tried_again),
        cmocka_unit_test(a_node_that_lost_its_role_is_left),
        cmocka_unit_test(pushes_after_subscribe),
        cmocka_unit_test(too_much_waiting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
