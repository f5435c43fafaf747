#include "cluster/gossip_seal.h"

#include "base/err.h"
#include "base/must.h"

#define KEY_LABEL "sluice gossip 1"

static uint64_t first_u64(const uint8_t hash[SHA256_SIZE])
{
    struct rd r = rd_init(hash, SHA256_SIZE);
    return rd_u64(&r);
}

void gossip_keys_add(struct gossip_keys *k, struct slice secret)
{
    must(k->count < GOSSIP_KEYS_MAX);
    const struct slice label = slice_text(KEY_LABEL);
    uint8_t *key = k->key[k->count];
    crypto_hmac_sha256(secret, &label, 1, key);
    uint8_t hash[SHA256_SIZE];
    crypto_sha256(slice_of(key, SHA256_SIZE), hash);
    k->id[k->count++] = hash[0];
}

void gossip_seal_begin(const struct gossip_keys *k, struct gossip_header *h, struct wr *w)
{
    must(k->count > 0);
    h->keyid = k->id[0];
    gossip_header_write(w, h);
}

void gossip_seal(const struct gossip_keys *k, struct wr *w)
{
    uint8_t tag[SHA256_SIZE];
    const struct slice part = wr_slice(w);
    crypto_hmac_sha256(slice_of(k->key[0], SHA256_SIZE), &part, 1, tag);
    wr_bytes(w, tag, GOSSIP_TAG_SIZE);
}

int gossip_unseal(const struct gossip_keys *k, const struct gossip_header *h, struct slice datagram)
{
    must(datagram.len >= GOSSIP_TAG_SIZE);
    const struct slice part = slice_of(datagram.p, datagram.len - GOSSIP_TAG_SIZE);
    for (size_t i = 0; i < k->count; i++) {
        if (k->id[i] != h->keyid)
            continue;
        uint8_t tag[SHA256_SIZE];
        crypto_hmac_sha256(slice_of(k->key[i], SHA256_SIZE), &part, 1, tag);
        if (crypto_equal(slice_of(tag, GOSSIP_TAG_SIZE),
                         slice_of(datagram.p + part.len, GOSSIP_TAG_SIZE)))
            return 0;
    }
    return ERR_AUTH;
}

uint64_t gossip_hash(const char *label, const char *text)
{
    const struct slice part = slice_text(text);
    uint8_t hash[SHA256_SIZE];
    crypto_hmac_sha256(slice_text(label), &part, 1, hash);
    return first_u64(hash);
}

#define WINDOW_WORDS (sizeof((struct gossip_window *)0)->words / sizeof(uint64_t))

static void window_move(struct gossip_window *w, uint64_t seq)
{
    uint64_t words = seq / 64 - w->top / 64;
    if (words > WINDOW_WORDS)
        words = WINDOW_WORDS;
    for (uint64_t i = 0; i < words; i++)
        w->words[(seq / 64 - i) % WINDOW_WORDS] = 0;
    w->top = seq;
}

void gossip_window_start(struct gossip_window *w, uint64_t seq)
{
    memset(w->words, 0xff, sizeof w->words);
    w->words[seq / 64 % WINDOW_WORDS] = UINT64_MAX >> (63 - seq % 64);
    w->top = seq;
}

bool gossip_window_admit(struct gossip_window *w, uint64_t seq)
{
    if (seq > w->top)
        window_move(w, seq);
    else if (w->top - seq >= GOSSIP_WINDOW_BITS)
        return false;
    uint64_t *word = &w->words[seq / 64 % WINDOW_WORDS];
    uint64_t bit = UINT64_C(1) << seq % 64;
    if ((*word & bit) != 0)
        return false;
    *word |= bit;
    return true;
}
