/* For whom a call is made, so that callers can be served in turn. Only the numbers tell two callers
 * apart. */
#ifndef TRIGGERS_BASE_CALLER_H
#define TRIGGERS_BASE_CALLER_H

#include <stdint.h>

struct caller {
    uint64_t connection; /* number of the connection; 0: the program itself */
    uint64_t
        client; /* one of the clients that the connection carries calls for; 0: it names none */
};

#endif
