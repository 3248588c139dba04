/* triggers.health.v1.Health, after grpc.health.v1. */
#ifndef TRIGGERS_SERVICE_HEALTH_SERVICE_H
#define TRIGGERS_SERVICE_HEALTH_SERVICE_H

#include "events/readers.h"
#include "events/writer.h"
#include "triggers/health/v1/health.pb-c.h"

struct health_service {
    Triggers__Health__V1__Health_Service base; /* first: what the dispatcher holds */
    struct writer *writer;
    struct readers *readers;
    const char *store_name; /* static */
};

void health_service_init(struct health_service *service, struct writer *writer,
                         struct readers *readers, const char *store_name);

#endif
