#ifndef SLUICE_NET_ADMISSION_H
#define SLUICE_NET_ADMISSION_H

#include "core/config.h"
#include "core/limit.h"
#include "net/io.h"

/*
 * Who may connect how often: counts per address of one port, shared by its sockets on all workers
 * (one lock, taken when a connection comes, has shown itself and goes).  An IPv6 host owns a whole
 * /64 and is counted by it.  Loopback and trusted addresses are not counted.
 */
#define ADMISSION_ADDRESSES_MAX 65536 /* addresses counted at a time; more are refused */

struct admission;

/* Limits of 0 are off.  `trusted` holds addresses and CIDR blocks; others are skipped and *bad (may
 * be NULL) points at the first of them. */
struct admission *admission_new(int64_t half_open_max, int64_t connections_max,
                                const struct text_list *trusted, const char **bad);
/* Another list in the place of `trusted`; connections that are there stay counted as they were. */
void admission_set_trusted(struct admission *a, const struct text_list *trusted, const char **bad);
struct admission *admission_ref(struct admission *a);
void admission_unref(struct admission **ap);

/* How one connection is counted; all zero: not at all. */
struct admission_count {
    uint8_t key[NET_ADDRESS_KEY_SIZE];
    bool half_open, open;
    enum limit refused; /* after admission_enter() was false: by which limit */
};

/* Counts a connection, half open at first; false when a limit is reached. */
bool admission_enter(struct admission *a, const struct net_address *peer,
                     struct admission_count *c);
/* It is no longer half open. */
void admission_established(struct admission *a, struct admission_count *c);
void admission_leave(struct admission *a, struct admission_count *c);
/* Loopback, or in the list: such an address is never counted.  Reads the list each time. */
bool admission_trusts(const struct text_list *trusted, const struct net_address *peer);
/* Addresses in the table (tests). */
size_t admission_addresses(struct admission *a);

#endif
