#ifndef SLUICE_TESTS_TOOLS_STUN_CLIENT_H
#define SLUICE_TESTS_TOOLS_STUN_CLIENT_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Connectivity checks as a remote sends them, made without the library that answers them, and what
 * its answers must be.  Good for wrong ones, too.
 */
#define STUN_COOKIE_BYTES 0x2112a442U
#define STUN_TRANSACTION  12
#define STUN_MESSAGE_ROOM 1024
#define STUN_NO_INTEGRITY 1
#define STUN_NO_CRC       2
#define STUN_NO_USERNAME  4
#define STUN_NO_PRIORITY  8
#define STUN_NOMINATES    16
#define STUN_CONTROLLED   32  /* the remote claims the role of the answering side */
#define STUN_UNKNOWN      64  /* an attribute that has to be understood, and is not */
#define STUN_LATE_USE     128 /* USE-CANDIDATE behind the signature */
#define STUN_EMPTY_MAC    256 /* MESSAGE-INTEGRITY of length 0 */
#define STUN_INDICATION   512

struct stun_check {
    const char *username; /* "theirs:ours", from the sender's point of view */
    const char *pwd;
    unsigned flags;
    uint8_t transaction[STUN_TRANSACTION];
};

/* The message to dst, which has STUN_MESSAGE_ROOM bytes; its length. */
size_t stun_write(const struct stun_check *c, uint8_t *dst);
/* What an answer says; false when it is not well formed, not signed with pwd, or of another
 * transaction. */
struct stun_answer {
    bool success;
    uint16_t port; /* of XOR-MAPPED-ADDRESS, IPv4 or IPv6 */
    uint8_t host[16];
    size_t host_len;
    unsigned error;
};
bool stun_read(struct slice m, const char *pwd, const uint8_t transaction[STUN_TRANSACTION],
               struct stun_answer *out);

/* Its parts, for other messages. */
void stun_attribute(struct wr *w, unsigned type, const void *value, size_t len);
/* The length in the header, as if `more` bytes were to follow. */
void stun_set_len(struct wr *w, size_t more);
/* MESSAGE-INTEGRITY; empty: of length 0. */
void stun_sign(struct wr *w, const char *pwd, bool empty);
/* FINGERPRINT. */
void stun_check_crc(struct wr *w);

#endif
