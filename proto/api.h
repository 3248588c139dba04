/* The methods of the protocol, with what the .proto files say of each beside its messages
 * (triggers/api/v1/options.proto). Dispatch, metrics, the client library and the bridge share this
 * table; nothing else lists methods. Constant data, made at build time by proto/methods.py. */
#ifndef TRIGGERS_API_H
#define TRIGGERS_API_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "api_methods.h"
#include "triggers/api/v1/options.pb-c.h"

/* The longest deadline that a server gives a call, in milliseconds; also that of a caller who gives
 * none. */
#define API_MAX_TIMEOUT_MS 30000

struct api_method {
    const char *name;                          /* "package.Service/Method" */
    const char *short_name;                    /* "Method", which no two methods share */
    const ProtobufCServiceDescriptor *service; /* which has it at `index` */
    unsigned index;
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    Triggers__Api__V1__Scope scope; /* what the caller's key must allow */
    bool repeatable; /* a client may send it again when it does not know its outcome */
    bool waits;      /* silence up to the deadline is no sign of trouble */
};

/* API_CREATE_EVENT and so on, the places of the methods in the table. */
#define API_ENUMERATOR(name, ...) API_##name,
enum { API_METHOD_LIST(API_ENUMERATOR) API_METHOD_COUNT };

/* By name, in the order of strcmp. */
extern const struct api_method api_methods[API_METHOD_COUNT];

/* The method with that full name, or NULL. */
const struct api_method *api_find_method(const char *name);

/* Where a request of the method says for how many milliseconds it may wait; NULL: the method does
 * not wait. */
uint32_t *api_wait_ms(const struct api_method *method, const ProtobufCMessage *request);

#endif
