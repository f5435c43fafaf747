#ifndef SLUICE_TESTS_UNIT_CORE_CAPTURE_H
#define SLUICE_TESTS_UNIT_CORE_CAPTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Standard error goes to a file of no name between begin and end; end gives what was written. */
struct capture {
    FILE *file;
    int stderr_fd;
    char text[4096];
};

static inline void capture_begin(struct capture *c)
{
    c->file = tmpfile();
    c->stderr_fd = dup(STDERR_FILENO);
    if (c->file == NULL || dup2(fileno(c->file), STDERR_FILENO) < 0)
        abort();
}

static inline const char *capture_end(struct capture *c)
{
    if (dup2(c->stderr_fd, STDERR_FILENO) < 0)
        abort();
    close(c->stderr_fd);
    rewind(c->file);
    c->text[fread(c->text, 1, sizeof c->text - 1, c->file)] = '\0';
    fclose(c->file);
    return c->text;
}

#endif
