/* One table of parameters; what the core checks (names, tokens) is not checked here. */
#include "query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "heads.h"
#include "loop.h"
#include "transcode.h"
#include "url.h"

/* A head has no more parameters. */
#define NAMES_MAX (HEAD_FIELDS_MAX + 1)

#define TIME                                                                                       \
    "must be a time as in RFC 3339, such as 2026-01-31T23:59:59Z; the + of an offset is sent as "  \
    "%2B"

struct wrong;

/* A query that is being read. */
struct reading {
    struct query *query;
    struct arena *arena;
    enum query_kind kind;
    const char **sources; /* NAMES_MAX of them; NULL: none yet */
    const char **event_types;
    bool fastapi; /* an unknown status is accepted, and no event has it */
    bool no_memory;
    bool cut; /* see heads.h */
    struct wrong *wrong;
};

/* ---- values ---- */

static bool read_number(const char *text, int64_t most, int64_t *number)
{
    size_t digits = strspn(text, "0123456789");
    errno = 0;
    *number = strtoll(text, NULL, 10);
    return digits > 0 && !text[digits] && errno == 0 && *number <= most;
}

bool query_read_position(const char *text, int64_t *after)
{
    return read_number(text, INT64_MAX, after);
}

static bool read_status(struct reading *reading, const char *text)
{
    bool acknowledged = strcmp(text, "acknowledged") == 0;
    reading->query->status = acknowledged ? TRIGGERS_STATUS_ACKNOWLEDGED : TRIGGERS_STATUS_PENDING;
    bool known = acknowledged || strcmp(text, "pending") == 0;
    reading->query->no_events = !known;
    return known || reading->fastapi;
}

static bool read_limit(struct reading *reading, const char *text)
{
    int64_t limit;
    if (!read_number(text, TRIGGERS_MAX_PAGE, &limit) || limit < 1)
        return false;
    reading->query->limit = (int32_t)limit;
    return true;
}

static bool read_order(struct reading *reading, const char *text)
{
    reading->query->oldest_first = strcmp(text, "asc") == 0;
    return reading->query->oldest_first || strcmp(text, "desc") == 0;
}

/* Opaque: the core checks it. */
static bool read_cursor(struct reading *reading, const char *text)
{
    reading->query->cursor = text;
    return true;
}

static bool read_after(struct reading *reading, const char *text)
{
    reading->query->has_after = true;
    return query_read_position(text, &reading->query->after);
}

static bool read_start(struct reading *reading, const char *text)
{
    struct query *query = reading->query;
    query->after = 0;
    query->has_after = true;
    query->latest = strcmp(text, "latest") == 0;
    return query->latest || strcmp(text, "earliest") == 0 || read_after(reading, text);
}

static bool read_wait(struct reading *reading, const char *text)
{
    return read_number(text, TRIGGERS_MAX_WAIT_MS / 1000, &reading->query->wait_s);
}

static void add_name(struct reading *reading, const char ***names, size_t *count, const char *text)
{
    if (!*names)
        *names = arena_alloc(reading->arena, NAMES_MAX * sizeof(char *));
    reading->no_memory |= !*names;
    CHECK(*count < NAMES_MAX);
    if (*names)
        (*names)[(*count)++] = text;
}

/* The core says of its request as a whole that it is no text, not of the field. */
static bool is_utf8(const char *text)
{
    const char *end = text + strlen(text);
    uint32_t character = 0;
    while (text < end && character != TEXT_NO_CHARACTER)
        text += text_next(text, end, &character);
    return character != TEXT_NO_CHARACTER;
}

static bool read_source(struct reading *reading, const char *text)
{
    add_name(reading, &reading->sources, &reading->query->filter.source_count, text);
    return is_utf8(text);
}

static bool read_event_type(struct reading *reading, const char *text)
{
    add_name(reading, &reading->event_types, &reading->query->filter.event_type_count, text);
    return is_utf8(text);
}

/* Microseconds, rounded up: no event is created between two of them. */
static bool read_time(const char *text, int64_t *time_us)
{
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    if (!transcode_text_of(&google__protobuf__timestamp__descriptor)->read(text, &time.base))
        return false;
    *time_us = time.seconds * 1000000 + (time.nanos + 999) / 1000;
    /* 0 is no time for libtriggers; no event is that old. */
    *time_us += *time_us == 0;
    return true;
}

