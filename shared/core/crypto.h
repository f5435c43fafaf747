#ifndef SLUICE_CORE_CRYPTO_H
#define SLUICE_CORE_CRYPTO_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

/* HMAC-SHA256 (RFC 2104) of the parts one after the other. */
void crypto_hmac_sha256(struct slice key, const struct slice *parts, size_t count,
                        uint8_t out[SHA256_SIZE]);

void crypto_sha256(struct slice data, uint8_t out[SHA256_SIZE]);

/* Bytes of the system's random generator; the process ends when there are none to be had. */
void crypto_random(void *dst, size_t len);
uint64_t crypto_random_u64(void);

/* Overwrites a secret that is not needed any more, which a compiler may not leave out. */
void crypto_cleanse(void *p, size_t len);

/* Compares without telling by its duration where the difference is; lengths are not secret. */
bool crypto_equal(struct slice a, struct slice b);

#endif
