/* The limits of waiting. */
#include "service/parking.h"

#include "base/clock.h"

#define MAX_WAIT_MS 20000

int64_t parking_until_ms(const struct call *call, uint32_t wait_ms)
{
    /* The clock has no parts of a millisecond, and nobody is answered before what he asked for. */
    int64_t until_ms = clock_monotonic_ms() + 1 + (wait_ms < MAX_WAIT_MS ? wait_ms : MAX_WAIT_MS);
    int64_t answer_by_ms = call_answer_by_ms(call);
    return until_ms < answer_by_ms ? until_ms : answer_by_ms;
}

void parking_refuse(struct call *call)
{
    struct status status;
    status_fail(&status, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_WAITERS",
                "too many calls wait for events; ask again later, or without waiting");
    status.retry_delay_ms = 1000;
    call_fail(call, &status, NULL, 0);
}
