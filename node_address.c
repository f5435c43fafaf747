/*
 * By which address other nodes reach this one, when the settings do not say.  Before the workers
 * start.
 */
#include "node_internal.h"

#include "core/redis_url.h"
#include "net/udp.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

/* Any address of ours that others may reach; false, and loopback, when there is none. */
static bool some_address(char *out, size_t room)
{
    struct ifaddrs *list = NULL;
    bool found = false;
    snprintf(out, room, "127.0.0.1");
    if (getifaddrs(&list) != 0)
        return false;
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        bool usable = (i->ifa_flags & IFF_UP) != 0 && (i->ifa_flags & IFF_LOOPBACK) == 0;
        if (!usable || i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET)
            continue;
        getnameinfo(i->ifa_addr, sizeof(struct sockaddr_in), out, (socklen_t)room, NULL, 0,
                    NI_NUMERICHOST);
        found = true;
        break;
    }
    freeifaddrs(list);
    return found;
}

/* The local address of the route to "HOST:PORT", as text; false when there is none. */
static bool route_address(const char *to, const char *interface, char *out, size_t room)
{
    struct listen_address a;
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found = NULL;
    struct net_address peer, local;
    if (config_listen_parse(to, &a) != 0 || getaddrinfo(a.host, "7", &hints, &found) != 0)
        return false;
    memcpy(&peer.sa, found->ai_addr, found->ai_addrlen);
    peer.len = found->ai_addrlen;
    freeaddrinfo(found);
    return udp_route(&peer, interface, &local) == 0 &&
           getnameinfo((struct sockaddr *)&local.sa, local.len, out, (socklen_t)room, NULL, 0,
                       NI_NUMERICHOST) == 0;
}

static bool route_to_redis(const struct config *c, char *out, size_t room)
{
    const struct text_list *sentinels = &c->cluster.redis.sentinels;
    struct redis_url redis;
    char to[sizeof redis.host + 16];
    const char *why;
    if (sentinels->count > 0)
        return route_address(sentinels->items[0], "", out, room);
    must(redis_url_parse(c->cluster.redis.url, &redis, &why) == 0);
    snprintf(to, sizeof to, strchr(redis.host, ':') != NULL ? "[%s]:6379" : "%s:6379", redis.host);
    return route_address(to, "", out, room);
}

static bool route_to_peers(const struct config *c, char *out, size_t room)
{
    const struct text_list *peers = &c->cluster.static_peers.peers;
    for (size_t i = 0; i < peers->count; i++)
        if (route_address(peers->items[i], "", out, room))
            return true;
    return false;
}

bool node_advertise(const struct config *c, char *out, size_t room)
{
    bool found = false;
    if (c->node.advertise[0] != '\0') {
        snprintf(out, room, "%s", c->node.advertise);
        return true;
    }
    switch (c->cluster.backend) {
    case CLUSTER_NONE:
        snprintf(out, room, "127.0.0.1");
        return true;
    case CLUSTER_REDIS:
        found = route_to_redis(c, out, room);
        break;
    case CLUSTER_MULTICAST:
        found =
            route_address(c->cluster.multicast.group, c->cluster.multicast.interface, out, room);
        break;
    case CLUSTER_STATIC:
        found = route_to_peers(c, out, room);
        break;
    }
    return found || some_address(out, room);
}
