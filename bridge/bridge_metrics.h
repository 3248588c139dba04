/* The bridge's metrics, and GET /metrics, which shows them with the core's. */
#ifndef TRIGGERS_BRIDGE_BRIDGE_METRICS_H
#define TRIGGERS_BRIDGE_BRIDGE_METRICS_H

#include "bridge.h"

/* Call once, before the first request. */
void bridge_metrics_init(void);

/* Call around every request and connection; `route` is the place of the request's in ROUTE_LIST, or
 * ROUTES_COUNT without one; the time of one that waited is -1, as it says nothing. Any thread. */
void bridge_metrics_note_begun(void);
void bridge_metrics_note_ended(size_t route, unsigned status, int64_t took_us);
void bridge_metrics_note_connection(bool opened);

/* See metrics_log. */
void bridge_metrics_log(struct bridge *bridge);

#endif
