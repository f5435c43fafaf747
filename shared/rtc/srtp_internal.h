#ifndef SLUICE_RTC_SRTP_INTERNAL_H
#define SLUICE_RTC_SRTP_INTERNAL_H

#include "base/bytes.h"
#include "proto/rtp.h"
#include "rtc/srtp.h"

#include <openssl/evp.h>

/*
 * Of the files srtp_*.c only.
 *
 *   srtp_seal.c, srtp_open_evp.c: sources, indexes, replay
 *        └─ srtp_suite.h's two suites: one packet with its index (srtp_gcm.c, srtp_cm.c)
 *   srtp_open_libsrtp.c: the same face over libsrtp2
 */
struct rtc_srtp {
    EVP_CIPHER *gcm, *ctr;
    EVP_MAC *hmac;
};

#define SRTP_RTCP_HEADER    8           /* bytes of a compound that are not encrypted */
#define SRTP_INDEX_SIZE     4           /* bytes of the E flag and the index behind a compound */
#define SRTP_RTCP_INDEX_MAX 0x7fffffffU /* the last one: 31 bits */
#define SRTP_RTCP_E         0x80000000U /* the compound is encrypted */

/* Session keys and contexts of RTP or RTCP in one direction; the key schedules stay in them. */
struct srtp_flow {
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *mac; /* AES_CM_128_HMAC_SHA1_80 */
    uint8_t salt[SRTP_SALT_MAX];
};

/* What seals or opens one packet, given its index (48 bits for RTP, 31 for RTCP). */
struct srtp_suite {
    size_t tag_size;  /* bytes */
    size_t auth_size; /* bytes of the key for authentication; 0: none of its own */
    bool (*init)(struct srtp_flow *f, const struct rtc_srtp *lib, const uint8_t *key,
                 const uint8_t *auth, bool sealing);
    /* header and pieces to dst: the bytes written. */
    ssize_t (*seal_rtp)(struct srtp_flow *f, uint32_t ssrc, uint64_t index, struct slice header,
                        const struct slice *pieces, size_t piece_count, uint8_t *dst);
    /* In place; len is at least header_len + tag_size. */
    ssize_t (*open_rtp)(struct srtp_flow *f, uint32_t ssrc, uint64_t index, uint8_t *packet,
                        size_t header_len, size_t len);
    ssize_t (*seal_rtcp)(struct srtp_flow *f, uint32_t ssrc, uint32_t index, struct slice compound,
                         uint8_t *dst);
    /* In place; len is at least SRTP_RTCP_HEADER + SRTP_INDEX_SIZE + tag_size. */
    ssize_t (*open_rtcp)(struct srtp_flow *f, uint32_t ssrc, uint32_t index, uint8_t *packet,
                         size_t len);
    size_t index_at_end; /* bytes from an RTCP packet's end to the start of its index */
};
extern const struct srtp_suite srtp_suite_gcm, srtp_suite_cm;
const struct srtp_suite *srtp_suite_of(enum srtp_profile p);

/* The session keys of a master secret (RFC 3711, 4.3) in contexts; false when OpenSSL has no
 * memory.  srtp_flow_fini() is right after either. */
enum srtp_label { SRTP_LABEL_RTP = 0, SRTP_LABEL_RTCP = 3 };
bool srtp_flow_init(struct srtp_flow *f, const struct rtc_srtp *lib, enum srtp_profile profile,
                    const struct srtp_secret *secret, enum srtp_label label, bool sealing);
void srtp_flow_fini(struct srtp_flow *f);

/* Numbers of one source that were seen. */
struct srtp_source {
    uint32_t ssrc;
    int64_t newest; /* index; -1: none */
    uint64_t
        seen[RTC_SRTP_WINDOW / 64]; /* bit n of it: the newest index that is n modulo the window */
};
/* 0, or ERR_EXISTS when the index came before or is too old. */
int srtp_source_judge(const struct srtp_source *s, int64_t index);
void srtp_source_note(struct srtp_source *s, int64_t index);

/* A backend of rtc_opener.  What it is given has the size and the form of a sealed packet. */
struct srtp_opener_ops {
    bool (*init)(struct rtc_opener *o, const struct rtc_srtp *lib, const struct srtp_keys *keys);
    void (*fini)(struct rtc_opener *o);
    ssize_t (*rtp)(struct rtc_opener *o, const struct rtp_packet *header, uint8_t *packet,
                   size_t len);
    ssize_t (*rtcp)(struct rtc_opener *o, uint32_t ssrc, uint32_t index, uint8_t *packet,
                    size_t len);
    size_t size; /* of the struct that begins with struct rtc_opener */
};
struct rtc_opener {
    const struct srtp_opener_ops *ops;
    const struct srtp_suite *suite;
};
extern const struct srtp_opener_ops srtp_opener_evp, srtp_opener_libsrtp;

#endif
