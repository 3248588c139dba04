/* What a call may see and do: it has one, and it goes down to every statement of the store. */
#ifndef TRIGGERS_BASE_SCOPE_H
#define TRIGGERS_BASE_SCOPE_H

#include <stdint.h>

struct scope {
    int64_t tenant;  /* whose events these are */
    uint64_t rights; /* one bit each */
};

/* Of calls that name no key: the tenant whom everything belongs to, and every right. */
#define SCOPE_DEFAULT ((struct scope){0, UINT64_MAX})

#endif
