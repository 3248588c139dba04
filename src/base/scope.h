/* What a call may see and do. Each call has one, and passes it down to every statement of the
 * store. */
#ifndef TRIGGERS_BASE_SCOPE_H
#define TRIGGERS_BASE_SCOPE_H

#include <stdint.h>

struct scope {
    int64_t tenant;  /* whose events it is about */
    uint64_t rights; /* one bit each */
};

/* For calls that name no key: the tenant that everything belongs to, and every right. */
#define SCOPE_DEFAULT ((struct scope){0, UINT64_MAX})

#endif
