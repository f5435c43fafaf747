/*
 * Host names through libevent's resolver.  Answers leave through a timer, so that the callback
 * comes from the loop and the resolver is freed while none of its code is on the stack.
 */
#include "net/resolve_host.h"

#include "base/mem.h"
#include "base/obj.h"
#include "core/timer.h"

#include <event2/dns.h>
#include <event2/util.h>
#include <stdlib.h>
#include <string.h>

#define LOOKUP_MAGIC 0x686f7374U
#define HOST_MAX     256 /* bytes of a host name with its terminator */
#define PORT_MAX     65535

struct host_lookup {
    uint32_t magic;
    struct worker *worker;
    host_lookup_done *done; /* NULL: cancelled, or `all` is asked for */
    host_lookup_all_done *all;
    void *arg;
    uint16_t port;
    struct net_address *found;
    size_t count;
    struct evdns_base *dns;
    struct evdns_getaddrinfo_request *request;
    struct timer answer;
};

static void lookup_free(struct host_lookup *h)
{
    timer_fini(&h->answer);
    if (h->dns != NULL)
        evdns_base_free(h->dns, 0);
    free(h->found);
    OBJ_POISON(h);
    free(h);
}

static void on_answer(void *arg)
{
    struct host_lookup *h = OBJ_CAST(struct host_lookup, arg, LOOKUP_MAGIC);
    host_lookup_done *done = h->done;
    host_lookup_all_done *all = h->all;
    void *owner = h->arg;
    struct net_address *found = h->found;
    size_t count = h->count;
    h->found = NULL;
    lookup_free(h);
    if (done != NULL)
        done(count > 0 ? &found[0] : NULL, owner);
    else if (all != NULL)
        all(found, count, owner);
    free(found);
}

static void add_address(struct host_lookup *h, const struct evutil_addrinfo *info)
{
    struct net_address a = {.len = (socklen_t)info->ai_addrlen};
    if (info->ai_addrlen > sizeof a.sa || h->count == HOST_ADDRESSES_MAX)
        return;
    memcpy(&a.sa, info->ai_addr, info->ai_addrlen);
    net_address_set_port(&a, h->port);
    h->found = xrealloc(h->found, (h->count + 1) * sizeof *h->found);
    h->found[h->count++] = a;
}

static void on_addresses(int result, struct evutil_addrinfo *list, void *arg)
{
    struct host_lookup *h = OBJ_CAST(struct host_lookup, arg, LOOKUP_MAGIC);
    h->request = NULL;
    for (const struct evutil_addrinfo *i = list; result == 0 && i != NULL; i = i->ai_next)
        add_address(h, i);
    if (list != NULL)
        evutil_freeaddrinfo(list);
    timer_set_us(&h->answer, 0);
}

static struct evdns_base *resolver_new(struct worker *w)
{
    struct evdns_base *dns = evdns_base_new(w->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
                                                         EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (dns != NULL)
        return dns;
    /* No usable resolv.conf: the hosts file may still know the name. */
    dns = evdns_base_new(w->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (dns != NULL)
        evdns_base_load_hosts(dns, NULL);
    return dns;
}

static bool split(const char *address, char host[HOST_MAX], uint16_t *port)
{
    const char *colon = strrchr(address, ':');
    uint64_t number;
    if (colon == NULL || slice_u64(slice_text(colon + 1), PORT_MAX, &number) < 0)
        return false;
    *port = (uint16_t)number;
    return slice_copy(slice_of(address, (size_t)(colon - address)), host, HOST_MAX);
}

static void ask(struct host_lookup *h, const char *address)
{
    char host[HOST_MAX];
    if (!split(address, host, &h->port) || (h->dns = resolver_new(h->worker)) == NULL) {
        timer_set_us(&h->answer, 0);
        return;
    }
    /* Some servers answer in lower case; requests between nodes are signed, a forged answer gains
     * nothing. */
    evdns_base_set_option(h->dns, "randomize-case:", "0");
    const struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    h->request = evdns_getaddrinfo(h->dns, host, NULL, &hints, on_addresses, h);
}

static struct host_lookup *start(struct worker *w, const char *address, void *arg)
{
    struct host_lookup *h = xcalloc(1, sizeof *h);
    struct net_address numeric;
    h->magic = LOOKUP_MAGIC;
    h->worker = w;
    h->arg = arg;
    timer_init(&h->answer, w, "host.lookup", on_answer, h);
    if (net_address_parse(address, &numeric) < 0) {
        ask(h, address);
        return h;
    }
    h->found = xcalloc(1, sizeof *h->found);
    h->found[h->count++] = numeric;
    timer_set_us(&h->answer, 0);
    return h;
}

struct host_lookup *host_lookup_start(struct worker *w, const char *address, host_lookup_done *done,
                                      void *arg)
{
    struct host_lookup *h = start(w, address, arg);
    h->done = done;
    return h;
}

struct host_lookup *host_lookup_all_start(struct worker *w, const char *address,
                                          host_lookup_all_done *done, void *arg)
{
    struct host_lookup *h = start(w, address, arg);
    h->all = done;
    return h;
}

void host_lookup_cancel(struct host_lookup **hp)
{
    struct host_lookup *h = *hp;
    *hp = NULL;
    if (h == NULL)
        return;
    OBJ_CHECK(h, LOOKUP_MAGIC);
    h->done = NULL;
    h->all = NULL;
    /* A cancelled request still calls back from the loop: it goes then. */
    if (h->request != NULL)
        evdns_getaddrinfo_cancel(h->request);
    else
        lookup_free(h);
}
