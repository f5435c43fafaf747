#ifndef SLUICE_CORE_CLOSE_REASON_H
#define SLUICE_CORE_CLOSE_REASON_H

#include "base/slice.h"

#include <stdbool.h>

/*
 * Why a session, a stream or a link ended.  One row: name, word (log lines and the
 * metric label), is it a fault worth a warning, help.
 */
#define CLOSE_REASONS(X)                                                                           \
    X(PEER_CLOSED, peer_closed, 0, "the peer closed the connection")                               \
    X(UNPUBLISHED, unpublished, 0, "the publisher ended the stream")                               \
    X(FINISHED, finished, 0, "everything asked for was sent")                                      \
    X(BAD_INPUT, bad_input, 1, "the peer broke the protocol")                                      \
    X(TOO_SLOW, too_slow, 1, "the peer could not keep up with the stream")                         \
    X(STALLED, stalled, 1, "the peer took nothing for the time allowed")                           \
    X(TIMEOUT, timeout, 1, "a deadline of the connection passed")                                  \
    X(IO_ERROR, io_error, 1, "the connection failed")                                              \
    X(NO_MEDIA, no_media, 1, "the publisher sent no media for the time allowed")                   \
    X(NOT_FOUND, not_found, 0, "the stream did not appear in time")                                \
    X(REFUSED, refused, 0, "not allowed: role, name or policy")                                    \
    X(AUTH, auth, 1, "not authenticated")                                                          \
    X(TLS, tls, 1, "TLS failed: plain peer, other secret, certificate")                            \
    X(UNSUPPORTED, unsupported, 0, "nothing that both sides know: codecs, transport")              \
    X(NAME_TAKEN, name_taken, 0, "another publisher has the stream")                               \
    X(FENCED, fenced, 0, "another node owns the stream with a higher epoch")                       \
    X(KICKED, kicked, 0, "closed by an operator")                                                  \
    X(SOURCE_LOST, source_lost, 1, "the source of the stream was lost for longer than allowed")    \
    X(GAP, gap, 1, "a relay's cursor fell out of the log")                                         \
    X(IDLE, idle, 0, "nobody read the stream any more")                                            \
    X(OVERLOAD, overload, 1, "a resource limit of this node was reached")                          \
    X(DRAIN, drain, 0, "the node is going out of service")                                         \
    X(NO_ORIGIN, no_origin, 1, "no node of the cluster took the publisher in time")                \
    X(LOOP, loop, 1, "a relay request came back to a node it had passed")                          \
    X(INTERNAL, internal, 1, "the node failed to do its part")

enum close_reason {
#define X(name, word, fault, help) CLOSE_##name,
    CLOSE_REASONS(X)
#undef X
        CLOSE_REASON_COUNT
};

/* "peer_closed" … */
const char *close_reason_name(enum close_reason why);
const char *close_reason_help(enum close_reason why);
/* The reason of that word; false when there is none. */
bool close_reason_parse(struct slice word, enum close_reason *out);
int close_reason_is_fault(enum close_reason why);

#endif
