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
    host_lookup_done *done; /* NULL: cancelled */
    void *arg;
    uint16_t port;
    bool found;
    struct net_address address;
    struct evdns_base *dns;
    struct evdns_getaddrinfo_request *request;
    struct timer answer;
};

static void lookup_free(struct host_lookup *h)
{
    timer_fini(&h->answer);
    if (h->dns != NULL)
        evdns_base_free(h->dns, 0);
    OBJ_POISON(h);
    free(h);
}

static void on_answer(void *arg)
{
    struct host_lookup *h = OBJ_CAST(struct host_lookup, arg, LOOKUP_MAGIC);
    host_lookup_done *done = h->done;
    void *owner = h->arg;
    struct net_address address = h->address;
    bool found = h->found;
    lookup_free(h);
    if (done != NULL)
        done(found ? &address : NULL, owner);
}

static void on_addresses(int result, struct evutil_addrinfo *list, void *arg)
{
    struct host_lookup *h = OBJ_CAST(struct host_lookup, arg, LOOKUP_MAGIC);
    h->request = NULL;
    if (result == 0 && list != NULL && list->ai_addrlen <= sizeof h->address.sa) {
        memcpy(&h->address.sa, list->ai_addr, list->ai_addrlen);
        h->address.len = (socklen_t)list->ai_addrlen;
        net_address_set_port(&h->address, h->port);
        h->found = true;
    }
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

struct host_lookup *host_lookup_start(struct worker *w, const char *address, host_lookup_done *done,
                                      void *arg)
{
    struct host_lookup *h = xcalloc(1, sizeof *h);
    h->magic = LOOKUP_MAGIC;
    h->worker = w;
    h->done = done;
    h->arg = arg;
    timer_init(&h->answer, w, "host.lookup", on_answer, h);
    h->found = net_address_parse(address, &h->address) == 0;
    if (h->found)
        timer_set_us(&h->answer, 0);
    else
        ask(h, address);
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
    /* A cancelled request still calls back from the loop: it goes then. */
    if (h->request != NULL)
        evdns_getaddrinfo_cancel(h->request);
    else
        lookup_free(h);
}
