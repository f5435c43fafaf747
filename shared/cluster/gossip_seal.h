#ifndef SLUICE_CLUSTER_GOSSIP_SEAL_H
#define SLUICE_CLUSTER_GOSSIP_SEAL_H

#include "core/crypto.h"
#include "proto/gossip.h"

/*
 * Who may talk: the tag of a datagram, an HMAC-SHA256 over all that goes before it, with a key that
 * is made of the cluster's secret.  And which datagrams are new: a window of sequence numbers.
 */
#define GOSSIP_KEYS_MAX 2 /* a new secret and the one of before, while they are exchanged */

struct gossip_keys {
    size_t count;
    uint8_t id[GOSSIP_KEYS_MAX];
    uint8_t key[GOSSIP_KEYS_MAX][SHA256_SIZE];
};
/* The first one seals, all open; at most GOSSIP_KEYS_MAX. */
void gossip_keys_add(struct gossip_keys *k, struct slice secret);

/* Starts a datagram with header `h`, whose keyid is filled in here; fields are written after it. */
void gossip_seal_begin(const struct gossip_keys *k, struct gossip_header *h, struct wr *w);
/* Appends the tag to what `w` holds. */
void gossip_seal(const struct gossip_keys *k, struct wr *w);
/* Checks the tag of a datagram whose header was read; 0 or ERR_AUTH.  Constant in time for each key
 * that has the header's keyid. */
int gossip_unseal(const struct gossip_keys *k, const struct gossip_header *h,
                  struct slice datagram);

/* 64 bits of a hash of `text` for the use `label`. */
uint64_t gossip_hash(const char *label, const char *text);

/* The sequence numbers of one sender that were seen (RFC 6479). */
#define GOSSIP_WINDOW_BITS 1024
struct gossip_window {
    uint64_t top;                                /* the highest seen; 0: none */
    uint64_t words[GOSSIP_WINDOW_BITS / 64 + 1]; /* a ring; the one more is being cleared */
};
/* Begins at `seq`: that and all below it count as seen. */
void gossip_window_start(struct gossip_window *w, uint64_t seq);
/* True once for each number that is not too far below the highest. */
bool gossip_window_admit(struct gossip_window *w, uint64_t seq);

#endif
