#include "base/must.h"
#include "proto/sdp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sdp_fragment f;
    struct sdp_error error;
    int err = sdp_fragment_read(slice_of(data, size), &f, &error);
    must(err <= 0 && (err == 0) == (error.why == NULL));
    must(err < 0 || (f.ufrag.len == 0) == (f.pwd.len == 0));
    return 0;
}
