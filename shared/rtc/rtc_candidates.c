/*
 * Where remotes reach us: the addresses, and the lines that say so (RFC 8839 5.1, RFC 6544 for
 * TCP).
 */
#include "rtc/rtc_internal.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define TYPE_UDP      126U /* RFC 8445 5.1.2.2: a host candidate */
#define TYPE_TCP      99U  /* one that the browser tries last */
#define LOCAL_UDP_MAX 65535U
#define LOCAL_TCP_MAX (4U << 13 | 0x1fff) /* RFC 6544 4.2: passive */
#define COMPONENT     1U                  /* RTP and RTCP on one port */

/* --- addresses --- */

static void add(struct rtc_addresses *to, const struct net_address *a)
{
    struct net_address plain = *a;
    net_address_unmap(&plain);
    net_address_set_port(&plain, 0);
    for (size_t i = 0; i < to->count; i++)
        if (net_address_equal(&to->items[i], &plain))
            return;
    if (to->count < RTC_ADDRESSES_MAX)
        to->items[to->count++] = plain;
}

static void add_text(struct rtc_addresses *to, const char *host)
{
    char text[INET6_ADDRSTRLEN + 8];
    struct net_address a;
    snprintf(text, sizeof text, strchr(host, ':') != NULL ? "[%s]:0" : "%s:0", host);
    if (net_address_parse(text, &a) == 0)
        add(to, &a);
}

/* Addresses that others may use: link-local ones need the name of an interface of theirs. */
static bool is_usable(const struct ifaddrs *i, int family)
{
    if (i->ifa_addr == NULL || i->ifa_addr->sa_family != family || (i->ifa_flags & IFF_UP) == 0 ||
        (i->ifa_flags & IFF_LOOPBACK) != 0)
        return false;
    struct sockaddr_in6 v6 = {0};
    if (family == AF_INET6)
        memcpy(&v6, i->ifa_addr, sizeof v6);
    return family != AF_INET6 || !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr);
}

static void add_interfaces(struct rtc_addresses *to, int family)
{
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0)
        return;
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        struct net_address a = {.len = family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                          : sizeof(struct sockaddr_in)};
        if (!is_usable(i, family))
            continue;
        memcpy(&a.sa, i->ifa_addr, a.len);
        add(to, &a);
    }
    freeifaddrs(list);
}

void rtc_addresses_find(struct rtc_addresses *out, const struct rtc_ports_options *o,
                        const struct net_address *bound)
{
    out->count = 0;
    for (size_t i = 0; i < o->public_addresses->count; i++)
        add_text(out, o->public_addresses->items[i]);
    if (out->count == 0 && !net_address_is_any(bound))
        add(out, bound);
    if (out->count == 0)
        add_text(out, o->advertise);
    if (out->count > 0)
        return;
    add_interfaces(out, AF_INET);
    if (bound->sa.ss_family == AF_INET6)
        add_interfaces(out, AF_INET6);
    if (out->count == 0)
        add_text(out, "127.0.0.1"); /* a machine by itself */
}

/* --- candidates --- */

static unsigned priority(unsigned type, unsigned local)
{
    return type << 24 | local << 8 | (256 - COMPONENT);
}

static void host_text(const struct net_address *a, char out[INET6_ADDRSTRLEN])
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memcpy(&v4, &a->sa, sizeof v4);
    memcpy(&v6, &a->sa, sizeof v6);
    const void *host = a->sa.ss_family == AF_INET ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr;
    inet_ntop(a->sa.ss_family, host, out, INET6_ADDRSTRLEN);
}

void rtc_candidates_write(const struct rtc_port *port, struct rtc_local *out)
{
    const struct rtc_addresses *a = &port->addresses;
    char host[INET6_ADDRSTRLEN];
    out->candidate_count = 0;
    for (unsigned i = 0; i < a->count; i++) {
        host_text(&a->items[i], host);
        snprintf(out->candidates[out->candidate_count++], RTC_CANDIDATE_TEXT_MAX,
                 "%u %u udp %u %s %u typ host", i + 1, COMPONENT,
                 priority(TYPE_UDP, LOCAL_UDP_MAX - i), host, port->udp_port);
    }
    for (unsigned i = 0; i < a->count && port->tcp != NULL; i++) {
        host_text(&a->items[i], host);
        snprintf(out->candidates[out->candidate_count++], RTC_CANDIDATE_TEXT_MAX,
                 "%u %u tcp %u %s %u typ host tcptype passive", i + 1 + RTC_ADDRESSES_MAX,
                 COMPONENT, priority(TYPE_TCP, LOCAL_TCP_MAX - i), host, port->tcp_port);
    }
}

_Static_assert(2 * RTC_ADDRESSES_MAX <= RTC_CANDIDATES_MAX, "all addresses fit, twice");
