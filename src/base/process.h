/* What every process has: figures (memory, processor time, descriptors, start, its log), limits,
 * and a memory that others may not look into. */
#ifndef TRIGGERS_BASE_PROCESS_H
#define TRIGGERS_BASE_PROCESS_H

#include <stddef.h>

#include "base/metrics.h"

/* Its metrics as they are now; the list ends with NULL. Any thread. */
struct metric *const *process_metrics(void);

/* The process leaves no core dump, and its user's other processes may not read its memory (ptrace,
 * most of /proc/PID): passwords and events are in there. For both it takes root from now on. */
void process_hide_memory(void);

/* Lets the process have `wanted` file descriptors open, as far as the system allows it. Returns how
 * many of these it may have. */
size_t process_raise_files(size_t wanted);

#endif
