#ifndef SLUICE_RTC_SRTP_KEYS_H
#define SLUICE_RTC_SRTP_KEYS_H

#include <stddef.h>
#include <stdint.h>

/*
 * What a DTLS handshake agrees on for SRTP (RFC 5764): the profile and the four secrets of its
 * exporter.  By value; whoever holds it cleanses it (OPENSSL_cleanse) when done.
 */
enum srtp_profile {
    SRTP_AEAD_AES_128_GCM,      /* RFC 7714; preferred */
    SRTP_AES128_CM_HMAC_SHA1_80 /* RFC 3711; what every peer has */
};

#define SRTP_KEY_LEN  16 /* bytes, both profiles */
#define SRTP_SALT_MAX 14 /* bytes; 12 are used by AEAD_AES_128_GCM */

/* Bytes of salt that the profile uses. */
size_t srtp_salt_len(enum srtp_profile p);

struct srtp_secret {
    uint8_t key[SRTP_KEY_LEN];
    uint8_t salt[SRTP_SALT_MAX];
};

struct srtp_keys {
    enum srtp_profile profile;
    struct srtp_secret local;  /* what we send is sealed with it */
    struct srtp_secret remote; /* what the peer sends is opened with it */
};

#endif
