/* Waiting that Ctrl-C and SIGTERM end, for commands that would go on for ever. One thread waits. */
#ifndef TRIGGERS_CLI_INTERRUPT_H
#define TRIGGERS_CLI_INTERRUPT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "triggers.h"

/* From now on the first of these signals is only noted; the second ends the process. */
void interrupt_catch(void);

/* Whether one came. */
bool interrupt_came(void);

/* A call that is waited for; zero-initialise for each. It is the tag of its call and the user data
 * of interrupt_on_reply, its callback. */
struct interruptible {
    _Atomic(triggers_reply *) reply;
};
void interrupt_on_reply(triggers_reply *reply, void *user_data);

/* Waits for the reply. A signal cancels the call; the reply is CANCELLED then. */
triggers_reply *interrupt_await(triggers_client *client, struct interruptible *call);

/* Waits until a signal comes or *until is true, which whoever sets it says with interrupt_wake,
 * from any thread. */
void interrupt_wait(const atomic_bool *until);
void interrupt_wake(void);

/* Waits a second, or until a signal comes. */
void interrupt_rest(void);

#endif
