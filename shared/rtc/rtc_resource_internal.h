#ifndef SLUICE_RTC_RTC_RESOURCE_INTERNAL_H
#define SLUICE_RTC_RTC_RESOURCE_INTERNAL_H

#include "base/map.h"
#include "base/name.h"
#include "net/publish_identity.h"
#include "net/rate_limit.h"
#include "rtc/rtc_resource.h"

/*
 * rtc_resource.c has the resources of a worker and answers posts; rtc_endpoint.c takes the posts;
 * rtc_member.c takes requests to sessions and finds who has them; rtc_deed.c does what they ask,
 * where the session is; rtc_carry.c brings a deed to another node.
 */
#define RTC_RESOURCES_MAGIC 0x72747273U
#define RTC_RESOURCE_MAGIC  0x7274726fU

#define RTC_WAITING_MAX    256  /* posts of one worker that wait for their answer */
#define RTC_RETRY_AFTER_S  "2"  /* as text */
#define RTC_REQUEST_BURST  64   /* requests of one address to one worker at once … */
#define RTC_REQUESTS_PER_S 16   /* … and afterwards */
#define RTC_LINKS_MAX      4    /* ICE servers that are told */
#define RTC_LINK_MAX       512  /* bytes of the header that tells one */
#define RTC_FRAGMENT_MAX   4096 /* bytes of a fragment that we answer */
#define RTC_MATCH_MAX      256  /* bytes of If-Match */

/* "<node>~<key>": the key is the worker and 128 random bits in hexadecimal. */
#define RTC_KEY_RANDOM 16
#define RTC_KEY_LEN    (2 + 2 * RTC_KEY_RANDOM)
#define RTC_ID_MAX     (NAME_NODE_MAX + 1 + RTC_KEY_LEN)
#define RTC_ETAG_SIZE  19 /* 64 bits in hexadecimal, quotes and terminator */

_Static_assert(WORKERS_MAX <= 256, "a worker's number is two digits of a key");

/* What only matters until the answer. */
struct rtc_post {
    struct http_exchange *x;
    char *text;
    struct sdp_offer offer;
    struct net_address client;
    char identity[PUBLISH_IDENTITY_SIZE], asker[PUBLISH_IDENTITY_SIZE];
    struct rtc_request request;
};

struct rtc_resource {
    uint32_t magic;
    struct rtc_resources *owner;
    struct worker *worker;
    enum rtc_kind kind;
    char name[NAME_STREAM_MAX + 1];
    char key[RTC_KEY_LEN + 1];
    char etag[RTC_ETAG_SIZE]; /* of the present ICE session */
    /* Of the credential that came with the post: whoever asks more has to have it, too.  "": none.
     */
    char asker[PUBLISH_IDENTITY_SIZE];
    char *ufrag, *pwd; /* the remote's: others mean a restart */
    enum sdp_kind kind_of_mid;
    char mid[SDP_TOKEN_MAX + 1]; /* of the m-line whose transport is used */
    void *session;
    struct rtc_post *post; /* NULL: answered */
};

/* What one worker has. */
struct rtc_table {
    struct map *by_key;
    struct rate_limit *limit;
    size_t waiting;
};

struct rtc_resources {
    uint32_t magic;
    struct rtc_resources_options o;
    char links[RTC_LINKS_MAX][RTC_LINK_MAX]; /* values of Link */
    size_t link_count;
    struct rtc_table tables[WORKERS_MAX];
};

const char *rtc_kind_name(enum rtc_kind k); /* as in URLs */

/* A new resource for an offer that was read; takes the post.  NULL: too many wait. */
struct rtc_resource *rtc_resource_new(struct rtc_resources *rs, struct worker *w,
                                      struct rtc_post **post);
void rtc_resource_new_etag(struct rtc_resource *r);
/* Remembers the remote's credentials. */
void rtc_resource_set_remote(struct rtc_resource *r, struct slice ufrag, struct slice pwd);
/* Takes the resource out of its table and frees it; the session is the caller's. */
void rtc_resource_forget(struct rtc_resource **rp);

