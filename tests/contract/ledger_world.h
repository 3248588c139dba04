/* What the tests of ledgers share: a subscription with the entries that its owner has seen last,
 * and short forms of the operations on it that assert success. */
#ifndef TRIGGERS_TESTS_LEDGER_WORLD_H
#define TRIGGERS_TESTS_LEDGER_WORLD_H

#include "contract.h"

/* What somebody knows of a subscription. Tokens that he makes are `salt` and the entry's number. */
struct owner {
    int64_t id, revision;
    uint64_t salt;
    struct store_entry_before take, settlement;
};

struct store_put put_in(struct world *world, const char *name, const char *settings,
                        int64_t revision);
struct owner make_subscription(struct world *world, const char *name);

/* The entry that would come next. */
struct store_take next_take(const struct owner *owner);
struct store_settlement next_settlement(const struct owner *owner);

/* Appends one, or several in one call; the owners that were right know them. */
enum store_outcome take_next(struct world *world, struct owner *owner);
void take_several(struct world *world, struct store_take *takes, size_t count);
enum store_outcome settle(struct world *world, struct owner *owner,
                          struct store_settlement *settlement);
void settle_several(struct world *world, struct store_settlement *settlements, size_t count,
                    enum store_outcome *outcomes);
enum store_outcome settle_next(struct world *world, struct owner *owner);

/* The body of an entry is its token and the token of the one before. */
struct ledger_body {
    uint64_t token, before;
};

struct store_ledger read_from(struct world *world, const struct owner *owner);
struct store_ledger read_whole(struct world *world, int64_t subscription);
struct store_ledger_head head_of(struct world *world, int64_t subscription);
struct store_dead_letters dead_page(struct world *world, struct store_dead_letters list);

/* Makes all entries two minutes older, and removals: what stores keep for a minute may go. */
void let_entries_age(struct world *world);

#endif
