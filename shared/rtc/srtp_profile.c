#include "rtc/srtp_keys.h"

size_t srtp_salt_len(enum srtp_profile p)
{
    static const size_t lens[] = {
        [SRTP_AEAD_AES_128_GCM] = 12,
        [SRTP_AES128_CM_HMAC_SHA1_80] = 14,
    };
    return lens[p];
}
