/* Following the inbox by asking again and again. */
#ifndef TRIGGERS_CLI_FOLLOW_H
#define TRIGGERS_CLI_FOLLOW_H

#include "triggers.h"

/* Prints the events of a status, oldest first, and then every new one once, without end, or until
 * `limit` have been printed (0: no limit) or stdout fails. Returns the exit code. */
int follow_inbox(triggers_client *client, triggers_status status, long limit,
                 void (*print)(const triggers_event *event));

#endif
