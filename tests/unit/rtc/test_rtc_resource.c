#include "test.h"

#include "net/listener.h"
#include "net/net_test.h"
#include "proto/sdp_files.h"
#include "rtc/rtc_resource.h"

#define WORKERS 2
#define SECRET  "0123456789abcdef"

/* What a maker of sessions sees. */
enum wish { WISH_ANSWER, WISH_HOLD, WISH_REFUSE };

struct place {
    struct config config;
    struct workers group;
    struct node {
        struct place *place;
        struct relay_identity id;
        struct relay_client client;
        struct relay_guard *guard;
        struct rtc_resources *rs;
        struct http_route routes[RTC_ROUTES], cluster_routes[RTC_CLUSTER_ROUTES];
        struct http_server *http, *cluster;
        struct listener_set *port;
        char address[NET_ADDRESS_TEXT_MAX];
    } a, b;
    bool b_is_known;
    enum wish wish;
    enum close_reason why; /* of WISH_REFUSE, and of what was closed */
    struct rtc_resource *resource;
    int opened, closed, restarts;
    char ufrag[RTC_CREDENTIAL_MAX + 1];
    char identity[80];
    enum sdp_codec video;
};

/* ---- the maker ---- */

static const struct rtc_local local = {.ufrag = "w0aaaa",
                                       .pwd = "pppppppppppppppppppppppp",
                                       .fingerprint = "sha-256 AA",
                                       .candidates = {"1 1 udp 2130706431 192.0.2.9 8000 typ host"},
                                       .candidate_count = 1};

static void reply(struct place *p)
{
    struct sdp_wish wish;
    struct sdp_session s;
    sdp_wish_publish(&wish, rtc_resource_request(p->resource)->video);
    wish.receive = rtc_resource_request(p->resource)->kind == RTC_WHIP;
    if (rtc_resource_negotiate(&p->resource, &wish, &s) < 0)
        return;
    s.audio.ssrc = 1;
    s.video.ssrc = 2;
    rtc_resource_answer(p->resource, &s, &local, "cname");
}

static void make(struct rtc_resource *r, void *arg)
{
    struct place *p = arg;
    const struct rtc_request *req = rtc_resource_request(r);
    p->resource = r;
    p->opened++;
    p->video = req->video;
    strcpy(p->identity, req->identity); /* NOLINT: it fits */
    rtc_resource_set_session(r, p);
    if (p->wish == WISH_ANSWER)
        reply(p);
    else if (p->wish == WISH_REFUSE)
        rtc_resource_refuse(&p->resource, p->why, "because");
}

static void restart(void *session, const struct rtc_remote *remote, struct rtc_local *out)
{
    struct place *p = session;
    p->restarts++;
    strcpy(p->ufrag, remote->ufrag); /* NOLINT: the same room */
    *out = local;
    strcpy(out->ufrag, "w0bbbb"); /* NOLINT: it fits */
}

static void unmake(void *session, enum close_reason why)
{
    struct place *p = session;
    p->closed++;
    p->why = why;
    p->resource = NULL;
}

/* ---- the nodes ---- */

static void find_node(void *arg, struct worker *w, const char *node,
                      void (*done)(const char *address, void *owner), void *owner)
{
    struct place *p = ((struct node *)arg)->place;
    done(strcmp(node, "b") == 0 && p->b_is_known ? p->b.address : NULL, owner);
}

static void open_node(struct place *p, struct node *n, const char *id)
{
    n->place = p;
    n->id = (struct relay_identity){id, 7, SECRET};
    n->guard = relay_guard_new();
    n->client = (struct relay_client){.self = &n->id, .offsets = relay_offsets_new()};
    const struct rtc_maker maker = {make, restart, unmake, p};
    struct rtc_resources_options o = {.workers = &p->group,
                                      .identity = &n->id,
                                      .guard = n->guard,
                                      .client = &n->client,
                                      .makers = {maker, maker},
                                      .refused_text = {"no publishers", "no players"},
                                      .find_node = find_node,
                                      .arg = n};
    n->rs = rtc_resources_new(&o);
    rtc_resources_routes(n->rs, n->routes);
    rtc_resources_cluster_routes(n->rs, n->cluster_routes);
    n->http = http_server_new(&(struct http_server_options){
        .name = "http", .routes = n->routes, .route_count = RTC_ROUTES, .cors_origin = "*"});
    n->cluster = http_server_new(&(struct http_server_options){
        .name = "cluster", .routes = n->cluster_routes, .route_count = RTC_CLUSTER_ROUTES});
    const struct listener_options listen = {.name = "cluster",
                                            .address = "127.0.0.1:0",
                                            .on_accept = http_server_accept,
                                            .arg = n->cluster};
    assert_int_equal(listeners_open(&n->port, &p->group, &listen), 0);
    listeners_address_text(n->port, n->address);
}

