/*
 * What an address that has shown a valid check may send to its peer, and others may not: the input
 * is datagrams and frames, `flags | u16 length | bytes`.  The first byte of the input says which
 * side of the handshake the peer is.
 */
#include "base/bytes.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/crypto.h"
#include "rtc/rtc_internal.h"
#include "tools/stun_client.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FLAG_STRANGER 1 /* from another address */
#define FLAG_RUN      2 /* handshakes have their turn before it */
#define FLAG_TIME     4 /* the peer's timer fires before it */

struct bed {
    struct config config;
    struct workers group;
    struct rtc_ports *ports;
    struct rtc_port *port;
    struct rtc_peer *peer;
    struct udp_way remote, stranger;
};

static void on_connected(void *arg)
{
    abort(); /* nobody here has the key to the certificate */
}

static void on_rtp(void *arg, uint8_t *packet, size_t len, int64_t arrival_us)
{
    abort();
}

static void on_rtcp(void *arg, const uint8_t *compound, size_t len, int64_t arrival_us)
{
    abort();
}

static void on_closed(void *arg, enum close_reason why)
{
    ((struct bed *)arg)->peer = NULL;
}

static const struct rtc_peer_handler handler = {on_connected, on_rtp, on_rtcp, on_closed};

static struct bed *open_bed(void)
{
    static struct bed bed;
    static const struct text_list none;
    if (bed.ports != NULL)
        return &bed;
    log_setup((enum log_level)(LOG_ERROR + 1), false);
    must(workers_init(&bed.group, &bed.config, 1) == 0);
    must(rtc_ports_open(&bed.ports, &bed.group,
                        &(struct rtc_ports_options){.listen = "127.0.0.1:0",
                                                    .tcp_listen = "",
                                                    .public_addresses = &none,
                                                    .advertise = "",
                                                    .trusted = &none}) == 0);
    bed.port = rtc_port_of(bed.ports, &bed.group.workers[0]);
    /* What is sent comes back to the port itself, where it is nobody's. */
    udp_batch_address(bed.port->udp, &bed.remote.remote);
    must(net_address_parse("127.0.0.1:9", &bed.stranger.remote) == 0);
    return &bed;
}

static void receive(struct bed *b, const struct udp_way *from, struct slice bytes)
{
    uint8_t copy[UDP_BATCH_DATAGRAM_MAX];
    size_t len = bytes.len < sizeof copy ? bytes.len : sizeof copy;
    if (len > 0)
        memcpy(copy, bytes.p, len);
    rtc_port_receive(b->port, &(struct ice_path){.way = *from}, NULL, copy, len, clock_us());
}

static void open_peer(struct bed *b, bool passive)
{
    struct rtc_remote offer = {.ufrag = "them", .fingerprint_count = 1, .passive = passive};
    struct rtc_local local;
    char name[64];
    uint8_t bytes[STUN_MESSAGE_ROOM];
    must(rtc_peer_open(
             &b->peer, b->port,
             &(struct rtc_peer_options){.remote = &offer, .handler = &handler, .owner = b}) == 0);
    rtc_peer_local(b->peer, &local);
    snprintf(name, sizeof name, "%s:them", local.ufrag);
    struct stun_check c = {.username = name, .pwd = local.pwd, .flags = STUN_NOMINATES};
    crypto_random(c.transaction, sizeof c.transaction);
    receive(b, &b->remote, slice_of(bytes, stun_write(&c, bytes)));
    must(rtc_peer_remote(b->peer) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bed *b = open_bed();
    struct rd r = rd_init(data, size);
    open_peer(b, rd_u8(&r) & 1);
    while (!r.underrun && b->peer != NULL) {
        uint8_t flags = rd_u8(&r);
        struct slice bytes = rd_slice_of(&r, rd_u16(&r));
        if (flags & FLAG_RUN)
            rtc_handshake_run(b->port);
        if (b->peer != NULL && flags & FLAG_TIME)
            b->peer->timer.on_time(b->peer);
        if (b->peer != NULL && !r.underrun)
            receive(b, flags & FLAG_STRANGER ? &b->stranger : &b->remote, bytes);
    }
    rtc_handshake_run(b->port);
    rtc_peer_close(&b->peer, CLOSE_FINISHED);
    rtc_port_flush(b->port);
    event_base_loop(b->group.workers[0].base, EVLOOP_NONBLOCK);
    must(rtc_port_peers(b->port) == 0 && b->port->handshake_count == 0);
    return 0;
}
