/* A batch on its way to PostgreSQL: its items in order of their ids, and what one round trip sends
 * of them. */
#ifndef TRIGGERS_STORE_POSTGRES_WRITING_H
#define TRIGGERS_STORE_POSTGRES_WRITING_H

#include "store/postgres/keys.h"
#include "store/postgres/session.h"

/* Until an item is answered its outcome is STORE_NOT_FOUND. */
struct writing {
    struct scope scope;
    struct store_write *batch;
    struct keys append_keys;
    struct keys ack_keys;
    /* What the current round trip is about, in order of ids. */
    struct store_append **appends;
    size_t append_count;
    struct store_ack **acks;
    size_t ack_count;
};

/* False without memory; writing_fini in any case. */
bool writing_init(struct writing *writing, struct scope scope,
                  struct store_write *batch) MUST_CHECK;
void writing_fini(struct writing *writing);

/* Chooses the items that have no answer yet: of the acks the first of each id, of the appends the
 * first or all of each id. */
void writing_choose(struct writing *writing, bool all_appends);

/* Makes the chosen acks STORE_BUSY instead. */
void writing_leave_acks(struct writing *writing);

/* The item at a position in the order of ids. */
struct store_append *writing_append(const struct writing *writing, size_t position);
struct store_ack *writing_ack(const struct writing *writing, size_t position);

/* Parameters made of the chosen items. */
void writing_put_append_ids(const struct writing *writing, struct buffer *array);
void writing_put_append_times(const struct writing *writing, struct buffer *array);
void writing_put_contents(const struct writing *writing, struct buffer arrays[3]);
void writing_put_ack_ids(const struct writing *writing, struct buffer *array);
void writing_put_ack_times(const struct writing *writing, struct buffer *array);

#endif
