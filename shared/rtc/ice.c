#include "rtc/ice.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/crypto.h"
#include "rtc/ice_check.h"

#include <stdio.h>
#include <stdlib.h>

#define ADDRESS_KEY_SIZE (NET_ADDRESS_KEY_SIZE + 2 + 4)

struct ice_credentials {
    struct ice_session *session;
    char ufrag[RTC_UFRAG_SIZE], pwd[RTC_PWD_SIZE];
    char remote_ufrag[RTC_CREDENTIAL_MAX + 1];
};

struct ice_tuple {
    uint32_t id; /* of all that the session has had; 0: this place is free */
    struct ice_path path;
    int64_t seen_us;
    uint64_t nominated; /* rises with each nomination of the session; 0: never */
};

struct ice_session {
    struct ice_agent *agent;
    void *owner;
    struct ice_credentials *current;
    struct ice_credentials *next; /* after a restart, until they are used */
    struct ice_tuple tuples[ICE_TUPLES_MAX];
    const struct ice_tuple *selected, *preferred; /* NULL: none */
    int64_t seen_us;
    uint64_t nominations;
    uint32_t last_id;
    struct {
        uint64_t transaction; /* its first 8 bytes: they are random */
        uint32_t tuple;       /* the id of where it came from */
    } replays[ICE_REPLAYS];   /* a ring */
    unsigned replay_next;
};

struct ice_agent {
    StunAgent stun;
    int worker;
    struct map *by_ufrag;   /* struct ice_credentials */
    struct map *by_address; /* struct ice_session: the UDP tuples of all */
};

/* --- credentials --- */

/* count characters of RFC 8839's ice-char, 6 bits each, and a terminator. */
static void random_chars(char *out, size_t count)
{
    static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t bytes[RTC_PWD_SIZE];
    must(count < sizeof bytes);
    crypto_random(bytes, count);
    for (size_t i = 0; i < count; i++)
        out[i] = chars[bytes[i] & 63];
    out[count] = '\0';
}

static struct ice_credentials *credentials_new(struct ice_session *s, const char *remote_ufrag)
{
    struct ice_credentials *c = xcalloc(1, sizeof *c);
    must(strlen(remote_ufrag) <= RTC_CREDENTIAL_MAX);
    c->session = s;
    strncpy(c->remote_ufrag, remote_ufrag, sizeof c->remote_ufrag - 1);
    do {
        snprintf(c->ufrag, sizeof c->ufrag, "%02x", (unsigned)s->agent->worker & 0xff);
        random_chars(c->ufrag + 2, RTC_UFRAG_SIZE - 3);
    } while (map_get(s->agent->by_ufrag, c->ufrag) != NULL);
    random_chars(c->pwd, RTC_PWD_SIZE - 1);
    map_put(s->agent->by_ufrag, c->ufrag, c);
    return c;
}

static void credentials_free(struct ice_credentials **cp)
{
    struct ice_credentials *c = *cp;
    *cp = NULL;
    if (c == NULL)
        return;
    map_take(c->session->agent->by_ufrag, c->ufrag);
    free(c);
}

static const struct ice_credentials *newest(const struct ice_session *s)
{
    return s->next != NULL ? s->next : s->current;
}

const char *ice_session_ufrag(const struct ice_session *s)
{
    return newest(s)->ufrag;
}

const char *ice_session_pwd(const struct ice_session *s)
{
    return newest(s)->pwd;
}

void ice_session_restart(struct ice_session *s, const char *remote_ufrag)
{
    credentials_free(&s->next);
    s->next = credentials_new(s, remote_ufrag);
}

/* --- life --- */

struct ice_agent *ice_agent_new(int worker)
{
    struct ice_agent *a = xcalloc(1, sizeof *a);
    ice_check_agent_init(&a->stun);
    a->worker = worker;
    a->by_ufrag = map_new();
    a->by_address = map_new();
    return a;
}

void ice_agent_free(struct ice_agent **ap)
{
    struct ice_agent *a = *ap;
    *ap = NULL;
    if (a == NULL)
        return;
    must(map_count(a->by_ufrag) == 0 && map_count(a->by_address) == 0);
    map_free(&a->by_ufrag);
    map_free(&a->by_address);
    free(a);
}

struct ice_session *ice_session_new(struct ice_agent *a, const char *remote_ufrag, void *owner)
{
    struct ice_session *s = xcalloc(1, sizeof *s);
    s->agent = a;
    s->owner = owner;
    s->current = credentials_new(s, remote_ufrag);
    return s;
}

/* --- tuples --- */

