/* Envelope, metadata, deadline, lookup by name. */
#include "rpc/dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hex.h"
#include "rpc/wire.h"
#include "triggers/rpc/v1/envelope.pb-c.h"

void dispatcher_init(struct dispatcher *dispatcher, ProtobufCService *const *services)
{
    *dispatcher = (struct dispatcher){.max_message = RPC_MAX_MESSAGE};
    for (; *services; services++) {
        /* protobuf-c puts the generated handlers right after the base, one per method. */
        void (*const *handlers)(void) = (void (*const *)(void))(*services + 1);
        size_t found = 0;
        for (size_t i = 0; i < API_METHOD_COUNT; i++) {
            if (api_methods[i].service != (*services)->descriptor)
                continue;
            CHECK(handlers[api_methods[i].index]);
            CHECK(!dispatcher->services[i]);
            dispatcher->services[i] = *services;
            found++;
        }
        CHECK(found == (*services)->descriptor->n_methods);
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

/* ---- the envelope ---- */

/* What is read from an envelope in place, so that nothing else of it costs memory. */
struct request_envelope {
    char method[128];
    uint64_t timeout_ms;
    struct wire_reader body;
    struct wire_reader authorization; /* `next` is NULL when there is none */
};

/* Copies a text, or as many whole characters of it as there is room for. */
static void take_text(char *out, size_t room, const struct wire_reader *text)
{
    CHECK(room > 0 && text->next <= text->end);
    size_t size = (size_t)(text->end - text->next);
    if (size >= room) {
        size = room - 1;
        while (size > 0 && (text->next[size] & 0xC0) == 0x80)
            size--;
    }
    if (size > 0)
        memcpy(out, text->next, size);
    out[size] = '\0';
}

/* FNV-1a, which tells texts apart unless somebody chose them to collide. A client that makes two of
 * its own callers collide has them served as one. */
static uint64_t number_of(const struct wire_reader *text)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (const uint8_t *byte = text->next; byte < text->end; byte++)
        hash = (hash ^ *byte) * 0x100000001B3u;
    return hash;
}

static bool is_visible_ascii(const char *text)
{
    for (; *text; text++) {
        if (*text < '!' || *text > '~')
            return false;
    }
    return true;
}

static void take_request_id(struct call *call, const struct wire_reader *value)
{
    take_text(call->request_id, sizeof(call->request_id), value);
    bool whole = strlen(call->request_id) == (size_t)(value->end - value->next);
    if (!whole || !is_visible_ascii(call->request_id))
        call->request_id[0] = '\0';
}

/* Only a bridge is believed to know where a call comes from. An address that does not fit is none:
 * it is not replaced by the bridge's. */
static void take_address(struct call *call, const struct wire_reader *value)
{
    if (!call->peer_is_bridge)
        return;
    take_text(call->address, sizeof(call->address), value);
    if (strlen(call->address) != (size_t)(value->end - value->next) ||
        !is_visible_ascii(call->address))
        call->address[0] = '\0';
}

static void take_metadata(struct call *call, struct wire_reader entry,
                          struct request_envelope *envelope)
{
    struct wire_field field;
    struct wire_reader value = {0};
    char key[16] = "";
    while (entry.next < entry.end && wire_next(&entry, &field)) {
        if (field.number == 1)
            take_text(key, sizeof(key), &field.content);
        else
            value = field.content;
    }
    if (strcmp(key, "request-id") == 0)
        take_request_id(call, &value);
    else if (strcmp(key, "client") == 0)
        take_text(call->client, sizeof(call->client), &value);
    else if (strcmp(key, "traceparent") == 0)
        take_text(call->traceparent, sizeof(call->traceparent), &value);
    else if (strcmp(key, "caller") == 0)
        call->caller.client = number_of(&value);
    else if (strcmp(key, "authorization") == 0)
        envelope->authorization = value.next ? value : (struct wire_reader){entry.next, entry.next};
    else if (strcmp(key, "address") == 0)
        take_address(call, &value);
}

/* The bytes are clean. When a field is given twice, the last one counts. */
static void read_envelope(struct call *call, struct wire_reader in,
                          struct request_envelope *envelope)
{
    struct wire_field field;
    *envelope = (struct request_envelope){0};
    if (call->peer_address)
        snprintf(call->address, sizeof(call->address), "%s", call->peer_address);
    while (in.next < in.end && wire_next(&in, &field)) {
        switch (field.number) {
        case 1: take_text(envelope->method, sizeof(envelope->method), &field.content); break;
        case 2: envelope->timeout_ms = (uint32_t)field.value; break;
        case 3: take_metadata(call, field.content, envelope); break;
        default: envelope->body = field.content; break;
        }
    }
    if (call->request_id[0])
        return;
    uint8_t made[8];
    random_fill(made, sizeof(made));
    hex_write(made, sizeof(made), call->request_id);
}

/* ---- the request ---- */

/* Handlers answer through the call, which carries the status that a closure cannot. */
static void unused_closure(const ProtobufCMessage *message, void *closure_data)
{
    (void)message;
    (void)closure_data;
    abort(); /* handlers answer with call_reply or call_fail */
}

/* "events:write", as the names of scopes are written for people; `name` is that of the enum. */
static void write_scope(const char *name, char *out, size_t room)
{
    static const char prefix[] = "SCOPE_";
    CHECK(strncmp(name, prefix, sizeof(prefix) - 1) == 0);
    snprintf(out, room, "%s", name + sizeof(prefix) - 1);
    for (char *at = out; *at; at++)
        *at = *at == '_' ? ':' : (char)(*at | 0x20);
}

/* False after having answered. */
static bool check_scope(const struct dispatcher *dispatcher, struct call *call)
{
    Triggers__Api__V1__Scope scope = call->method->scope;
    if (call->scope.rights >> scope & 1)
        return true;
    char name[64];
    struct status status;
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&triggers__api__v1__scope__descriptor, (int)scope);
    CHECK(value);
    write_scope(value->name, name, sizeof(name));
    status_fail(&status, STATUS_PERMISSION_DENIED, "SCOPE_MISSING",
                call->pass ? "the key lacks the scope %s, which %s needs"
                           : "without a key there is no scope %s, which %s needs",
                name, call->method->short_name);
    if (dispatcher->refused)
        dispatcher->refused(dispatcher->admit_context, call);
    call_fail(call, &status, NULL, 0);
    return false;
}

