/* The limits of waiting. */
#include "service/parking.h"

#include "base/clock.h"

#define MAX_WAIT_MS 20000

/* A call that waits is answered this long before its deadline, or after three quarters of the time
 * until then. */
#define ANSWER_MS 500

int64_t parking_until_ms(const struct call *call, uint32_t wait_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t left_ms = atomic_load(&call->deadline_ms) - now_ms;
    int64_t most_ms = left_ms - (left_ms < 4 * ANSWER_MS ? left_ms / 4 : ANSWER_MS);
    if (most_ms > MAX_WAIT_MS)
        most_ms = MAX_WAIT_MS;
    return now_ms + (wait_ms < most_ms ? wait_ms : most_ms);
}

void parking_refuse(struct call *call)
{
    struct status status;
    status_fail(&status, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_WAITERS",
                "too many calls wait for events; ask again later, or without waiting");
    status.retry_delay_ms = 1000;
    call_fail(call, &status, NULL, 0);
}
