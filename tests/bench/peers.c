#include "peers.h"

#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

int peers_signals(int epoll)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    if (fd >= 0)
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    return fd;
}

enum peers_word peers_read(int fd)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info)
        return PEERS_NOTHING;
    return info.ssi_signo == SIGUSR1 ? PEERS_MOVE : PEERS_STOP;
}
