/* triggers.health.v1.Health, after grpc.health.v1. */
#ifndef TRIGGERS_SERVICE_HEALTH_SERVICE_H
#define TRIGGERS_SERVICE_HEALTH_SERVICE_H

#include "access/access.h"
#include "events/lane.h"
#include "triggers/health/v1/health.pb-c.h"

enum { HEALTH_LANES = 4 };

struct health_service {
    Triggers__Health__V1__Health_Service base; /* first: what the dispatcher holds */
    struct lane *lanes[HEALTH_LANES];
    struct access *access;
    const char *store_name, *auth; /* static */
};

/* `lanes` are all there are: while one has no session, others keep theirs to one each for it.
 * `access` may be NULL: no keys are to be known.
 * `auth` says whether calls need one: "off", "optional" or "required". */
void health_service_init(struct health_service *service, struct lane *const lanes[HEALTH_LANES],
                         struct access *access, const char *store_name, const char *auth);

#endif
