#include "test.h"

#include "base/err.h"
#include "core/crypto.h"
#include "hex_bytes.h"
#include "rtc/ice.h"
#include "rtc/ice_check.h"
#include "tools/stun_client.h"

#include <stdio.h>
#include <stun/usages/ice.h>

#define SECOND_US 1000000

/* RFC 5769 2.1: username "evtj:h6vY". */
#define VECTOR_REQUEST                                                                             \
    "00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74"         \
    "00240004 6e0001ff 80290008 932ff9b151263b36 00060009 6576746a3a68367659202020"                \
    "00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf"
#define VECTOR_PWD "VOkJxbRl1RmTxUk/WvJxBt"

struct setup {
    struct ice_agent *agent;
    struct ice_session *session;
    int owner;
    struct ice_received got;
};

static void set_up(struct setup *s)
{
    *s = (struct setup){.agent = ice_agent_new(7)};
    s->session = ice_session_new(s->agent, "them", &s->owner);
}

static void tear_down(struct setup *s)
{
    ice_session_free(&s->session);
    ice_agent_free(&s->agent);
}

static struct ice_path at(const char *address)
{
    struct ice_path p = {0};
    assert_int_equal(net_address_parse(address, &p.way.remote), 0);
    return p;
}

static struct ice_path stream_at(const char *address, uintptr_t stream)
{
    struct ice_path p = at(address);
    p.stream = (struct rtc_stream *)stream;
    return p;
}

/* A check with the session's newest credentials, each of its own transaction. */
static struct stun_check check_for(const struct ice_session *s, unsigned flags, char name[64])
{
    struct stun_check c = {.username = name, .pwd = ice_session_pwd(s), .flags = flags};
    snprintf(name, 64, "%s:them", ice_session_ufrag(s));
    crypto_random(c.transaction, sizeof c.transaction);
    return c;
}

static int receive(struct setup *s, const struct stun_check *c, const struct ice_path *from,
                   int64_t now_us)
{
    uint8_t bytes[STUN_MESSAGE_ROOM];
    size_t len = stun_write(c, bytes);
    return ice_receive(s->agent, from, slice_of(bytes, len), now_us, &s->got);
}

static int check(struct setup *s, const char *from, unsigned flags, int64_t now_us)
{
    char name[64];
    struct stun_check c = check_for(s->session, flags, name);
    struct ice_path p = at(from);
    return receive(s, &c, &p, now_us);
}

static void expect_path(const struct setup *s, const char *want)
{
    char text[NET_ADDRESS_TEXT_MAX];
    const struct ice_path *p = ice_session_path(s->session);
    assert_non_null(p);
    net_address_text(&p->way.remote, text);
    assert_string_equal(text, want);
}

/* ---- the message ---- */

static void test_the_vector_of_the_standard(void **state)
{
    uint8_t bytes[HEX_BYTES_MAX];
    struct ice_reply reply;
    struct ice_check c;
    StunAgent agent;
    struct ice_path from = at("192.0.2.1:32853");
    struct slice m = hex_bytes(VECTOR_REQUEST, bytes);
    ice_check_agent_init(&agent);
    assert_int_equal(ice_check_read(m, &c), 0);
    assert_true(slice_is(c.local_ufrag, "evtj") && slice_is(c.remote_ufrag, "h6vY"));
    assert_false(c.nominates);
    assert_true(ice_check_answer(&agent, &c, VECTOR_PWD, &from.way.remote, &reply));
    assert_false(reply.accepted); /* it comes from an agent that is controlled, as we are */
    struct stun_answer a;
    assert_true(stun_read(slice_of(reply.bytes, reply.len), VECTOR_PWD, c.transaction, &a));
    assert_int_equal(a.error, 487);
    for (size_t bit = 0; bit < m.len * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(ice_check_read(m, &c) == 0 &&
                     ice_check_answer(&agent, &c, VECTOR_PWD, &from.way.remote, &reply));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < m.len; cut++)
        assert_int_equal(ice_check_read(slice_of(bytes, cut), &c), ERR_PROTOCOL);
}

