#include "test.h"

#include "net/http_client.h"
#include "net/listener.h"
#include "net_test.h"

/*
 * Request bodies that are streamed: a server of ours, asked by a raw peer and by our client.  The
 * handler answers with the status that ?status= names, or streams: "go", then what the test says.
 */
#define LARGE_LEN  (24 << 20) /* more than the kernel takes from one who is not read */
#define UNREAD_MAX 8

struct post {
    struct net_fixture f;
    struct http_server *server;
    struct listener_set *set;
    int fd; /* of a raw peer */
    struct inbox in;

    struct http_exchange *x;
    int handled, ends, gone;
    bool answers_late, paused, stop_at_body, refuse_body, cancel_at_body;
    enum close_reason why;
    size_t take; /* consumed at a time; 0: all */
    char *got;
    size_t got_len;

    struct http_call *call;
    char *large;
    size_t sent;
    int status, call_ends, writable;
    enum close_reason call_why;
    struct buf answer;
};

/* --- the server's side --- */

static ssize_t on_body(struct http_exchange *x, struct slice bytes, void *owner)
{
    struct post *p = owner;
    assert_ptr_equal(x, p->x);
    if (p->refuse_body)
        return -1;
    size_t n = p->take == 0 ? bytes.len : bytes.len < p->take ? 0 : p->take;
    assert_true(p->got_len + n <= LARGE_LEN);
    memcpy(p->got + p->got_len, bytes.p, n);
    p->got_len += n;
    if (p->cancel_at_body)
        http_call_cancel(&p->call);
    if (p->stop_at_body) {
        p->x = NULL;
        http_stream_end(x, CLOSE_FINISHED);
    }
    return (ssize_t)n;
}

static void on_body_end(struct http_exchange *x, void *owner)
{
    struct post *p = owner;
    p->ends++;
    if (p->answers_late) {
        p->x = NULL;
        http_respond(x, 200, NULL, 0, slice_text("late"));
    }
}

static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    struct post *p = owner;
    p->gone++;
    p->why = why;
    p->x = NULL;
}

static const struct http_exchange_ops ops = {
    .on_gone = on_gone, .on_body = on_body, .on_body_end = on_body_end};

static void handle(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct post *p = arg;
    char status[8];
    p->handled++;
    if (!req->body_follows) {
        http_respond(x, 200, NULL, 0, req->body);
        return;
    }
    assert_int_equal(req->body.len, 0);
    if (http_request_query(req, "status", status, sizeof status)) {
        http_respond_error(x, (int)strtol(status, NULL, 10), "no", "no");
        return;
    }
    p->x = x;
    http_exchange_watch(x, &ops, p);
    if (p->paused)
        http_exchange_pause(x, true);
    if (p->answers_late)
        return;
    http_stream(x, 200, NULL, 0);
    assert_int_equal(http_stream_write(x, slice_text("go")), 0);
}

static const struct http_route routes[] = {
    {.method = "POST", .pattern = "/in", .handle = handle, .body_unread_max = UNREAD_MAX},
    {.method = "POST", .pattern = "/whole", .handle = handle},
};

/* --- the fixture --- */

static void dial(struct post *p)
{
    struct net_address peer = loopback(4711);
    int ours;
    tcp_pair(&ours, &p->fd);
    http_server_accept(p->f.w, io_accept(p->f.w, ours, &peer, NULL, NULL), p->server);
}

static void hang_up(struct post *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    inbox_free(&p->in);
    TURN_UNTIL(&p->f, METRIC_GET(p->f.w->metrics.connections_open) == 0);
    p->handled = p->ends = p->gone = 0;
    p->got_len = 0;
}

