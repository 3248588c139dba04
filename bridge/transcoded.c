/* The transcoded calls: a request's body, query and path become the message, and the core's message
 * becomes the answer. */
#include <string.h>

#include "base/check.h"
#include "core_call.h"
#include "handlers.h"
#include "heads.h"
#include "loop.h"
#include "pulls.h"
#include "transcode.h"
#include "url.h"
#include "waiting.h"

#define ANSWER_CAP (32u << 20)

/* A request message that is being built. */
struct making {
    struct request *request;
    ProtobufCMessage *message;
    struct transcode_errors errors;
    bool no_memory;
    bool cut; /* see heads.h */
};

static void note(struct making *making, enum transcode_result result)
{
    making->no_memory |= result == TRANSCODE_NO_MEMORY;
}

static void set(struct making *making, const char *name, const char *text)
{
    note(making, transcode_read_parameter(name, text, making->message, &making->request->arena,
                                          &making->errors));
}

static bool take_parameter(void *argument, const char *name, const char *value)
{
    struct making *making = argument;
    making->cut |= strchr(value ? value : name, HEAD_CUT) != NULL;
    size_t size = value ? strlen(value) + 1 : 1;
    char *text = arena_alloc(&making->request->arena, size);
    if (!text)
        note(making, TRANSCODE_NO_MEMORY);
    /* A value with wrong percent-encoding is taken as it is. */
    else if (url_decode(value ? value : "", text, size))
        set(making, name, text);
    else
        set(making, name, value);
    return !making->no_memory;
}

static void take_segment(void *user_data, const char *name, size_t name_size, const char *segment,
                         size_t segment_size)
{
    struct making *making = user_data;
    struct arena *arena = &making->request->arena;
    const char *field = arena_copy(arena, name, name_size);
    const char *text = arena_copy(arena, segment, segment_size);
    if (field && text)
        set(making, field, text);
    else
        note(making, TRANSCODE_NO_MEMORY);
}

/* False after having answered that the body is not JSON. The fields in the path win. */
static bool read_all(struct making *making)
{
    struct request *request = making->request;
    const char *body = request->route->field;
    char path[URL_PATH_SIZE];
    struct json_value value;
    if (body[0] && !request_read_json(request, &value))
        return false;
    if (body[0])
        note(making,
             transcode_read(&value, body, making->message, &request->arena, &making->errors));
    if (strcmp(body, "*") != 0)
        loop_each_parameter(request->peer, take_parameter, making);
    if (url_target_path(request->path, path))
        url_match(request->route->path, path, take_segment, making);
    return true;
}

/* The message in the arena; NULL after having answered. */
static ProtobufCMessage *read_request(struct request *request)
{
    const struct api_method *call = request->route->call;
    CHECK(call && request->route->field);
    struct making making = {
        .request = request,
        .message = arena_calloc(&request->arena, 1, call->request->sizeof_message),
    };
    if (making.message) {
        call->request->message_init(making.message);
        if (!read_all(&making))
            return NULL;
    }
    if (!making.message || making.no_memory) {
        request_fail_memory(request);
        return NULL;
    }
    if (making.cut) {
        request_fail_cut(request);
        return NULL;
    }
    if (making.errors.count == 0)
        return making.message;
    request_answer_problem(request, &(struct problem){.status = 422,
                                                      .code = request->route->field[0]
                                                                  ? "FIELDS_INVALID"
                                                                  : "PARAMETERS_INVALID",
                                                      .fields = making.errors.fields,
                                                      .field_count = making.errors.count});
    return NULL;
}

bool transcoded_start(struct request *request)
{
    const struct api_method *call = request->route->call;
    ProtobufCMessage *message = read_request(request);
    triggers_call_options options;
    if (!message)
        return true;
    if (!pulls_note(request, message)) {
        request_fail_memory(request);
        return true;
    }
    uint32_t *wait_ms = api_wait_ms(call, message);
    if ((wait_ms && !waiting_begin_call(request, wait_ms)) || !core_call_begin(request, &options))
        return true;
    options.tag = request;
    triggers_call_async(request->bridge->client, call->name, message, &options, core_call_done,
                        request);
    waiting_call_started(request, wait_ms ? *wait_ms : 0);
    return false;
}

void transcoded_finish(struct request *request)
{
    const triggers_reply *reply = request->reply;
    if (core_call_failed(request))
        return;
    struct buffer body;
    CHECK(reply->message && reply->message->descriptor == request->route->call->response);
    request_init_text(request, &body, ANSWER_CAP);
    transcode_write(&body, reply->message, request->bridge->settings.payloads == 0);
    request_answer(request, 200, &body);
}
