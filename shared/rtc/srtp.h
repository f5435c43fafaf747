#ifndef SLUICE_RTC_SRTP_H
#define SLUICE_RTC_SRTP_H

#include "base/slice.h"
#include "rtc/srtp_keys.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * SRTP (RFC 3711) with AEAD_AES_128_GCM (RFC 7714) or AES_CM_128_HMAC_SHA1_80, for one peer.
 *
 *   [header][payload pieces] ──rtc_sealer_rtp──▶ packet as sent
 *   packet as received ──rtc_opener_rtp──▶ the same bytes, opened in place
 *
 * Two backends behind one face: OpenSSL's EVP, which keeps the key schedules and costs 1 us a
 * packet however many peers there are, and libsrtp2, whose replay and rollover handling is the
 * reviewed one, for what publishers send.  The first does not allocate per packet.
 *
 * Thread: each sealer and opener belongs to one; different ones may be used at the same time.
 */
#define RTC_SRTP_TRAILER_MAX 24   /* bytes that sealing adds: tag, and the index of SRTCP */
#define RTC_SRTP_SSRCS_MAX   16   /* sources in one direction of a peer */
#define RTC_SRTP_WINDOW      1024 /* packets behind the newest that are still opened, once each */

/* The libraries, ready for use: made once, before sealers and openers, and freed after them.  One
 * at a time, since libsrtp2's state is the process's. */
struct rtc_srtp;
struct rtc_srtp *rtc_srtp_new(void); /* NULL when a library fails */
void rtc_srtp_free(struct rtc_srtp **sp);

/* ---- sealing ---- */

struct rtc_sealer;

/* With keys->local; NULL when OpenSSL has no memory. */
struct rtc_sealer *rtc_sealer_new(const struct rtc_srtp *lib, const struct srtp_keys *keys);
void rtc_sealer_free(struct rtc_sealer **sp);

/*
 * Writes header and payload, sealed, to dst (room: all of it and RTC_SRTP_TRAILER_MAX).  The header
 * is whole: 12 bytes, CSRCs, extension.  Returns the bytes written, or
 *   ERR_TOO_MANY  a source more than RTC_SRTP_SSRCS_MAX
 *   ERR_RANGE     room, or a number before rollover counter 0
 *   ERR_NOMEM     OpenSSL failed
 * Each SSRC starts with rollover counter 0, which follows the sequence numbers: the first should be
 * below 32768, so that a receiver that misses it counts alike.  Packets with one SSRC and one
 * number must have the same bytes, for ever: the nonce is made of them.  A number that is sent
 * again with the same bytes (a plain retransmission) is fine.
 */
ssize_t rtc_sealer_rtp(struct rtc_sealer *s, struct slice header, const struct slice *pieces,
                       size_t piece_count, uint8_t *dst, size_t room);

/* The same for a compound of RTCP, whose index is counted here.  ERR_RANGE: room, no RTCP, or no
 * index left. */
ssize_t rtc_sealer_rtcp(struct rtc_sealer *s, struct slice compound, uint8_t *dst, size_t room);

/* ---- opening ---- */

enum rtc_srtp_backend { RTC_SRTP_EVP, RTC_SRTP_LIBSRTP };

struct rtc_opener;

/* With keys->remote; NULL when the library has no memory. */
struct rtc_opener *rtc_opener_new(const struct rtc_srtp *lib, const struct srtp_keys *keys,
                                  enum rtc_srtp_backend backend);
void rtc_opener_free(struct rtc_opener **op);

/*
 * Opens a packet in place: the bytes that are left of it, or
 *   ERR_AUTH       not sealed with these keys, or changed on its way
 *   ERR_EXISTS     came before, or is older than the window
 *   ERR_PROTOCOL   no such packet, or RTCP that is not encrypted
 *   ERR_TOO_MANY   of a source more than RTC_SRTP_SSRCS_MAX
 * On an error nothing has changed but the packet's bytes, which are worthless.
 */
ssize_t rtc_opener_rtp(struct rtc_opener *o, uint8_t *packet, size_t len);
ssize_t rtc_opener_rtcp(struct rtc_opener *o, uint8_t *packet, size_t len);

#endif