static void test_a_valid_check_is_answered(void **state)
{
    static const struct {
        const char *from, *host; /* of XOR-MAPPED-ADDRESS */
        uint16_t port;
    } cases[] = {{"192.0.2.1:32853", "192.0.2.1", 32853}, {"[2001:db8::1]:5", "2001:db8::1", 5}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct setup s;
        struct stun_answer a;
        char name[64], host[INET6_ADDRSTRLEN];
        set_up(&s);
        struct stun_check c = check_for(s.session, 0, name);
        struct ice_path from = at(cases[i].from);
        assert_null(ice_session_path(s.session));
        assert_int_equal(receive(&s, &c, &from, 5), 0);
        assert_ptr_equal(s.got.owner, &s.owner);
        struct slice reply = slice_of(s.got.reply.bytes, s.got.reply.len);
        assert_true(stun_read(reply, ice_session_pwd(s.session), c.transaction, &a));
        assert_true(a.success);
        assert_int_equal(a.port, cases[i].port);
        inet_ntop(a.host_len == 4 ? AF_INET : AF_INET6, a.host, host, sizeof host);
        assert_string_equal(host, cases[i].host);
        assert_ptr_equal(ice_find(s.agent, &from.way.remote), &s.owner);
        assert_int_equal(ice_session_seen_us(s.session), 5);
        expect_path(&s, cases[i].from);
        tear_down(&s);
    }
}

