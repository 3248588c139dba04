/* What a program holds for its callers, under one ceiling and in fair shares. All memory that input
 * can make it hold is charged when it is held, not when it is announced, and released when it is
 * freed. Any thread; nothing here waits. */
#ifndef TRIGGERS_BASE_BUDGET_H
#define TRIGGERS_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* A charge of at most so many bytes is small. The last quarter of a budget is for small ones, so
 * that an ordinary create is served while large messages use up the rest. */
#define BUDGET_SMALL 16384

struct budget {
    atomic_size_t held;             /* bytes */
    atomic_size_t ceiling;          /* the most that `held` may reach; it may change at any time */
    atomic_int_fast64_t refused_ms; /* monotonic; when a charge was refused last because of
                                       what others held; 0: never */
};

/* One caller's part of a budget: a connection's, an address's. */
struct budget_share {
    struct budget *budget;
    atomic_size_t held;
};

/* What one message, call or answer holds. One owner at a time. With only `share` set and the rest
 * zero it holds nothing. */
struct charge {
    struct budget_share *share; /* outlives what is charged to it; NULL: no limit */
    size_t held;
    bool urgent; /* may use the part for small ones, however much it holds */
};

/* Holds `size` more bytes. False, with no more held than before, when the ceiling is reached or,
 * for a charge that is not small, when its caller would hold over three times what it leaves to
 * others. So a single caller gets three quarters of what there is for large ones, and two get three
 * sevenths each. */
bool charge_add(struct charge *charge, size_t size);

/* The same for what is kept for long, as by calls that wait: in the first half of the budget, and
 * not over three times what its caller leaves of that to others. */
bool charge_add_lasting(struct charge *charge, size_t size);

/* Holds `size` bytes less; at most charge->held. */
void charge_release(struct charge *charge, size_t size);

/* Whether others may soon be refused: more is held than a single caller may hold in large charges.
 */
bool budget_is_short(const struct budget *budget);

/* How much may go on being held by those who keep memory for longer than they need: the others must
 * be cut off. Less when a charge was refused in the last moments, however little seems to be
 * held: it needed more than there is. SIZE_MAX: as much as they like. */
size_t budget_bearable(const struct budget *budget);

#endif