static void address_key(const struct net_address *a, uint8_t out[ADDRESS_KEY_SIZE])
{
    struct wr w = wr_init(out + NET_ADDRESS_KEY_SIZE, ADDRESS_KEY_SIZE - NET_ADDRESS_KEY_SIZE);
    must(net_address_key(a, out));
    wr_u16(&w, net_address_port(a));
    wr_u32(&w, net_address_scope(a));
}

static struct ice_session *session_at(const struct ice_agent *a, const struct net_address *remote)
{
    uint8_t key[ADDRESS_KEY_SIZE];
    address_key(remote, key);
    return map_get_n(a->by_address, key, sizeof key);
}

void *ice_find(const struct ice_agent *a, const struct net_address *remote)
{
    struct ice_session *s = session_at(a, remote);
    return s != NULL ? s->owner : NULL;
}

static struct ice_tuple *find_tuple(struct ice_session *s, const struct ice_path *from)
{
    for (struct ice_tuple *t = s->tuples; t < s->tuples + ICE_TUPLES_MAX; t++)
        if (t->id != 0 && t->path.stream == from->stream &&
            net_address_equal(&t->path.way.remote, &from->way.remote))
            return t;
    return NULL;
}

static bool is_better(const struct ice_tuple *t, const struct ice_tuple *than, int64_t now_us)
{
    if (than == NULL)
        return true;
    bool udp = t->path.stream == NULL && now_us - t->seen_us < ICE_FRESH_US;
    bool than_udp = than->path.stream == NULL && now_us - than->seen_us < ICE_FRESH_US;
    return udp != than_udp ? udp : t->nominated > than->nominated;
}

static void select_tuple(struct ice_session *s, int64_t now_us)
{
    const struct ice_tuple *best = NULL;
    for (const struct ice_tuple *t = s->tuples; t < s->tuples + ICE_TUPLES_MAX; t++)
        if (t->id != 0 && t->nominated > 0 && is_better(t, best, now_us))
            best = t;
    s->selected = best;
}

static void remove_tuple(struct ice_session *s, struct ice_tuple *t)
{
    uint8_t key[ADDRESS_KEY_SIZE];
    address_key(&t->path.way.remote, key);
    if (t->path.stream == NULL)
        must(map_take_n(s->agent->by_address, key, sizeof key) == s);
    *t = (struct ice_tuple){0};
    if (s->preferred == t)
        s->preferred = NULL;
    if (s->selected == t)
        select_tuple(s, s->seen_us);
}

/* A free place, or that of the one that was used the longest time ago. */
static struct ice_tuple *place_for(struct ice_session *s)
{
    struct ice_tuple *oldest = s->tuples + (s->selected == s->tuples);
    for (struct ice_tuple *t = s->tuples; t < s->tuples + ICE_TUPLES_MAX; t++) {
        if (t->id == 0)
            return t;
        if (t != s->selected && t->seen_us < oldest->seen_us)
            oldest = t;
    }
    remove_tuple(s, oldest);
    return oldest;
}

/* Two sessions at one address: the one that is used stays, a dead one gives way. */
static bool take_address(struct ice_session *s, const struct ice_path *from, int64_t now_us)
{
    struct ice_session *other = session_at(s->agent, &from->way.remote);
    if (other == NULL || other == s)
        return true;
    struct ice_tuple *t = find_tuple(other, from);
    must(t != NULL);
    if (now_us - t->seen_us < ICE_HELD_US)
        return false;
    remove_tuple(other, t);
    return true;
}

static struct ice_tuple *add_tuple(struct ice_session *s, const struct ice_path *from,
                                   int64_t now_us)
{
    uint8_t key[ADDRESS_KEY_SIZE];
    if (from->stream == NULL && !take_address(s, from, now_us))
        return NULL;
    struct ice_tuple *t = place_for(s);
    *t = (struct ice_tuple){.id = ++s->last_id, .path = *from};
    address_key(&from->way.remote, key);
    if (from->stream == NULL)
        map_put_n(s->agent->by_address, key, sizeof key, s);
    return t;
}

void ice_session_free(struct ice_session **sp)
{
    struct ice_session *s = *sp;
    *sp = NULL;
    if (s == NULL)
        return;
    for (struct ice_tuple *t = s->tuples; t < s->tuples + ICE_TUPLES_MAX; t++)
        if (t->id != 0)
            remove_tuple(s, t);
    credentials_free(&s->next);
    credentials_free(&s->current);
    free(s);
}

bool ice_session_has(const struct ice_session *s, const struct rtc_stream *stream)
{
    for (const struct ice_tuple *t = s->tuples; t < s->tuples + ICE_TUPLES_MAX; t++)
        if (t->id != 0 && t->path.stream == stream)
            return true;
    return false;
}

