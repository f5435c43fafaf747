#ifndef SLUICE_ADMIN_WWW_H
#define SLUICE_ADMIN_WWW_H

#include "net/http_server.h"

/*
 * The pages: a console, and for each stream a player and a publisher.  They are files of www/, held
 * in the program; libraries of others come from www/node_modules, and a program that was built
 * without them plays by WebRTC and by what the browser has itself.
 */
struct www;

struct www *www_new(void);
/* After the workers have stopped. */
void www_free(struct www **wp);

/* / and /console, /APP/STREAM/ (and, without its slash, the way there), /APP/STREAM/publish, and
 * what they need, /player.js …; after all other routes.  The arg is the struct www. */
#define WWW_ROUTES 6
void www_routes(struct www *w, struct http_route out[WWW_ROUTES]);

#endif
