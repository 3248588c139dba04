/* What callers changed or removed, for the audit records: see access/managing.h. */
#ifndef TRIGGERS_SERVICE_RECORDING_H
#define TRIGGERS_SERVICE_RECORDING_H

#include "access/access.h"
#include "rpc/call.h"

/* Notes what came of a call, which is not answered yet, and what it was about, unless that is not
 * there. `access` may be NULL: nothing is noted. */
void recording_note(struct access *access, const struct call *call, const char *target,
                    enum status_code result);

#endif
