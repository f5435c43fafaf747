#include "base/must.h"
#include "proto/hls_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_directives(struct slice query)
{
    struct hls_directives d;
    const struct hls_head head = {.msn = 7, .parts = 2, .previous_parts = 9, .ahead_max = 15};
    if (hls_directives_read(query, &d) < 0)
        return;
    must(d.has_msn || !d.has_part);
    enum hls_verdict verdict = hls_directives_judge(&d, &head);
    must(d.has_msn || verdict == HLS_READY);
    must(verdict != HLS_TOO_FAR || d.msn >= head.msn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hls_object o;
    char text[HLS_NAME_MAX];
    struct slice all = slice_of(data, size);
    if (hls_name_read(all, &o) == 0) { /* a thing has one name */
        size_t len = hls_name_write(&o, text);
        must(slice_eq(all, slice_of(text, len)));
    }
    check_directives(all);
    return 0;
}
