#include "test.h"

#include "base/err.h"
#include "base/hex.h"
#include "core/clock.h"
#include "net/relay_sign.h"
#include "proto/http1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct relay_identity e1 = {"e1", 0x1122334455667788, "sixteen byte key"};
static const struct relay_identity o1 = {"o1", 0xa, "sixteen byte key"};

/* A request as the server would hand it over. */
struct wire {
    struct http1_fields fields;
    struct http_request req;
    char auth[RELAY_AUTH_TEXT_MAX];
};

static void wire_fill(struct wire *w, enum http_method method, const char *target, const char *path,
                      const char *body)
{
    memset(&w->fields, 0, sizeof w->fields);
    memset(&w->req, 0, sizeof w->req);
    w->fields.headers[w->fields.count++] =
        (struct http1_header){slice_text(RELAY_AUTH_HEADER), slice_text(w->auth)};
    if (path != NULL)
        w->fields.headers[w->fields.count++] =
            (struct http1_header){slice_text(RELAY_PATH_HEADER), slice_text(path)};
    w->req.method = method;
    w->req.target = slice_text(target);
    w->req.body = slice_text(body);
    w->req.headers = &w->fields;
}

static void wire_sign(struct wire *w, const char *peer, int64_t offset_ms)
{
    const struct relay_signed r = {
        peer, "POST", "/relay/v1/live/a?from=1.2", "e1,e2", slice_text("body"), offset_ms};
    relay_sign(&e1, &r, w->auth);
    wire_fill(w, HTTP_POST, "/relay/v1/live/a?from=1.2", "e1,e2", "body");
}

static int64_t wall_ms(void)
{
    return clock_wall_us() / 1000;
}

static void a_good_request_passes_once(void **state)
{
    struct relay_guard *g = relay_guard_new();
    struct relay_sender sender;
    struct wire w;
    wire_sign(&w, "o1", 0);
    assert_int_equal(relay_verify(g, &o1, &w.req, wall_ms(), &sender), RELAY_OK);
    assert_string_equal(sender.node, "e1");
    assert_int_equal(sender.instance, e1.instance);
    assert_int_equal(relay_verify(g, &o1, &w.req, wall_ms(), &sender), RELAY_REPLAY);
    wire_sign(&w, "o1", 0); /* the same again has a nonce of its own */
    assert_int_equal(relay_verify(g, &o1, &w.req, wall_ms(), &sender), RELAY_OK);
    relay_guard_free(&g);
}

static void the_receiver_may_be_unknown_but_not_another(void **state)
{
    struct relay_guard *g = relay_guard_new();
    struct relay_sender sender;
    struct wire w;
    wire_sign(&w, "", 0);
    assert_int_equal(relay_verify(g, &o1, &w.req, wall_ms(), &sender), RELAY_OK);
    wire_sign(&w, "o2", 0);
    assert_int_equal(relay_verify(g, &o1, &w.req, wall_ms(), &sender), RELAY_NOT_FOR_US);
    relay_guard_free(&g);
}

static void every_tampered_part_is_found(void **state)
{
    static const struct {
        const char *target, *path, *body;
        enum http_method method;
    } cases[] = {
        {"/relay/v1/live/b?from=1.2", "e1,e2", "body", HTTP_POST},
        {"/relay/v1/live/a?from=1.3", "e1,e2", "body", HTTP_POST},
        {"/relay/v1/live/a?from=1.2", "e1", "body", HTTP_POST},
        {"/relay/v1/live/a?from=1.2", NULL, "body", HTTP_POST},
        {"/relay/v1/live/a?from=1.2", "e1,e2", "bodY", HTTP_POST},
        {"/relay/v1/live/a?from=1.2", "e1,e2", "", HTTP_POST},
        {"/relay/v1/live/a?from=1.2", "e1,e2", "body", HTTP_PUT},
    };
    struct relay_guard *g = relay_guard_new();
    struct relay_sender sender;
    struct wire w;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        wire_sign(&w, "o1", 0);
        wire_fill(&w, cases[i].method, cases[i].target, cases[i].path, cases[i].body);
        assert_int_equal(relay_verify(g, &o1, &w.req, wall_ms(), &sender), RELAY_BAD_SIGNATURE);
    }
    relay_guard_free(&g);
}

