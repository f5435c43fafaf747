#include "base/must.h"
#include "proto/amf0.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amf0_value v[AMF0_VALUES_MAX];
    size_t count = 0, sum = 0;
    if (size == 0)
        return 0;
    struct slice body = slice_of(data + 1, size - 1);
    if (amf0_parse_all(body, data[0] & 1, v, AMF0_VALUES_MAX, &count) < 0)
        must(count == 0);
    for (size_t i = 0; i < count; i++) {
        must(v[i].span >= 1 && i + v[i].span <= count);
        for (size_t j = 0; j < v[i].text.len; j++)
            sum += v[i].text.p[j];
        sum += amf0_u32(amf0_get(&v[i], "a"), 1) + v[i].key.len;
    }
    ssize_t n = amf0_parse(body.p, body.len, v, 1 + (data[0] >> 1), &count);
    must(n <= (ssize_t)body.len && (n > 0) == (count > 0));
    return sum == SIZE_MAX;
}
