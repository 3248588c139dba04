/* Envelope decoding, metadata, deadline, lookup by name. */
#include "rpc/dispatch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rpc/wire.h"
#include "triggers/rpc/v1/envelope.pb-c.h"

void dispatcher_init(struct dispatcher *dispatcher, ProtobufCService *const *services)
{
    size_t number = 0;
    dispatcher->services = services;
    atomic_init(&dispatcher->stopping, false);
    for (; *services; services++) {
        /* protobuf-c lays the generated handlers out right behind the base, one per method. */
        void (*const *handlers)(void) = (void (*const *)(void))(*services + 1);
        for (unsigned i = 0; i < (*services)->descriptor->n_methods; i++) {
            assert(handlers[i]);
            call_name_method(++number, (*services)->descriptor->methods[i].name);
        }
    }
}

static void refuse(struct call *call, enum status_code code, const char *reason,
                   const char *message)
{
    struct status status;
    status_fail(&status, code, reason, "%s", message);
    if (code == STATUS_UNAVAILABLE)
        status.retry_delay_ms = 1000;
    call_fail(call, &status, NULL, 0);
}

/* Checks and unpacks; NULL after having answered the call. */
static ProtobufCMessage *unpack(struct call *call, const ProtobufCMessageDescriptor *type,
                                const uint8_t *bytes, size_t size, const char *reason)
{
    struct status status;
    if (!wire_check(type, bytes, size, reason, &status)) {
        call_fail(call, &status, NULL, 0);
        return NULL;
    }
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &call->allocator, size, bytes);
    if (message)
        return message;
    /* Well-formed bytes fail to unpack when a field has another wire type, or without memory; an
     * arena that could not hold a message of this size was filled by it. */
    if (call->arena.exhausted) {
        call_fail_no_memory(call);
        return NULL;
    }
    status_fail(&status, STATUS_INVALID_ARGUMENT, reason,
                "a field of the %s message has another type than the .proto file says", type->name);
    call_fail(call, &status, NULL, 0);
    return NULL;
}

static const char *metadata_value(const Triggers__Rpc__V1__Request *envelope, const char *key)
{
    for (size_t i = 0; i < envelope->n_metadata; i++) {
        if (strcmp(envelope->metadata[i]->key, key) == 0)
            return envelope->metadata[i]->value;
    }
    return "";
}

static bool is_visible_ascii(const char *text)
{
    for (; *text; text++) {
        if (*text < '!' || *text > '~')
            return false;
    }
    return true;
}

static void take_request_id(struct call *call, const Triggers__Rpc__V1__Request *envelope)
{
    const char *given = metadata_value(envelope, "request-id");
    if (*given && strlen(given) < CALL_REQUEST_ID_SIZE && is_visible_ascii(given)) {
        strcpy(call->request_id, given);
        return;
    }
    static const char digits[] = "0123456789abcdef";
    uint8_t made[8];
    random_fill(made, sizeof(made));
    char *end = call->request_id;
    for (size_t i = 0; i < sizeof(made); i++) {
        *end++ = digits[made[i] >> 4];
        *end++ = digits[made[i] & 15];
    }
    *end = '\0';
}

/* Finds "package.Service/Method"; `number` is that of call_name_method. */
static ProtobufCService *find_method(const struct dispatcher *dispatcher, const char *name,
                                     unsigned *index, size_t *number)
{
    const char *slash = strchr(name, '/');
    if (!slash)
        return NULL;
    size_t service_length = (size_t)(slash - name);
    size_t before = 0; /* methods of the services before this one */
    for (ProtobufCService *const *service = dispatcher->services; *service; service++) {
        const ProtobufCServiceDescriptor *type = (*service)->descriptor;
        if (strlen(type->name) != service_length || memcmp(type->name, name, service_length) != 0) {
            before += type->n_methods;
            continue;
        }
        const ProtobufCMethodDescriptor *method =
            protobuf_c_service_descriptor_get_method_by_name(type, slash + 1);
        if (!method)
            return NULL;
        *index = (unsigned)(method - type->methods);
        *number = before + *index + 1;
        return *service;
    }
    return NULL;
}

/* Handlers answer through the call, which carries the status that a closure cannot. */
static void unused_closure(const ProtobufCMessage *message, void *closure_data)
{
    (void)message;
    (void)closure_data;
    abort(); /* handlers answer with call_reply or call_fail */
}

static void invoke(struct dispatcher *dispatcher, struct call *call,
                   const Triggers__Rpc__V1__Request *envelope)
{
    unsigned index;
    ProtobufCService *service =
        find_method(dispatcher, envelope->method, &index, &call->method_number);
    if (!service) {
        refuse(call, STATUS_UNIMPLEMENTED, "METHOD_UNKNOWN",
               "no such method; methods are named package.Service/Method, such as "
               "triggers.v1.EventService/CreateEvent");
        return;
    }
    const ProtobufCMethodDescriptor *method = &service->descriptor->methods[index];
    call->method = method->name;
    /* After all that the log line of an expired call shows. */
    uint32_t timeout = envelope->timeout_ms;
    if (timeout == 0 || timeout > RPC_MAX_TIMEOUT_MS)
        timeout = RPC_MAX_TIMEOUT_MS;
    atomic_store(&call->deadline_ms, call->started_us / 1000 + timeout);
    ProtobufCMessage *request =
        unpack(call, method->input, envelope->body.data, envelope->body.len, "REQUEST_MALFORMED");
    if (request)
        service->invoke(service, index, request, unused_closure, call);
}

void dispatch(struct dispatcher *dispatcher, struct call *call, const uint8_t *bytes, size_t size)
{
    call_begin(call);
    if (size > RPC_MAX_MESSAGE) {
        refuse(call, STATUS_INVALID_ARGUMENT, "MESSAGE_TOO_LARGE",
               "the message is over 8 MiB; send smaller batches");
        return;
    }
    ProtobufCMessage *message =
        unpack(call, &triggers__rpc__v1__request__descriptor, bytes, size, "ENVELOPE_MALFORMED");
    if (!message)
        return;
    const Triggers__Rpc__V1__Request *envelope = (const Triggers__Rpc__V1__Request *)message;
    take_request_id(call, envelope);
    call->client = metadata_value(envelope, "client");
    call->traceparent = metadata_value(envelope, "traceparent");
    if (!envelope->method[0]) {
        refuse(call, STATUS_INVALID_ARGUMENT, "METHOD_MISSING",
               "the envelope names no method; send a triggers.rpc.v1.Request");
    } else if (atomic_load(&dispatcher->stopping)) {
        refuse(call, STATUS_UNAVAILABLE, "STOPPING",
               "the server is stopping; try another or again");
    } else {
        invoke(dispatcher, call, envelope);
    }
}

void dispatch_refuse_busy(struct call *call)
{
    call_begin(call);
    call_fail_busy(call);
}
