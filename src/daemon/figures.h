/* What the core counts, as one list. */
#ifndef TRIGGERS_DAEMON_FIGURES_H
#define TRIGGERS_DAEMON_FIGURES_H

#include "base/metrics.h"

/* The metrics of this process; `store_name` is in the build's labels. Call once. */
struct metrics *figures_init(const char *store_name);

#endif
