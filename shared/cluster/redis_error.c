#include "cluster/redis_error.h"

static const struct row {
    const char *begin; /* whole words at the beginning of the error */
    enum redis_error_kind kind;
    bool ends_connection;
} rows[] = {
    {"NOSCRIPT", REDIS_ERROR_RELOAD, false},  {"READONLY", REDIS_ERROR_MOVE, true},
    {"MASTERDOWN", REDIS_ERROR_MOVE, true},   {"LOADING", REDIS_ERROR_MOVE, true},
    {"CLUSTERDOWN", REDIS_ERROR_MOVE, true},  {"ERR max number of clients", REDIS_ERROR_MOVE, true},
    {"OOM", REDIS_ERROR_LATER, false},        {"BUSY", REDIS_ERROR_LATER, false},
    {"TRYAGAIN", REDIS_ERROR_LATER, false},   {"MISCONF", REDIS_ERROR_LATER, false},
    {"NOREPLICAS", REDIS_ERROR_LATER, false}, {"NOAUTH", REDIS_ERROR_REFUSED, true},
    {"WRONGPASS", REDIS_ERROR_REFUSED, true}, {"NOPERM", REDIS_ERROR_REFUSED, false},
};

static const struct row *find(const redisReply *r)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (redis_is_error_word(r, rows[i].begin))
            return &rows[i];
    return NULL;
}

enum redis_error_kind redis_error_kind(const redisReply *r)
{
    if (!redis_is_error(r))
        return REDIS_ERROR_NONE;
    const struct row *row = find(r);
    return row != NULL ? row->kind : REDIS_ERROR_REFUSED;
}

bool redis_error_ends_connection(const redisReply *r)
{
    const struct row *row = find(r);
    return row != NULL && row->ends_connection;
}
