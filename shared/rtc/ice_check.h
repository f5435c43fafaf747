#ifndef SLUICE_RTC_ICE_CHECK_H
#define SLUICE_RTC_ICE_CHECK_H

#include "base/slice.h"
#include "net/io.h"

#include <stdbool.h>

#include <stun/stunagent.h>

/*
 * A connectivity check as bytes (RFC 8445 7.3, RFC 8489): what can be said of it without a
 * password, and whether it is signed with one.
 */
#define ICE_TRANSACTION_SIZE 12
#define ICE_REPLY_MAX        256 /* bytes */

struct ice_check {
    struct slice datagram;
    struct slice local_ufrag, remote_ufrag; /* ours, theirs: USERNAME is "ours:theirs" */
    const uint8_t *transaction;             /* ICE_TRANSACTION_SIZE bytes */
    bool nominates;                         /* USE-CANDIDATE */
};

/* 0 or ERR_PROTOCOL: it is no binding request with everything that a check has to have, its
 * attributes do not fill it exactly, or their sizes are wrong.  `out` points into the datagram. */
int ice_check_read(struct slice datagram, struct ice_check *out);

void ice_check_agent_init(StunAgent *agent);
struct ice_reply {
    uint8_t bytes[ICE_REPLY_MAX];
    size_t len;
    bool accepted; /* false: it is a refusal, since the remote claims our role */
};
/* True when it is signed with the password and understood; `out` is then for the remote at `from`.
 */
bool ice_check_answer(StunAgent *agent, const struct ice_check *c, const char *pwd,
                      const struct net_address *from, struct ice_reply *out);

#endif