static void close_node(struct node *n)
{
    http_server_free(&n->http);
    http_server_free(&n->cluster);
    listeners_free(&n->port);
    rtc_resources_free(&n->rs);
    relay_guard_free(&n->guard);
    relay_offsets_free(&n->client.offsets);
}

static char *keys[] = {(char[]){"s3cret"}};
static char *servers[] = {(char[]){"stun:stun.example.net:3478"},
                          (char[]){"turn:turn.example.net:3478 me pw"}};

static void place_open(struct place *p)
{
    memset(p, 0, sizeof *p);
    log_setup((enum log_level)(LOG_ERROR + 1), false);
    assert_int_equal(workers_init(&p->group, &p->config, WORKERS), 0);
    open_node(p, &p->a, "a");
    open_node(p, &p->b, "b");
    p->b_is_known = true;
}

static void turn(struct place *p)
{
    for (int i = 0; i < WORKERS; i++)
        event_base_loop(p->group.workers[i].base, EVLOOP_NONBLOCK);
}

static void place_close(struct place *p)
{
    for (int i = 0; i < 10; i++)
        turn(p);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(METRIC_GET(p->group.workers[i].metrics.connections_open), 0);
    close_node(&p->a);
    close_node(&p->b);
    workers_fini(&p->group);
}

/* ---- the client ---- */

static int dial(struct place *p, struct node *n, int worker, const char *from)
{
    struct net_address peer;
    int ours, theirs;
    struct worker *w = &p->group.workers[worker];
    assert_int_equal(net_address_parse(from, &peer), 0);
    tcp_pair(&ours, &theirs);
    http_server_accept(w, io_accept(w, ours, &peer, NULL, NULL), n->http);
    return theirs;
}

static struct inbox in;

/* One request on a connection of its own; the whole answer, valid until the next.  `headers` are
 * lines that end with CRLF. */
static const char *ask_from(struct place *p, struct node *n, int worker, const char *from,
                            const char *line, const char *headers, const char *body)
{
    static char text[SDP_BYTES_MAX + 4096];
    int fd = dial(p, n, worker, from);
    snprintf(text, sizeof text,
             "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s", line,
             strlen(body), headers, body);
    send_text(fd, text);
    inbox_free(&in);
    int64_t give_up_us = clock_us() + TEST_GIVE_UP_US;
    while (!in.eof) {
        assert_true(clock_us() < give_up_us);
        turn(p);
        inbox_read(&in, fd, 65536);
    }
    close(fd);
    return in.data;
}

static const char *ask(struct place *p, struct node *n, int worker, const char *line,
                       const char *headers, const char *body)
{
    return ask_from(p, n, worker, "127.0.0.1:4711", line, headers, body);
}

static void assert_status(const char *what, const char *answer, int status)
{
    char want[32];
    snprintf(want, sizeof want, "HTTP/1.1 %d ", status);
    if (strncmp(answer, want, strlen(want)) != 0)
        fail_msg("%s: not %d but %.200s", what, status, answer);
}

static void assert_has(const char *answer, const char *text)
{
    if (strstr(answer, text) == NULL)
        fail_msg("no \"%s\" in:\n%s", text, answer);
}

/* The value of a header of the last answer. */
static void take_header(const char *name, char *out, size_t room)
{
    char start[64];
    snprintf(start, sizeof start, "\r\n%s: ", name);
    const char *at = in.data != NULL ? strstr(in.data, start) : NULL;
    if (at == NULL)
        fail_msg("no %s in %s", name, in.data);
    at += strlen(start);
    assert_true(slice_copy(slice_of(at, strcspn(at, "\r")), out, room));
}

