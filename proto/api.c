/* The table of methods. */
#include "api.h"

#include <stdlib.h>
#include <string.h>

#include "triggers/health/v1/health.pb-c.h"
#include "triggers/stats/v1/stats.pb-c.h"
#include "triggers/v1/access.pb-c.h"
#include "triggers/v1/events.pb-c.h"
#include "triggers/v1/subscriptions.pb-c.h"

#define METHOD(enumerator, full_name, short, service_type, number, request_type, response_type,    \
               scope_name, is_repeatable, does_wait)                                               \
    [API_##enumerator] = {                                                                         \
        .name = full_name,                                                                         \
        .short_name = short,                                                                       \
        .service = &service_type##__descriptor,                                                    \
        .index = number,                                                                           \
        .request = &request_type##__descriptor,                                                    \
        .response = &response_type##__descriptor,                                                  \
        .scope = TRIGGERS__API__V1__SCOPE__SCOPE_##scope_name,                                     \
        .repeatable = is_repeatable,                                                               \
        .waits = does_wait,                                                                        \
    },
const struct api_method api_methods[] = {API_METHOD_LIST(METHOD)};

static int compare_name(const void *name, const void *method)
{
    return strcmp(name, ((const struct api_method *)method)->name);
}

const struct api_method *api_find_method(const char *name)
{
    return bsearch(name, api_methods, API_METHOD_COUNT, sizeof(api_methods[0]), compare_name);
}

uint32_t *api_wait_ms(const struct api_method *method, const ProtobufCMessage *request)
{
    if (!method->waits)
        return NULL;
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(method->request, "wait_ms");
    return field ? (uint32_t *)((char *)request + field->offset) : NULL;
}
