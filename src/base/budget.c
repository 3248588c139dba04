/* Two counters: each is increased first, and decreased again when that was too much. */
#include "base/budget.h"

#include "base/check.h"
#include "base/clock.h"

#define SHARE_OF_REST 3
#define MOMENTS_MS 1000

/* Whether there is room for others below the limit. */
static bool is_fair(size_t limit, size_t held, size_t by_caller)
{
    return held <= limit && by_caller / SHARE_OF_REST <= limit - held;
}

static bool fits(size_t ceiling, const struct charge *charge, size_t held, size_t by_caller)
{
    if (charge->urgent || charge->held <= BUDGET_SMALL)
        return held <= ceiling;
    return is_fair(ceiling / 4 * 3, held, by_caller);
}

/* When it is what others hold that keeps the caller from it, who asks again. */
static void note_refused(struct budget *budget, size_t ceiling, size_t held, size_t by_caller)
{
    if (held > by_caller + ceiling / 8)
        atomic_store(&budget->refused_ms, clock_monotonic_ms());
}

bool charge_add(struct charge *charge, size_t size)
{
    struct budget_share *share = charge->share;
    charge->held += size;
    if (!share)
        return true;
    struct budget *budget = share->budget;
    CHECK(budget && share->held >= charge->held - size);
    size_t ceiling = atomic_load(&budget->ceiling);
    if (size > ceiling) {
        charge->held -= size;
        return false;
    }
    size_t by_caller = atomic_fetch_add(&share->held, size) + size;
    size_t held = atomic_fetch_add(&budget->held, size) + size;
    if (fits(ceiling, charge, held, by_caller))
        return true;
    note_refused(budget, ceiling, held, by_caller);
    charge_release(charge, size);
    return false;
}

bool charge_add_lasting(struct charge *charge, size_t size)
{
    struct budget_share *share = charge->share;
    if (!charge_add(charge, size))
        return false;
    if (!share || is_fair(share->budget->ceiling / 2, share->budget->held, share->held))
        return true;
    charge_release(charge, size);
    return false;
}

void charge_release(struct charge *charge, size_t size)
{
    CHECK(size <= charge->held);
    charge->held -= size;
    if (!charge->share)
        return;
    CHECK(atomic_fetch_sub(&charge->share->held, size) >= size);
    CHECK(atomic_fetch_sub(&charge->share->budget->held, size) >= size);
}

bool budget_is_short(const struct budget *budget)
{
    return budget->held > budget->ceiling / 8 * 5;
}

size_t budget_bearable(const struct budget *budget)
{
    int64_t refused_ms = atomic_load(&budget->refused_ms);
    if (refused_ms != 0 && clock_monotonic_ms() - refused_ms < MOMENTS_MS)
        return budget->ceiling / 8;
    return budget_is_short(budget) ? budget->ceiling / 2 : SIZE_MAX;
}
