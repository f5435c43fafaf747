#ifndef SLUICE_RTC_RTC_PORT_H
#define SLUICE_RTC_RTC_PORT_H

#include "core/config.h"
#include "core/worker.h"
#include "net/io.h"

#include <stdint.h>

/*
 * Where WebRTC peers reach this node (webrtc.md 0, 8): one UDP socket per worker, worker n at port
 * + n, and, when asked, one TCP listener per worker likewise (ICE-TCP, RFC 6544, passive).  The
 * answer to an offer names the port of the worker that has the peer, so datagrams come to the right
 * thread by themselves.
 *
 *   datagram -> first byte (RFC 7983) -> STUN: by user name -> ice | DTLS, RTP, RTCP: by address
 *   -> peer -> dtls | srtp_open -> its handler
 *
 *   peers -> sealed straight into the port's arena -> sendmmsg + UDP GSO at the end of the turn
 *
 * Nothing is ever sent to an address that has not shown a valid check, and ICE-lite sends no checks
 * of its own.
 */
struct rtc_ports; /* of the node */
struct rtc_port;  /* of one worker; lives as long as the ports */

struct rtc_ports_options {
    const char *listen;     /* UDP, as config_listen_parse takes it; port 0: free ones */
    const char *tcp_listen; /* ICE-TCP; "": none */
    /* Addresses of the candidates, numeric; none: the host of `listen`, or `advertise`, or the
     * addresses of the machine's interfaces, whichever is there first. */
    const struct text_list *public_addresses;
    const char *advertise; /* a numeric address, or "" */
    /* Peers of one client that are not connected; 0: off.  Loopback and those trusted are not
     * counted. */
    int64_t half_open_per_address;
    const struct text_list *trusted;
};

/* Before the workers start.  0, or a negative enum err, logged. */
int rtc_ports_open(struct rtc_ports **out, struct workers *g, const struct rtc_ports_options *o);
/* After the workers have stopped and all peers are closed. */
void rtc_ports_free(struct rtc_ports **pp);

struct rtc_port *rtc_port_of(struct rtc_ports *p, const struct worker *w);
struct worker *rtc_port_worker(const struct rtc_port *port);
/* "HOST:PORT" of the UDP socket, HOST as bound. */
void rtc_port_text(const struct rtc_port *port, char out[NET_ADDRESS_TEXT_MAX]);

/* Takes a new limits.trusted; from any thread. */
void rtc_ports_set_trusted(struct rtc_ports *p, const struct text_list *trusted);

/* Peers of this worker, connected or not. */
size_t rtc_port_peers(const struct rtc_port *port);
/* Sends now what the peers of this worker have written; otherwise that happens by itself at the end
 * of the turn of the loop, or when the arena is full. */
void rtc_port_flush(struct rtc_port *port);

#endif
