#ifndef SLUICE_TESTS_BENCH_BARE_H
#define SLUICE_TESTS_BENCH_BARE_H

#include "bench.h"
#include "flv_file.h"

#include <netinet/in.h>

/* What the two forms of `bare` share.  What fails ends the program. */

#define BARE_WARM_MS 1000 /* before measuring begins */

/* A listening socket of the loopback and its address. */
int bare_listen(struct sockaddr_in *a);
/* In a child: a connection to it. */
int bare_connect(const struct sockaddr_in *to);
/* In a child: so many connections, from which it takes what comes until it is killed. */
_Noreturn void bare_discard(const struct sockaddr_in *to, int sockets);
/* The other ends of so many connections, not blocking. */
void bare_accept(int listener, int *fds, int count);

/* The file published on so many sockets and relayed each to one other; an exit code. */
int bare_relay(const struct flv_file *file, int streams, int64_t window_ms);

#endif
