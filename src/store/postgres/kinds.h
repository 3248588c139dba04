/* The kinds of items that a batch of writes may hold, one row each: the SQL, what is sent for an
 * item and what comes back. */
#ifndef TRIGGERS_STORE_POSTGRES_KINDS_H
#define TRIGGERS_STORE_POSTGRES_KINDS_H

#include "store/postgres/session.h"

/* The ways to write a batch, tried one after the other, see write.c. */
enum postgres_attempt {
    POSTGRES_AS_NEW,    /* the usual case: nothing is there yet and nobody holds a lock */
    POSTGRES_AS_MAY_BE, /* skips what is there */
    POSTGRES_UNLOCKED,  /* skips what is locked, too */
    POSTGRES_LEAST,     /* without the kinds that may meet any lock */
    POSTGRES_ATTEMPT_COUNT
};

/* In place of a statement: leaves the items out, which become STORE_BUSY. */
#define POSTGRES_LEFT_OUT POSTGRES_STATEMENT_COUNT

/* One value of each item, sent as an array. */
struct postgres_column {
    Oid type;
    void (*add)(struct buffer *array, const struct store_event *event);
};
#define POSTGRES_COLUMNS 5 /* the most that a statement has */

struct postgres_kind {
    /* The statements that write the first item of each id. Their rows begin with the ids of the
     * items that were done, in any order; `written` takes the rest of a row; NULL: there is none.
     */
    enum postgres_statement write[POSTGRES_ATTEMPT_COUNT];
    const struct postgres_column *write_columns[POSTGRES_COLUMNS]; /* NULL ends them */
    void (*written)(struct store_item *item, const PGresult *rows, int row);

    /* The statement that looks up all items whose ids were not done. Its rows begin with the number
     * of the item in the arrays, from 1; `looked_up` sets the outcome. Items without a row are
     * STORE_NOT_FOUND, which is impossible when `is_there`. */
    enum postgres_statement look_up;
    const struct postgres_column *look_up_columns[POSTGRES_COLUMNS];
    void (*looked_up)(struct store_item *item, const PGresult *rows, int row);
    bool is_there;

    /* Sets the outcome of a later item with the id of one that was done. */
    void (*repeated)(struct store_item *again, const struct store_item *first);
};

extern const struct postgres_kind POSTGRES_KINDS[STORE_KIND_COUNT];

#endif
