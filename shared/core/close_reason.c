#include "core/close_reason.h"

#include "base/must.h"

struct reason {
    const char *name, *help;
    int is_fault;
};

static const struct reason reasons[CLOSE_REASON_COUNT] = {
#define X(name, word, fault, help) [CLOSE_##name] = {#word, help, fault},
    CLOSE_REASONS(X)
#undef X
};

static const struct reason *reason_of(enum close_reason why)
{
    must((unsigned)why < CLOSE_REASON_COUNT);
    return &reasons[why];
}

const char *close_reason_name(enum close_reason why)
{
    return reason_of(why)->name;
}

const char *close_reason_help(enum close_reason why)
{
    return reason_of(why)->help;
}

bool close_reason_parse(struct slice word, enum close_reason *out)
{
    for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
        if (slice_is(word, reasons[i].name)) {
            *out = (enum close_reason)i;
            return true;
        }
    }
    return false;
}

int close_reason_is_fault(enum close_reason why)
{
    return reason_of(why)->is_fault;
}
