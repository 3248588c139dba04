#include "cap_options.h"

#include <inttypes.h>
#include <stdio.h>

#include "access_calls.h"

long cap_pending = -1;
long cap_bytes = -1;
long cap_subscriptions = -1;
long cap_waiting = -1;
long cap_outstanding = -1;

Triggers__V1__Caps *caps_asked(Triggers__V1__Caps *caps)
{
    triggers__v1__caps__init(caps);
    caps->pending_events = cap_pending > 0 ? (uint64_t)cap_pending : 0;
    caps->storage_bytes = cap_bytes > 0 ? (uint64_t)cap_bytes : 0;
    caps->subscriptions = cap_subscriptions > 0 ? (uint32_t)cap_subscriptions : 0;
    caps->waiting_calls = cap_waiting > 0 ? (uint32_t)cap_waiting : 0;
    caps->outstanding = cap_outstanding > 0 ? (uint32_t)cap_outstanding : 0;
    bool given = cap_pending >= 0 || cap_bytes >= 0 || cap_subscriptions >= 0 || cap_waiting >= 0 ||
                 cap_outstanding >= 0;
    return given ? caps : NULL;
}

/* "pending events: 12 of 1000", "pending events: 12" or "pending events: at most 1000". */
static void print_amount(const char *what, const uint64_t *has, uint64_t most)
{
    char text[96];
    if (has && most > 0)
        snprintf(text, sizeof(text), "%s: %" PRIu64 " of %" PRIu64, what, *has, most);
    else if (has)
        snprintf(text, sizeof(text), "%s: %" PRIu64, what, *has);
    else
        snprintf(text, sizeof(text), "%s: at most %" PRIu64, what, most);
    if (has || most > 0)
        access_print_part(has ? "has" : "cap", text);
}

void caps_print(const Triggers__V1__Caps *caps, const Triggers__V1__Usage *usage)
{
    const Triggers__V1__Caps none = TRIGGERS__V1__CAPS__INIT;
    uint64_t subscriptions = usage ? usage->subscriptions : 0;
    caps = caps ? caps : &none;
    print_amount("pending events", usage ? &usage->pending_events : NULL, caps->pending_events);
    print_amount("bytes", usage ? &usage->storage_bytes : NULL, caps->storage_bytes);
    print_amount("subscriptions", usage ? &subscriptions : NULL, caps->subscriptions);
    print_amount("waiting calls", NULL, caps->waiting_calls);
    print_amount("outstanding deliveries", NULL, caps->outstanding);
}
