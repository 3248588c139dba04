/* A command of the shell that deals with one event. */
#ifndef TRIGGERS_CLI_EVENT_COMMAND_H
#define TRIGGERS_CLI_EVENT_COMMAND_H

#include "triggers.h"

/* Runs it with /bin/sh and waits for its end: the payload is its standard input, the rest of the
 * delivery is in its environment. It is a process group of its own, so that Ctrl-C lets it finish.
 * Any thread. */
void event_command_run(const char *command, const char *subscription,
                       const triggers_delivery *delivery, triggers_outcome *outcome);

/* Tells the command that deals with the delivery, if one runs, to end: SIGTERM. */
void event_command_end(const triggers_delivery *delivery);

#endif
