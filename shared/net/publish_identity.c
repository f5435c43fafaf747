#include "net/publish_identity.h"

#include "base/err.h"
#include "base/hex.h"

/* Goes through all keys, so that the time it takes tells nothing about which one was close. */
static bool is_key(const struct text_list *keys, struct slice token)
{
    bool found = false;
    for (size_t i = 0; i < keys->count; i++)
        found |= crypto_equal(slice_text(keys->items[i]), token);
    return found;
}

int publish_identity(const struct text_list *keys, struct slice token, struct slice fallback,
                     char out[PUBLISH_IDENTITY_SIZE])
{
    struct slice credentials = token.len > 0 ? token : fallback;
    uint8_t hash[SHA256_SIZE];
    out[0] = '\0';
    if (keys->count > 0 && (token.len == 0 || !is_key(keys, token)))
        return ERR_AUTH;
    if (credentials.len == 0)
        return 0;
    crypto_sha256(credentials, hash);
    hex_encode(hash, sizeof hash, out);
    return 0;
}

struct slice publish_bearer(const struct http_request *req)
{
    struct slice token, text = http_request_header(req, "Authorization");
    struct slice scheme = slice_cut(slice_trim(text), ' ', &token, NULL);
    return slice_is_nocase(scheme, "Bearer") ? slice_trim(token) : slice_of(NULL, 0);
}
