#include "base/err.h"
#include "base/name.h"
#include "core/config_internal.h"
#include "core/redis_url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#define ICE_SERVER_MAX 400 /* bytes of one */

/* Addresses in settings, and what the other texts of the table must look like. */

static bool is_ipv4(const char *text, uint32_t *host_order)
{
    struct in_addr a;
    if (inet_pton(AF_INET, text, &a) != 1)
        return false;
    if (host_order != NULL)
        *host_order = ntohl(a.s_addr);
    return true;
}

static bool is_ipv6(const char *text)
{
    struct in6_addr a;
    return inet_pton(AF_INET6, text, &a) == 1;
}

static bool is_host_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && c != '-' && c != '.' && c != '_')
            return false;
    }
    return s.len > 0 && s.p[0] != '-' && s.p[0] != '.';
}

static int parse_host(struct slice host, bool bracketed, char out[256])
{
    if (!slice_copy(host, out, 256))
        return ERR_TOO_LARGE;
    if (bracketed)
        return is_ipv6(out) ? 0 : ERR_TYPE;
    return host.len == 0 || is_host_name(host) ? 0 : ERR_TYPE;
}

int config_listen_parse(const char *text, struct listen_address *out)
{
    struct listen_address a = {0};
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return ERR_TYPE;
    struct slice host = slice_of(text, (size_t)(colon - text));
    bool bracketed = host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']';
    if (bracketed)
        host = slice_of(host.p + 1, host.len - 2);
    uint64_t port = 0;
    int err = parse_host(host, bracketed, a.host);
    if (err == 0)
        err = slice_u64(slice_text(colon + 1), UINT16_MAX, &port);
    if (err != 0)
        return err;
    a.port = (uint16_t)port;
    *out = a;
    return 0;
}

bool config_listen_is_loopback(const struct listen_address *a)
{
    uint32_t v4;
    struct in6_addr v6;
    if (strcmp(a->host, "localhost") == 0)
        return true;
    if (is_ipv4(a->host, &v4))
        return v4 >> 24 == 127;
    if (inet_pton(AF_INET6, a->host, &v6) != 1)
        return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

const char *check_listen(const char *text)
{
    struct listen_address a;
    return config_listen_parse(text, &a) == 0 ? NULL : "must be HOST:PORT, :PORT or [IPv6]:PORT";
}

const char *check_listen_or_empty(const char *text)
{
    return text[0] == '\0' ? NULL : check_listen(text);
}

const char *check_peer(const char *text)
{
    struct listen_address a;
    bool ok = config_listen_parse(text, &a) == 0 && a.host[0] != '\0' && a.port != 0;
    return ok ? NULL : "must be HOST:PORT or [IPv6]:PORT";
}

const char *check_host_or_empty(const char *text)
{
    bool ok = text[0] == '\0' || is_ipv6(text) || is_host_name(slice_text(text));
    return ok ? NULL : "must be a host name or an address, without a port";
}

const char *check_ip(const char *text)
{
    return is_ipv4(text, NULL) || is_ipv6(text) ? NULL : "must be an IPv4 or IPv6 address";
}

const char *check_ice_server(const char *text)
{
    static const char reason[] = "must be stun:HOST:PORT, or turn:HOST:PORT USER PASSWORD";
    struct slice user, password, more, url = slice_cut(slice_text(text), ' ', &user, NULL);
    bool stun = slice_starts(url, "stun:") || slice_starts(url, "stuns:");
    bool turn = slice_starts(url, "turn:") || slice_starts(url, "turns:");
    user = slice_cut(user, ' ', &password, NULL);
    password = slice_cut(password, ' ', &more, NULL);
    for (const char *p = text; *p != '\0'; p++) /* it becomes part of a header */
        if (*p < ' ' || *p > '~' || strchr("\"\\<>", *p) != NULL)
            return reason;
    bool ok = more.len == 0 && strlen(text) <= ICE_SERVER_MAX &&
              ((stun && user.len == 0) || (turn && user.len > 0 && password.len > 0));
    return ok ? NULL : reason;
}

const char *check_prefix(const char *text)
{
    static const char reason[] = "must be an address, or ADDRESS/BITS";
    char address[INET6_ADDRSTRLEN];
    struct slice bits;
    bool has_bits;
    uint64_t n = 0;
    struct slice host = slice_cut(slice_text(text), '/', &bits, &has_bits);
    if (!slice_copy(host, address, sizeof address) || check_ip(address) != NULL)
        return reason;
    if (has_bits && slice_u64(bits, is_ipv6(address) ? 128 : 32, &n) != 0)
        return reason;
    return NULL;
}

const char *check_group(const char *text)
{
    struct listen_address a;
    uint32_t v4;
    if (config_listen_parse(text, &a) != 0 || a.port == 0)
        return "must be ADDRESS:PORT";
    bool multicast = (is_ipv4(a.host, &v4) && v4 >> 28 == 0xe) ||
                     (is_ipv6(a.host) && strncasecmp(a.host, "ff", 2) == 0);
    return multicast ? NULL : "must be a multicast address (224.0.0.0/4 or ff00::/8)";
}

const char *check_word(const char *text)
{
    return name_node_ok(slice_text(text)) ? NULL : "must be 1 to 64 of A-Z a-z 0-9 . _ -";
}

const char *check_word_or_empty(const char *text)
{
    return text[0] == '\0' ? NULL : check_word(text);
}

const char *check_visible(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~')
            return "must be ASCII characters without spaces";
    return NULL;
}

const char *check_redis_url(const char *text)
{
    struct redis_url url;
    const char *why;
    if (redis_url_parse(text, &url, &why) < 0)
        return "must be redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], or rediss:// for TLS";
    return check_visible(text);
}