static bool read_from(struct reading *reading, const char *text)
{
    return read_time(text, &reading->query->filter.from_us);
}

static bool read_until(struct reading *reading, const char *text)
{
    return read_time(text, &reading->query->filter.until_us);
}

/* ---- parameters ---- */

#define EVERY (QUERY_INBOX | QUERY_LOG | QUERY_STREAM)

static const struct {
    const char *name;
    bool (*read)(struct reading *reading, const char *text);
    const char *accepted;
    unsigned kinds;
    bool several; /* one that is wrong stays wrong */
} FIELDS[] = {
    {"status", read_status, "must be pending or acknowledged", QUERY_INBOX, false},
    {"limit", read_limit, "must be a whole number from 1 to 1000", QUERY_INBOX | QUERY_LOG, false},
    {"order", read_order, "must be asc or desc", QUERY_INBOX, false},
    {"cursor", read_cursor, "must be the next_cursor of the page before", QUERY_INBOX, false},
    {"after", read_after, QUERY_POSITION, QUERY_LOG, false},
    {"after", read_start, QUERY_POSITION ", or earliest, or latest", QUERY_STREAM, false},
    {"wait", read_wait, "must be a whole number of seconds from 0 to 20", QUERY_LOG, false},
    {"source", read_source, "must be valid UTF-8 in percent-encoding", EVERY, true},
    {"event_type", read_event_type, "must be valid UTF-8 in percent-encoding", EVERY, true},
    {"from", read_from, TIME, EVERY, false},
    {"until", read_until, TIME, EVERY, false},
};
#define FIELD_COUNT (sizeof(FIELDS) / sizeof(FIELDS[0]))

/* What is wrong, in the order in which it came. */
struct wrong {
    struct problem_field fields[FIELD_COUNT];
    size_t count;
};

static void note(struct wrong *wrong, size_t field, bool good)
{
    size_t i = 0;
    while (i < wrong->count && wrong->fields[i].name != FIELDS[field].name)
        i++;
    CHECK(wrong->count <= FIELD_COUNT && field < FIELD_COUNT);
    if (!good && i == wrong->count)
        wrong->fields[wrong->count++] =
            (struct problem_field){FIELDS[field].name, FIELDS[field].accepted};
    else if (good && i < wrong->count && !FIELDS[field].several)
        wrong->fields[i] = wrong->fields[--wrong->count];
}

static bool read_parameter(void *argument, const char *name, const char *value)
{
    struct reading *reading = argument;
    reading->cut |= strchr(value ? value : name, HEAD_CUT) != NULL;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (!(FIELDS[i].kinds & reading->kind) || strcmp(name, FIELDS[i].name) != 0)
            continue;
        size_t size = value ? strlen(value) + 1 : 1;
        char *text = arena_alloc(reading->arena, size);
        reading->no_memory |= !text;
        if (text)
            note(reading->wrong, i,
                 url_decode(value ? value : "", text, size) && FIELDS[i].read(reading, text));
    }
    return true;
}

static void refuse(struct request *request, const struct wrong *wrong)
{
    request_answer_problem(request, &(struct problem){.status = 422,
                                                      .code = "PARAMETERS_INVALID",
                                                      .fields = wrong->fields,
                                                      .field_count = wrong->count});
}

void query_refuse(struct request *request, const char *name, const char *accepted)
{
    refuse(request, &(struct wrong){.fields = {{name, accepted}}, .count = 1});
}

bool query_read(struct request *request, enum query_kind kind, struct query *query)
{
    *query = (struct query){0};
    struct wrong wrong = {.count = 0};
    struct reading reading = {.query = query,
                              .arena = &request->arena,
                              .kind = kind,
                              .fastapi = request->bridge->settings.fastapi,
                              .wrong = &wrong};
    loop_each_parameter(request->peer, read_parameter, &reading);
    query->filter.sources = reading.sources;
    query->filter.event_types = reading.event_types;
    if (reading.no_memory)
        request_fail_memory(request);
    else if (reading.cut)
        request_fail_cut(request);
    else if (wrong.count > 0)
        refuse(request, &wrong);
    return !request->answer.status;
}
