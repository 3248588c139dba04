/* When and how much is moved, and what is told meanwhile; see moving.h. */
#include "store/moving.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/items.h"

#define ATTEMPT_MS 1000 /* then the caller may have been told to stop */
#define RETRY_MS 50
/* A slice takes about so long, whatever the payloads and the disk are; it never holds more events.
 */
#define SLICE_MIN_MS 100
#define SLICE_MAX_MS 300
#define SLICE_EVENTS 8192

/* Writes "1,234,567". */
static void format_number(int64_t number, char text[32])
{
    char digits[24];
    int count = snprintf(digits, sizeof(digits), "%lld", (long long)number);
    char *end = text;
    CHECK(number >= 0);
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            *end++ = ',';
        *end++ = digits[i];
    }
    *end = '\0';
}

/* Seconds, from the speed so far. */
static int64_t time_left(const struct store_moving *moving)
{
    int64_t took_ms = clock_monotonic_ms() - moving->started_ms;
    int64_t moved = moving->moved - moving->first;
    int64_t left = moving->total - moving->moved;
    return moved > 0 && left > 0 ? left * took_ms / moved / 1000 + 1 : 1;
}

static void format_time(int64_t seconds, char text[32])
{
    if (seconds < 100)
        snprintf(text, 32, "%lld second%s", (long long)seconds, seconds == 1 ? "" : "s");
    else if (seconds < 100 * 60)
        snprintf(text, 32, "%lld minutes", (long long)(seconds + 30) / 60);
    else
        snprintf(text, 32, "%lld hours", (long long)(seconds + 1800) / 3600);
}

static enum store_result tell(const struct store_moving *moving, struct status *status)
{
    char total[32];
    char left[32];
    format_number(moving->total, total);
    format_time(time_left(moving), left);
    int64_t percent = moving->total > 0 ? moving->moved * 100 / moving->total : 0;
    if (moving->moved == 0)
        store_unavailable(status, "moving the events into the log");
    else
        store_unavailable(status, "moving the events into the log: %lld %% of %s, about %s left",
                          (long long)(percent > 99 ? 99 : percent), total, left);
    status->retry_delay_ms = RETRY_MS;
    return STORE_UNAVAILABLE;
}

static void announce(struct store *store)
{
    struct store_moving *moving = &store->moving;
    if (!moving->announced)
        log_info("moving the events into the log; nothing is served until that is done",
                 {"store", store->description}, {"events", NULL, (double)moving->total},
                 {"moved", NULL, (double)moving->moved},
                 {"seconds_left", NULL, (double)time_left(moving)});
    moving->announced = true;
}

static enum store_result start(struct store_moving *moving, const struct store_mover *mover,
                               void *connection, struct status *status)
{
    if (moving->size > 0)
        return STORE_OK;
    enum store_result result = mover->count(connection, &moving->total, status);
    if (result != STORE_OK)
        return result;
    moving->started_ms = clock_monotonic_ms();
    moving->size = STORE_BLOCK;
    return STORE_OK;
}

static enum store_result move_slice(struct store_moving *moving, const struct store_mover *mover,
                                    void *connection, bool *done, struct status *status)
{
    struct store_slice slice = {0};
    int64_t started_ms = clock_monotonic_ms();
    enum store_result result = mover->move(connection, moving->size, &slice, status);
    int64_t took_ms = clock_monotonic_ms() - started_ms;
    *done = slice.done;
    if (result == STORE_OK && !slice.done) {
        CHECK(slice.events > 0 && slice.events <= moving->size);
        if (moving->moved == 0)
            moving->first = slice.newest - slice.events;
        moving->moved = slice.newest;
    }
    if (result == STORE_OK && took_ms < SLICE_MIN_MS && moving->size < SLICE_EVENTS)
        moving->size *= 2;
    else if ((result != STORE_OK || took_ms > SLICE_MAX_MS) && moving->size > 1)
        moving->size /= 2;
    return result;
}

static enum store_result move_for_a_while(struct store *store, const struct store_mover *mover,
                                          void *connection, struct status *status)
{
    struct store_moving *moving = &store->moving;
    int64_t until_ms = clock_monotonic_ms() + ATTEMPT_MS;
    bool done = false;
    enum store_result result = start(moving, mover, connection, status);
    while (result == STORE_OK && !done && clock_monotonic_ms() < until_ms)
        result = move_slice(moving, mover, connection, &done, status);
    if (result != STORE_OK)
        return result;
    if (!done) {
        announce(store);
        return tell(moving, status);
    }
    if (moving->moved > 0)
        log_info("moved the events into the log", {"store", store->description},
                 {"events", NULL, (double)moving->moved},
                 {"seconds", NULL, (double)(clock_monotonic_ms() - moving->started_ms) / 1000});
    moving->moved = 0; /* another session may find the same */
    return STORE_OK;
}

enum store_result store_move(struct store *store, const struct store_mover *mover, void *connection,
                             struct status *status)
{
    bool needed = false;
    enum store_result result = mover->is_needed(connection, &needed, status);
    if (result != STORE_OK || !needed)
        return result;
    bool waited = pthread_mutex_trylock(&store->moving.lock) != 0;
    if (waited) {
        pthread_mutex_lock(&store->moving.lock);
        result = mover->is_needed(connection, &needed, status);
    }
    if (result == STORE_OK && needed)
        result = waited ? tell(&store->moving, status)
                        : move_for_a_while(store, mover, connection, status);
    pthread_mutex_unlock(&store->moving.lock);
    return result;
}
