/* What the service says about itself: its root, its health, whether it is ready, and how it is
 * used: the description of the interface and the pages that show it. */
#include "base/check.h"
#include "core_call.h"
#include "docs.h"
#include "handlers.h"

#define READY_TIMEOUT_MS 2000
#define ROOT_CAP 4096

bool info_root(struct request *request)
{
    char prefix[HEADERS_PREFIX_SIZE];
    struct buffer body;
    headers_copy_prefix(&request->headers, prefix);
    buffer_init(&body, ROOT_CAP);
    buffer_append_format(
        &body,
        "{\"message\":\"Zapier Triggers API\",\"version\":\"" TRIGGERS_VERSION
        "\",\"status\":\"operational\",\"docs\":\"%s/docs\",\"redoc\":\"%s/redoc\"}",
        prefix, prefix);
    request_answer(request, 200, &body);
    return true;
}

bool info_health(struct request *request)
{
    /* Existing health checks compare these bytes. */
    request_answer_text(request, 200,
                        "{\"status\":\"healthy\",\"service\":\"zapier-triggers-api\"}");
    return true;
}

static void answer_ready(struct request *request, unsigned status, const char *json)
{
    request_answer_text(request, status, json);
    request->answer.content_type = "application/json";
}

static void answer_overloaded(struct request *request)
{
    answer_ready(request, 503,
                 "{\"status\":\"overloaded\",\"core\":\"unknown\",\"store\":\"unknown\"}");
}

/* Balancers must send new requests elsewhere; those that still come are served. */
static void answer_stopping(struct request *request)
{
    answer_ready(request, 503,
                 "{\"status\":\"stopping\",\"core\":\"unknown\",\"store\":\"unknown\"}");
}

bool info_ready_start(struct request *request)
{
    triggers_call_options options;
    bool stopping = atomic_load(&request->bridge->stopping);
    if (stopping || bridge_is_overloaded(request->bridge)) {
        (stopping ? answer_stopping : answer_overloaded)(request);
        return true;
    }
    request->charge.urgent = true;
    if (!core_call_begin(request, &options))
        return true;
    options.timeout_ms = READY_TIMEOUT_MS;
    triggers_health_async(request->bridge->client, &options, core_call_done, request);
    core_call_started(request);
    return false;
}

void info_ready_finish(struct request *request)
{
    const triggers_reply *reply = request->reply;
    if (problem_is_overload(&reply->error))
        answer_overloaded(request);
    else if (reply->code != TRIGGERS_OK)
        answer_ready(request, 503,
                     "{\"status\":\"unavailable\",\"core\":\"unreachable\",\"store\":\"unknown\"}");
    else if (reply->serving != TRIGGERS_SERVING)
        answer_ready(request, 503,
                     "{\"status\":\"unavailable\",\"core\":\"ok\",\"store\":\"unavailable\"}");
    else
        answer_ready(request, 200, "{\"status\":\"ready\",\"core\":\"ok\",\"store\":\"ok\"}");
}

static bool answer_file(struct request *request, const struct docs_file *file)
{
    CHECK(!request->answer.status && file->size > 0);
    request->answer.status = 200;
    request->answer.content_type = file->content_type;
    request->answer.policy = file->policy;
    request->answer.file = file->bytes;
    request->answer.file_size = file->size;
    return true;
}

bool info_openapi(struct request *request)
{
    return answer_file(request, &DOCS_OPENAPI);
}

bool info_docs(struct request *request)
{
    return answer_file(request, &DOCS_PAGE);
}

bool info_redoc(struct request *request)
{
    return answer_file(request, &DOCS_REFERENCE);
}
