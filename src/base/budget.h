/* What a program holds for its callers, against one ceiling and in fair shares. Whatever input can
 * make it hold is charged when it is held, not when it is announced, and released with it. Any
 * thread; nothing here waits. */
#ifndef TRIGGERS_BASE_BUDGET_H
#define TRIGGERS_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* What holds no more than this is small. The last quarter of a budget is for the small ones, so
 * that an ordinary create is served while large messages use up the rest. */
#define BUDGET_SMALL 16384

struct budget {
    atomic_size_t held;    /* bytes */
    atomic_size_t ceiling; /* most that `held` may reach; it may change meanwhile */
};

/* One caller's part of a budget: a connection's, an address's. */
struct budget_share {
    struct budget *budget;
    atomic_size_t held;
};

/* What one message, call or answer holds. One owner at a time; zeroed but for `share`, it holds
 * nothing. */
struct charge {
    struct budget_share *share; /* outlives what is charged to it; NULL: no limit */
    size_t held;
    bool urgent; /* has a right to what is for small ones, whatever it holds */
};

/* Holds `size` more bytes; false, holding no more than before, when the ceiling is reached or, for
 * what is not small, when the caller would hold over three times what it leaves to others. So one
 * caller alone has three quarters of what there is for large ones, two have three sevenths each.
 */
bool charge_add(struct charge *charge, size_t size);

/* Holds `size` bytes less; at most charge->held. */
void charge_release(struct charge *charge, size_t size);

/* Whether others may soon be refused: more is held than one caller alone may hold in what is large.
 * Then whoever keeps memory longer than he needs is to be sent away. */
bool budget_is_short(const struct budget *budget);

#endif