#define OFFER     "Content-Type: application/sdp\r\n"
#define FRAGMENT  "Content-Type: application/trickle-ice-sdpfrag\r\n"
#define NEW_ICE   "a=ice-ufrag:eeee\r\na=ice-pwd:0123456789012345678901\r\n"
#define OLD_ICE   "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
#define CANDIDATE "m=video 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
#define THE_OFFER SDP_HEAD SDP_VIDEO_LINE("96") "a=rtpmap:96 VP8/90000\r\n" SDP_AUDIO_LINE
#define TO_PLAY                                                                                    \
    SDP_HEAD "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=rtcp-mux\r\na=recvonly\r\n"           \
             "a=rtpmap:96 VP8/90000\r\n"

struct session {
    char location[256], etag[64];
};

static void open_session(struct place *p, struct node *n, int worker, struct session *s)
{
    assert_status("post", ask(p, n, worker, "POST /live/cam/whip", OFFER, THE_OFFER), 201);
    take_header("Location", s->location, sizeof s->location);
    take_header("ETag", s->etag, sizeof s->etag);
}

static const char *ask_session(struct place *p, struct node *n, int worker, const char *method,
                               const struct session *s, const char *headers, const char *body)
{
    char line[300];
    snprintf(line, sizeof line, "%s %s", method, s->location);
    return ask(p, n, worker, line, headers, body);
}

/* ---- tests ---- */

static struct place p;

static int setup(void **state)
{
    place_open(&p);
    return 0;
}

static int teardown(void **state)
{
    place_close(&p);
    inbox_free(&in);
    return 0;
}

