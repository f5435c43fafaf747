#ifndef SLUICE_CORE_WORKER_INTERNAL_H
#define SLUICE_CORE_WORKER_INTERNAL_H

#include "core/worker.h"

/* One worker of a group: workers.c makes and threads them, worker.c is what a worker does. */

#define WORKER_MAGIC 0x776f726bU /* "work" */

/* 0 or ERR_IO; after an error worker_fini() cleans up. */
int worker_init(struct worker *w, struct workers *g, int index);
void worker_fini(struct worker *w);

/* The loop, until worker_end() was called by a message; on w's thread. */
void worker_loop(struct worker *w);
void worker_end(struct worker *w);

/* Runs what is queued and what is put off once; true when there was anything.  No thread runs. */
bool worker_drain_once(struct worker *w);

#endif
