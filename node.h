#ifndef SLUICE_NODE_H
#define SLUICE_NODE_H

#include "core/config.h"

#include <stddef.h>

/*
 * One node: builds the way in and the way out around the hub, runs until a signal says otherwise,
 * drains. Returns an exit code.  `path` and `sets` are what config came from, for SIGHUP.
 */
int node_run(const struct config *config, const char *path, char *const *sets, size_t set_count);

#endif