/* What an endpoint answers, whoever makes the sessions. */
static void endpoints(void **state)
{
    static const struct {
        const char *line, *headers, *body;
        int status;
        const char *has, *has_too;
    } cases[] = {
        {"GET /live/cam/whip", "", "", 204, "Access-Control-Allow-Origin: *", ""},
        {"HEAD /live/cam/whip", "", "", 200, "", ""},
        {"GET /live/cam/whep", "", "", 204, "", ""},
        {"HEAD /live/cam/whep", "", "", 200, "Content-Type: application/sdp", ""},
        {"OPTIONS /live/cam/whip", "", "", 204, "Accept-Post: application/sdp",
         "Allow: OPTIONS, GET, HEAD, POST"},
        {"OPTIONS /live/cam/whep", "Origin: x\r\nAccess-Control-Request-Method: POST\r\n", "", 204,
         "Access-Control-Allow-Methods: OPTIONS, GET, HEAD, POST, PATCH, DELETE",
         "Access-Control-Allow-Headers: Authorization, Content-Type, If-Match"},
        {"PUT /live/cam/whip", "", "", 405, "Allow: OPTIONS, GET, HEAD, POST", ""},
        {"PATCH /live/cam/whep", "", "", 405, "Allow: OPTIONS, GET, HEAD, POST", ""},
        {"DELETE /live/cam/whep", "", "", 405, "Allow: ", ""},
        {"POST /live/cam/whip", "", "x", 415, "Accept-Post: application/sdp", ""},
        {"POST /live/cam/whip", "Content-Type: text/plain\r\n", "x", 415, "", ""},
        {"POST /live/cam/whip", OFFER, "", 400, "bad_offer", ""},
        {"POST /live/cam/whip", OFFER, "v=0\r\na=setup:x\r\n", 400, "line 2: ", ""},
        {"POST /rtc/cam/whip", OFFER, THE_OFFER, 400, "bad_name", ""},
        {"POST /live/c%2am/whip", OFFER, THE_OFFER, 400, "bad_name", ""},
        {"POST /rtc/v1/whip/?app=live", OFFER, THE_OFFER, 400, "bad_name", ""},
        {"POST /live/cam/whip", OFFER, THE_OFFER, 201, "Location: /live/cam/whip/a~00",
         "Content-Type: application/sdp"},
        {"POST /live/cam/whip", "content-type: Application/SDP ; charset=utf-8\r\n", THE_OFFER, 201,
         "Accept-Patch: application/trickle-ice-sdpfrag", "\r\nETag: \""},
        {"POST /live/cam/whep", OFFER, TO_PLAY, 201, "Location: /live/cam/whep/a~00",
         "a=candidate:1 1 udp 2130706431 192.0.2.9 8000 typ host\r\n"},
        {"POST /rtc/v1/whip/?app=live&stream=cam", OFFER, THE_OFFER, 201,
         "Location: /live/cam/whip/a~00", "a=setup:passive"},
        {"POST /rtc/v1/whep?stream=cam&app=live", OFFER, TO_PLAY, 201,
         "Location: /live/cam/whep/a~00",
         "Access-Control-Expose-Headers: Content-Length, Content-Range, Date, Age, ETag, Location, "
         "Link, Accept-Patch, Retry-After"},
        {"OPTIONS /rtc/v1/whip/", "", "", 204, "Accept-Post: application/sdp", ""},
        {"POST /live/cam/whep", OFFER, THE_OFFER, 422, "unsupported", ""},
        {"POST /live/cam/whip", OFFER, TO_PLAY, 422, "unsupported", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *answer = ask(&p, &p.a, 0, cases[i].line, cases[i].headers, cases[i].body);
        assert_status(cases[i].line, answer, cases[i].status);
        assert_has(answer, cases[i].has);
        assert_has(answer, cases[i].has_too);
        if (cases[i].status == 201)
            rtc_resource_end(&p.resource);
    }
}

/* What a maker's refusals become. */
static void refusals(void **state)
{
    static const struct {
        enum close_reason why;
        int status;
        bool retry;
    } cases[] = {
        {CLOSE_BAD_INPUT, 400, false},  {CLOSE_AUTH, 401, false},
        {CLOSE_REFUSED, 403, false},    {CLOSE_NOT_FOUND, 409, true},
        {CLOSE_NAME_TAKEN, 409, false}, {CLOSE_UNSUPPORTED, 422, false},
        {CLOSE_OVERLOAD, 503, true},    {CLOSE_DRAIN, 503, true},
        {CLOSE_NO_ORIGIN, 503, true},   {CLOSE_SOURCE_LOST, 503, true},
        {CLOSE_TIMEOUT, 503, true},     {CLOSE_INTERNAL, 500, false},
        {CLOSE_STALLED, 500, false},
    };
    p.wish = WISH_REFUSE;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        p.why = cases[i].why;
        const char *answer = ask(&p, &p.a, 0, "POST /live/cam/whep", OFFER, TO_PLAY);
        assert_status(close_reason_name(cases[i].why), answer, cases[i].status);
        assert_int_equal(strstr(answer, "Retry-After: ") != NULL, cases[i].retry);
        assert_int_equal(strstr(answer, "WWW-Authenticate: Bearer") != NULL,
                         cases[i].status == 401);
        assert_has(answer, "because");
    }
}