static int setup(void **state)
{
    struct post *p = xcalloc(1, sizeof *p);
    fixture_open(&p->f);
    p->fd = -1;
    p->server = http_server_new(&(struct http_server_options){
        .name = "test", .routes = routes, .route_count = COUNT_OF(routes), .arg = p});
    const struct listener_options lo = {.name = "test",
                                        .address = "127.0.0.1:0",
                                        .on_accept = http_server_accept,
                                        .arg = p->server};
    assert_int_equal(listeners_open(&p->set, &p->f.group, &lo), 0);
    p->got = xmalloc(LARGE_LEN);
    p->large = xmalloc(LARGE_LEN);
    for (size_t i = 0; i < LARGE_LEN; i++)
        p->large[i] = (char)(i * 31 + i / 257);
    buf_init(&p->answer, 4096);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct post *p = *state;
    http_call_cancel(&p->call);
    hang_up(p);
    listeners_free(&p->set);
    fixture_turn(&p->f);
    http_server_free(&p->server);
    fixture_close(&p->f);
    buf_fini(&p->answer);
    free(p->got);
    free(p->large);
    free(p);
    return 0;
}

/* --- a raw peer --- */

#define HEAD "POST /in HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

static void a_body_may_be_cut_anywhere(void **state)
{
    static const char wire[] =
        HEAD "3\r\nabc\r\n3\r\ndef\r\n1\r\ng\r\nA\r\nhijklmnopq\r\n0\r\n\r\n";
    static const size_t takes[] = {0, 1};
    struct post *p = *state;
    for (size_t t = 0; t < COUNT_OF(takes); t++) {
        for (size_t cut = 1; cut < sizeof wire - 1; cut++) {
            p->take = takes[t];
            dial(p);
            send_all(p->fd, wire, cut);
            for (int i = 0; i < 3; i++)
                fixture_turn(&p->f);
            assert_int_equal(p->ends, 0);
            send_all(p->fd, wire + cut, sizeof wire - 1 - cut);
            TURN_UNTIL(&p->f, p->ends == 1);
            assert_int_equal(p->got_len, 17);
            assert_memory_equal(p->got, "abcdefghijklmnopq", 17);
            assert_int_equal(p->handled, 1);
            assert_int_equal(p->gone, 0);
            hang_up(p);
        }
    }
}

static void the_body_comes_before_its_end(void **state)
{
    struct post *p = *state;
    dial(p);
    send_text(p->fd, HEAD);
    READ_UNTIL(&p->f, &p->in, p->fd, inbox_has(&p->in, "go"));
    send_text(p->fd, "3\r\nabc\r\n");
    TURN_UNTIL(&p->f, p->got_len == 3);
    send_text(p->fd, "2\r\nd"); /* also of a chunk that is not complete */
    TURN_UNTIL(&p->f, p->got_len == 4);
    assert_int_equal(p->ends, 0);
    close(p->fd);
    p->fd = -1;
    TURN_UNTIL(&p->f, p->gone == 1);
    assert_int_equal(p->why, CLOSE_PEER_CLOSED);
    assert_int_equal(p->ends, 0);
}

static void malformed_bodies(void **state)
{
    static const struct {
        const char *body;
        bool late;
        enum close_reason why;
    } cases[] = {
        {"g\r\n", false, CLOSE_BAD_INPUT},
        {"g\r\n", true, CLOSE_BAD_INPUT},
        {"3;x=1\r\nabc\r\n", false, CLOSE_BAD_INPUT},
        {"3\r\nabcX", false, CLOSE_BAD_INPUT},
        {"3\nabc", false, CLOSE_BAD_INPUT},
        {"0\r\nTrailer: 1\r\n\r\n", true, CLOSE_BAD_INPUT},
        {"fffffffff\r\n", false, CLOSE_BAD_INPUT},
        {"3\r\nabc\r\n0\r\n\r\n", false, CLOSE_BAD_INPUT}, /* the owner waits for four */
        {"C\r\nabcabcabcabc\r\n", false, CLOSE_BAD_INPUT}, /* and leaves more than it may */
    };
    struct post *p = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        p->answers_late = cases[i].late;
        p->take = i + 1 == COUNT_OF(cases) ? 13 : i + 2 == COUNT_OF(cases) ? 4 : 0;
        dial(p);
        send_text(p->fd, HEAD);
        send_text(p->fd, cases[i].body);
        READ_UNTIL(&p->f, &p->in, p->fd, p->in.eof);
        assert_int_equal(p->gone, 1);
        assert_int_equal(p->why, cases[i].why);
        assert_int_equal(p->ends, 0);
        if (cases[i].late)
            assert_true(inbox_has(&p->in, "HTTP/1.1 400 "));
        hang_up(p);
    }
    p->take = 0;
    p->answers_late = false;
    p->refuse_body = true;
    dial(p);
    send_text(p->fd, HEAD "3\r\nabc\r\n");
    READ_UNTIL(&p->f, &p->in, p->fd, p->in.eof);
    assert_int_equal(p->why, CLOSE_BAD_INPUT);
}