/* Any other byte anywhere in the header, and any cut of it. */
static void every_changed_byte_of_the_header_is_found(void **state)
{
    struct relay_guard *g = relay_guard_new();
    struct relay_sender sender;
    struct wire w;
    wire_sign(&w, "o1", 0);
    size_t len = strlen(w.auth);
    for (size_t i = 0; i < len; i++) {
        char keep = w.auth[i];
        w.auth[i] = keep == '1' ? '2' : '1';
        wire_fill(&w, HTTP_POST, "/relay/v1/live/a?from=1.2", "e1,e2", "body");
        assert_int_equal(relay_verify(g, &o1, &w.req, wall_ms(), &sender), RELAY_BAD_SIGNATURE);
        w.auth[i] = '\0';
        wire_fill(&w, HTTP_POST, "/relay/v1/live/a?from=1.2", "e1,e2", "body");
        assert_int_equal(relay_verify(g, &o1, &w.req, wall_ms(), &sender), RELAY_BAD_SIGNATURE);
        w.auth[i] = keep;
    }
    wire_fill(&w, HTTP_POST, "/relay/v1/live/a?from=1.2", "e1,e2", "body");
    assert_int_equal(relay_verify(g, &o1, &w.req, wall_ms(), &sender), RELAY_OK);
    relay_guard_free(&g);
}

static void without_header_or_secret(void **state)
{
    const struct relay_identity other = {"o1", 1, "another sixteen!"}, open = {"o1", 1, ""},
                                unset = {"o1", 1, NULL};
    struct relay_guard *g = relay_guard_new();
    struct relay_sender sender;
    struct wire w;
    wire_sign(&w, "o1", 0);
    assert_int_equal(relay_verify(g, &other, &w.req, wall_ms(), &sender), RELAY_BAD_SIGNATURE);
    assert_int_equal(relay_verify(g, &open, &w.req, wall_ms(), &sender), RELAY_BAD_SIGNATURE);
    assert_int_equal(relay_verify(g, &unset, &w.req, wall_ms(), &sender), RELAY_BAD_SIGNATURE);
    w.fields.count = 0;
    assert_int_equal(relay_verify(g, &o1, &w.req, wall_ms(), &sender), RELAY_MISSING);
    assert_int_equal(relay_verify(g, &open, &w.req, wall_ms(), &sender), RELAY_BAD_SIGNATURE);
    const struct relay_signed r = {.peer = "o1", .method = "GET", .target = "/"};
    relay_sign(&open, &r, w.auth);
    assert_string_equal(w.auth, "");
    relay_guard_free(&g);
}

/* The receiver's clock is an hour ahead: one answer teaches the sender, the second try passes. */
static void a_wrong_clock_is_learned(void **state)
{
    static const int64_t hours_ms[] = {3600000, -3600000, 31000, -31000};
    for (size_t i = 0; i < COUNT_OF(hours_ms); i++) {
        struct relay_guard *g = relay_guard_new();
        struct relay_sender sender;
        struct wire w;
        char time[RELAY_AUTH_TEXT_MAX];
        int64_t theirs_ms = wall_ms() + hours_ms[i], offset_ms = 0;
        wire_sign(&w, "o1", 0);
        assert_int_equal(relay_verify(g, &o1, &w.req, theirs_ms, &sender), RELAY_SKEWED);
        assert_string_equal(sender.node, "e1");
        relay_time_text(&o1, &w.req, theirs_ms, time);
        assert_int_equal(relay_learn_offset(&e1, slice_text(time), w.auth, wall_ms(), &offset_ms),
                         0);
        assert_true(llabs(offset_ms - hours_ms[i]) < 10000);
        wire_sign(&w, "o1", offset_ms);
        assert_int_equal(relay_verify(g, &o1, &w.req, theirs_ms, &sender), RELAY_OK);
        relay_guard_free(&g);
    }
}

