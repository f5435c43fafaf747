#include "base/buf.h"
#include "base/err.h"
#include "core/config_internal.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* conf/sluice.yaml, out of the table. */

#define SAMPLE_MAX 65536 /* bytes */
#define DEPTH_STEP 2     /* spaces */

static int print_indent(struct buf *out, int depth)
{
    return buf_printf(out, "%*s", depth * DEPTH_STEP, "");
}

/* Opens the sections of `name` that the row before was not in; *depth is how deep the name is. */
static int print_sections(struct buf *out, const char *name, const char *before, int *depth)
{
    int err = 0;
    bool same = true;
    *depth = 0;
    for (const char *p = name, *dot; (dot = strchr(p, '.')) != NULL && err == 0; p = dot + 1) {
        size_t upto = (size_t)(dot - name) + 1;
        same = same && strncmp(name, before, upto) == 0;
        if (!same && *depth == 0)
            err = buf_append(out, "\n", 1);
        if (!same && err == 0)
            err = print_indent(out, *depth);
        if (!same && err == 0)
            err = buf_printf(out, "%.*s:\n", (int)(dot - p), p);
        (*depth)++;
    }
    return err;
}

static int print_range(struct buf *out, const struct option *o)
{
    const char *unit = o->type == OPTION_MS ? " ms" : o->type == OPTION_BYTES ? " bytes" : "";
    switch (o->type) {
    case OPTION_INT:
    case OPTION_MS:
    case OPTION_BYTES:
        return buf_printf(out, " (%s%s%" PRId64 " to %" PRId64 "%s)",
                          o->words != NULL ? o->words[0] : "", o->words != NULL ? ", " : "", o->min,
                          o->max, unit);
    case OPTION_ENUM:
        for (size_t i = 0; o->words[i] != NULL; i++) {
            int err = buf_printf(out, "%s%s", i == 0 ? " (" : " | ", o->words[i]);
            if (err != 0)
                return err;
        }
        return buf_append(out, ")", 1);
    case OPTION_TEXT:
    case OPTION_BOOL:
    case OPTION_LIST:
        return 0;
    }
    return ERR_TYPE;
}

static int print_help(struct buf *out, const struct option *o, int depth)
{
    int err = print_indent(out, depth);
    if (err == 0)
        err = buf_printf(out, "# %s", o->help);
    if (err == 0)
        err = print_range(out, o);
    return err != 0 ? err
                    : buf_printf(out, "%s\n", (o->flags & OPTION_RELOAD) != 0 ? " [SIGHUP]" : "");
}

static int print_option(struct buf *out, const struct option *o, int depth)
{
    int err = print_help(out, o, depth);
    const char *quote = o->type == OPTION_TEXT ? "\"" : "";
    const char *value = o->type == OPTION_LIST ? "[]" : o->standard;
    if (err == 0)
        err = print_indent(out, depth);
    return err != 0
               ? err
               : buf_printf(out, "# %s: %s%s%s\n", strrchr(o->name, '.') + 1, quote, value, quote);
}

static int print_all(struct buf *out)
{
    const char *before = "";
    int err = buf_printf(out, "# Every setting of sluice with its default.  Take the \"# \" off a "
                              "line to change it.\n"
                              "# [SIGHUP]: a reload takes a new value.  [unused]: checked, but "
                              "without effect in this version.\n");
    for (size_t i = 0; i < config_option_count && err == 0; i++) {
        int depth = 0;
        err = print_sections(out, config_options[i].name, before, &depth);
        if (err == 0)
            err = print_option(out, &config_options[i], depth);
        before = config_options[i].name;
    }
    return err;
}

int config_print_sample(int fd)
{
    struct buf out;
    buf_init(&out, SAMPLE_MAX);
    int err = print_all(&out);
    while (err == 0 && buf_len(&out) > 0) {
        struct slice s = buf_slice(&out);
        ssize_t n = write(fd, s.p, s.len);
        if (n <= 0)
            err = ERR_IO;
        else
            buf_consume(&out, (size_t)n);
    }
    buf_fini(&out);
    return err;
}
