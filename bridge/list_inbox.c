/* Pages of the inbox. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "core_call.h"
#include "hand_made.h"
#include "handlers.h"
#include "heads.h"
#include "loop.h"
#include "url.h"

#define QUERY_FIELDS 4
/* A page has at most 8 MiB of payloads; escapes in names may make its text a little longer. */
#define PAGE_CAP (32u << 20)

struct query {
    struct arena *arena;
    triggers_list_request list;
    struct problem_field errors[QUERY_FIELDS];
    size_t error_count;
    bool fastapi;   /* an unknown status is accepted, and no event has it */
    bool no_events; /* such a status was requested */
    bool no_memory;
    bool cut; /* see heads.h */
};

static bool read_status(struct query *query, const char *text)
{
    bool acknowledged = strcmp(text, "acknowledged") == 0;
    query->list.status = acknowledged ? TRIGGERS_STATUS_ACKNOWLEDGED : TRIGGERS_STATUS_PENDING;
    bool known = acknowledged || strcmp(text, "pending") == 0;
    query->no_events = !known;
    return known || query->fastapi;
}

static bool read_limit(struct query *query, const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 9 || text[digits])
        return false;
    query->list.page_size = (int32_t)strtol(text, NULL, 10);
    return query->list.page_size >= 1 && query->list.page_size <= TRIGGERS_MAX_PAGE;
}

static bool read_order(struct query *query, const char *text)
{
    query->list.oldest_first = strcmp(text, "asc") == 0;
    return query->list.oldest_first || strcmp(text, "desc") == 0;
}

/* Opaque: the core checks it. */
static bool read_cursor(struct query *query, const char *text)
{
    query->list.page_token = text;
    return true;
}

static const struct {
    const char *name;
    bool (*read)(struct query *query, const char *text);
    const char *accepted;
} FIELDS[QUERY_FIELDS] = {
    {"status", read_status, "must be pending or acknowledged"},
    {"limit", read_limit, "must be a whole number from 1 to 1000"},
    {"order", read_order, "must be asc or desc"},
    {"cursor", read_cursor, "must be the next_cursor of the page before"},
};

static void set_error(struct query *query, size_t field, bool wrong)
{
    size_t i = 0;
    while (i < query->error_count && query->errors[i].name != FIELDS[field].name)
        i++;
    CHECK(query->error_count <= QUERY_FIELDS && field < QUERY_FIELDS);
    if (wrong && i == query->error_count)
        query->errors[query->error_count++] =
            (struct problem_field){FIELDS[field].name, FIELDS[field].accepted};
    else if (!wrong && i < query->error_count)
        query->errors[i] = query->errors[--query->error_count];
}

/* Unknown parameters are ignored; of repeated ones the last one counts. */
static bool read_parameter(void *argument, const char *name, const char *value)
{
    struct query *query = argument;
    query->cut |= strchr(value ? value : name, HEAD_CUT) != NULL;
    for (size_t i = 0; i < QUERY_FIELDS; i++) {
        if (strcmp(name, FIELDS[i].name) != 0)
            continue;
        size_t size = value ? strlen(value) + 1 : 1;
        char *text = arena_alloc(query->arena, size);
        query->no_memory |= !text;
        if (text)
            set_error(query, i,
                      !url_decode(value ? value : "", text, size) || !FIELDS[i].read(query, text));
    }
    return true;
}

bool list_inbox_start(struct request *request)
{
    struct query query = {.arena = &request->arena, .fastapi = request->bridge->settings.fastapi};
    loop_each_parameter(request->peer, read_parameter, &query);
    if (query.no_memory) {
        request_fail_memory(request);
        return true;
    }
    if (query.cut) {
        request_fail_cut(request);
        return true;
    }
    if (query.error_count > 0) {
        request_answer_problem(request, &(struct problem){.status = 422,
                                                          .code = "PARAMETERS_INVALID",
                                                          .fields = query.errors,
                                                          .field_count = query.error_count});
        return true;
    }
    if (query.no_events) {
        request_answer_text(request, 200, "{\"events\":[],\"total\":0,\"next_cursor\":null}");
        return true;
    }
    triggers_call_options options;
    if (!core_call_begin(request, &options))
        return true;
    triggers_list_async(request->bridge->client, &query.list, &options, core_call_done, request);
    core_call_started(request);
    return false;
}

void list_inbox_finish(struct request *request)
{
    const triggers_reply *reply = request->reply;
    if (reply->code != TRIGGERS_OK) {
        request_answer_error(request, &reply->error);
        return;
    }
    struct buffer body;
    request_init_text(request, &body, PAGE_CAP);
    hand_made_write_page(&body, reply, &request->bridge->settings);
    request_answer(request, 200, &body);
}