static void an_answer_may_come_first_or_last(void **state)
{
    static const char early[] = "POST /in?status=409 HTTP/1.1\r\nHost: h\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    struct post *p = *state;
    dial(p);
    send_text(p->fd, early);
    READ_UNTIL(&p->f, &p->in, p->fd, p->in.eof);
    assert_true(inbox_has(&p->in, "HTTP/1.1 409 "));
    assert_true(inbox_has(&p->in, "Connection: close"));
    assert_int_equal(p->got_len, 0);
    hang_up(p);

    p->answers_late = true;
    dial(p);
    send_text(p->fd, HEAD "3\r\nabc\r\n0\r\n\r\nGET /nobody HTTP/1.1\r\n\r\n");
    READ_UNTIL(&p->f, &p->in, p->fd, p->in.eof);
    assert_true(inbox_has(&p->in, "HTTP/1.1 200 "));
    assert_true(inbox_has(&p->in, "late"));
    assert_int_equal(inbox_count(&p->in, "HTTP/1.1"), 1);
    assert_int_equal(p->got_len, 3);
    assert_int_equal(p->gone, 0);
}

static void the_owner_may_stop_in_the_middle(void **state)
{
    struct post *p = *state;
    p->stop_at_body = true;
    dial(p);
    send_text(p->fd, HEAD "3\r\nabc\r\n3\r\ndef\r\n");
    READ_UNTIL(&p->f, &p->in, p->fd, p->in.eof);
    assert_true(inbox_has(&p->in, "0\r\n\r\n"));
    assert_int_equal(p->got_len, 3);
    assert_int_equal(p->ends, 0);
}

