#ifndef SLUICE_PROTO_PROXY_H
#define SLUICE_PROTO_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* The PROXY protocol header, versions 1 and 2 (haproxy: doc/proxy-protocol.txt), which a balancer
 * sends before a connection's own bytes. */
#define PROXY_V1_MAX         107  /* bytes, with CR LF */
#define PROXY_V2_HEADER_SIZE 16   /* bytes before the addresses */
#define PROXY_V2_LENGTH_MAX  4096 /* bytes of addresses and TLVs */

struct proxy_header {
    bool has_source; /* false for LOCAL, UNSPEC, UNKNOWN and UNIX: the connection's own address
                        holds */
    struct sockaddr_storage source; /* AF_INET or AF_INET6 with port */
    socklen_t source_len;
};

/* Reads either version: bytes consumed, 0, or ERR_PROTOCOL, ERR_TOO_LARGE (version 2 announces more
 * than PROXY_V2_LENGTH_MAX), ERR_UNSUPPORTED (a datagram transport). */
ssize_t proxy_header_read(const uint8_t *src, size_t len, struct proxy_header *out);

#endif
