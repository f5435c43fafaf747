#include "test.h"

#include "net/http_client.h"
#include "net/listener.h"
#include "net_test.h"

#define BIG_LEN 900000

struct desk {
    struct net_fixture f;
    struct http_server *server;
    struct listener_set *set;
    struct http_call *call;
    int heads, ends, status;
    enum close_reason why;
    char *got;
    size_t got_len, take, most; /* take: consume so much at a time; most: largest offer */
    bool refuse_body, cancel_on_head, cancel_on_body, in_call;
    char type[32];
    char *big;
};

/* The caller's side. */

static void on_head(struct http_call *c, int status, void *arg)
{
    struct desk *d = arg;
    assert_false(d->in_call);
    d->heads++;
    d->status = status;
    slice_copy(http_call_header(c, "content-type"), d->type, sizeof d->type);
    if (d->cancel_on_head)
        http_call_cancel(&d->call);
}

static ssize_t on_body(struct http_call *c, struct slice bytes, void *arg)
{
    struct desk *d = arg;
    if (bytes.len > d->most)
        d->most = bytes.len;
    if (d->refuse_body)
        return -1;
    size_t n = bytes.len < d->take ? 0 : d->take > 0 ? d->take : bytes.len;
    assert_true(d->got_len + n <= BIG_LEN);
    memcpy(d->got + d->got_len, bytes.p, n);
    d->got_len += n;
    if (d->cancel_on_body)
        http_call_cancel(&d->call);
    return (ssize_t)n;
}

static void on_end(struct http_call *c, enum close_reason why, void *arg)
{
    struct desk *d = arg;
    assert_false(d->in_call);
    d->ends++;
    d->why = why;
    http_call_cancel(&d->call);
}

static const struct http_call_ops ops = {.on_head = on_head, .on_body = on_body, .on_end = on_end};

static void start(struct desk *d, uint16_t port, const char *method, const char *target,
                  const char *body)
{
    static const struct http_header header = {"X-Mine", {(const uint8_t *)"yes", 3}};
    const struct http_call_options o = {.to = loopback(port),
                                        .method = method,
                                        .target = target,
                                        .host = "node",
                                        .headers = &header,
                                        .header_count = 1,
                                        .body = slice_text(body),
                                        .head_deadline_ms = 5000,
                                        .idle_ms = 5000,
                                        .unread_max = 1000};
    d->heads = d->ends = d->status = 0;
    d->got_len = d->most = 0;
    d->in_call = true;
    d->call = http_call_start(d->f.w, &o, &ops, d);
    d->in_call = false;
}

/* A server of ours. */

static void echo(struct http_exchange *x, const struct http_request *req, void *arg)
{
    char text[256];
    const struct http_header type = {"Content-Type", slice_text("text/plain")};
    int n = snprintf(text, sizeof text, "%s %.*s %.*s %.*s", http_method_name(req->method),
                     SLICE_ARG(req->target), SLICE_ARG(http_request_header(req, "x-mine")),
                     SLICE_ARG(req->body));
    http_respond(x, 200, &type, 1, slice_of(text, (size_t)n));
}

static void big(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct desk *d = arg;
    http_respond(x, 200, NULL, 0, slice_of(d->big, BIG_LEN));
}

static void stream(struct http_exchange *x, const struct http_request *req, void *arg)
{
    http_stream(x, 200, NULL, 0);
    assert_int_equal(http_stream_write(x, slice_text("some records")), 0);
    http_stream_end(x, CLOSE_FINISHED);
}

static void never(struct http_exchange *x, const struct http_request *req, void *arg)
{
}

#define ROUTE(m, p, h)                                                                             \
    {                                                                                              \
        .method = (m), .pattern = (p), .handle = (h)                                               \
    }

static const struct http_route routes[] = {
    ROUTE("*", "/echo", echo),
    ROUTE("GET", "/big", big),
    ROUTE("GET", "/stream", stream),
    ROUTE("GET", "/never", never),
};

static int setup(void **state)
{
    struct desk *d = xcalloc(1, sizeof *d);
    fixture_open(&d->f);
    const struct http_server_options so = {
        .name = "test", .routes = routes, .route_count = COUNT_OF(routes), .arg = d};
    d->server = http_server_new(&so);
    const struct listener_options lo = {.name = "test",
                                        .address = "127.0.0.1:0",
                                        .on_accept = http_server_accept,
                                        .arg = d->server};
    assert_int_equal(listeners_open(&d->set, &d->f.group, &lo), 0);
    d->got = xmalloc(BIG_LEN);
    d->big = xmalloc(BIG_LEN);
    for (size_t i = 0; i < BIG_LEN; i++)
        d->big[i] = (char)(i * 31 + i / 257);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct desk *d = *state;
    http_call_cancel(&d->call);
    listeners_free(&d->set);
    fixture_turn(&d->f);
    http_server_free(&d->server);
    fixture_close(&d->f);
    free(d->got);
    free(d->big);
    free(d);
    return 0;
}

