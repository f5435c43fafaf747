#ifndef SLUICE_NET_RELAY_LINKS_H
#define SLUICE_NET_RELAY_LINKS_H

#include <stdbool.h>

/*
 * The links that carry media from and to other nodes, counted by node: while there is one, the node
 * lives, whatever else is heard of it.  Under a lock; any thread, and only when a link comes or
 * goes. NULL is a table that nobody keeps.
 */
struct relay_links;

struct relay_links *relay_links_new(void);
void relay_links_free(struct relay_links **lp);

/* A link to or from the node delivers, or does not any more. */
void relay_linked(struct relay_links *l, const char *node, bool up);
bool relay_is_linked(struct relay_links *l, const char *node);

#endif