void ice_session_forget(struct ice_session *s, const struct rtc_stream *stream)
{
    for (struct ice_tuple *t = s->tuples; t < s->tuples + ICE_TUPLES_MAX; t++)
        if (t->id != 0 && t->path.stream == stream)
            remove_tuple(s, t);
}

void ice_session_unsegment(struct ice_session *s, const struct net_address *remote)
{
    struct ice_tuple *t = find_tuple(s, &(struct ice_path){.way.remote = *remote});
    if (t != NULL)
        t->path.unsegmented = true;
}

/* --- which way --- */

void ice_session_touch(struct ice_session *s, const struct ice_path *from, int64_t now_us)
{
    struct ice_tuple *t = find_tuple(s, from);
    s->seen_us = now_us;
    if (t != NULL)
        t->seen_us = now_us;
}

int64_t ice_session_seen_us(const struct ice_session *s)
{
    return s->seen_us;
}

void ice_session_prefer(struct ice_session *s, const struct ice_path *from)
{
    s->preferred = find_tuple(s, from);
}

static const struct ice_tuple *latest(const struct ice_session *s)
{
    const struct ice_tuple *best = NULL;
    for (const struct ice_tuple *t = s->tuples; t < s->tuples + ICE_TUPLES_MAX; t++)
        if (t->id != 0 && (best == NULL || t->seen_us > best->seen_us))
            best = t;
    return best;
}

const struct ice_path *ice_session_path(const struct ice_session *s)
{
    const struct ice_tuple *t = s->selected != NULL ? s->selected : s->preferred;
    if (t == NULL)
        t = latest(s);
    return t != NULL ? &t->path : NULL;
}

/* --- checks --- */

/* The tuple from which the check was sent first; 0: it is new. */
static uint32_t first_tuple(const struct ice_session *s, uint64_t transaction)
{
    for (unsigned i = 0; i < ICE_REPLAYS; i++)
        if (s->replays[i].transaction == transaction)
            return s->replays[i].tuple;
    return 0;
}

static void remember(struct ice_session *s, uint64_t transaction, const struct ice_tuple *t)
{
    s->replays[s->replay_next].transaction = transaction;
    s->replays[s->replay_next].tuple = t->id;
    s->replay_next = (s->replay_next + 1) % ICE_REPLAYS;
}

/* The remote has begun to use what a restart gave it. */
static void finish_restart(struct ice_session *s)
{
    credentials_free(&s->current);
    s->current = s->next;
    s->next = NULL;
}

static int take_check(struct ice_session *s, const struct ice_check *c, const struct ice_path *from,
                      int64_t now_us, struct ice_received *out)
{
    uint64_t transaction;
    memcpy(&transaction, c->transaction, sizeof transaction);
    uint32_t first = first_tuple(s, transaction);
    struct ice_tuple *t = find_tuple(s, from);
    /* A remote repeats a check from where it sent it first; who has captured one sends it from
     * elsewhere. */
    if (first != 0 && (t == NULL || t->id != first))
        return ERR_EXISTS;
    if (t == NULL)
        t = add_tuple(s, from, now_us);
    if (t == NULL)
        return ERR_REFUSED;
    if (first == 0)
        remember(s, transaction, t);
    const struct ice_tuple *before = s->selected;
    memcpy(t->path.way.local, from->way.local, sizeof t->path.way.local);
    t->path.way.has_local = from->way.has_local;
    t->seen_us = s->seen_us = now_us;
    if (c->nominates)
        t->nominated = ++s->nominations;
    select_tuple(s, now_us);
    out->moved = before != NULL && before != s->selected;
    return 0;
}

int ice_receive(struct ice_agent *a, const struct ice_path *from, struct slice datagram,
                int64_t now_us, struct ice_received *out)
{
    struct ice_check c;
    *out = (struct ice_received){0};
    int err = ice_check_read(datagram, &c);
    if (err < 0)
        return err;
    struct ice_credentials *mine = map_get_n(a->by_ufrag, c.local_ufrag.p, c.local_ufrag.len);
    if (mine == NULL)
        return ERR_NOT_FOUND;
    struct ice_session *s = mine->session;
    if (!slice_is(c.remote_ufrag, mine->remote_ufrag) ||
        !ice_check_answer(&a->stun, &c, mine->pwd, &from->way.remote, &out->reply))
        return ERR_AUTH;
    out->owner = s->owner;
    if (out->reply.len > datagram.len)
        out->reply.len = 0; /* nobody is to get more from us than was sent */
    if (!out->reply.accepted)
        return 0;
    err = take_check(s, &c, from, now_us, out);
    if (err == 0 && mine == s->next)
        finish_restart(s);
    return err;
}
