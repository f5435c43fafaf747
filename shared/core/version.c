#include "core/version.h"

_Static_assert(sizeof SLUICE_VERSION <= 64, "other nodes are told the version in 63 characters");

const char *version_text(void)
{
    return SLUICE_VERSION;
}
