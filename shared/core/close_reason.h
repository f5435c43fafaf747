#ifndef SLUICE_CORE_CLOSE_REASON_H
#define SLUICE_CORE_CLOSE_REASON_H

/*
 * Why a session, a stream or a link ended.  One row: name, is it a fault worth a warning, help.  The
 * lower-case name is the log word and the metric label.
 */
#define CLOSE_REASONS(X)                                                                           \
    X(PEER_CLOSED, 0, "the peer closed the connection")                                            \
    X(UNPUBLISHED, 0, "the publisher ended the stream")                                            \
    X(FINISHED, 0, "everything asked for was sent")                                                \
    X(BAD_INPUT, 1, "the peer broke the protocol")                                                 \
    X(TOO_SLOW, 1, "the peer could not keep up with the stream")                                   \
    X(STALLED, 1, "the peer took nothing for the time allowed")                                    \
    X(TIMEOUT, 1, "a deadline of the connection passed")                                           \
    X(IO_ERROR, 1, "the connection failed")                                                        \
    X(NO_MEDIA, 1, "the publisher sent no media for the time allowed")                             \
    X(NOT_FOUND, 0, "the stream did not appear in time")                                           \
    X(REFUSED, 0, "not allowed: role, name or policy")                                             \
    X(AUTH, 1, "not authenticated")                                                                \
    X(NAME_TAKEN, 0, "another publisher has the stream")                                           \
    X(FENCED, 0, "another node owns the stream with a higher epoch")                               \
    X(KICKED, 0, "closed by an operator")                                                          \
    X(SOURCE_LOST, 1, "the source of the stream was lost for longer than allowed")                 \
    X(GAP, 1, "a relay's cursor fell out of the log")                                              \
    X(IDLE, 0, "nobody read the stream any more")                                                  \
    X(OVERLOAD, 1, "a resource limit of this node was reached")                                    \
    X(DRAIN, 0, "the node is going out of service")                                                \
    X(LOOP, 1, "a relay request came back to a node it had passed")                                \
    X(INTERNAL, 1, "the node failed to do its part")

enum close_reason {
#define X(name, fault, help) CLOSE_##name,
    CLOSE_REASONS(X)
#undef X
        CLOSE_REASON_COUNT
};

/* "peer_closed" … */
const char *close_reason_name(enum close_reason why);
const char *close_reason_help(enum close_reason why);
int close_reason_is_fault(enum close_reason why);

#endif
