#ifndef SLUICE_TESTS_BENCH_FETCH_H
#define SLUICE_TESTS_BENCH_FETCH_H

#include "base/buf.h"
#include "play.h"
#include "proto/http1.h"

/*
 * One GET after the other over one connection that is kept, and made again when the server has
 * closed it.  Nothing of a body is kept here.
 */
#define FETCH_PATH_MAX 1024 /* bytes of a path with its query */

struct fetch;
typedef void fetch_body_fn(struct fetch *f, struct slice piece);

struct fetch {
    struct viewer *viewer;
    fetch_body_fn *on_body;
    struct link link;
    bool asked, answered, fresh, closing; /* fresh: nothing was read from it yet */
    char path[FETCH_PATH_MAX];
    int status;
    char location[FETCH_PATH_MAX]; /* of a redirection, "" when there is none */
    struct buf head;               /* of an answer whose head is not complete */
    enum http1_body body;
    uint64_t left;
    struct http1_chunks chunks;
};

void fetch_init(struct fetch *f, struct viewer *v, fetch_body_fn *on_body);
void fetch_fini(struct fetch *f);

/* Asks for a path; 0 or a negative enum err. */
int fetch_ask(struct fetch *f, const char *path);

/* Something happened to the socket: 1 when the answer is complete, 0, or a negative enum err. */
int fetch_event(struct fetch *f);

#endif
