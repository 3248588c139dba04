/* The envelope's other fields are encoded first, then its body, so that a payload is copied once,
 * and then what is of the try: fields may come in any order, and entries of a map apart from each
 * other (protobuf encoding). */
#include "envelope.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/varint.h"
#include "triggers.h"
#include "triggers/rpc/v1/envelope.pb-c.h"

#define BODY_TAG (4 << 3 | 2) /* Request.body, length-delimited */
#define METADATA_MAX 6
#define BUSY_RETRY_MS 1000

typedef Triggers__Rpc__V1__Request Request;
typedef Triggers__Rpc__V1__Request__MetadataEntry Entry;

/* The envelope's message with the storage of its metadata. */
struct request_head {
    Request request;
    Entry entries[METADATA_MAX];
    Entry *entry_list[METADATA_MAX];
};

static void add_metadata(struct request_head *head, const char *key, const char *value)
{
    if (!value)
        return;
    size_t index = head->request.n_metadata++;
    CHECK(index < METADATA_MAX);
    Entry *entry = &head->entries[index];
    *entry = (Entry)TRIGGERS__RPC__V1__REQUEST__METADATA_ENTRY__INIT;
    /* Generated members are not const; packing does not write. */
    entry->key = (char *)key;
    entry->value = (char *)value;
    head->entry_list[index] = entry;
}

static void head_init(struct request_head *head, const struct envelope *envelope)
{
    CHECK(envelope->method && envelope->client);
    head->request = (Request)TRIGGERS__RPC__V1__REQUEST__INIT;
    head->request.method = (char *)envelope->method;
    head->request.metadata = head->entry_list;
    add_metadata(head, "request-id", envelope->request_id);
    add_metadata(head, "traceparent", envelope->traceparent);
    add_metadata(head, "client", envelope->client);
    add_metadata(head, "caller", envelope->caller);
    add_metadata(head, "authorization", envelope->authorization);
    add_metadata(head, "address", envelope->address);
}

bool envelope_fail_busy(struct status *status)
{
    status_fail(status, STATUS_RESOURCE_EXHAUSTED, "CLIENT_BUSY",
                "the calls in flight hold as much memory as this client may take; try again when "
                "some have ended");
    status->retry_delay_ms = BUSY_RETRY_MS;
    return false;
}

bool envelope_pack(const struct envelope *envelope, const ProtobufCMessage *body, size_t end_size,
                   struct charge *charge, uint8_t **bytes, size_t *size, struct status *status)
{
    struct request_head head;
    head_init(&head, envelope);
    size_t head_size = protobuf_c_message_get_packed_size(&head.request.base);
    size_t body_size = protobuf_c_message_get_packed_size(body);
    uint8_t prefix[1 + VARINT_MAX_SIZE] = {BODY_TAG};
    size_t prefix_size = 1 + varint_write(prefix + 1, body_size);
    *size = head_size + prefix_size + body_size;
    size_t most = *size + end_size;
    if (most > TRIGGERS_MAX_MESSAGE)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "MESSAGE_TOO_LARGE",
                           "the request has %zu bytes; accepted are up to %d", most,
                           TRIGGERS_MAX_MESSAGE);
    if (!charge_add(charge, *size))
        return envelope_fail_busy(status);
    CHECK(charge->held >= *size);
    *bytes = malloc(*size);
    if (!*bytes)
        return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    uint8_t *out = *bytes;
    CHECK(protobuf_c_message_pack(&head.request.base, out) == head_size);
    out += head_size;
    memcpy(out, prefix, prefix_size);
    CHECK(protobuf_c_message_pack(body, out + prefix_size) == body_size);
    return true;
}

size_t envelope_pack_end(uint32_t timeout_ms, const char *authorization,
                         uint8_t out[ENVELOPE_MAX_END_SIZE])
{
    struct request_head end = {.request = TRIGGERS__RPC__V1__REQUEST__INIT};
    end.request.metadata = end.entry_list;
    end.request.timeout_ms = timeout_ms;
    add_metadata(&end, "authorization", *authorization ? authorization : NULL);
    CHECK(protobuf_c_message_get_packed_size(&end.request.base) <= ENVELOPE_MAX_END_SIZE);
    return protobuf_c_message_pack(&end.request.base, out);
}
