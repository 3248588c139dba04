/* Decodes envelopes into replies, with codes and errors, and frees them. results.c reads the
 * methods' answers. */
#include "reply.h"

#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/varint.h"

/* A page holds up to 8 MiB of payloads. From a core that is not ours it may be decoded twice, as
 * the envelope's body and as the message in it, and the largest answer must fit. */
#define REPLY_MAX_MEMORY ((size_t)32 << 20)

#define BODY_TAG (5 << 3 | 2) /* Response.body, length-delimited */

#define BOX_MAGIC 0x424f5831u

/* The reply, its arena, and the arena's charge. */
struct box {
    triggers_reply reply; /* first */
    unsigned magic;
    struct arena arena;
    struct charge charge;
};

static const triggers_reply no_memory = {
    .code = TRIGGERS_RESOURCE_EXHAUSTED,
    .error = {.code = TRIGGERS_RESOURCE_EXHAUSTED,
              .reason = "NO_MEMORY",
              .message = "no memory for the reply"},
    .next_page_token = "",
    .server_version = "",
    .server_store = "",
    .request_id = "",
    .stats = "",
    .rate_limit_policy = "",
    .rate_limit = "",
};

static const triggers_reply too_large = {
    .code = TRIGGERS_RESOURCE_EXHAUSTED,
    .error = {.code = TRIGGERS_RESOURCE_EXHAUSTED,
              .reason = "ANSWER_TOO_LARGE",
              .message = "the answer does not fit into what this client may hold now; the call may "
                         "or may not have been done"},
    .next_page_token = "",
    .server_version = "",
    .server_store = "",
    .request_id = "",
    .stats = "",
    .rate_limit_policy = "",
    .rate_limit = "",
};

/* Starts an OK reply without items in `arena`; NULL without memory. */
static triggers_reply *reply_new(struct arena *arena)
{
    struct box *box = arena_alloc(arena, sizeof(*box));
    if (!box)
        return NULL;
    box->magic = BOX_MAGIC;
    box->reply = (triggers_reply){
        .error = REPLY_NO_ERROR,
        .next_page_token = "",
        .server_version = "",
        .server_store = "",
        .request_id = "",
        .stats = "",
        .rate_limit_policy = "",
        .rate_limit = "",
    };
    return &box->reply;
}

/* Gives the arena to the reply in it. */
static triggers_reply *reply_finish(struct arena *arena, triggers_reply *reply)
{
    if (!reply) {
        const triggers_reply *why = arena->over_budget ? &too_large : &no_memory;
        arena_fini(arena);
        return (triggers_reply *)why; /* triggers_reply_free knows both */
    }
    struct box *box = (struct box *)reply;
    CHECK(box->magic == BOX_MAGIC);
    box->charge = arena->charge ? *arena->charge : (struct charge){0};
    box->arena = *arena;
    box->arena.charge = arena->charge ? &box->charge : NULL;
    return reply;
}

triggers_reply *reply_too_large(void)
{
    return (triggers_reply *)&too_large;
}

void triggers_reply_free(triggers_reply *reply)
{
    if (!reply || reply == &no_memory || reply == &too_large)
        return;
    struct box *box = (struct box *)reply;
    CHECK(box->magic == BOX_MAGIC); /* not freed twice, and one of ours */
    box->magic = 0;
    struct charge charge = box->charge;
    struct arena arena = box->arena;
    arena.charge = arena.charge ? &charge : NULL;
    arena_fini(&arena);
}

triggers_reply *reply_from_status(const struct status *status)
{
    CHECK(status->code != STATUS_OK && status->reason[0]);
    struct arena arena;
    arena_init(&arena, REPLY_MAX_MEMORY);
    triggers_reply *reply = reply_new(&arena);
    const char *message =
        reply ? arena_copy(&arena, status->message, strlen(status->message)) : NULL;
    if (!message)
        return reply_finish(&arena, NULL);
    reply->code = (triggers_code)status->code;
    reply->error = (triggers_error){.code = (triggers_code)status->code,
                                    .reason = status->reason,
                                    .message = message,
                                    .retry_delay_ms = status->retry_delay_ms};
    return reply_finish(&arena, reply);
}

/* ---- codes and errors ---- */

