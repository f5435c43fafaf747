#include "base/must.h"
#include "cluster/redis_record.h"

/* What the scan lets through, the reader takes whole; and the same bytes as an event or a record.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_everything(const redisReply *reply)
{
    struct cluster_owner owner;
    struct cluster_node node;
    struct redis_event event;
    struct redis_request request;
    redis_owner_parse(reply, &owner);
    redis_node_parse(reply, slice_text("n1"), &node);
    if (redis_event_parse(redis_text(reply), &event))
        must(event.kind <= REDIS_EVENT_DRAIN);
    if (redis_request_parse(redis_text_at(reply, 2), &request))
        must(request.verb[0] != '\0');
    must(redis_error_text(reply) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    redisReader *reader = redisReaderCreate();
    struct redis_scan scan = {0}, half = {0};
    while (size > 0) {
        ssize_t early = redis_scan(&half, data, size / 2);
        ssize_t n = redis_scan(&scan, data, size);
        must(n <= (ssize_t)size && (early == 0 || early == n));
        if (early == 0)
            must(redis_scan(&half, data, size) == n);
        if (n <= 0)
            break;
        redisReply *reply = redis_reply_parse(reader, slice_of(data, (size_t)n));
        must(reply != NULL && reader->pos == reader->len);
        read_everything(reply);
        freeReplyObject(reply);
        data += n;
        size -= (size_t)n;
    }
    redisReaderFree(reader);
    return 0;
}
