/* A build without FFmpeg makes nothing of anything. */
#include "base/err.h"
#include "origin/derive_codec.h"

int derive_codec_open(struct derive_codec **out, uint32_t from, struct slice config, uint32_t to)
{
    *out = NULL;
    return ERR_UNSUPPORTED;
}

void derive_codec_free(struct derive_codec **cp)
{
    *cp = NULL;
}

int derive_codec_push(struct derive_codec *c, const struct derive_unit *unit, derive_sink *sink,
                      void *arg)
{
    return ERR_UNSUPPORTED;
}

void derive_codec_quiet(void)
{
}

struct slice derive_codec_config(const struct derive_codec *c)
{
    return slice_of(NULL, 0);
}
