/* The figures that every process has: memory, processor time, descriptors, start. */
#ifndef TRIGGERS_BASE_PROCESS_H
#define TRIGGERS_BASE_PROCESS_H

#include "base/metrics.h"

/* Its metrics as they are now; the list ends with NULL. Any thread. */
struct metric *const *process_metrics(void);

#endif