/* The session by its URL: the same on its worker, on another and on another node. */
static void sessions(void **state)
{
    static const struct {
        const char *method, *headers, *body;
        int status;
        const char *has;
        bool quoted; /* If-Match with the session's ETag */
    } cases[] = {
        {"GET", "", "", 204, "", false},
        {"HEAD", "", "", 204, "", false},
        {"OPTIONS", "", "", 204, "Accept-Patch: application/trickle-ice-sdpfrag", false},
        {"POST", "", "", 405, "Allow: OPTIONS, GET, HEAD, PATCH, DELETE", false},
        {"PUT", "", "", 405, "Allow: OPTIONS, GET, HEAD, PATCH, DELETE", false},
        {"PATCH", OFFER, THE_OFFER, 415, "Accept-Patch: ", false},
        {"PATCH", "", CANDIDATE, 415, "", false},
        {"PATCH", FRAGMENT, CANDIDATE, 428, "", false},
        {"PATCH", FRAGMENT "If-Match: \"0\"\r\n", CANDIDATE, 412, "", false},
        {"PATCH", FRAGMENT "If-Match: W/*\r\n", CANDIDATE, 412, "", false},
        {"PATCH", FRAGMENT, "a=ice-ufrag:abcd\r\n", 400, "", true},
        {"PATCH", FRAGMENT, "nonsense", 400, "", true},
        {"PATCH", FRAGMENT, CANDIDATE, 204, "", true},
        {"PATCH", FRAGMENT, OLD_ICE CANDIDATE, 204, "", true},
        {"PATCH", FRAGMENT, "", 204, "", true},
        {"PATCH", FRAGMENT "If-Match: *\r\n", OLD_ICE CANDIDATE, 204, "", false},
        {"PATCH", FRAGMENT "If-Match: \"*\"\r\n", NEW_ICE, 200,
         "a=ice-lite\r\nm=video 9 RTP/AVP 0\r\na=mid:0\r\na=ice-ufrag:w0bbbb\r\n", false},
        {"PATCH", FRAGMENT, CANDIDATE, 412, "", true}, /* the restart changed it */
        {"PATCH", FRAGMENT "If-Match: *\r\n", NEW_ICE, 204, "", false},
        {"DELETE", "If-Match: \"0\"\r\n", "", 200, "", false},
        {"DELETE", "", "", 404, "", false},
        {"GET", "", "", 404, "", false},
        {"PATCH", FRAGMENT "If-Match: *\r\n", NEW_ICE, 404, "", false},
    };
    struct {
        struct node *node;
        int worker;
    } ways[] = {{&p.b, 1}, {&p.b, 0}, {&p.a, 1}}; /* the session is at b, on worker 1 */
    for (size_t w = 0; w < COUNT_OF(ways); w++) {
        struct session s;
        p.restarts = p.closed = 0;
        open_session(&p, &p.b, 1, &s);
        assert_has(s.location, "/live/cam/whip/b~01");
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
            char headers[256], what[64];
            snprintf(headers, sizeof headers, "%s%s%s%s", cases[i].headers,
                     cases[i].quoted ? "If-Match: " : "", cases[i].quoted ? s.etag : "",
                     cases[i].quoted ? "\r\n" : "");
            snprintf(what, sizeof what, "way %zu case %zu %s", w, i, cases[i].method);
            const char *answer = ask_session(&p, ways[w].node, ways[w].worker, cases[i].method, &s,
                                             headers, cases[i].body);
            assert_status(what, answer, cases[i].status);
            assert_has(answer, cases[i].has);
            bool restarted = cases[i].status == 200 && strcmp(cases[i].method, "PATCH") == 0;
            assert_int_equal(strstr(answer, "\r\nETag: ") != NULL, restarted);
        }
        assert_int_equal(p.restarts, 1);
        assert_string_equal(p.ufrag, "eeee");
        assert_int_equal(p.closed, 1);
        assert_int_equal(p.why, CLOSE_UNPUBLISHED);
    }
}

/* What is close to a session's URL is none. */
static void unknown_sessions(void **state)
{
    struct session s, other;
    open_session(&p, &p.a, 0, &s);
    static const struct {
        const char *from, *to;
    } changes[] = {{"/live/", "/life/"}, {"/whip/", "/whep/"}, {"a~00", "a~01"}, {"a~00", "a~ff"},
                   {"a~00", "a~xx"},     {"a~00", "b~00"},     {"a~00", "c~00"}, {"a~00", "a00"},
                   {"a~00", "~00"},      {"a~00", "a~000"}};
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        char *at = strstr(s.location, changes[i].from);
        assert_non_null(at);
        snprintf(other.location, sizeof other.location, "%.*s%s%s", (int)(at - s.location),
                 s.location, changes[i].to, at + strlen(changes[i].from));
        assert_status(other.location, ask_session(&p, &p.a, 0, "DELETE", &other, "", ""), 404);
    }
    assert_status("itself", ask_session(&p, &p.a, 0, "GET", &s, "", ""), 204);
    rtc_resource_end(&p.resource);
    assert_status("ended", ask_session(&p, &p.a, 0, "GET", &s, "", ""), 404);
    assert_int_equal(p.closed, 0);
}

/* The other node does not answer, or is not known any more. */
static void nodes_that_are_gone(void **state)
{
    struct session s;
    open_session(&p, &p.b, 0, &s);
    listeners_close(p.b.port);
    for (int i = 0; i < 10; i++)
        turn(&p);
    assert_status("does not answer", ask_session(&p, &p.a, 0, "DELETE", &s, "", ""), 503);
    assert_has(in.data, "Retry-After: ");
    p.b_is_known = false;
    assert_status("has left", ask_session(&p, &p.a, 0, "DELETE", &s, "", ""), 404);
    assert_status("itself", ask_session(&p, &p.b, 1, "DELETE", &s, "", ""), 200);
}

