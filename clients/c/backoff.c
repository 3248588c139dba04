/* Random waits: many clients that lost the same core do not come back at the same moment. */
#include "backoff.h"

#include "base/check.h"
#include "base/clock.h"

uint32_t backoff_next_ms(uint32_t *span_ms, uint32_t most_ms)
{
    CHECK(*span_ms > 0 && *span_ms <= most_ms);
    uint32_t half = *span_ms / 2;
    uint32_t chance;
    random_fill(&chance, sizeof(chance));
    *span_ms = *span_ms * 2 < most_ms ? *span_ms * 2 : most_ms;
    return half + chance % (half + 1);
}
