#ifndef SLUICE_ORIGIN_DERIVE_RECIPE_H
#define SLUICE_ORIGIN_DERIVE_RECIPE_H

#include "media/frame.h"

#include <stdint.h>

/* What is made of track 0 of the kind. */
struct derive_recipe {
    const char *derivation;
    enum frame_kind kind;
    uint32_t to; /* FLV_CODEC_ */
};

/* By a derived stream's name ("live/cam1;opus"); NULL: none that is made here. */
const struct derive_recipe *derive_recipe_of(const char *name);

#endif
