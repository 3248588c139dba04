/* What is counted of access, for the whole process. */
#ifndef TRIGGERS_ACCESS_ACCESS_METRICS_H
#define TRIGGERS_ACCESS_ACCESS_METRICS_H

#include "base/metrics.h"

/* Columns of access_refusals. */
enum access_refusal {
    REFUSED_MISSING,
    REFUSED_INVALID,
    REFUSED_TOO_MANY,
    REFUSED_SUSPENDED,
    REFUSED_UNKNOWN,
    REFUSED_RATE,
    REFUSAL_COUNT
};

extern struct metric access_refusals, access_tenants, access_keys, access_keys_expiring;

#endif