#define SAME(name, number, http)                                                                   \
    _Static_assert((int)TRIGGERS_##name == (number), "the public header has the code");
STATUS_CODES(SAME)
#undef SAME

const char *triggers_code_name(triggers_code code)
{
    return status_code_name((enum status_code)code);
}

int triggers_code_is_retryable(triggers_code code)
{
    return code == TRIGGERS_UNAVAILABLE || code == TRIGGERS_RESOURCE_EXHAUSTED ||
           code == TRIGGERS_ABORTED || code == TRIGGERS_DEADLINE_EXCEEDED;
}

/* Codes that this library does not know (those of a newer core) are UNKNOWN, as is an error with
 * the code OK. */
static triggers_code known_code(Triggers__Rpc__V1__Code code)
{
    return code > TRIGGERS__RPC__V1__CODE__OK && code <= TRIGGERS__RPC__V1__CODE__UNAUTHENTICATED
               ? (triggers_code)code
               : TRIGGERS_UNKNOWN;
}

static bool read_violations(struct arena *arena, const Triggers__Rpc__V1__ErrorDetails *details,
                            triggers_error *error)
{
    triggers_violation *violations =
        arena_calloc(arena, details->n_field_violations, sizeof(*violations));
    if (!violations)
        return false;
    for (size_t i = 0; i < details->n_field_violations; i++) {
        violations[i].field = details->field_violations[i]->field;
        violations[i].description = details->field_violations[i]->description;
    }
    error->violations = violations;
    error->violation_count = details->n_field_violations;
    return true;
}

bool reply_error_read(struct arena *arena, Triggers__Rpc__V1__Code code, const char *message,
                      const Triggers__Rpc__V1__ErrorDetails *details, triggers_error *error)
{
    *error = (triggers_error){.code = known_code(code), .reason = "", .message = message};
    if (!details)
        return true;
    error->reason = details->reason;
    error->retry_delay_ms = details->retry_delay_ms;
    error->first_sequence = details->first_sequence;
    return details->n_field_violations == 0 || read_violations(arena, details, error);
}

/* ---- decoding ---- */

/* Allocates one byte more, with a NUL in it, so that every payload has a NUL after it. */
static void *alloc_with_nul(void *data, size_t size)
{
    char *bytes = size < SIZE_MAX ? arena_alloc(data, size + 1) : NULL;
    if (bytes)
        bytes[size] = '\0';
    return bytes;
}

static void free_with_arena(void *data, void *bytes)
{
    (void)data;
    (void)bytes;
}

static ProtobufCMessage *unpack(struct arena *arena, const ProtobufCMessageDescriptor *type,
                                const void *bytes, size_t size)
{
    ProtobufCAllocator allocator = {
        .alloc = alloc_with_nul, .free = free_with_arena, .allocator_data = arena};
    return protobuf_c_message_unpack(type, &allocator, size, bytes);
}

static const char *find_metadata(const Triggers__Rpc__V1__Response *response, const char *key)
{
    for (size_t i = 0; i < response->n_metadata; i++) {
        if (strcmp(response->metadata[i]->key, key) == 0)
            return response->metadata[i]->value;
    }
    return "";
}

/* Finds the body of an envelope that ends with it, as the core's do, so that it can be decoded in
 * place. Returns the size of what is before the body, or of everything when the envelope does not
 * end with it. */
static size_t find_body(const uint8_t *bytes, size_t size, ProtobufCBinaryData *body)
{
    const uint8_t *end = bytes + size;
    const uint8_t *at = bytes;
    while (at < end) {
        const uint8_t *field = at;
        uint64_t tag, value;
        if (!varint_read(&at, end, &tag) || !varint_read(&at, end, &value))
            return size;
        if ((tag & 7) == 0)
            continue;
        if ((tag & 7) != 2 || value > (uint64_t)(end - at))
            return size;
        if (tag == BODY_TAG && value == (uint64_t)(end - at)) {
            *body = (ProtobufCBinaryData){.len = (size_t)value, .data = (uint8_t *)at};
            return (size_t)(field - bytes);
        }
        at += value;
    }
    return size;
}

/* Fills the builder's reply from the bytes of an envelope; false as method->read. */
static bool read_envelope(struct reply_builder *builder, const struct method *method,
                          const void *bytes, size_t size)
{
    triggers_reply *reply = builder->reply;
    ProtobufCBinaryData last = {0};
    Triggers__Rpc__V1__Response *response = (Triggers__Rpc__V1__Response *)unpack(
        builder->arena, &triggers__rpc__v1__response__descriptor, bytes,
        find_body(bytes, size, &last));
    if (!response) {
        builder->problem = "the core's answer is not a triggers.rpc.v1.Response";
        return false;
    }
    CHECK(reply->code == TRIGGERS_OK && !reply->items);
    reply->request_id = find_metadata(response, "request-id");
    reply->rate_limit_policy = find_metadata(response, "ratelimit-policy");
    reply->rate_limit = find_metadata(response, "ratelimit");
    if (response->code != TRIGGERS__RPC__V1__CODE__OK) {
        bool read = reply_error_read(builder->arena, response->code, response->message,
                                     response->details, &reply->error);
        reply->code = reply->error.code;
        return read;
    }
    ProtobufCBinaryData bytes_of_body = last.data ? last : response->body;
    ProtobufCMessage *body =
        unpack(builder->arena, method->api->response, bytes_of_body.data, bytes_of_body.len);
    if (!body) {
        builder->problem = "the core's answer does not hold the method's response message";
        return false;
    }
    return method->read(builder, body);
}

triggers_reply *reply_from_message(const struct method *method, size_t item_count,
                                   const void *bytes, size_t size, struct budget_share *share)
{
    struct arena arena;
    /* The result of a write is reported whenever that is possible. */
    struct charge charge = {.share = share, .urgent = item_count > 0};
    arena_init(&arena, REPLY_MAX_MEMORY);
    arena.charge = &charge;
    struct reply_builder builder = {
        .arena = &arena, .reply = reply_new(&arena), .item_count = item_count};
    if (builder.reply && read_envelope(&builder, method, bytes, size))
        return reply_finish(&arena, builder.reply);
    /* protobuf-c does not tell garbage from lack of memory; the arena does. */
    if (arena.exhausted || !builder.problem)
        return reply_finish(&arena, NULL);
    arena_fini(&arena);
    struct status status;
    status_fail(&status, STATUS_INTERNAL, "ANSWER_MALFORMED",
                "%s; do the versions of core and client match?", builder.problem);
    return reply_from_status(&status);
}
