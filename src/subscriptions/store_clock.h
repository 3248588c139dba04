/* The store's clock as a core knows it: what it was told last, and its own monotonic clock since
 * then. So steps of the core's own clock do not matter, and steps of the store's are heard of with
 * the next answer. Any thread; times are microseconds. */
#ifndef TRIGGERS_SUBSCRIPTIONS_STORE_CLOCK_H
#define TRIGGERS_SUBSCRIPTIONS_STORE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct store_clock {
    atomic_bool told;              /* what it is */
    atomic_int_fast64_t offset_us; /* from the monotonic one, at least; */
    atomic_int_fast64_t late_us;   /* at most this more */
    atomic_int_fast64_t noted_us;  /* monotonic; when that was heard */
    atomic_uint_fast64_t turns;    /* how often it was found to have been set back */
    atomic_int_fast64_t turned_us; /* by how much the last time */
};

/* Not told yet: by this machine's clock. */
void store_clock_init(struct store_clock *clock);

/* It was `now_us` some time since the store was asked, at `asked_us` (monotonic). */
void store_clock_note(struct store_clock *clock, int64_t now_us, int64_t asked_us);

/* What it is at least. The answer is as old as its way was long, so leases end a little late by
 * this, never early. */
int64_t store_clock_now_us(const struct store_clock *clock);

/* What it is at most. */
int64_t store_clock_latest_us(const struct store_clock *clock);

#endif
