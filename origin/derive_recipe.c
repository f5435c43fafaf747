#include "origin/derive_recipe.h"

#include "base/name.h"
#include "proto/flv.h"

#include <string.h>

static const struct derive_recipe recipes[] = {
    {"opus", FRAME_AUDIO, FLV_CODEC_OPUS},
    {"aac", FRAME_AUDIO, FLV_CODEC_AAC},
    {"ordered", FRAME_VIDEO, FLV_CODEC_AVC},
};

const struct derive_recipe *derive_recipe_of(const char *name)
{
    const char *derivation = name_derivation(name);
    for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++)
        if (derivation != NULL && strcmp(recipes[i].derivation, derivation) == 0)
            return &recipes[i];
    return NULL;
}
