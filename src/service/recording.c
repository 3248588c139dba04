/* A call as a deed. */
#include "service/recording.h"

#include <string.h>

#include "access/managing.h"

void recording_note(struct access *access, const struct call *call, const char *target,
                    enum status_code result)
{
    if (!access || result == STATUS_NOT_FOUND || result == STATUS_INVALID_ARGUMENT)
        return; /* nothing was to be changed; whoever asks again and again fills no store */
    access_record(access, &(struct access_deed){
                              .scope = call->scope,
                              .pass = call->pass,
                              .action = call->method->short_name,
                              .target = {target, strlen(target)},
                              .result = result,
                              .request_id = call->request_id,
                              .address = call->address,
                          });
}
