/* What the bridge counts, and GET /metrics, which shows it with what the core counts. */
#ifndef TRIGGERS_BRIDGE_FIGURES_H
#define TRIGGERS_BRIDGE_FIGURES_H

#include "base/metrics.h"
#include "request.h"

/* Before the first request; once. */
void figures_init(void);

/* Around every request and connection. Any thread. */
void figures_note_begun(void);
void figures_note_ended(const struct request *request);
void figures_note_connection(bool opened);

/* See metrics_log. */
void figures_log(struct bridge *bridge);

#endif
