#include "core/config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A configuration or a reason, never both and never neither. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = NULL;
    char error[CONFIG_ERROR_MAX];
    int err = config_parse(&c, "fuzz.yaml", (const char *)data, size, error);
    if ((err == 0) != (c != NULL) || (err == 0) != (error[0] == '\0'))
        abort();
    if (c != NULL && (c->stream.window_ms <= 0 || c->node.id[0] == '\0'))
        abort();
    config_free(&c);
    return 0;
}
