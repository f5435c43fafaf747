#include "test.h"

#include "admin/www.h"
#include "net/net_test.h"

struct site {
    struct net_fixture f;
    struct www *www;
    struct http_route routes[WWW_ROUTES];
    struct http_server *server;
    struct inbox in;
};

static int setup(void **state)
{
    struct site *s = xcalloc(1, sizeof *s);
    fixture_open(&s->f);
    s->www = www_new();
    www_routes(s->www, s->routes);
    s->server = http_server_new(&(struct http_server_options){
        .name = "http", .routes = s->routes, .route_count = WWW_ROUTES, .cors_origin = "*"});
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct site *s = *state;
    for (int i = 0; i < 10; i++)
        fixture_turn(&s->f);
    http_server_free(&s->server);
    www_free(&s->www);
    inbox_free(&s->in);
    fixture_close(&s->f);
    free(s);
    return 0;
}

/* The status; the answer is in s->in. */
static int ask(struct site *s, const char *line, const char *headers)
{
    struct net_address peer = loopback(4711);
    int ours, theirs;
    char text[1024];
    tcp_pair(&ours, &theirs);
    http_server_accept(s->f.w, io_accept(s->f.w, ours, &peer, NULL, NULL), s->server);
    snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", line,
             headers);
    send_text(theirs, text);
    inbox_free(&s->in);
    READ_UNTIL(&s->f, &s->in, theirs, s->in.eof);
    close(theirs);
    assert_true(s->in.len > 12);
    return (int)strtol(s->in.data + 9, NULL, 10);
}

static void pages(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *has;
    } cases[] = {
        {"GET /", 200, "Content-Type: text/html"},
        {"GET /", 200, "src=\"console.js\""},
        {"GET /live/cam/", 200, "src=\"../../player.js\""},
        {"GET /live/cam/publish", 200, "src=\"../../publish.js\""},
        {"GET /live/cam", 308, "\r\nLocation: cam/\r\n"},
        {"GET /live/cam?by=flv", 308, "\r\nLocation: cam/?by=flv\r\n"},
        {"GET /player.js", 200, "Content-Type: text/javascript"},
        {"GET /webrtc.js", 200, "export class Session"},
        {"GET /style.css", 200, "Content-Type: text/css"},
        {"HEAD /style.css", 200, "Content-Length: "},
        {"GET /style.css", 200, "Content-Security-Policy: default-src 'self'; "},
        {"GET /nothing.js", 404, "not_found"},
        {"GET /api/cam/", 404, "not_found"},
        {"GET /api/cam", 404, "not_found"},
        {"GET /rtc/cam/publish", 404, "not_found"},
        {"GET /live/c%25m/", 404, "not_found"},
        {"POST /player.js", 405, "Allow: GET, HEAD, OPTIONS"},
    };
    struct site *s = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int status = ask(s, cases[i].line, "");
        if (status != cases[i].status || !inbox_has(&s->in, cases[i].has))
            fail_msg("%s: %d\n%s", cases[i].line, status, s->in.data);
    }
}

/* A browser that has it already gets nothing, one that can unpack less. */
static void revalidation(void **state)
{
    struct site *s = *state;
    char etag[64], headers[128];
    assert_int_equal(ask(s, "GET /player.js", ""), 200);
    size_t plain = s->in.len;
    const char *at = strstr(s->in.data, "\r\nETag: ");
    assert_non_null(at);
    assert_true(slice_copy(slice_of(at + 8, strcspn(at + 8, "\r")), etag, sizeof etag));
    snprintf(headers, sizeof headers, "If-None-Match: \"x\", W/%s\r\n", etag);
    assert_int_equal(ask(s, "GET /player.js", headers), 304);
    assert_int_equal(ask(s, "GET /player.js", "If-None-Match: \"x\"\r\n"), 200);
    assert_int_equal(ask(s, "GET /player.js", "Accept-Encoding: br, gzip\r\n"), 200);
    assert_true(inbox_has(&s->in, "\r\nContent-Encoding: gzip\r\n"));
    assert_true(s->in.len < plain);
    assert_int_equal(ask(s, "GET /player.js", "Accept-Encoding: gzip;q=0\r\n"), 200);
    assert_false(inbox_has(&s->in, "Content-Encoding"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages, setup, teardown),
        cmocka_unit_test_setup_teardown(revalidation, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
