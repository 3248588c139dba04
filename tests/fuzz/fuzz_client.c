/* What a client does with bytes from outside: after an "a", a list of addresses; after any other
 * byte, what a core that may be any program answers, to each method of the protocol. */
#include <string.h>
#include <unistr.h>

#include "core_address.h"
#include "fuzz.h"
#include "hand_made.h"
#include "problem.h"
#include "reply.h"
#include "transcode.h"

#define BATCH_SIZE 2 /* items that a batch asked for */

static bool is_utf8(const char *text)
{
    return u8_check((const uint8_t *)text, strlen(text)) == NULL;
}

/* What the bridge makes of a part of the answer is JSON if its texts are UTF-8. */
static void must_be_json(const struct buffer *text)
{
    struct json_value value;
    struct json_error error;
    MUST(!text->failed && json_check(text->data, text->size, &value, &error));
}

/* The bridge writes the names of fields as they are: they come from our .proto files. */
static bool is_field_name(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~' || *text == '"' || *text == '\\')
            return false;
    }
    return true;
}

static bool is_fit_for_json(const triggers_error *error)
{
    for (size_t i = 0; i < error->violation_count; i++) {
        const triggers_violation *violation = &error->violations[i];
        if (!is_field_name(violation->field) || !is_utf8(violation->description))
            return false;
    }
    return is_utf8(error->reason) && is_utf8(error->message);
}

static void check_error(const triggers_error *error)
{
    MUST(error->reason && error->message);
    if (error->code == TRIGGERS_OK)
        return;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct problem problem = problem_from_error(error, hand_made_field, &arena);
    struct buffer text;
    buffer_init(&text, 1 << 20);
    problem_write(&text, &problem, "id");
    if (is_fit_for_json(error))
        must_be_json(&text);
    buffer_fini(&text);
    arena_fini(&arena);
}

static void check_event(const triggers_event *event)
{
    static const struct bridge_settings settings;
    struct json_value value;
    struct json_error error;
    MUST(event->payload[event->payload_size] == '\0');
    bool good = is_utf8(event->event_id) && is_utf8(event->source) && is_utf8(event->event_type) &&
                is_utf8(event->ordering_key) &&
                json_check(event->payload, event->payload_size, &value, &error) &&
                value.type == JSON_OBJECT;
    struct buffer text;
    buffer_init(&text, 1 << 20);
    hand_made_write_event(&text, event, false, &settings);
    if (good)
        must_be_json(&text);
    buffer_fini(&text);
}

static void check_message(const ProtobufCMessage *message)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    transcode_write(&text, message, false);
    buffer_fini(&text);
}

static void try_answer(const struct method *method, size_t item_count, const struct input *input)
{
    triggers_reply *reply = reply_from_message(method, item_count, input->next, input->left, NULL);
    MUST(reply && reply->code == reply->error.code);
    MUST(reply->next_page_token && reply->server_version && reply->server_store && reply->stats);
    MUST(reply->request_id);
    check_error(&reply->error);
    if (item_count > 0 && reply->code == TRIGGERS_OK)
        MUST(reply->item_count == item_count);
    for (size_t i = 0; i < reply->item_count; i++) {
        check_error(&reply->items[i].error);
        if (reply->items[i].error.code == TRIGGERS_OK)
            check_event(&reply->items[i].event);
    }
    for (size_t i = 0; i < reply->kind_count; i++)
        MUST(reply->kinds[i].source && reply->kinds[i].event_type);
    if (reply->message)
        check_message(reply->message);
    triggers_reply_free(reply);
}

/* As the functions of triggers.h read it, and as the bridge has calls transcoded. */
static void try_answers(const struct input *input)
{
    for (size_t i = 0; i < API_METHOD_COUNT; i++) {
        const struct method any = {&api_methods[i], reply_read_message};
        bool batch = protobuf_c_message_descriptor_get_field_by_name(any.api->response, "results");
        try_answer(&any, 0, input);
        if (reply_methods[i].read)
            try_answer(&reply_methods[i], batch ? BATCH_SIZE : 0, input);
    }
}

static void try_addresses(struct input *input)
{
    char *text = input_text(input);
    struct core_address_list list;
    struct status status = STATUS_INIT;
    if (core_address_list_parse(text, &list, &status)) {
        MUST(list.count >= 1 && list.count <= CORE_ADDRESS_MAX);
        for (size_t i = 0; i < list.count; i++)
            MUST(list.items[i].name && strstr(list.items[i].url, "://"));
        core_address_list_fini(&list);
    } else {
        MUST(status.code == STATUS_INVALID_ARGUMENT);
        MUST(status.message[0] && status.reason[0]);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    if (input_byte(&input) == 'a')
        try_addresses(&input);
    else
        try_answers(&input);
    return 0;
}
