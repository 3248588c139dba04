/* The HTTP server: libmicrohttpd's callbacks around requests. Its threads never block: a request
 * that waits for the core is suspended. */
#ifndef TRIGGERS_BRIDGE_HTTP_H
#define TRIGGERS_BRIDGE_HTTP_H

#include <microhttpd.h>

#include "bridge.h"

/* Serves on a listening socket, which it takes over. NULL when libmicrohttpd cannot start. */
struct MHD_Daemon *http_start(struct bridge *bridge, int listener);

/* Accepts no more connections; those open are served on. */
void http_stop_listening(struct MHD_Daemon *daemon);

/* Closes all connections. No call may be in flight. */
void http_stop(struct MHD_Daemon *daemon);

#endif
