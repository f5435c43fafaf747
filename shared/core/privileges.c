#include "core/privileges.h"

#include "base/err.h"
#include "base/must.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ACCOUNT_TEXT_MAX 16384 /* what getpwnam_r() may need for one account */

static bool find_account(const char *name, struct run_as *out)
{
    char text[ACCOUNT_TEXT_MAX];
    struct passwd account, *found = NULL;
    if (getpwnam_r(name, &account, text, sizeof text, &found) != 0 || found == NULL)
        return false;
    snprintf(out->name, sizeof out->name, "%s", name);
    out->uid = found->pw_uid;
    out->gid = found->pw_gid;
    return true;
}

int run_as_find(const char *user, struct run_as *out)
{
    *out = (struct run_as){.chosen = user[0] != '\0'};
    if (geteuid() != 0 && !out->chosen) {
        out->stay = true;
        return 0;
    }
    if (out->chosen) {
        if (!find_account(user, out))
            return ERR_NOT_FOUND;
        out->stay = out->uid == geteuid();
        return 0;
    }
    out->stay = !find_account("sluice", out) && !find_account("nobody", out);
    return 0;
}

static bool become(const struct run_as *r)
{
    return initgroups(r->name, r->gid) == 0 && setresgid(r->gid, r->gid, r->gid) == 0 &&
           setresuid(r->uid, r->uid, r->uid) == 0;
}

static void drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3] = {0};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    /* A supervisor's filter may not even allow to ask for less. */
    if (syscall(SYS_capget, &head, have) == 0 && have[0].permitted == 0 && have[1].permitted == 0)
        return;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    syscall(SYS_capset, &head, none);
}

int privileges_drop(const struct run_as *r, const struct log_id *log)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (r->stay) {
        if (geteuid() == 0)
            log_warn(log, "process.root help=\"set process.user\"");
        else
            drop_capabilities();
        return 0;
    }
    if (!become(r)) {
        log_warn(log, "process.user_failed user=%s error=\"%s\"", r->name, strerror(errno));
        return ERR_IO;
    }
    must(r->uid == 0 || setuid(0) < 0);
    drop_capabilities();
    /* Changing the user has made /proc/self root's, and a crash leave no core. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    log_info(log, "process.user name=%s uid=%u", r->name, (unsigned)r->uid);
    return 0;
}
