#include "base/err.h"
#include "net/io.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const struct sockaddr_in *as_v4(const struct net_address *a)
{
    return (const struct sockaddr_in *)(const void *)&a->sa;
}

static const struct sockaddr_in6 *as_v6(const struct net_address *a)
{
    return (const struct sockaddr_in6 *)(const void *)&a->sa;
}

static void set_v4(struct net_address *a, struct in_addr host, in_port_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = host, .sin_port = port};
    memset(&a->sa, 0, sizeof a->sa);
    memcpy(&a->sa, &v4, sizeof v4);
    a->len = sizeof v4;
}

static void set_v6(struct net_address *a, struct in6_addr host, in_port_t port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = host, .sin6_port = port};
    memset(&a->sa, 0, sizeof a->sa);
    memcpy(&a->sa, &v6, sizeof v6);
    a->len = sizeof v6;
}

void net_address_text(const struct net_address *a, char out[NET_ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN];
    unsigned port = net_address_port(a);
    switch (a->sa.ss_family) {
    case AF_INET:
        inet_ntop(AF_INET, &as_v4(a)->sin_addr, host, sizeof host);
        snprintf(out, NET_ADDRESS_TEXT_MAX, "%s:%u", host, port);
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &as_v6(a)->sin6_addr, host, sizeof host);
        snprintf(out, NET_ADDRESS_TEXT_MAX, "[%s]:%u", host, port);
        break;
    default:
        snprintf(out, NET_ADDRESS_TEXT_MAX, "?");
    }
}

uint16_t net_address_port(const struct net_address *a)
{
    if (a->sa.ss_family == AF_INET)
        return ntohs(as_v4(a)->sin_port);
    return a->sa.ss_family == AF_INET6 ? ntohs(as_v6(a)->sin6_port) : 0;
}

uint32_t net_address_scope(const struct net_address *a)
{
    return a->sa.ss_family == AF_INET6 ? as_v6(a)->sin6_scope_id : 0;
}

void net_address_set_port(struct net_address *a, uint16_t port)
{
    if (a->sa.ss_family == AF_INET)
        set_v4(a, as_v4(a)->sin_addr, htons(port));
    else if (a->sa.ss_family == AF_INET6)
        set_v6(a, as_v6(a)->sin6_addr, htons(port));
}

void net_address_unmap(struct net_address *a)
{
    if (a->sa.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&as_v6(a)->sin6_addr))
        return;
    struct in_addr host;
    memcpy(&host, &as_v6(a)->sin6_addr.s6_addr[12], sizeof host);
    set_v4(a, host, as_v6(a)->sin6_port);
}

bool net_address_key(const struct net_address *a, uint8_t out[NET_ADDRESS_KEY_SIZE])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (a->sa.ss_family == AF_INET6) {
        memcpy(out, &as_v6(a)->sin6_addr, NET_ADDRESS_KEY_SIZE);
        return true;
    }
    if (a->sa.ss_family != AF_INET)
        return false;
    memcpy(out, mapped, sizeof mapped);
    memcpy(out + sizeof mapped, &as_v4(a)->sin_addr, 4);
    return true;
}

bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
    uint8_t one[NET_ADDRESS_KEY_SIZE], other[NET_ADDRESS_KEY_SIZE];
    if (a->sa.ss_family != b->sa.ss_family || net_address_port(a) != net_address_port(b) ||
        !net_address_key(a, one) || !net_address_key(b, other))
        return false;
    return memcmp(one, other, sizeof one) == 0 && net_address_scope(a) == net_address_scope(b);
}

bool net_address_is_loopback(const struct net_address *a)
{
    struct net_address plain = *a;
    net_address_unmap(&plain);
    if (plain.sa.ss_family == AF_INET)
        return ntohl(as_v4(&plain)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return plain.sa.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&as_v6(&plain)->sin6_addr);
}

bool net_address_is_any(const struct net_address *a)
{
    if (a->sa.ss_family == AF_INET)
        return as_v4(a)->sin_addr.s_addr == INADDR_ANY;
    return a->sa.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&as_v6(a)->sin6_addr);
}

int net_address_parse(const char *text, struct net_address *out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return ERR_TYPE;
    uint64_t port;
    if (slice_u64(slice_text(colon + 1), UINT16_MAX, &port) < 0)
        return ERR_TYPE;
    struct slice host = slice_of(text, (size_t)(colon - text));
    bool bracketed = host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']';
    if (bracketed)
        host = slice_of(host.p + 1, host.len - 2);
    char name[INET6_ADDRSTRLEN];
    if (!slice_copy(host, name, sizeof name))
        return ERR_TYPE;
    struct in_addr v4;
    struct in6_addr v6;
    if (!bracketed && inet_pton(AF_INET, name, &v4) == 1)
        set_v4(out, v4, htons((uint16_t)port));
    else if (bracketed && inet_pton(AF_INET6, name, &v6) == 1)
        set_v6(out, v6, htons((uint16_t)port));
    else
        return ERR_TYPE;
    return 0;
}
