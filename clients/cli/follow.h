/* Reading the log from a position on, and going on with what comes. */
#ifndef TRIGGERS_CLI_FOLLOW_H
#define TRIGGERS_CLI_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "triggers.h"

/* Zero-initialise. */
struct follower {
    triggers_client *client;
    triggers_filter filter;
    void (*print)(const triggers_event *event);
    long limit;    /* events to print; 0: any number */
    bool stops;    /* at the end that the log has at the start; otherwise it goes on with what
                      comes */
    int64_t after; /* the position: all events up to it that pass the filter have been printed, or
                      need not be */
    bool has_position; /* `after` is where to continue */

    /* Private. */
    long printed;
    int64_t end;      /* with `stops` */
    bool answered;    /* the core has answered once */
    bool unavailable; /* the core is, which was reported */
};

/* Each of these asks again while the core is unavailable, once it has answered, and ends when a
 * signal comes (interrupt_catch is called before), when `limit` events have been printed, when
 * stdout fails, or when a call fails for good; then they say on stderr why, and from where to
 * continue. They return an exit code, or -1 for the caller to go on. */

/* Puts the position before the newest `count` events that pass the filter, as far as they are in
 * the log; with 0, to the end of the log. */
int follow_find_newest(struct follower *follower, long count);

/* Prints the pending events up to the position, oldest first. */
int follow_print_pending(struct follower *follower);

/* Prints the log after the position. */
int follow_log(struct follower *follower);

#endif
