/* From here on the node can do only what it needs: another user, no capabilities, a sandbox. */
#include "core/sandbox.h"
#include "node_internal.h"

#include <unistd.h>

/* SIGHUP reads these as the new user; what is read already goes on to be used. */
static void tell_unreadable(const struct node *n)
{
    const char *const files[] = {n->path, n->config->tls.certificate, n->config->tls.key};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i] != NULL && files[i][0] != '\0' && access(files[i], R_OK) < 0)
            log_warn(&n->log,
                     "process.unreadable file=%s user=%s help=\"a reload (SIGHUP) cannot take it\"",
                     files[i], n->run_as.name);
}

int node_confine(struct node *n)
{
    int err = privileges_drop(&n->run_as, &n->log);
    if (err < 0 && n->run_as.chosen)
        return err;
    if (!n->run_as.stay)
        tell_unreadable(n);
    if (n->config->process.seccomp && sandbox_enter(&n->log))
        log_debug(&n->log, "process.seccomp");
    return 0;
}