static void request_and_answer(void **state)
{
    struct desk *d = *state;
    start(d, listeners_port(d->set), "POST", "/echo?a=b", "the body");
    TURN_UNTIL(&d->f, d->ends == 1);
    assert_int_equal(d->why, CLOSE_FINISHED);
    assert_int_equal(d->status, 200);
    assert_string_equal(d->type, "text/plain");
    assert_int_equal(d->got_len, strlen("POST /echo?a=b yes the body"));
    assert_memory_equal(d->got, "POST /echo?a=b yes the body", d->got_len);
    start(d, listeners_port(d->set), "GET", "/nothing", "");
    TURN_UNTIL(&d->f, d->ends == 1);
    assert_int_equal(d->status, 404);
    start(d, listeners_port(d->set), "HEAD", "/echo", "");
    TURN_UNTIL(&d->f, d->ends == 1);
    assert_int_equal(d->status, 200);
    assert_int_equal(d->why, CLOSE_FINISHED);
    assert_int_equal(d->got_len, 0);
}

static void bodies_in_portions(void **state)
{
    static const size_t portions[] = {0, 1000, 3, 9}; /* all divide BIG_LEN or are "all" */
    struct desk *d = *state;
    for (size_t i = 0; i < COUNT_OF(portions); i++) {
        d->take = portions[i];
        start(d, listeners_port(d->set), "GET", "/big", "");
        TURN_UNTIL(&d->f, d->ends == 1);
        assert_int_equal(d->why, CLOSE_FINISHED);
        assert_int_equal(d->got_len, BIG_LEN);
        assert_memory_equal(d->got, d->big, BIG_LEN);
    }
    d->take = 7; /* leaves some at the end that never become seven */
    start(d, listeners_port(d->set), "GET", "/big", "");
    TURN_UNTIL(&d->f, d->ends == 1);
    assert_int_equal(d->why, CLOSE_BAD_INPUT);
}

static void what_is_left_unread_is_bounded(void **state)
{
    struct desk *d = *state;
    d->take = 100000;
    start(d, listeners_port(d->set), "GET", "/big", "");
    TURN_UNTIL(&d->f, d->ends == 1);
    assert_int_equal(d->why, CLOSE_BAD_INPUT);
}

static void a_stream_ends_with_its_connection(void **state)
{
    struct desk *d = *state;
    start(d, listeners_port(d->set), "GET", "/stream", "");
    TURN_UNTIL(&d->f, d->ends == 1);
    assert_int_equal(d->why, CLOSE_FINISHED);
    assert_memory_equal(d->got, "some records", 12);
}

static void a_refused_body_ends_the_call(void **state)
{
    struct desk *d = *state;
    d->refuse_body = true;
    start(d, listeners_port(d->set), "GET", "/stream", "");
    TURN_UNTIL(&d->f, d->ends == 1);
    assert_int_equal(d->why, CLOSE_BAD_INPUT);
}

static void a_cancelled_call_says_nothing(void **state)
{
    struct desk *d = *state;
    start(d, listeners_port(d->set), "GET", "/echo", "");
    http_call_cancel(&d->call);
    assert_null(d->call);
    d->cancel_on_head = true;
    start(d, listeners_port(d->set), "GET", "/echo", "");
    TURN_UNTIL(&d->f, d->heads == 1);
    d->cancel_on_head = false;
    d->cancel_on_body = true;
    start(d, listeners_port(d->set), "GET", "/big", "");
    TURN_UNTIL(&d->f, d->got_len > 0);
    for (int i = 0; i < 10; i++)
        fixture_turn(&d->f);
    assert_int_equal(d->ends, 0);
}

static void nobody_there(void **state)
{
    struct desk *d = *state;
    uint16_t port;
    close(tcp_listen(&port));
    start(d, port, "GET", "/", "");
    TURN_UNTIL(&d->f, d->ends == 1);
    assert_int_equal(d->why, CLOSE_REFUSED);
    assert_int_equal(d->heads, 0);
}