/* libnice's own client makes the check and reads the answer. */
static void test_libnice_agrees(void **state)
{
    struct setup s;
    StunAgent client;
    StunMessage m;
    char name[64];
    uint8_t bytes[512];
    struct sockaddr_storage mapped;
    socklen_t mapped_len = sizeof mapped;
    struct ice_path from = at("198.51.100.7:1234");
    set_up(&s);
    check_for(s.session, 0, name);
    stun_agent_init(&client, (uint16_t *)(uintptr_t)STUN_ALL_KNOWN_ATTRIBUTES,
                    STUN_COMPATIBILITY_RFC5389,
                    STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
    size_t len = stun_usage_ice_conncheck_create(
        &client, &m, bytes, sizeof bytes, (uint8_t *)name, strlen(name),
        (const uint8_t *)ice_session_pwd(s.session), strlen(ice_session_pwd(s.session)), true, true,
        1, 99, NULL, STUN_USAGE_ICE_COMPATIBILITY_RFC5245);
    assert_int_equal(ice_receive(s.agent, &from, slice_of(bytes, len), 0, &s.got), 0);
    assert_int_equal(
        stun_agent_validate(&client, &m, s.got.reply.bytes, s.got.reply.len, NULL, NULL),
        STUN_VALIDATION_SUCCESS);
    assert_int_equal(stun_usage_ice_conncheck_process(&m, &mapped, &mapped_len,
                                                      STUN_USAGE_ICE_COMPATIBILITY_RFC5245),
                     STUN_USAGE_ICE_RETURN_SUCCESS);
    assert_memory_equal(&mapped, &from.way.remote.sa, sizeof(struct sockaddr_in));
    tear_down(&s);
}

static void test_what_is_not_valid_has_no_effect(void **state)
{
    static const struct {
        const char *what;
        unsigned flags;
        const char *name, *pwd; /* "%s": our user name fragment; NULL: the right ones */
        int want;
    } cases[] = {
        {"no signature", STUN_NO_INTEGRITY, NULL, NULL, ERR_PROTOCOL},
        {"an empty signature", STUN_EMPTY_MAC, NULL, NULL, ERR_PROTOCOL},
        {"no checksum", STUN_NO_CRC, NULL, NULL, ERR_PROTOCOL},
        {"no user name", STUN_NO_USERNAME, NULL, NULL, ERR_PROTOCOL},
        {"no priority", STUN_NO_PRIORITY, NULL, NULL, ERR_PROTOCOL},
        {"something unsigned", STUN_LATE_USE, NULL, NULL, ERR_PROTOCOL},
        {"an indication", STUN_INDICATION, NULL, NULL, ERR_PROTOCOL},
        {"an unknown attribute that counts", STUN_UNKNOWN, NULL, NULL, ERR_AUTH},
        {"wrong password", 0, NULL, "0123456789012345678901", ERR_AUTH},
        {"empty password", 0, NULL, "", ERR_AUTH},
        {"nobody's user name", 0, "07nobody:them", NULL, ERR_NOT_FOUND},
        {"another remote's user name", 0, "%s:others", NULL, ERR_AUTH},
        {"half a remote's user name", 0, "%s:the", NULL, ERR_AUTH},
        {"no remote's user name", 0, "%s", NULL, ERR_PROTOCOL},
        {"no local user name", 0, ":them", NULL, ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct setup s;
        char name[64];
        set_up(&s);
        struct stun_check c = check_for(s.session, cases[i].flags | STUN_NOMINATES, name);
        if (cases[i].pwd != NULL)
            c.pwd = cases[i].pwd;
        if (cases[i].name != NULL && strchr(cases[i].name, '%') == NULL)
            snprintf(name, sizeof name, "%s", cases[i].name);
        else if (cases[i].name != NULL)
            snprintf(name, sizeof name, "%s%s", ice_session_ufrag(s.session), cases[i].name + 2);
        struct ice_path from = at("192.0.2.66:66");
        int err = receive(&s, &c, &from, 1);
        if (err != cases[i].want)
            fail_msg("%s: %d", cases[i].what, err);
        assert_null(ice_find(s.agent, &from.way.remote));
        assert_null(ice_session_path(s.session));
        assert_int_equal(ice_session_seen_us(s.session), 0);
        tear_down(&s);
    }
}

/* The remote has to take the other role; it has shown nothing else by that. */
static void test_a_conflict_of_roles(void **state)
{
    struct setup s;
    set_up(&s);
    assert_int_equal(check(&s, "192.0.2.1:1", STUN_CONTROLLED | STUN_NOMINATES, 1), 0);
    assert_true(s.got.reply.len > 0);
    assert_null(ice_session_path(s.session));
    tear_down(&s);
}

static void test_credentials_are_what_the_standard_asks_for(void **state)
{
    struct ice_agent *a = ice_agent_new(255);
    struct ice_session *one = ice_session_new(a, "x", a), *two = ice_session_new(a, "x", a);
    const char *ufrag = ice_session_ufrag(one), *pwd = ice_session_pwd(one);
    assert_memory_equal(ufrag, "ff", 2);
    assert_true(strlen(ufrag) >= 4 && strlen(pwd) >= 22);
    assert_string_not_equal(ufrag, ice_session_ufrag(two));
    assert_string_not_equal(pwd, ice_session_pwd(two));
    ice_session_free(&one);
    ice_session_free(&two);
    ice_agent_free(&a);
}

/* ---- which way ---- */

static void test_nomination_decides(void **state)
{
    struct setup s;
    set_up(&s);
    assert_int_equal(check(&s, "10.0.0.1:1", 0, 1), 0);
    assert_int_equal(check(&s, "10.0.0.2:2", 0, 2), 0);
    struct ice_path first = at("10.0.0.1:1");
    expect_path(&s, "10.0.0.2:2");
    ice_session_prefer(s.session, &first); /* where the handshake comes from */
    expect_path(&s, "10.0.0.1:1");
    assert_int_equal(check(&s, "10.0.0.2:2", STUN_NOMINATES, 3), 0);
    assert_false(s.got.moved);
    expect_path(&s, "10.0.0.2:2");
    assert_int_equal(check(&s, "10.0.0.1:1", 0, 4), 0);
    expect_path(&s, "10.0.0.2:2");
    assert_int_equal(check(&s, "10.9.9.9:9", STUN_NOMINATES, 5), 0); /* the NAT changed its mind */
    assert_true(s.got.moved);
    expect_path(&s, "10.9.9.9:9");
    tear_down(&s);
}

static void test_udp_before_tcp_while_it_lives(void **state)
{
    struct setup s;
    char name[64];
    set_up(&s);
    struct ice_path tcp = stream_at("10.0.0.1:1", 1);
    struct stun_check c = check_for(s.session, STUN_NOMINATES, name);
    assert_int_equal(receive(&s, &c, &tcp, 1), 0);
    assert_ptr_equal(ice_session_path(s.session)->stream, tcp.stream);
    assert_null(ice_find(s.agent, &tcp.way.remote)); /* found by its connection */
    assert_int_equal(check(&s, "10.0.0.1:1", STUN_NOMINATES, 2), 0);
    assert_null(ice_session_path(s.session)->stream);
    c = check_for(s.session, STUN_NOMINATES, name);
    assert_int_equal(receive(&s, &c, &tcp, 3), 0);
    assert_null(ice_session_path(s.session)->stream);
    c = check_for(s.session, STUN_NOMINATES, name);
    assert_int_equal(receive(&s, &c, &tcp, 3 + ICE_FRESH_US), 0);
    assert_ptr_equal(ice_session_path(s.session)->stream, tcp.stream);
    ice_session_forget(s.session, tcp.stream);
    assert_null(ice_session_path(s.session)->stream);
    tear_down(&s);
}

static void test_tuples_are_bounded(void **state)
{
    struct setup s;
    char address[32];
    set_up(&s);
    assert_int_equal(check(&s, "10.0.0.1:1000", STUN_NOMINATES, 1), 0);
    for (int i = 0; i < 3 * ICE_TUPLES_MAX; i++) {
        snprintf(address, sizeof address, "10.0.1.%d:9", i);
        assert_int_equal(check(&s, address, 0, 2 + i), 0);
    }
    int found = 0;
    for (int i = 0; i < 3 * ICE_TUPLES_MAX; i++) {
        snprintf(address, sizeof address, "10.0.1.%d:9", i);
        struct ice_path p = at(address);
        bool here = ice_find(s.agent, &p.way.remote) != NULL;
        assert_int_equal(here, i >= 2 * ICE_TUPLES_MAX + 1); /* the latest */
        found += here;
    }
    assert_int_equal(found, ICE_TUPLES_MAX - 1);
    expect_path(&s, "10.0.0.1:1000"); /* what is in use stays, however old */
    tear_down(&s);
}

/* ---- attacks ---- */

static void test_a_captured_check_is_of_no_use_elsewhere(void **state)
{
    struct setup s;
    char name[64];
    set_up(&s);
    struct ice_path victim = at("10.0.0.1:1"), attacker = at("10.0.0.1:2");
    struct stun_check c = check_for(s.session, STUN_NOMINATES, name);
    assert_int_equal(receive(&s, &c, &victim, 1), 0);
    assert_int_equal(receive(&s, &c, &attacker, 2), ERR_EXISTS);
    assert_null(ice_find(s.agent, &attacker.way.remote));
    assert_int_equal(receive(&s, &c, &victim, 3), 0); /* that is a retransmission */
    for (int i = 0; i < ICE_REPLAYS - 1; i++)
        assert_int_equal(check(&s, "10.0.0.1:1", 0, 4), 0);
    assert_int_equal(receive(&s, &c, &attacker, 5), ERR_EXISTS);
    expect_path(&s, "10.0.0.1:1");
    tear_down(&s);
}

/* Another session's owner sends from, or as if from, the address of one that is in use. */
static void test_an_address_in_use_is_not_taken_over(void **state)
{
    struct setup s;
    char name[64];
    int other_owner;
    set_up(&s);
    struct ice_session *other = ice_session_new(s.agent, "them", &other_owner);
    struct ice_path p = at("10.0.0.1:1");
    assert_int_equal(check(&s, "10.0.0.1:1", STUN_NOMINATES, SECOND_US), 0);
    struct stun_check c = check_for(other, 0, name);
    assert_int_equal(receive(&s, &c, &p, 2 * SECOND_US), ERR_REFUSED);
    assert_ptr_equal(ice_find(s.agent, &p.way.remote), &s.owner);
    ice_session_touch(s.session, &p, 3 * SECOND_US);
    c = check_for(other, 0, name);
    assert_int_equal(receive(&s, &c, &p, 2 * SECOND_US + ICE_HELD_US), ERR_REFUSED);
    c = check_for(other, 0, name); /* nobody has been there for a while */
    assert_int_equal(receive(&s, &c, &p, 3 * SECOND_US + ICE_HELD_US), 0);
    assert_ptr_equal(ice_find(s.agent, &p.way.remote), &other_owner);
    assert_null(ice_session_path(s.session));
    ice_session_free(&other);
    tear_down(&s);
}

/* fe80::1 of one network is not fe80::1 of another. */
static void test_links_have_addresses_of_their_own(void **state)
{
    struct setup s;
    char name[64];
    int other_owner;
    set_up(&s);
    struct ice_session *other = ice_session_new(s.agent, "them", &other_owner);
    struct ice_path one = at("[fe80::1]:1"), two = one;
    ((struct sockaddr_in6 *)&one.way.remote.sa)->sin6_scope_id = 1;
    ((struct sockaddr_in6 *)&two.way.remote.sa)->sin6_scope_id = 2;
    struct stun_check c = check_for(s.session, STUN_NOMINATES, name);
    assert_int_equal(receive(&s, &c, &one, SECOND_US), 0);
    c = check_for(other, STUN_NOMINATES, name);
    assert_int_equal(receive(&s, &c, &two, SECOND_US), 0);
    assert_ptr_equal(ice_find(s.agent, &one.way.remote), &s.owner);
    assert_ptr_equal(ice_find(s.agent, &two.way.remote), &other_owner);
    ice_session_free(&other);
    c = check_for(s.session, 0, name);
    assert_int_equal(receive(&s, &c, &two, SECOND_US), 0);
    assert_ptr_equal(ice_find(s.agent, &two.way.remote), &s.owner);
    tear_down(&s);
}

static void test_no_answer_is_longer_than_the_check(void **state)
{
    struct setup s;
    char name[64];
    uint8_t bytes[STUN_MESSAGE_ROOM];
    set_up(&s);
    ice_session_free(&s.session);
    s.session = ice_session_new(s.agent, "a", &s.owner);
    for (int i = 0; i < 2; i++) {
        struct stun_check c = check_for(s.session, 0, name);
        name[strlen(name) - 3] = '\0'; /* "OURS:t" */
        name[strlen(name) - 1] = 'a';
        struct ice_path from = at(i == 0 ? "10.0.0.1:1" : "[2001:db8::1]:1");
        size_t len = stun_write(&c, bytes);
        assert_int_equal(receive(&s, &c, &from, 1), 0);
        assert_in_range(s.got.reply.len, 1, len);
    }
    tear_down(&s);
}

/* ---- restart ---- */

static void test_a_restart(void **state)
{
    struct setup s;
    char name[64], old_name[64], pwd[RTC_PWD_SIZE];
    set_up(&s);
    struct ice_path p = at("10.0.0.1:1"), q = at("10.0.0.2:2");
    assert_int_equal(check(&s, "10.0.0.1:1", STUN_NOMINATES, 1), 0);
    struct stun_check old = check_for(s.session, STUN_NOMINATES, old_name);
    snprintf(pwd, sizeof pwd, "%s", old.pwd);
    old.pwd = pwd;
    ice_session_restart(s.session, "nobody");
    ice_session_restart(s.session, "new"); /* the first one is forgotten */
    assert_string_not_equal(ice_session_pwd(s.session), pwd);
    crypto_random(old.transaction, sizeof old.transaction);
    assert_int_equal(receive(&s, &old, &p, 2), 0); /* as long as the new ones are not used */
    struct stun_check c = check_for(s.session, STUN_NOMINATES, name);
    assert_int_equal(receive(&s, &c, &q, 3), ERR_AUTH); /* "them" with our new ones */
    snprintf(name, sizeof name, "%s:new", ice_session_ufrag(s.session));
    assert_int_equal(receive(&s, &c, &q, 3), 0);
    assert_true(s.got.moved);
    expect_path(&s, "10.0.0.2:2");
    crypto_random(old.transaction, sizeof old.transaction);
    assert_int_equal(receive(&s, &old, &p, 4), ERR_NOT_FOUND);
    assert_ptr_equal(ice_find(s.agent, &p.way.remote), &s.owner); /* media under way there counts */
    tear_down(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_vector_of_the_standard),
        cmocka_unit_test(test_a_valid_check_is_answered),
        cmocka_unit_test(test_libnice_agrees),
        cmocka_unit_test(test_what_is_not_valid_has_no_effect),
        cmocka_unit_test(test_a_conflict_of_roles),
        cmocka_unit_test(test_credentials_are_what_the_standard_asks_for),
        cmocka_unit_test(test_nomination_decides),
        cmocka_unit_test(test_udp_before_tcp_while_it_lives),
        cmocka_unit_test(test_tuples_are_bounded),
        cmocka_unit_test(test_a_captured_check_is_of_no_use_elsewhere),
        cmocka_unit_test(test_an_address_in_use_is_not_taken_over),
        cmocka_unit_test(test_links_have_addresses_of_their_own),
        cmocka_unit_test(test_no_answer_is_longer_than_the_check),
        cmocka_unit_test(test_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
