/* The choice of a parent: no I/O, no clock. */
#include "edge/parent.h"

#include <string.h>

/* FNV-1a over "NAME NUL NODE", then mixed (MurmurHash3's finalizer): the order has to differ
 * between streams, not to withstand anybody. */
#define FNV_BASIS 0xcbf29ce484222325U
#define FNV_PRIME 0x100000001b3U

static uint64_t fnv(uint64_t h, const char *text)
{
    size_t len = strlen(text) + 1;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)text[i]) * FNV_PRIME;
    return h;
}

uint64_t parent_rank(const char *name, const char *node)
{
    uint64_t h = fnv(fnv(FNV_BASIS, name), node);
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdU;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53U;
    return h ^ h >> 33;
}

bool parent_before(const char *name, const char *a, const char *b)
{
    uint64_t left = parent_rank(name, a), right = parent_rank(name, b);
    return left != right ? left < right : strcmp(a, b) < 0;
}

int parent_path_nodes(const char *path, const char *node)
{
    struct slice rest = slice_text(path);
    int count = 0;
    for (; rest.len > 0; count++)
        if (slice_is(slice_cut(rest, ',', &rest, NULL), node))
            return -1;
    return count;
}

/* Links between the owner and the candidate when it may be our parent, else -1. */
static int hops_of(const struct parent_wish *w, const struct parent_candidate *c)
{
    const struct probe_answer *a = c->answer;
    int nodes = parent_path_nodes(a->path, w->self);
    if (!a->held || !a->fed || a->epoch < w->epoch || nodes < 1 || nodes - 1 > w->hops_max)
        return -1;
    if (w->mood == PARENT_MOVE && !parent_before(w->name, c->node, w->self))
        return -1;
    return nodes - 1;
}

static int choose_fed(const struct parent_wish *w, const struct parent_candidate *list,
                      size_t count)
{
    int best = -1, best_hops = 0;
    for (size_t i = 0; i < count; i++) {
        int hops = hops_of(w, &list[i]);
        bool better = best < 0 || hops < best_hops ||
                      (hops == best_hops && parent_before(w->name, list[i].node, list[best].node));
        if (hops < 0 || !better)
            continue;
        best = (int)i;
        best_hops = hops;
    }
    return best;
}

/* The first of those that wait as we do; none when that is us. */
static int choose_waiting(const struct parent_wish *w, const struct parent_candidate *list,
                          size_t count)
{
    int best = -1;
    for (size_t i = 0; i < count; i++) {
        const char *first = best < 0 ? w->self : list[best].node;
        if (list[i].answer->wanted && parent_before(w->name, list[i].node, first))
            best = (int)i;
    }
    return best;
}

int parent_choose(const struct parent_wish *w, const struct parent_candidate *list, size_t count)
{
    int best = choose_fed(w, list, count);
    return best < 0 && w->mood == PARENT_START ? choose_waiting(w, list, count) : best;
}
