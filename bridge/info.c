/* What the service says about itself: its root, its health, whether it is ready, and how it is
 * used: the description of the interface and the pages that show it. */
#include "base/check.h"
#include "docs.h"
#include "guard.h"
#include "handlers.h"
#include "triggers/health/v1/health.pb-c.h"

#define CORE_TIMEOUT_MS 2000
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

/* ---- GET /ready ---- */

/* Balancers have no key, so those without one get the status, and only that. */
static void answer_briefly(struct request *request, bool ready)
{
    request_answer_text(request, ready ? 200 : 503,
                        ready ? "{\"status\":\"ready\"}" : "{\"status\":\"unavailable\"}");
    request->answer.content_type = "application/json";
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
    if (!guard_admit(request, request->bridge->settings.ready))
        return true;
    bool stopping = atomic_load(&request->bridge->stopping);
    if (stopping || bridge_is_overloaded(request->bridge)) {
        (stopping ? answer_stopping : answer_overloaded)(request);
        return true;
    }
    return guard_ask(request, CORE_TIMEOUT_MS);
}

static bool is_serving(const triggers_reply *reply)
{
    const Triggers__Health__V1__HealthCheckResponse *health =
        (const Triggers__Health__V1__HealthCheckResponse *)reply->message;
    return health->status == TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
}

void info_ready_finish(struct request *request)
{
    const triggers_reply *reply = request->reply;
    int guard = request->bridge->settings.ready;
    enum guard_verdict verdict = guard_judge(request, guard);
    bool answered = reply->code == TRIGGERS_OK;
    if (verdict == GUARD_REFUSES)
        request_answer_error(request, &reply->error);
    else if (verdict != GUARD_PASSES && !guard_is_open(request, guard))
        answer_briefly(request, answered && is_serving(reply));
    else if (problem_is_overload(&reply->error))
        answer_overloaded(request);
    else if (!answered)
        answer_ready(request, 503,
                     "{\"status\":\"unavailable\",\"core\":\"unreachable\",\"store\":\"unknown\"}");
    else if (!is_serving(reply))
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

bool info_openapi_start(struct request *request)
{
    int guard = request->bridge->settings.docs;
    if (!guard_admit(request, guard))
        return true;
    if (guard_is_open(request, guard))
        return answer_file(request, &DOCS_OPENAPI);
    return guard_ask(request, CORE_TIMEOUT_MS);
}

void info_openapi_finish(struct request *request)
{
    switch (guard_judge(request, request->bridge->settings.docs)) {
    case GUARD_PASSES: answer_file(request, &DOCS_OPENAPI); break;
    case GUARD_LACKS_KEY: guard_refuse(request); break;
    case GUARD_REFUSES:
    case GUARD_UNKNOWN: request_answer_error(request, &request->reply->error); break;
    }
}

/* The pages are empty until they have read openapi.json, for which they ask for a key: a browser
 * cannot send one with the address of a page. */
static bool answer_page(struct request *request, const struct docs_file *page)
{
    return !guard_admit(request, request->bridge->settings.docs) || answer_file(request, page);
}

bool info_docs(struct request *request)
{
    return answer_page(request, &DOCS_PAGE);
}

bool info_redoc(struct request *request)
{
    return answer_page(request, &DOCS_REFERENCE);
}
