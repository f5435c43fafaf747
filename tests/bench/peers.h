#ifndef SLUICE_TESTS_BENCH_PEERS_H
#define SLUICE_TESTS_BENCH_PEERS_H

#include <stdint.h>

/* What the row that runs us tells us by signals, read in the loop of sockets. */
enum peers_word {
    PEERS_NOTHING,
    PEERS_STOP, /* SIGTERM, SIGINT: report and end */
    PEERS_MOVE, /* SIGUSR1: leave for the next address */
};

/* Takes the signals from now on as events with data.ptr NULL; the descriptor to read them from. */
int peers_signals(int epoll);
enum peers_word peers_read(int fd);

#endif
