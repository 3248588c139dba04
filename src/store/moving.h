/* Moving the events of the version before, which had no log, into the log: what both stores share.
 * It goes slice by slice, each a transaction, so it may be cut off anywhere and goes on. No session
 * opens before all are moved, as new events come after them. */
#ifndef TRIGGERS_STORE_MOVING_H
#define TRIGGERS_STORE_MOVING_H

#include "store/store.h"

struct store_slice {
    int64_t events; /* moved by it */
    int64_t newest; /* the sequence of the last one */
    bool done;      /* nothing was left, and the old tables are gone */
};

/* A store's part, for a connection that may write and is in no transaction. Each fills `status`
 * unless it returns STORE_OK; then the caller closes the connection. Other processes may do the
 * same. */
struct store_mover {
    /* Whether there are old tables. */
    enum store_result (*is_needed)(void *connection, bool *needed, struct status *status);
    /* About how many events they held at first. */
    enum store_result (*count)(void *connection, int64_t *total, struct status *status);
    /* Moves the next events, at most `limit`, in the order of (created_at, event_id); when there is
     * none, removes the tables. One transaction. */
    enum store_result (*move)(void *connection, int64_t limit, struct store_slice *slice,
                              struct status *status);
};

/* Moves events for about a second. STORE_OK: all are moved, or there were none. STORE_UNAVAILABLE,
 * with a text that says how far it is: call again soon. While another thread moves, it waits for
 * that one and moves none. */
enum store_result store_move(struct store *store, const struct store_mover *mover, void *connection,
                             struct status *status) MUST_CHECK;

#endif
