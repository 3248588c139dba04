#include "subscriptions/store_clock.h"

#include "base/clock.h"
#include "base/log.h"

/* Leases last longer by a step back that is shorter, as it may be two clocks that differ in speed.
 */
#define STEP_US INT64_C(1000000)

void store_clock_init(struct store_clock *clock)
{
    atomic_store(&clock->offset_us, clock_now_us() - clock_monotonic_us());
}

void store_clock_note(struct store_clock *clock, int64_t now_us, int64_t asked_us)
{
    int64_t monotonic_us = clock_monotonic_us();
    int64_t late_us = monotonic_us - asked_us;
    int64_t offset_us = now_us - monotonic_us;
    /* What was asked before the last answer may be from before a step back, which would end all
     * leases; a step forward is heard of with the next answer. */
    if (atomic_load(&clock->told) && asked_us < atomic_load(&clock->noted_us) &&
        offset_us - atomic_load(&clock->offset_us) > STEP_US)
        return;
    atomic_store(&clock->noted_us, monotonic_us);
    int64_t back_us = atomic_exchange(&clock->offset_us, offset_us) - (offset_us + late_us);
    atomic_store(&clock->late_us, late_us);
    if (!atomic_exchange(&clock->told, true) || back_us <= STEP_US)
        return;
    atomic_store(&clock->turned_us, back_us);
    atomic_fetch_add(&clock->turns, 1);
    log_warning("the store's clock was set back; no lease lasts longer than it was given for",
                {"seconds", NULL, (double)back_us / 1e6});
}

int64_t store_clock_now_us(const struct store_clock *clock)
{
    return clock_monotonic_us() + atomic_load(&clock->offset_us);
}

int64_t store_clock_latest_us(const struct store_clock *clock)
{
    return store_clock_now_us(clock) + atomic_load(&clock->late_us);
}
