/* Signals of a program: SIGTERM, SIGINT and SIGQUIT ask it to stop, and a second one ends it.
 * SIGHUP asks it to read its files again. Of the others, only those that report a fault, or a limit
 * that will end it anyway, still end it. */
#ifndef TRIGGERS_BASE_SIGNALS_H
#define TRIGGERS_BASE_SIGNALS_H

#include <stdbool.h>

/* Blocks those that ask for something and ignores the others that would end the program. Call in
 * main before any thread starts, so that all threads inherit it. */
void signals_block(void);

/* Waits about `seconds` for the first of them; false when none came. When one came, starts a thread
 * that ends the process at once, with status 1, when a second one comes, half a second later or
 * more, or after `grace_seconds`. */
bool signals_wait(unsigned grace_seconds, unsigned seconds);

/* Whether SIGHUP has come since the last time; does not wait. */
bool signals_ask_reload(void);

#endif
