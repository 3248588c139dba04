/* The core's metrics, as one list. */
#ifndef TRIGGERS_DAEMON_FIGURES_H
#define TRIGGERS_DAEMON_FIGURES_H

#include "base/metrics.h"

/* The metrics of this process; `store_name` goes into the labels of build_info. Call once. */
struct metrics *figures_init(const char *store_name);

#endif
