/* A take in the making: what is given to whom of those who wait. */
#ifndef TRIGGERS_SUBSCRIPTIONS_DIVIDING_H
#define TRIGGERS_SUBSCRIPTIONS_DIVIDING_H

#include "subscriptions/subscription.h"

struct key_place;

struct division {
    enum event_walk walk;
    /* Of WALK_LOG, a page of it; of WALK_TIMES, events whose time has come. */
    const struct store_list *log;
    const struct store_delayed *times;
    /* Of WALK_KEYS: the first events of keys, which have only their sequence and are read later,
     * and beside them their keys and what comes next of each. */
    const struct store_key_walk *ready;
    struct store_event *events; /* of any of these, in order */
    size_t count;
    size_t most; /* so many are given out at most */

    /* The rest is for division_take. */
    size_t next; /* event */
    size_t given;
    struct ledger_grant *grants;
    size_t grant_count;
    int64_t *sequences;
    uint64_t *keys;          /* beside the sequences; NULL: nothing is ordered */
    uint64_t next_key;       /* of the next event */
    struct key_place *table; /* of the log by key: those that were given out or passed over here */
    size_t mask;
    struct ledger_key *marks; /* to set, move or remove */
    size_t mark_count;
    size_t most_marks;
    struct ledger_key *ready_now; /* of WALK_KEYS: those that are, when it is divided */
    bool passes;                  /* the take is written though nothing is given out */
    bool is_cut;                  /* nothing more is looked at */
    struct ledger_take take;
};

/* Divides the events among those who wait, first come first served, and appends the take that says
 * so. Pulls that got something have been answered, but those of ready keys are in `granted`. Lock
 * not held. */
enum store_result division_take(struct subscription *subscription, struct store_session *session,
                                struct division *division, struct arena *arena,
                                struct status *status);

/* A take whose answer was lost may have been written: then its events are read again. */
void division_look_for_lost(struct subscription *subscription);

#endif
