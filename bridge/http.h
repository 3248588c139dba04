/* The HTTP server: libmicrohttpd's callbacks around requests. Its threads never block: a request
 * that waits for the core is suspended. */
#ifndef TRIGGERS_BRIDGE_HTTP_H
#define TRIGGERS_BRIDGE_HTTP_H

#include "base/status.h"
#include "bridge.h"

struct http;

/* Listens and serves. NULL when that cannot be: INVALID_ARGUMENT if a setting is wrong. */
struct http *http_start(struct bridge *bridge, struct status *status);

/* Accepts no more connections; those that are open are still served. */
void http_stop_accepting(struct http *http);

/* Ends the waits of requests that wait for events; later ones do not wait. */
void http_end_waits(struct http *http);

/* Closes all connections, after http_stop_accepting. No call may be in flight. */
void http_stop(struct http *http);

#endif
