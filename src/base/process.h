/* What a process asks of the kernel: its limits, and memory that others may not read. */
#ifndef TRIGGERS_BASE_PROCESS_H
#define TRIGGERS_BASE_PROCESS_H

#include <stddef.h>

/* The process leaves no core dump, and its user's other processes may not read its memory (ptrace,
 * most of /proc/PID): it holds passwords and events. From now on both take root. */
void process_hide_memory(void);

/* Lets the process open `wanted` file descriptors, as far as the system allows it. Returns how many
 * of these it may open. */
size_t process_raise_files(size_t wanted);

#endif
