#include "cluster/takeover.h"

#include <string.h>

bool takeover_same(const char *a, const char *b)
{
    return a[0] != '\0' && strcmp(a, b) == 0;
}

static bool allowed(const struct takeover_record *r, const struct cluster_claim *claim)
{
    switch (claim->policy) {
    case TAKEOVER_REPLACE:
        return true;
    case TAKEOVER_SAME:
        return takeover_same(claim->publisher, r->publisher);
    case TAKEOVER_REJECT:
        return false;
    }
    return false;
}

static int64_t hold_us(int takeovers)
{
    if (takeovers < TAKEOVER_FREE)
        return 0;
    int shift = takeovers < TAKEOVER_SHIFT_MAX ? takeovers : TAKEOVER_SHIFT_MAX;
    return ((int64_t)1 << shift) * 1000000;
}

enum claim_verdict takeover_judge(const struct takeover_record *r,
                                  const struct cluster_claim *claim, int64_t now_us, int *takeovers,
                                  int64_t *wait_ms)
{
    int64_t age_us = now_us > r->since_us ? now_us - r->since_us : 0;
    int before = age_us > (int64_t)TAKEOVER_FORGET_S * 1000000 ? 0 : r->takeovers;
    *wait_ms = 0;
    *takeovers = before;
    if (r->stale || claim->owner_gone)
        return CLAIM_GRANTED;
    if (r->lost && takeover_same(claim->publisher, r->publisher))
        return CLAIM_GRANTED;
    if (!allowed(r, claim))
        return CLAIM_BUSY;
    int64_t hold = hold_us(before);
    if (age_us < hold) {
        *wait_ms = (hold - age_us + 999) / 1000;
        return CLAIM_HOLD;
    }
    *takeovers = before + 1;
    return CLAIM_GRANTED;
}
