#ifndef SLUICE_NET_PUBLISH_IDENTITY_H
#define SLUICE_NET_PUBLISH_IDENTITY_H

#include "base/slice.h"
#include "core/config.h"
#include "core/crypto.h"
#include "net/http_server.h"

/* Who publishes, as the cluster knows it: the hash of a credential, never the credential. */
#define PUBLISH_IDENTITY_SIZE (2 * SHA256_SIZE + 1) /* as text, with its terminator */

/*
 * The hash of `token`, which has to be one of `keys`; without keys the hash of the token, else of
 * `fallback`, or "" when that is empty, too.  0, or ERR_AUTH (and "").
 */
int publish_identity(const struct text_list *keys, struct slice token, struct slice fallback,
                     char out[PUBLISH_IDENTITY_SIZE]);

/* The token of "Authorization: Bearer …", len 0 when there is none. */
struct slice publish_bearer(const struct http_request *req);

#endif
