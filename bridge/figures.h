/* The bridge's metrics, and GET /metrics, which shows them with the core's. */
#ifndef TRIGGERS_BRIDGE_FIGURES_H
#define TRIGGERS_BRIDGE_FIGURES_H

#include "base/metrics.h"
#include "request.h"

/* Call once, before the first request. */
void figures_init(void);

/* Call around every request and connection. Any thread. */
void figures_note_begun(void);
void figures_note_ended(const struct request *request);
void figures_note_connection(bool opened);

/* See metrics_log. */
void figures_log(struct bridge *bridge);

#endif