static void a_forged_time_is_not_learned(void **state)
{
    struct wire w, later;
    char time[RELAY_AUTH_TEXT_MAX];
    int64_t offset_ms = 77;
    const struct relay_identity o2 = {"o2", 1, e1.secret}, liar = {"o1", 1, "another sixteen!"};
    wire_sign(&w, "o1", 0);
    wire_sign(&later, "o1", 0);
    relay_time_text(&o1, &w.req, 1000000, time);
    /* an answer to another request */
    assert_int_equal(relay_learn_offset(&e1, slice_text(time), later.auth, 0, &offset_ms),
                     ERR_AUTH);
    for (size_t i = 0; time[i] != '\0'; i++) {
        char keep = time[i];
        time[i] = keep == '1' ? '2' : '1';
        assert_int_equal(relay_learn_offset(&e1, slice_text(time), w.auth, 0, &offset_ms),
                         ERR_AUTH);
        time[i] = keep;
    }
    relay_time_text(&o2, &w.req, 1000000, time); /* another node than the one asked */
    assert_int_equal(relay_learn_offset(&e1, slice_text(time), w.auth, 0, &offset_ms), ERR_AUTH);
    relay_time_text(&liar, &w.req, 1000000, time);
    assert_int_equal(relay_learn_offset(&e1, slice_text(time), w.auth, 0, &offset_ms), ERR_AUTH);
    assert_int_equal(relay_learn_offset(&e1, slice_text(""), w.auth, 0, &offset_ms), ERR_AUTH);
    assert_int_equal(offset_ms, 77);
}

/* What is signed is fixed, so that two versions of the program agree. */
static void the_text_has_its_form(void **state)
{
    struct wire w;
    wire_sign(&w, "o1", 0);
    unsigned long long instance, time;
    char nonce[33], body[65], mac[65];
    assert_int_equal(sscanf(w.auth,
                            "v1 node=e1 instance=%16llx to=o1 time=%llu nonce=%32[0-9a-f] "
                            "body=%64[0-9a-f] mac=%64[0-9a-f]",
                            &instance, &time, nonce, body, mac),
                     5);
    assert_int_equal(instance, e1.instance);
    assert_int_equal(strlen(mac), 64);
    assert_string_equal(body, "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5");
}

static void make_nonce(uint32_t n, uint8_t out[RELAY_NONCE_SIZE])
{
    memset(out, 0, RELAY_NONCE_SIZE);
    memcpy(out + 4, &n, sizeof n); /* all in one chain */
    memcpy(out, &(uint32_t){n / 64}, sizeof n);
}

static void nonces_are_kept_and_forgotten(void **state)
{
    struct relay_guard *g = relay_guard_new();
    uint8_t nonce[RELAY_NONCE_SIZE];
    for (uint32_t i = 0; i < NONCES_MAX; i++) {
        make_nonce(i, nonce);
        assert_true(relay_guard_admit(g, nonce, i / 64));
        assert_false(relay_guard_admit(g, nonce, i / 64));
    }
    make_nonce(NONCES_MAX, nonce);
    assert_false(relay_guard_admit(g, nonce, NONCES_MAX / 64)); /* full */
    make_nonce(0, nonce);
    assert_false(relay_guard_admit(g, nonce, NONCE_KEEP_MS - 1));
    make_nonce(NONCES_MAX, nonce);
    assert_true(relay_guard_admit(g, nonce, NONCE_KEEP_MS));
    make_nonce(0, nonce);
    assert_true(relay_guard_admit(g, nonce, NONCE_KEEP_MS));
    make_nonce(NONCES_MAX - 1, nonce);
    assert_false(relay_guard_admit(g, nonce, NONCE_KEEP_MS));
    relay_guard_free(&g);
}

static void offsets_by_node(void **state)
{
    struct relay_offsets *o = relay_offsets_new();
    assert_int_equal(relay_offset_get(o, "o1"), 0);
    relay_offset_set(o, "o1", 500);
    relay_offset_set(o, "o2", -900);
    assert_int_equal(relay_offset_get(o, "o1"), 500);
    assert_int_equal(relay_offsets_max(o), 900);
    relay_offset_set(o, "o2", 0);
    assert_int_equal(relay_offsets_max(o), 500);
    relay_offsets_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_request_passes_once),
        cmocka_unit_test(the_receiver_may_be_unknown_but_not_another),
        cmocka_unit_test(every_tampered_part_is_found),
        cmocka_unit_test(every_changed_byte_of_the_header_is_found),
        cmocka_unit_test(without_header_or_secret),
        cmocka_unit_test(a_wrong_clock_is_learned),
        cmocka_unit_test(a_forged_time_is_not_learned),
        cmocka_unit_test(the_text_has_its_form),
        cmocka_unit_test(nonces_are_kept_and_forgotten),
        cmocka_unit_test(offsets_by_node),
    };
    return cmocka_run_group_tests_name("relay_sign", tests, NULL, NULL);
}