static void deadlines(void **state)
{
    struct desk *d = *state;
    struct http_call_options o = {.to = loopback(listeners_port(d->set)),
                                  .method = "GET",
                                  .target = "/never",
                                  .host = "node",
                                  .head_deadline_ms = 20,
                                  .idle_ms = 5000};
    d->call = http_call_start(d->f.w, &o, &ops, d);
    TURN_UNTIL(&d->f, d->ends == 1);
    assert_int_equal(d->why, CLOSE_TIMEOUT);
    assert_int_equal(d->heads, 0);

    uint16_t port;
    int listening = tcp_listen(&port);
    o.to = loopback(port);
    o.head_deadline_ms = 5000;
    o.idle_ms = 20;
    d->ends = 0;
    d->call = http_call_start(d->f.w, &o, &ops, d);
    int fd = accept(listening, NULL, NULL);
    send_text(fd, "HTTP/1.1 200 OK\r\n\r\nx");
    TURN_UNTIL(&d->f, d->ends == 1);
    assert_int_equal(d->why, CLOSE_TIMEOUT);
    assert_int_equal(d->heads, 1);
    close(fd);
    close(listening);
}

/* Answers as another server might write them, cut at every byte. */
static void answers_may_be_cut_anywhere(void **state)
{
    static const struct {
        const char *text;
        bool close; /* the end of the connection is the end of the body */
        enum close_reason why;
        int status;
        const char *body;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, CLOSE_FINISHED, 200, "hello"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
         false, CLOSE_FINISHED, 200, "hello"},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello", true, CLOSE_FINISHED, 200,
         "hello"},
        {"HTTP/1.1 204 No Content\r\n\r\n", false, CLOSE_FINISHED, 204, ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, CLOSE_FINISHED, 200, ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", true, CLOSE_PEER_CLOSED, 200,
         "hello"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true,
         CLOSE_PEER_CLOSED, 200, "hello"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n", false,
         CLOSE_BAD_INPUT, 200, "hello"},
        {"HTTP/1.1 200 OK\r\nContent-L", true, CLOSE_PEER_CLOSED, 0, ""},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", false, CLOSE_BAD_INPUT, 0, ""},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", false, CLOSE_BAD_INPUT, 0, ""},
    };
    struct desk *d = *state;
    uint16_t port;
    int listening = tcp_listen(&port);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t len = strlen(cases[i].text);
        for (size_t cut = 0; cut <= len; cut++) {
            start(d, port, "GET", "/", "");
            int fd = accept(listening, NULL, NULL);
            send_all(fd, cases[i].text, cut);
            for (int n = 0; n < 4; n++)
                fixture_turn(&d->f);
            if (d->ends == 0)
                send_all(fd, cases[i].text + cut, len - cut);
            if (cases[i].close)
                shutdown(fd, SHUT_WR);
            TURN_UNTIL(&d->f, d->ends == 1);
            assert_int_equal(d->why, cases[i].why);
            assert_int_equal(d->status, cases[i].status);
            assert_int_equal(d->got_len, strlen(cases[i].body));
            assert_memory_equal(d->got, cases[i].body, d->got_len);
            close(fd);
        }
    }
    close(listening);
}

/* Chunks that end in the middle of what the owner takes at a time. */
static void chunks_and_records_need_not_meet(void **state)
{
    struct desk *d = *state;
    uint16_t port;
    int listening = tcp_listen(&port);
    d->take = 4;
    start(d, port, "GET", "/", "");
    int fd = accept(listening, NULL, NULL);
    send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n3\r\ndef\r\n1\r\ng\r\n1\r\nh\r\n4\r\nijkl\r\n0\r\n\r\n");
    TURN_UNTIL(&d->f, d->ends == 1);
    assert_int_equal(d->why, CLOSE_FINISHED);
    assert_int_equal(d->got_len, 12);
    assert_memory_equal(d->got, "abcdefghijkl", 12);
    close(fd);
    close(listening);
}

#define DESK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DESK_TEST(request_and_answer),
        DESK_TEST(bodies_in_portions),
        DESK_TEST(what_is_left_unread_is_bounded),
        DESK_TEST(a_stream_ends_with_its_connection),
        DESK_TEST(a_refused_body_ends_the_call),
        DESK_TEST(a_cancelled_call_says_nothing),
        DESK_TEST(nobody_there),
        DESK_TEST(deadlines),
        DESK_TEST(answers_may_be_cut_anywhere),
        DESK_TEST(chunks_and_records_need_not_meet),
    };
    return cmocka_run_group_tests_name("http_client", tests, NULL, NULL);
}