/* Whether the caller may call the method; false after having answered. What is for anyone needs no
 * key, but one that is given must be good. */
static bool admit(struct dispatcher *dispatcher, struct call *call,
                  const struct wire_reader *authorization)
{
    struct status status;
    bool for_anyone = call->method->scope == TRIGGERS__API__V1__SCOPE__SCOPE_NONE;
    if (!dispatcher->admit || (for_anyone && !authorization->next))
        return true;
    if (dispatcher->admit(dispatcher->admit_context, call, (const char *)authorization->next,
                          (size_t)(authorization->end - authorization->next), &status))
        return for_anyone || check_scope(dispatcher, call);
    call_fail(call, &status, NULL, 0);
    return false;
}

/* Answers the call, or has the handler do so. */
static void invoke(struct dispatcher *dispatcher, struct call *call,
                   const struct request_envelope *envelope)
{
    const struct api_method *method = api_find_method(envelope->method);
    ProtobufCService *service = method ? dispatcher->services[method - api_methods] : NULL;
    if (!service) {
        refuse(call, STATUS_UNIMPLEMENTED, "METHOD_UNKNOWN",
               "no such method; methods are named package.Service/Method, such as "
               "triggers.v1.EventService/CreateEvent");
        return;
    }
    call->method = method;
    if (!admit(dispatcher, call, &envelope->authorization))
        return;
    /* After all that the log line of an expired call shows. */
    int64_t timeout_ms = (int64_t)envelope->timeout_ms;
    if (timeout_ms == 0 || timeout_ms > API_MAX_TIMEOUT_MS)
        timeout_ms = API_MAX_TIMEOUT_MS;
    atomic_store(&call->deadline_ms, call->started_us / 1000 + timeout_ms);
    uint8_t *body = (uint8_t *)envelope->body.next;
    size_t size = (size_t)(envelope->body.end - envelope->body.next);
    struct wire_check check;
    if (!wire_clean(method->request, body, &size, "REQUEST_MALFORMED", &check)) {
        call_fail(call, &check.status, &check.violation, check.violation.field ? 1 : 0);
        return;
    }
    ProtobufCMessage *request =
        protobuf_c_message_unpack(method->request, &call->allocator, size, body);
    if (request)
        service->invoke(service, method->index, request, unused_closure, call);
    else if (call->arena.exhausted)
        call_fail_no_memory(call);
    else /* protobuf-c takes five bytes of a length, protobuf ten */
        refuse(call, STATUS_INVALID_ARGUMENT, "REQUEST_MALFORMED",
               "the request has a tag or a length in more bytes than it needs");
}

void dispatch(struct dispatcher *dispatcher, struct call *call, uint8_t *bytes, size_t size)
{
    struct request_envelope envelope;
    struct wire_check check;
    call_begin(call);
    if (size > dispatcher->max_message) {
        struct status status;
        status_fail(&status, STATUS_INVALID_ARGUMENT, "MESSAGE_TOO_LARGE",
                    "the message is over %zu bytes; send smaller batches", dispatcher->max_message);
        call_fail(call, &status, NULL, 0);
        return;
    }
    if (!wire_clean(&triggers__rpc__v1__request__descriptor, bytes, &size, "ENVELOPE_MALFORMED",
                    &check)) {
        call_fail(call, &check.status, &check.violation, check.violation.field ? 1 : 0);
        return;
    }
    read_envelope(call, (struct wire_reader){bytes, bytes + size}, &envelope);
    if (!envelope.method[0]) {
        refuse(call, STATUS_INVALID_ARGUMENT, "METHOD_MISSING",
               "the envelope names no method; send a triggers.rpc.v1.Request");
    } else if (atomic_load(&dispatcher->stopping)) {
        refuse(call, STATUS_UNAVAILABLE, "STOPPING",
               "the server is stopping; try another or again");
    } else {
        invoke(dispatcher, call, &envelope);
    }
}

void dispatch_refuse_busy(struct call *call)
{
    call_begin(call);
    call_fail_busy(call);
}
