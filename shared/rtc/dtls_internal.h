#ifndef SLUICE_RTC_DTLS_INTERNAL_H
#define SLUICE_RTC_DTLS_INTERNAL_H

#include "rtc/dtls.h"

#include <openssl/ssl.h>

/* OpenSSL's word for the number on the wire is ours for the profile. */
#define DTLS_SRTP_AEAD_AES_128_GCM 0x0007
#undef SRTP_AEAD_AES_128_GCM

/* dtls_identity.c has what sessions have in common, dtls.c the sessions. */
struct dtls_identity {
    unsigned refs;
    SSL_CTX *server, *client;
    BIO_METHOD *datagrams;
    char fingerprint[RTC_FINGERPRINT_TEXT_MAX];
};

struct dtls {
    struct dtls_identity *identity;
    struct rtc_fingerprint fingerprints[RTC_FINGERPRINTS];
    size_t fingerprint_count;
    bool client, connected, released;
    bool impostor; /* another certificate than announced */
    void (*send)(struct slice datagram, void *owner);
    void *owner;
    SSL *ssl;         /* NULL: not begun, or released */
    struct slice in;  /* what came and has not been read */
    uint8_t *goodbye; /* where the next datagram goes instead of to send; NULL: no such thing */
    size_t goodbye_len;
};

#endif
