#ifndef SLUICE_BASE_ERR_H
#define SLUICE_BASE_ERR_H

/*
 * What can go wrong with bytes that a peer, a file or the network gave us.  Parsers return the
 * bytes they consumed, 0 when they need more, or one of these; other functions return 0 or one of
 * these. Mistakes of our own are not errors: they are must() (must.h).
 */

#define ERR_LIST(X)                                                                                \
    X(ERR_PROTOCOL, -1, "the peer broke the protocol")                                             \
    X(ERR_TOO_LARGE, -2, "larger than the limit")                                                  \
    X(ERR_TOO_DEEP, -3, "nested deeper than the limit")                                            \
    X(ERR_TOO_MANY, -4, "more items than the limit")                                               \
    X(ERR_NOMEM, -5, "out of memory")                                                              \
    X(ERR_UNSUPPORTED, -6, "valid, but not supported here")                                        \
    X(ERR_NAME, -7, "not a valid name")                                                            \
    X(ERR_RANGE, -8, "a value is out of range")                                                    \
    X(ERR_IO, -9, "input or output failed")                                                        \
    X(ERR_TIMEOUT, -10, "the deadline passed")                                                     \
    X(ERR_REFUSED, -11, "refused by the other side")                                               \
    X(ERR_AUTH, -12, "not authenticated")                                                          \
    X(ERR_CLOSED, -13, "closed")                                                                   \
    X(ERR_NOT_FOUND, -14, "not found")                                                             \
    X(ERR_EXISTS, -15, "exists already")                                                           \
    X(ERR_TYPE, -16, "a value has the wrong type")                                                 \
    X(ERR_TLS, -17, "TLS failed")

enum err {
#define X(name, value, text) name = value,
    ERR_LIST(X)
#undef X
};

/* A short sentence for e, never NULL; 0 is "no error". */
const char *err_text(int e);

#endif
