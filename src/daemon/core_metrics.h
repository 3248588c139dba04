/* The core's metrics, as one list. */
#ifndef TRIGGERS_DAEMON_CORE_METRICS_H
#define TRIGGERS_DAEMON_CORE_METRICS_H

#include "base/metrics.h"

/* The metrics of this process; `store_name` goes into the labels of build_info. Call once. */
struct metrics *core_metrics_init(const char *store_name);

#endif
