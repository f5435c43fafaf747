#include "base/must.h"
#include "core/crypto.h"
#include "core/timer.h"

#define BACKOFF_JITTER_PERCENT 20

void backoff_init(struct backoff *b, int64_t step_ms, int64_t max_ms)
{
    must(step_ms > 0 && max_ms >= step_ms);
    *b = (struct backoff){step_ms, max_ms, 0};
}

void backoff_reset(struct backoff *b)
{
    b->next_ms = 0;
}

int64_t backoff_next_ms(struct backoff *b)
{
    int64_t base_ms = b->next_ms;
    if (base_ms == 0) {
        b->next_ms = b->step_ms;
        return 0;
    }
    b->next_ms = base_ms > b->max_ms / 2 ? b->max_ms : base_ms * 2;
    int64_t spread_ms = base_ms * BACKOFF_JITTER_PERCENT / 100;
    return base_ms - spread_ms + (int64_t)(crypto_random_u64() % (uint64_t)(2 * spread_ms + 1));
}