/* An error of these resources; 503 and `retry` come with Retry-After. */
void rtc_refuse(struct http_exchange *x, int status, const char *code, const char *text,
                bool retry);
/* False when the peer has asked too often and was told so. */
bool rtc_may_ask(struct rtc_resources *rs, struct http_exchange *x);
/* The hash of the request's credential: its bearer, else its ?token=; "" without one. */
void rtc_asker(const struct http_request *req, char out[PUBLISH_IDENTITY_SIZE]);
/* The header is `type`, whatever its parameters. */
bool rtc_has_type(const struct http_request *req, const char *type);
/* Answers OPTIONS, with what is accepted, or 405. */
void rtc_answer_options(const struct rtc_resources *rs, struct http_exchange *x,
                        const struct http_request *req, const char *methods,
                        const struct http_header *accept);
void rtc_answer_method(struct http_exchange *x, const char *methods);

/* ---- deeds ---- */

enum rtc_verb { RTC_LOOK, RTC_PATCH, RTC_DELETE };

/* What is asked of a session. */
struct rtc_deed {
    enum rtc_kind kind;
    enum rtc_verb verb;
    char name[NAME_STREAM_MAX + 1];
    char key[RTC_KEY_LEN + 1];
    char asker[PUBLISH_IDENTITY_SIZE];                               /* as rtc_asker() */
    char match[RTC_MATCH_MAX + 1];                                   /* PATCH: If-Match */
    char ufrag[RTC_CREDENTIAL_MAX + 1], pwd[RTC_CREDENTIAL_MAX + 1]; /* PATCH: "" none */
};

struct rtc_outcome {
    int status; /* of the answer */
    char etag[RTC_ETAG_SIZE];
    char fragment[RTC_FRAGMENT_MAX]; /* with 200 to PATCH */
};

/* Does it, on the worker that the key names. */
void rtc_deed_do(struct rtc_resources *rs, struct worker *w, const struct rtc_deed *deed,
                 struct rtc_outcome *out);
/* The worker that a key names, NULL when it is none of ours. */
struct worker *rtc_key_worker(struct rtc_resources *rs, const char *key);

/*
 * A deed under way: to the right worker of this node, or to another node.  done() once, on the
 * worker where it began, and never from inside the start; errand_drop() before that means that
 * nobody waits any more.
 */
struct rtc_errand;
typedef void rtc_errand_done(const struct rtc_outcome *outcome, void *arg);
struct rtc_errand *rtc_errand_start(struct rtc_resources *rs, struct worker *from, const char *node,
                                    const struct rtc_deed *deed, rtc_errand_done *done, void *arg);
void rtc_errand_drop(struct rtc_errand **ep);

/*
 * To another node: done(), with 503 when it cannot be asked.  A signed POST whose body is the deed
 * as JSON; the answer is the outcome as JSON.
 */
#define RTC_CARRY_TARGET "/cluster/v1/rtc"
struct rtc_carry;
struct rtc_carry *rtc_carry_start(struct rtc_resources *rs, struct worker *w, const char *node,
                                  const char *address, const struct rtc_deed *deed,
                                  rtc_errand_done *done, void *arg);
void rtc_carry_cancel(struct rtc_carry **cp);
/* The other side. */
void rtc_carry_serve(struct http_exchange *x, const struct http_request *req, void *arg);

/* ---- handlers, arg is the rtc_resources ---- */

void rtc_endpoint_whip(struct http_exchange *x, const struct http_request *req, void *arg);
void rtc_endpoint_whep(struct http_exchange *x, const struct http_request *req, void *arg);
/* The same with ?app= and &stream=. */
void rtc_endpoint_srs_whip(struct http_exchange *x, const struct http_request *req, void *arg);
void rtc_endpoint_srs_whep(struct http_exchange *x, const struct http_request *req, void *arg);
void rtc_member_whip(struct http_exchange *x, const struct http_request *req, void *arg);
void rtc_member_whep(struct http_exchange *x, const struct http_request *req, void *arg);

#endif
