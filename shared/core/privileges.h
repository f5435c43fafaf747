#ifndef SLUICE_CORE_PRIVILEGES_H
#define SLUICE_CORE_PRIVILEGES_H

#include "core/logline.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * What the process may do is less once its ports are open: it is no longer root, has no
 * capabilities, and can get neither back.
 */

/* Who the process goes on as.  `stay`: as it is. */
struct run_as {
    char name[64];
    uid_t uid;
    gid_t gid;
    bool stay, chosen; /* chosen: the operator named it */
};

/* process.user into an account.  Empty: the user `sluice`, else `nobody`; "root", or a process that
 * is not root: stay.  0, or ERR_NOT_FOUND when there is no such user. */
int run_as_find(const char *user, struct run_as *out);

/*
 * Becomes that user, with that user's groups, and gives up all capabilities (also those that a
 * supervisor gave for low ports) and, for good, every way to new ones (no_new_privs).  Before there
 * are threads, which inherit it.  0, or ERR_IO with `process.user_failed` logged: when the user was
 * chosen, the process must not go on; else it was a wish (a container may know no other user).
 */
int privileges_drop(const struct run_as *r, const struct log_id *log);

#endif