/* What is asked of other nodes has to be signed. */
static void unsigned_deeds(void **state)
{
    uint16_t port = listeners_port(p.b.port);
    int fd = tcp_connect(port);
    send_text(fd, "POST /cluster/v1/rtc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                  "Content-Length: 2\r\n\r\n{}");
    inbox_free(&in);
    int64_t give_up_us = clock_us() + TEST_GIVE_UP_US;
    while (!in.eof) {
        assert_true(clock_us() < give_up_us);
        turn(&p);
        inbox_read(&in, fd, 65536);
    }
    close(fd);
    assert_status("unsigned", in.data, 401);
}

/* The client goes before its answer: the session is told, and no URL is left. */
static void impatient(void **state)
{
    p.wish = WISH_HOLD;
    int fd = dial(&p, &p.a, 0, "127.0.0.1:1");
    char text[4096];
    snprintf(text, sizeof text,
             "POST /live/cam/whep HTTP/1.1\r\nHost: x\r\n" OFFER "Content-Length: %zu\r\n\r\n%s",
             strlen(TO_PLAY), TO_PLAY);
    send_text(fd, text);
    int64_t give_up_us = clock_us() + TEST_GIVE_UP_US;
    while (p.opened == 0 && clock_us() < give_up_us)
        turn(&p);
    assert_int_equal(p.opened, 1);
    close(fd);
    while (p.closed == 0 && clock_us() < give_up_us)
        turn(&p);
    assert_int_equal(p.closed, 1);
    assert_int_equal(p.why, CLOSE_PEER_CLOSED);
}

/* An answer that comes later, and the offer that is there until then. */
static void patient(void **state)
{
    p.wish = WISH_HOLD;
    int fd = dial(&p, &p.a, 0, "127.0.0.1:1");
    char text[4096];
    snprintf(text, sizeof text,
             "POST /live/cam/whip?video=VP9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" OFFER
             "Content-Length: %zu\r\n\r\n%s",
             strlen(THE_OFFER), THE_OFFER);
    send_text(fd, text);
    int64_t give_up_us = clock_us() + TEST_GIVE_UP_US;
    while (p.opened == 0 && clock_us() < give_up_us)
        turn(&p);
    assert_int_equal(p.video, SDP_VP9);
    struct rtc_remote remote;
    rtc_resource_remote(p.resource, &remote);
    assert_string_equal(remote.ufrag, "abcd");
    assert_int_equal(remote.fingerprint_count, 1);
    assert_int_equal(remote.fingerprints[0].bytes[31], 7);
    assert_false(remote.passive);
    for (int i = 0; i < 100; i++)
        turn(&p);
    reply(&p);
    inbox_free(&in);
    while (!in.eof && clock_us() < give_up_us) {
        turn(&p);
        inbox_read(&in, fd, 65536);
    }
    close(fd);
    assert_status("late", in.data, 201);
    rtc_resource_end(&p.resource);
}

/* Publishers need a key, for all that they ask; viewers do not. */
static void tokens(void **state)
{
    struct session s;
    p.config.auth.publish_keys = (struct text_list){keys, 1};
    assert_status("none", ask(&p, &p.a, 0, "POST /live/cam/whip", OFFER, THE_OFFER), 401);
    assert_has(in.data, "WWW-Authenticate: Bearer");
    assert_status(
        "wrong",
        ask(&p, &p.a, 0, "POST /live/cam/whip", OFFER "Authorization: Bearer s3cre\r\n", THE_OFFER),
        401);
    assert_status(
        "basic",
        ask(&p, &p.a, 0, "POST /live/cam/whip", OFFER "Authorization: Basic s3cret\r\n", THE_OFFER),
        401);
    assert_int_equal(p.opened, 0);
    assert_status("query", ask(&p, &p.a, 0, "POST /live/cam/whip?token=s3cret", OFFER, THE_OFFER),
                  201);
    rtc_resource_end(&p.resource);
    assert_status("right",
                  ask(&p, &p.a, 0, "POST /live/cam/whip", OFFER "Authorization: bearer s3cret\r\n",
                      THE_OFFER),
                  201);
    assert_int_equal(strlen(p.identity), 64);
    take_header("Location", s.location, sizeof s.location);
    assert_status("options", ask_session(&p, &p.a, 0, "OPTIONS", &s, "", ""), 204);
    assert_status("delete", ask_session(&p, &p.a, 0, "DELETE", &s, "", ""), 401);
    assert_status("patch", ask_session(&p, &p.a, 0, "PATCH", &s, FRAGMENT "If-Match: *\r\n", ""),
                  401);
    assert_status("delete with it",
                  ask_session(&p, &p.a, 0, "DELETE", &s, "Authorization: Bearer s3cret\r\n", ""),
                  200);
    assert_status("viewer", ask(&p, &p.a, 0, "POST /live/cam/whep", OFFER, TO_PLAY), 201);
    rtc_resource_end(&p.resource);
}

/* Who asks too often is told to come back; others are not touched. */
static void too_often(void **state)
{
    int refused = 0;
    for (int i = 0; i < 100; i++) {
        const char *answer = ask_from(&p, &p.a, 0, "192.0.2.7:9", "POST /live/cam/whip", "", "");
        refused += strstr(answer, "HTTP/1.1 503 ") != NULL;
    }
    assert_true(refused > 10 && refused < 50);
    assert_has(in.data, "Retry-After: ");
    assert_status("another", ask_from(&p, &p.a, 0, "192.0.2.8:9", "POST /live/cam/whip", "", ""),
                  415);
    assert_status("loopback", ask(&p, &p.a, 0, "POST /live/cam/whip", "", ""), 415);
}

static void no_endpoint(void **state)
{
    struct rtc_resources_options o = {.workers = &p.group,
                                      .identity = &p.a.id,
                                      .refused_text = {"this node takes no publishers", ""}};
    struct rtc_resources *none = rtc_resources_new(&o), *was = p.a.rs;
    rtc_resources_routes(none, p.a.routes);
    assert_status("whip", ask(&p, &p.a, 0, "POST /live/cam/whip", OFFER, THE_OFFER), 403);
    assert_has(in.data, "this node takes no publishers");
    rtc_resources_routes(was, p.a.routes);
    rtc_resources_free(&none);
}

/* ICE servers are told with the answer, and before it unless the browser itself asks. */
static void ice_servers(void **state)
{
    static const char stun[] = "\r\nLink: <stun:stun.example.net:3478>; rel=\"ice-server\"\r\n";
    struct rtc_resources_options o = {
        .workers = &p.group, .identity = &p.a.id, .makers = {{make, restart, unmake, &p}}};
    p.config.webrtc.ice_servers = (struct text_list){servers, 2};
    struct rtc_resources *with = rtc_resources_new(&o), *was = p.a.rs;
    rtc_resources_routes(with, p.a.routes);
    assert_status("post", ask(&p, &p.a, 0, "POST /live/cam/whip", OFFER, THE_OFFER), 201);
    assert_has(in.data, stun);
    assert_has(in.data,
               "\r\nLink: <turn:turn.example.net:3478>; rel=\"ice-server\"; username=\"me\"; "
               "credential=\"pw\"; credential-type=\"password\"\r\n");
    rtc_resource_end(&p.resource);
    assert_has(ask(&p, &p.a, 0, "OPTIONS /live/cam/whip", "", ""), stun);
    assert_null(strstr(
        ask(&p, &p.a, 0, "OPTIONS /live/cam/whip", "Access-Control-Request-Method: POST\r\n", ""),
        "Link:"));
    rtc_resources_routes(was, p.a.routes);
    rtc_resources_free(&with);
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACE(endpoints),
        WITH_PLACE(refusals),
        WITH_PLACE(sessions),
        WITH_PLACE(unknown_sessions),
        WITH_PLACE(nodes_that_are_gone),
        WITH_PLACE(unsigned_deeds),
        WITH_PLACE(impatient),
        WITH_PLACE(patient),
        WITH_PLACE(tokens),
        WITH_PLACE(too_often),
        WITH_PLACE(no_endpoint),
        WITH_PLACE(ice_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
