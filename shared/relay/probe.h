#ifndef SLUICE_RELAY_PROBE_H
#define SLUICE_RELAY_PROBE_H

#include "base/name.h"
#include "net/relay_call.h"

/* One question to one node: do you have this stream, and how?  On one worker. */
struct probe;

#define PROBE_PATH_MAX ((RELAY_HOPS_MAX + 1) * (NAME_NODE_MAX + 1))

struct probe_answer {
    bool held;   /* it has a log of the stream; the rest but `wanted` is about that */
    bool wanted; /* not yet, but it has readers and will get it where it can */
    bool owns;   /* filled by a publisher there */
    bool fed;    /* frames come */
    uint64_t epoch, instance;
    bool is_cut; /* … and is cut for HLS; by now up to this part, which is being written */
    uint64_t msn, dsn;
    uint32_t part;
    uint64_t last_seq;         /* of the frames that are there */
    char path[PROBE_PATH_MAX]; /* nodes from the owner to that one; "": not told, or too many */
};

/* The last call; the probe has been freed.  All false when nothing of use was answered. */
typedef void probe_done(const struct probe_answer *a, void *arg);

struct probe_options {
    const struct relay_client *client;
    const char *node, *address; /* whom to ask */
    const char *name;
    uint64_t before;     /* asks about the newest run before this epoch; 0: about the newest */
    int64_t deadline_ms; /* for look-up, connection and head, and again for the rest */
};

/* The callback never comes from inside. */
struct probe *probe_start(struct worker *w, const struct probe_options *o, probe_done *done,
                          void *arg);
void probe_cancel(struct probe **pp);

#endif
