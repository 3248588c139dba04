/* Statuses, titles and the JSON form. */
#include "problem.h"

#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"

#define ANSWER_CAP 4096

static const char *title_of(unsigned status)
{
    switch (status) {
#define TITLE(number, title)                                                                       \
    case number: return title;
        PROBLEM_STATUSES(TITLE)
#undef TITLE
    default: return "Internal Server Error";
    }
}

static bool is_ours(const char *reason)
{
    return strcmp(reason, "CLIENT_BUSY") == 0 || strcmp(reason, "ANSWER_TOO_LARGE") == 0 ||
           strcmp(reason, "TOO_MANY_CALLS") == 0;
}

bool problem_is_overload(const triggers_error *error)
{
    return is_ours(error->reason);
}

unsigned problem_status(triggers_code code, const char *reason)
{
    if (is_ours(reason))
        return 503;
    if (strcmp(reason, "PAYLOAD_TOO_LARGE") == 0 || strcmp(reason, "MESSAGE_TOO_LARGE") == 0)
        return 413;
    if (strcmp(reason, "POSITION_REMOVED") == 0)
        return 410;
    /* What the call is about is not in the state for it. */
    if (strcmp(reason, "TENANT_DELETING") == 0 || strcmp(reason, "KEY_REVOKED") == 0 ||
        strcmp(reason, "KEY_ROTATED") == 0 || strcmp(reason, "KEY_EXPIRED") == 0)
        return 409;
    /* It is the service that is full: no caller asked too often. */
    if (strcmp(reason, "TOO_MANY_WAITERS") == 0)
        return 503;
    return status_code_http((enum status_code)code);
}

unsigned problem_retry_after(const struct problem *problem)
{
    unsigned seconds = problem->retry_delay_ms / 1000 + (problem->retry_delay_ms % 1000 > 0);
    return seconds > 0 ? seconds : 1;
}

/* "source must be a string; payload must be given" */
static void append_summary(struct buffer *out, const struct problem *problem)
{
    for (size_t i = 0; i < problem->field_count; i++) {
        const struct problem_field *field = &problem->fields[i];
        if (i > 0)
            buffer_append_text(out, "; ");
        buffer_append_text(out, field->name[0] ? field->name : "the event");
        buffer_append_text(out, " ");
        buffer_append_text(out, field->detail);
    }
}

static void append_string(struct buffer *out, const char *text)
{
    buffer_append_json_string(out, text, strlen(text));
}

static void append_detail(struct buffer *out, const struct problem *problem)
{
    CHECK(problem->detail || problem->field_count > 0);
    if (problem->detail) {
        append_string(out, problem->detail);
        return;
    }
    struct buffer summary;
    buffer_init(&summary, out->cap);
    append_summary(&summary, problem);
    if (summary.failed)
        out->failed = true;
    else
        buffer_append_json_string(out, summary.data ? summary.data : "", summary.size);
    buffer_fini(&summary);
}

/* A JSON pointer as a URI fragment (RFC 6901 section 6); field names need no escaping. */
static void append_field(struct buffer *out, const struct problem *problem,
                         const struct problem_field *field)
{
    buffer_append_text(out, "{\"detail\":");
    append_string(out, field->detail);
    buffer_append_format(out, ",\"pointer\":\"#%s%s%s\"}", problem->place ? problem->place : "",
                         field->name[0] ? "/" : "", field->name);
}

void problem_write(struct buffer *buffer, const struct problem *problem, const char *request_id)
{
    CHECK(problem->code && problem->status >= 400 && problem->status < 600);
    buffer_append_text(buffer, "{\"type\":\"about:blank\",\"title\":");
    append_string(buffer, title_of(problem->status));
    buffer_append_format(buffer, ",\"status\":%u,\"detail\":", problem->status);
    append_detail(buffer, problem);
    buffer_append_text(buffer, ",\"code\":");
    append_string(buffer, problem->code);
    if (request_id) {
        buffer_append_text(buffer, ",\"request_id\":");
        append_string(buffer, request_id);
    }
    if (problem->first_sequence > 0)
        buffer_append_format(buffer, ",\"first_sequence\":%" PRId64, problem->first_sequence);
    if (problem->field_count > 0) {
        buffer_append_text(buffer, ",\"errors\":[");
        for (size_t i = 0; i < problem->field_count; i++) {
            if (i > 0)
                buffer_append_text(buffer, ",");
            append_field(buffer, problem, &problem->fields[i]);
        }
        buffer_append_text(buffer, "]");
    }
    buffer_append_text(buffer, "}");
}

void problem_write_item(struct buffer *buffer, const struct problem *problem, const char *place)
{
    struct problem placed = *problem;
    placed.place = place;
    buffer_append_text(buffer, "{\"error\":");
    problem_write(buffer, &placed, NULL);
    buffer_append_text(buffer, "}");
}

/* As in a Date header. */
static void format_now(char date[64])
{
    struct tm utc;
    time_t now = (time_t)(clock_now_us() / 1000000);
    strftime(date, 64, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
}

void problem_write_answer(const struct problem *problem, struct buffer *answer)
{
    char date[64];
    format_now(date);
    struct buffer body;
    buffer_init(&body, ANSWER_CAP);
    buffer_init(answer, ANSWER_CAP);
    problem_write(&body, problem, NULL);
    buffer_append_format(answer,
                         "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n"
                         "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                         "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n\r\n",
                         problem->status, title_of(problem->status), date, body.size);
    buffer_append(answer, body.data, body.size);
    answer->failed = answer->failed || body.failed;
    buffer_fini(&body);
}

/* REST may be open to everyone, so only the logs say where core and store are, and what they
 * report. */
static const char *public_detail(const triggers_error *error)
{
    if (strcmp(error->reason, "CORE_UNREACHABLE") == 0)
        return "No connection to the core; the bridge's log says which address it tried";
    if (strcmp(error->reason, "STORE_UNAVAILABLE") == 0)
        return "The core cannot use its store now; the core's log says why";
    if (strcmp(error->reason, "ANSWER_TOO_LARGE") == 0)
        return "Too many large answers at once; the request may or may not have been done";
    if (is_ours(error->reason))
        return "Too many requests at once, try again";
    return error->message;
}

static const char *public_code(const triggers_error *error)
{
    if (is_ours(error->reason))
        return "OVERLOADED";
    return error->reason[0] ? error->reason : triggers_code_name(error->code);
}

struct problem_field problem_field_at(const char *path, const char *detail, struct arena *arena)
{
    char *name = arena_copy(arena, path, strlen(path));
    char *out = name;
    for (; name && *path; path++) {
        if (*path != ']')
            *out++ = *path == '[' || *path == '.' ? '/' : *path;
    }
    if (name)
        *out = '\0';
    return (struct problem_field){name ? name : "", detail};
}

struct problem problem_from_error(const triggers_error *error, problem_field_of *field_of,
                                  struct arena *arena)
{
    CHECK(error->code != TRIGGERS_OK);
    struct problem problem = {
        .status = problem_status(error->code, error->reason),
        .code = public_code(error),
        .detail = public_detail(error),
        .retry_delay_ms = error->retry_delay_ms,
        .first_sequence = error->first_sequence,
    };
    size_t count = error->violation_count;
    struct problem_field *fields = count ? arena_calloc(arena, count, sizeof(*fields)) : NULL;
    if (!fields)
        return problem;
    for (size_t i = 0; i < count; i++) {
        const triggers_violation *violation = &error->violations[i];
        fields[i] = field_of(violation->field, violation->description, arena);
    }
    problem.detail = NULL;
    problem.fields = fields;
    problem.field_count = count;
    return problem;
}
