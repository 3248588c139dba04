#include "access/recorder.h"

#include <stdlib.h>
#include <string.h>

#include "access/rows.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"

#define AT_ONCE 100
#define BODY_ARENA ((size_t)64 << 10)

void recorder_init(struct recorder *recorder)
{
    memset(recorder, 0, sizeof(*recorder));
    pthread_mutex_init(&recorder->lock, NULL);
}

/* The log has it in its place. */
static void log_unwritten(const struct waiting_record *waiting)
{
    Triggers__V1__AuditRecord *record = triggers__v1__audit_record__unpack(
        NULL, waiting->body.size, (const uint8_t *)waiting->body.data);
    if (!record)
        return;
    log_warning("an audit record was not written before the stop",
                {"tenant", NULL, (double)waiting->tenant}, {"key_id", record->key_id},
                {"action", record->action}, {"target", record->target}, {"result", record->result},
                {"request_id", record->request_id}, {"address", record->address});
    triggers__v1__audit_record__free_unpacked(record, NULL);
}

void recorder_fini(struct recorder *recorder)
{
    for (size_t i = 0; i < recorder->count; i++) {
        log_unwritten(&recorder->waiting[i]);
        free((char *)recorder->waiting[i].body.data);
    }
    pthread_mutex_destroy(&recorder->lock);
}

/* Whole characters of a text, which is UTF-8, to a size. */
static size_t cut(struct slice text, size_t most)
{
    size_t size = 0;
    const char *end = text.data + text.size;
    while (size < text.size) {
        uint32_t character;
        size_t length = text_next(text.data + size, end, &character);
        if (size + length > most || character == TEXT_NO_CHARACTER)
            break;
        size += length;
    }
    return size;
}

struct slice record_body(struct arena *arena, const struct access_deed *deed)
{
    Triggers__V1__AuditRecord record = TRIGGERS__V1__AUDIT_RECORD__INIT;
    record.target = arena_copy(arena, deed->target.data, cut(deed->target, RECORD_TARGET_MAX));
    if (!record.target)
        return (struct slice){NULL, 0};
    record.key_id = (char *)(deed->pass ? deed->pass->key_id : "");
    record.action = (char *)deed->action;
    record.result = (char *)status_code_name(deed->result);
    record.request_id = (char *)deed->request_id;
    record.address = (char *)deed->address;
    return row_pack(arena, &record.base);
}

/* False without memory. */
static bool make_waiting(const struct access_deed *deed, struct waiting_record *waiting)
{
    struct arena arena;
    arena_init(&arena, BODY_ARENA);
    struct slice body = record_body(&arena, deed);
    char *copy = body.data ? malloc(body.size + 1) : NULL;
    if (copy)
        memcpy(copy, body.data, body.size);
    *waiting = (struct waiting_record){deed->scope.tenant, {copy, body.size}};
    arena_fini(&arena);
    return copy;
}

bool recorder_add(struct recorder *recorder, const struct access_deed *deed)
{
    struct waiting_record waiting;
    size_t most = deed->result == STATUS_PERMISSION_DENIED ? RECORDER_MAX / 2 : RECORDER_MAX;
    if (!make_waiting(deed, &waiting))
        return false;
    pthread_mutex_lock(&recorder->lock);
    bool fits = recorder->count < most;
    if (fits)
        recorder->waiting[recorder->count++] = waiting;
    pthread_mutex_unlock(&recorder->lock);
    if (!fits)
        free((char *)waiting.body.data);
    return fits;
}

bool recorder_has_more(struct recorder *recorder)
{
    pthread_mutex_lock(&recorder->lock);
    bool more = recorder->count > 0;
    pthread_mutex_unlock(&recorder->lock);
    return more;
}

/* The first ones, as many as are one tenant's. */
static size_t first_ones(struct recorder *recorder, struct store_audit_record *records,
                         int64_t *tenant)
{
    size_t count = 0;
    pthread_mutex_lock(&recorder->lock);
    *tenant = recorder->waiting[0].tenant;
    while (count < recorder->count && count < AT_ONCE &&
           recorder->waiting[count].tenant == *tenant) {
        records[count] = (struct store_audit_record){.body = recorder->waiting[count].body};
        count++;
    }
    pthread_mutex_unlock(&recorder->lock);
    return count;
}

static void remove_first(struct recorder *recorder, size_t count)
{
    pthread_mutex_lock(&recorder->lock);
    CHECK(recorder->count >= count);
    for (size_t i = 0; i < count; i++)
        free((char *)recorder->waiting[i].body.data);
    recorder->count -= count;
    memmove(recorder->waiting, recorder->waiting + count,
            recorder->count * sizeof(*recorder->waiting));
    pthread_mutex_unlock(&recorder->lock);
}

enum store_result recorder_write(struct recorder *recorder, struct store_session *session,
                                 struct status *status)
{
    struct store_audit_record records[AT_ONCE];
    int64_t tenant;
    size_t count;
    while ((count = first_ones(recorder, records, &tenant)) > 0) {
        enum store_result result = session->store->driver->audit_add(
            session, (struct scope){.tenant = tenant}, records, count, status);
        if (result != STORE_OK)
            return result;
        remove_first(recorder, count);
    }
    return STORE_OK;
}
