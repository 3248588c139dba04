/* What is wrong with a request, in words. */
#include "service/request_checks.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define MAX_COUNT 1000

bool request_refuse(struct call *call, const char *reason, const char *field,
                    const char *description)
{
    struct status status;
    struct field_violation violation = {field, description};
    status_fail(&status, STATUS_INVALID_ARGUMENT, reason, "%s %s", field, description);
    call_fail(call, &status, &violation, 1);
    return false;
}

bool request_check_range(struct call *call, const char *reason, const char *field, uint32_t value,
                         uint32_t least, uint32_t most)
{
    char text[64];
    if (value >= least && value <= most)
        return true;
    snprintf(text, sizeof(text), "must be %u to %u", least, most);
    return request_refuse(call, reason, field, text);
}

bool request_check_length(struct call *call, const char *reason, const char *field,
                          const char *text, size_t most)
{
    size_t size = strlen(text), count = 0;
    uint32_t character;
    for (const char *at = text; at < text + size; at += text_next(at, text + size, &character))
        count++;
    if (count <= most)
        return true;
    char told[64];
    snprintf(told, sizeof(told), "must have at most %zu characters", most);
    return request_refuse(call, reason, field, told);
}

bool request_check_count(struct call *call, const char *field, size_t count)
{
    if (count >= 1 && count <= MAX_COUNT)
        return true;
    struct status status;
    struct field_violation violation = {field, "must have 1 to 1000 elements"};
    status_fail(&status, STATUS_INVALID_ARGUMENT, "BATCH_SIZE_INVALID",
                "%s must have 1 to %d elements, has %zu", field, MAX_COUNT, count);
    call_fail(call, &status, &violation, 1);
    return false;
}
