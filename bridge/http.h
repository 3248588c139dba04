/* The HTTP server: libmicrohttpd's callbacks around requests. Its threads never block: a request
 * that waits for the core is suspended. */
#ifndef TRIGGERS_BRIDGE_HTTP_H
#define TRIGGERS_BRIDGE_HTTP_H

#include <stddef.h>

#include "bridge.h"

struct http;

/* Serves on `count` listening, non-blocking sockets, at most ACCEPT_LISTENERS_MAX, which it takes
 * over. NULL when libmicrohttpd or the threads cannot start. */
struct http *http_start(struct bridge *bridge, const int *listeners, size_t count);

/* Accepts no more connections; those that are open are still served. */
void http_stop_accepting(struct http *http);

/* Ends the waits of requests that wait for events; later ones do not wait. */
void http_end_waits(struct http *http);

/* Closes all connections, after http_stop_accepting. No call may be in flight. */
void http_stop(struct http *http);

#endif
