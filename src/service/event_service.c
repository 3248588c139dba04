/* The table that the dispatcher holds. */
#include "service/event_service.h"

void event_service_init(struct event_service *service, struct writer *writer,
                        struct readers *readers, struct waiters *waiters, struct access *access,
                        const struct payload_rules *payloads)
{
    *service = (struct event_service){
        .base = TRIGGERS__V1__EVENT_SERVICE__INIT(event_service_),
        .writer = writer,
        .readers = readers,
        .waiters = waiters,
        .access = access,
        .payloads = *payloads,
    };
}