/* Whatever does not announce chunks, or goes elsewhere, is collected with its limits. */
static void other_bodies_are_collected(void **state)
{
    static const char *const requests[] = {
        "POST /in HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
        "POST /whole HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    };
    struct post *p = *state;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        dial(p);
        send_text(p->fd, requests[i]);
        READ_UNTIL(&p->f, &p->in, p->fd, p->in.eof);
        assert_true(inbox_has(&p->in, "\r\n\r\nabc"));
        hang_up(p);
    }
    dial(p);
    send_text(p->fd, "POST /whole HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "11000\r\n");
    for (int i = 0; i < 17; i++)
        send_all(p->fd, p->large, 0x1000);
    READ_UNTIL(&p->f, &p->in, p->fd, p->in.eof);
    assert_true(inbox_has(&p->in, "HTTP/1.1 413 "));
}

static void expect_continue(void **state)
{
    struct post *p = *state;
    dial(p);
    send_text(p->fd, "POST /in HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n");
    READ_UNTIL(&p->f, &p->in, p->fd, inbox_has(&p->in, "go"));
    assert_int_equal(strncmp(p->in.data, "HTTP/1.1 100 ", 13), 0);
}

/* --- our client --- */

static void send_more(struct post *p)
{
    while (p->call != NULL && p->sent < LARGE_LEN) {
        size_t len = LARGE_LEN - p->sent;
        struct iovec iov[2] = {{p->large + p->sent, len / 2},
                               {p->large + p->sent + len / 2, len - len / 2}};
        ssize_t n = http_call_writev(p->call, iov, 2);
        assert_true(n >= 0);
        if (n == 0)
            return;
        p->sent += (size_t)n;
    }
    if (p->call != NULL)
        http_call_body_end(p->call);
}

static void on_head(struct http_call *c, int status, void *owner)
{
    ((struct post *)owner)->status = status;
}

static ssize_t on_answer(struct http_call *c, struct slice bytes, void *owner)
{
    struct post *p = owner;
    assert_int_equal(buf_append(&p->answer, bytes.p, bytes.len), 0);
    return (ssize_t)bytes.len;
}

static void on_call_end(struct http_call *c, enum close_reason why, void *owner)
{
    struct post *p = owner;
    p->call_ends++;
    p->call_why = why;
    p->call = NULL;
}

static void on_writable(struct http_call *c, void *owner)
{
    struct post *p = owner;
    p->writable++;
    send_more(p);
}

static const struct http_call_ops call_ops = {
    .on_head = on_head, .on_body = on_answer, .on_end = on_call_end, .on_writable = on_writable};

static void start(struct post *p, const char *target)
{
    p->call = http_call_start(p->f.w,
                              &(struct http_call_options){.to = loopback(listeners_port(p->set)),
                                                          .method = "POST",
                                                          .target = target,
                                                          .host = "node",
                                                          .streams_body = true,
                                                          .head_deadline_ms = 5000,
                                                          .idle_ms = 5000,
                                                          .unread_max = 1000},
                              &call_ops, p);
}

static void a_large_body_arrives_whole(void **state)
{
    struct post *p = *state;
    start(p, "/in");
    TURN_UNTIL(&p->f, p->ends == 1);
    assert_int_equal(p->status, 200);
    assert_true(slice_is(buf_slice(&p->answer), "go")); /* while the body was under way */
    assert_int_equal(p->got_len, LARGE_LEN);
    assert_memory_equal(p->got, p->large, LARGE_LEN);
    http_stream_end(p->x, CLOSE_FINISHED);
    TURN_UNTIL(&p->f, p->call_ends == 1);
    assert_int_equal(p->call_why, CLOSE_FINISHED);
}

static void a_receiver_that_pauses_slows_the_sender(void **state)
{
    struct post *p = *state;
    p->paused = true;
    start(p, "/in");
    TURN_UNTIL(&p->f, p->writable > 0 && p->handled == 1);
    size_t before = 0;
    while (before != p->sent) {
        before = p->sent;
        for (int i = 0; i < 50; i++)
            fixture_turn(&p->f);
    }
    assert_true(p->sent < LARGE_LEN);
    assert_true(p->got_len <= WORKER_SCRATCH_SIZE);
    http_exchange_pause(p->x, false);
    TURN_UNTIL(&p->f, p->ends == 1);
    assert_memory_equal(p->got, p->large, LARGE_LEN);
}

static void a_refusal_ends_the_call(void **state)
{
    struct post *p = *state;
    start(p, "/in?status=503");
    TURN_UNTIL(&p->f, p->call_ends == 1);
    assert_int_equal(p->status, 503);
    assert_int_equal(p->call_why, CLOSE_FINISHED);
}

static void a_call_that_is_cancelled_is_seen(void **state)
{
    struct post *p = *state;
    start(p, "/in");
    p->cancel_at_body = true;
    TURN_UNTIL(&p->f, p->gone == 1);
    assert_int_equal(p->call_ends, 0);
    assert_int_equal(p->ends, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_body_may_be_cut_anywhere),
        T(the_body_comes_before_its_end),
        T(malformed_bodies),
        T(an_answer_may_come_first_or_last),
        T(the_owner_may_stop_in_the_middle),
        T(other_bodies_are_collected),
        T(expect_continue),
        T(a_large_body_arrives_whole),
        T(a_receiver_that_pauses_slows_the_sender),
        T(a_refusal_ends_the_call),
        T(a_call_that_is_cancelled_is_seen),
    };
    return cmocka_run_group_tests_name("http_body", tests, NULL, NULL);
}
