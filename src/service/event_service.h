/* triggers.v1.EventService: requests to domain operations, their outcomes to responses. */
#ifndef TRIGGERS_SERVICE_EVENT_SERVICE_H
#define TRIGGERS_SERVICE_EVENT_SERVICE_H

#include "access/access.h"
#include "events/readers.h"
#include "events/rules.h"
#include "events/waiters.h"
#include "events/writer.h"
#include "rpc/call.h"
#include "triggers/v1/events.pb-c.h"

struct event_service {
    Triggers__V1__EventService_Service base; /* first: what the dispatcher holds */
    struct writer *writer;
    struct readers *readers;
    struct waiters *waiters;
    struct access *access; /* NULL: what is erased is not recorded */
    struct payload_rules payloads;
};

/* The handlers answer from any thread; writer, readers, waiters and access must outlive the last
 * answer. */
void event_service_init(struct event_service *service, struct writer *writer,
                        struct readers *readers, struct waiters *waiters, struct access *access,
                        const struct payload_rules *payloads);

/* The handlers, named by the generated initialiser: writes in event_writes.c, reads in
 * event_reads.c and event_log.c. `call` is the struct call to answer; the closures are not used. */
#define EVENT_HANDLER(name, Message)                                                               \
    void event_service_##name(Triggers__V1__EventService_Service *service,                         \
                              const Triggers__V1__##Message##Request *request,                     \
                              Triggers__V1__##Message##Response_Closure closure, void *call)
EVENT_HANDLER(create_event, CreateEvent);
EVENT_HANDLER(batch_create_events, BatchCreateEvents);
EVENT_HANDLER(get_event, GetEvent);
EVENT_HANDLER(list_inbox, ListInbox);
EVENT_HANDLER(list_events, ListEvents);
EVENT_HANDLER(list_kinds, ListKinds);
EVENT_HANDLER(ack_event, AckEvent);
EVENT_HANDLER(batch_ack_events, BatchAckEvents);
EVENT_HANDLER(erase_event, EraseEvent);

#endif
