/* The kinds of items that a batch of writes may hold, one row each: the SQL, what is sent for an
 * item and what comes back. */
#ifndef TRIGGERS_STORE_POSTGRES_ITEM_KINDS_H
#define TRIGGERS_STORE_POSTGRES_ITEM_KINDS_H

#include "store/postgres/session.h"

/* The ways to write a batch, see write.c. */
enum postgres_attempt {
    POSTGRES_ALONE,  /* the usual case: nobody else writes, and nothing is there yet */
    POSTGRES_SHARED, /* with the log locked; skips what is there */
    POSTGRES_ATTEMPT_COUNT
};

/* One value of each item, sent as an array; or several. */
struct postgres_column {
    Oid type;
    void (*add)(struct buffer *array, const struct store_item *item);
    size_t (*count)(const struct store_item *item); /* of the values; NULL: one */
};
#define POSTGRES_COLUMNS 18 /* the most that a statement has */

/* What is sent of the items of one kind, in one round trip. */
struct postgres_sent {
    struct store_item **items;
    size_t count;
    size_t position; /* for `written`: up to where they were answered */
};

/* A statement, and what is sent to it. */
struct postgres_sending {
    enum postgres_statement statement;
    const struct postgres_column *columns[POSTGRES_COLUMNS]; /* NULL ends them */
};

struct postgres_item_kind {
    /* The statements that write the first item of each id, in the order of the batch (`in_order`)
     * or of the ids. Without rows they did all of them; `written` takes the rows. If all items are
     * bare, `write_bare` does the same for less. */
    struct postgres_sending write[POSTGRES_ATTEMPT_COUNT];
    struct postgres_sending write_bare[POSTGRES_ATTEMPT_COUNT];
    bool (*is_bare)(const struct store_item *item); /* NULL: none is */
    void (*written)(struct postgres_sent *sent, struct postgres_log *log, const PGresult *rows);

    /* `look_up` looks up all items whose ids were not done. Its rows begin with the number of the
     * item in the arrays, from 1; `looked_up` sets the outcome. Items without a row are
     * STORE_NOT_FOUND, which is impossible when `is_there`. */
    const struct postgres_column *look_up_columns[POSTGRES_COLUMNS];
    void (*looked_up)(struct store_item *item, const PGresult *rows, int row);

    /* Sets the outcome of a later item with the id of one that was done. */
    void (*repeated)(struct store_item *again, const struct store_item *first);

    enum postgres_statement look_up;
    bool in_order; /* see `write` */
    bool is_there; /* see `looked_up` */
};

extern const struct postgres_item_kind *const POSTGRES_ITEM_KINDS[STORE_KIND_COUNT];

/* ---- settlements.c ---- */

extern const struct postgres_item_kind POSTGRES_SETTLEMENTS;

#endif
