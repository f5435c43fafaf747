#include "test.h"

#include "base/bytes.h"
#include "base/err.h"
#include "proto/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define V2 "\r\n\r\n\0\r\nQUIT\n"

/* "1.2.3.4 5" or "", as the header says. */
static void source_text(const struct proxy_header *h, char *out, size_t room)
{
    char address[INET6_ADDRSTRLEN];
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    out[0] = '\0';
    if (!h->has_source)
        return;
    if (h->source.ss_family == AF_INET) {
        assert_int_equal(h->source_len, sizeof v4);
        memcpy(&v4, &h->source, sizeof v4);
        inet_ntop(AF_INET, &v4.sin_addr, address, sizeof address);
        snprintf(out, room, "%s %u", address, ntohs(v4.sin_port));
    } else {
        assert_int_equal(h->source_len, sizeof v6);
        memcpy(&v6, &h->source, sizeof v6);
        inet_ntop(AF_INET6, &v6.sin6_addr, address, sizeof address);
        snprintf(out, room, "%s %u", address, ntohs(v6.sin6_port));
    }
}

/* The header is read from each prefix in memory of exactly that size, and then followed by other
 * bytes. */
static void check(const char *what, const void *bytes, size_t len, int want, const char *source)
{
    struct proxy_header h;
    char text[80];
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut + 1);
        assert_non_null(exact);
        memcpy(exact, bytes, cut);
        ssize_t n = proxy_header_read(exact, cut, &h);
        free(exact);
        if (want >= 0 ? n != 0 : n != 0 && n != want)
            fail_msg("%s cut at %zu: %zd", what, cut, n);
    }
    uint8_t more[600];
    assert_true(len + 10 <= sizeof more);
    memcpy(more, bytes, len);
    memset(more + len, '\n', 10);
    ssize_t n = proxy_header_read(more, len + 10, &h);
    if (want < 0 ? n != want : n != (ssize_t)len)
        fail_msg("%s: %zd", what, n);
    if (want < 0)
        return;
    source_text(&h, text, sizeof text);
    if (strcmp(text, source) != 0)
        fail_msg("%s: %s", what, text);
}

static void version_1(void **state)
{
    static const struct {
        const char *text;
        int want; /* 0 or an error */
        const char *source;
    } cases[] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", 0, "192.0.2.1 56324"},
        {"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", 0, "2001:db8::1 1"},
        {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         0, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535"},
        {"PROXY UNKNOWN\r\n", 0, ""},
        {"PROXY UNKNOWN ffff::1 whatever 1 2\r\n", 0, ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n", ERR_PROTOCOL, ""},
        {"PROXY  TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.2.1\r198.51.100.2 1 2\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.02.1 198.51.100.2 1 2\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 ::1 ::1 1 2\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.2.1 x 1 2\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 1 02\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n", ERR_PROTOCOL, ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n", ERR_PROTOCOL, ""},
        {"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", ERR_PROTOCOL, ""},
        {"PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n", ERR_PROTOCOL, ""},
        {"PROXY \r\n", ERR_PROTOCOL, ""},
        {"PROXY\r\n", ERR_PROTOCOL, ""},
        {"proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n", ERR_PROTOCOL, ""},
        {"GET / HTTP/1.1\r\n", ERR_PROTOCOL, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check(cases[i].text, cases[i].text, strlen(cases[i].text), cases[i].want, cases[i].source);

    struct proxy_header h;
    static const char nul[] = "PROXY TCP4 192.0.2.1\0 198.51.100.2 1 2\r\n";
    assert_int_equal(proxy_header_read((const uint8_t *)nul, sizeof nul - 1, &h), ERR_PROTOCOL);

    uint8_t line[PROXY_V1_MAX + 1];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_header_read(line, PROXY_V1_MAX - 1, &h), 0);
    assert_int_equal(proxy_header_read(line, PROXY_V1_MAX, &h), ERR_PROTOCOL);
    memcpy(line + PROXY_V1_MAX - 1, "\r\n", 2);
    assert_int_equal(proxy_header_read(line, sizeof line, &h), ERR_PROTOCOL);
    memcpy(line + PROXY_V1_MAX - 2, "\r\n", 2);
    assert_int_equal(proxy_header_read(line, sizeof line, &h), PROXY_V1_MAX);
}

#define IP4   "\xc0\0\2\1\xc6\x33\x64\2\xdc\4\1\xbb" /* 192.0.2.1 56324 to 198.51.100.2 443 */
#define IP6_1 "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"

static void version_2(void **state)
{
    static const struct {
        const char *what;
        const char *bytes;
        size_t len;
        int want;
        const char *source;
    } cases[] = {
#define ROW(what, bytes, want, source) {what, V2 bytes, sizeof(V2 bytes) - 1, want, source}
        ROW("IPv4", "\x21\x11\0\x0c" IP4, 0, "192.0.2.1 56324"),
        ROW("IPv4 with TLVs", "\x21\x11\0\x13" IP4 "\x04\0\1\0\xe0\0\0", 0, "192.0.2.1 56324"),
        ROW("IPv6", "\x21\x21\0\x24" IP6_1 IP6_1 "\0\1\0\2", 0, "2001:db8::1 1"),
        ROW("LOCAL", "\x20\0\0\0", 0, ""),
        ROW("LOCAL with addresses", "\x20\x11\0\x0c" IP4, 0, ""),
        ROW("LOCAL with anything", "\x20\xff\0\2xx", 0, ""),
        ROW("UNSPEC", "\x21\0\0\3abc", 0, ""),
        ROW("version 1", "\x11\x11\0\x0c" IP4, ERR_PROTOCOL, ""),
        ROW("unknown command", "\x22\x11\0\x0c" IP4, ERR_PROTOCOL, ""),
        ROW("unknown family", "\x21\x41\0\x0c" IP4, ERR_PROTOCOL, ""),
        ROW("unknown transport", "\x21\x13\0\x0c" IP4, ERR_PROTOCOL, ""),
        ROW("UDP", "\x21\x12\0\x0c" IP4, ERR_UNSUPPORTED, ""),
        ROW("IPv4 too short", "\x21\x11\0\x0b" IP4, ERR_PROTOCOL, ""),
        ROW("IPv6 too short", "\x21\x21\0\x0c" IP4, ERR_PROTOCOL, ""),
        ROW("TLV cut in its header", "\x21\x11\0\x0e" IP4 "\4\0", ERR_PROTOCOL, ""),
        ROW("TLV too long", "\x21\x11\0\x10" IP4 "\4\0\2\0", ERR_PROTOCOL, ""),
        ROW("too long", "\x21\x11\x10\1", ERR_TOO_LARGE, ""),
        ROW("much too long", "\x20\0\xff\xff", ERR_TOO_LARGE, ""),
#undef ROW
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check(cases[i].what, cases[i].bytes, cases[i].len, cases[i].want, cases[i].source);

    uint8_t local[16 + 216] = V2 "\x21\x31\0\xd8";
    check("UNIX", local, sizeof local, 0, "");
    struct proxy_header h;
    assert_int_equal(proxy_header_read((const uint8_t *)"\r\n\r\nGET", 7, &h), ERR_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1),
        cmocka_unit_test(version_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
