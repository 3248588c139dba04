/* Row by row: checked by the rules that creates go through, gathered into batches, each one
 * transaction of the store. */
#include "import/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unistr.h>

#include "base/check.h"
#include "base/log.h"
#include "events/rules.h"
#include "import/old_events.h"
#include "store/drivers.h"

#define BATCH_ROWS 500
#define BATCH_BYTES ((size_t)8 << 20)
/* The last row of a batch goes over; its names, in two forms, take little. */
#define ARENA_BYTES (BATCH_BYTES + EVENT_MAX_PAYLOAD + (64u << 10))
#define MAX_TRIES 8 /* for a batch that met contention or lost its session */

struct import_row {
    struct store_item append;
    struct store_item ack;
    bool acknowledged;
};

struct import {
    struct store *store;
    struct store_session *session;
    struct old_events *events;
    struct payload_rules payloads;
    bool shows_progress;
    struct arena arena; /* what the rows point to */
    struct import_row rows[BATCH_ROWS];
    size_t row_count;
    size_t read, stored, present, refused;
};

static void refuse_row(struct import *import, const char *id, const char *why)
{
    import->refused++;
    if (import->shows_progress)
        fputs("\r\033[K", stderr);
    log_warning("cannot import an event", {"event_id", id ? id : "null"}, {"reason", why});
}

static void show_progress(const struct import *import)
{
    size_t total = import->events->count;
    if (import->shows_progress)
        fprintf(stderr, "\r\033[Kread %zu of %zu events", import->read, total);
}

/* ---- writing ---- */

/* Acknowledges an event even if the stored content differs: no create can choose an old id, so it
 * is the same event, imported before. */
static enum store_result write_once(struct import *import, size_t first, size_t count,
                                    struct status *status)
{
    struct store_item *items[2 * BATCH_ROWS];
    struct store_write batch = {.items = items};
    CHECK(count > 0 && first + count <= import->row_count);
    for (struct import_row *row = import->rows + first; count-- > 0; row++) {
        items[batch.count++] = &row->append;
        if (row->acknowledged)
            items[batch.count++] = &row->ack;
    }
    return import->store->driver->write(import->session, SCOPE_DEFAULT, &batch, status);
}

static enum store_result reopen(struct import *import, struct status *status)
{
    CHECK(import->session);
    import->store->driver->session_close(import->session);
    import->session = NULL;
    return import->store->driver->session_open(import->store, false, &import->session, status);
}

static enum store_result write_rows(struct import *import, size_t first, size_t count,
                                    struct status *status)
{
    enum store_result result = STORE_RETRY;
    for (int tries = 0; tries < MAX_TRIES; tries++) {
        result = write_once(import, first, count, status);
        if (result == STORE_LOST && reopen(import, status) != STORE_OK)
            return STORE_UNAVAILABLE;
        if (result != STORE_RETRY && result != STORE_LOST)
            break;
    }
    return result;
}

static void count_row(struct import *import, const struct import_row *row)
{
    char id[TYPEID_TEXT_SIZE];
    typeid_format(row->append.event.id, id);
    switch (row->append.outcome) {
    case STORE_DONE: import->stored++; break;
    case STORE_REPEATED: import->present++; break;
    default:
        refuse_row(import, id, "an event with this id and other content is in the store");
        break;
    }
}

/* Writes the batch; if the store rejects it, row by row, to find the row at fault. */
static bool flush(struct import *import, struct status *status)
{
    enum store_result result = STORE_OK;
    if (import->row_count > 0)
        result = write_rows(import, 0, import->row_count, status);
    bool one_by_one = result == STORE_REJECTED;
    for (size_t i = 0; i < import->row_count; i++) {
        char id[TYPEID_TEXT_SIZE];
        typeid_format(import->rows[i].append.event.id, id);
        if (one_by_one)
            result = write_rows(import, i, 1, status);
        if (result == STORE_REJECTED)
            refuse_row(import, id, status->message);
        else if (result == STORE_OK)
            count_row(import, &import->rows[i]);
        else
            return false;
    }
    import->row_count = 0;
    arena_reset(&import->arena);
    show_progress(import);
    return true;
}

/* ---- reading ---- */

/* Both check a text as creates do and copy it into the arena. They return what is wrong with it, or
 * NULL. */
static const char *take_name(struct import *import, const char *text, struct slice *name)
{
    static const char NO_MEMORY[] = "does not fit into memory";
    const char *why;
    if (!text)
        return "is null";
    if (u8_check((const uint8_t *)text, strlen(text)))
        return "is not UTF-8";
    if (!rule_name(text, &import->arena, name, &why))
        return why ? why : NO_MEMORY;
    name->data = arena_copy(&import->arena, name->data, name->size);
    return name->data ? NULL : NO_MEMORY;
}

static const char *take_payload(struct import *import, const char *text, struct slice *payload)
{
    const char *why = NULL;
    if (!text)
        return "is null";
    struct slice given = {text, strlen(text)};
    if (rule_payload(given, &import->payloads, &import->arena, &why)) {
        *payload = (struct slice){arena_copy(&import->arena, text, given.size), given.size};
        if (payload->data)
            return NULL;
    }
    return why ? why : "does not fit into memory";
}

/* Which column of `old` is at fault, and why; NULL when the row was filled. */
static const char *fill_row(struct import *import, const struct old_event *old,
                            struct import_row *row, const char **why)
{
    struct store_event *event = &row->append.event;
    *row = (struct import_row){.append.event.created_at_us = old->created_at_us};
    *why = "is not \"evt_\" and 12 hexadecimal digits in lower case";
    if (!old->id || !typeid_parse(old->id, strlen(old->id), event->id))
        return "id";
    if ((*why = take_name(import, old->source, &event->source)))
        return "source";
    if ((*why = take_name(import, old->type, &event->type)))
        return "event_type";
    if ((*why = take_payload(import, old->payload, &event->payload)))
        return "payload";
    *why = "is not in the years 1 to 9999";
    if (!old->has_created_at)
        return "created_at";
    row->acknowledged = old->status && strcmp(old->status, "acknowledged") == 0;
    row->ack.kind = STORE_ACK;
    row->ack.event.acknowledged_at_us = old->acknowledged_at_us;
    memcpy(row->ack.event.id, event->id, TYPEID_BYTES);
    *why = "is neither pending nor acknowledged";
    return row->acknowledged || (old->status && strcmp(old->status, "pending") == 0) ? NULL
                                                                                     : "status";
}

static bool add_row(struct import *import, const struct old_event *old, struct status *status)
{
    const char *why;
    CHECK(import->row_count < BATCH_ROWS);
    struct import_row *row = &import->rows[import->row_count];
    const char *column = fill_row(import, old, row, &why);
    import->read++;
    if (column) {
        char reason[256];
        snprintf(reason, sizeof(reason), "%s %s", column, why);
        refuse_row(import, old->id, reason);
    } else {
        import->row_count++;
    }
    bool full = import->row_count == BATCH_ROWS || import->arena.used >= BATCH_BYTES;
    return !full || flush(import, status);
}

static bool copy_all(struct import *import, struct status *status)
{
    struct old_event old;
    enum old_events_result result;
    while ((result = import->events->next(import->events, &old, status)) == OLD_EVENTS_ROW) {
        if (!add_row(import, &old, status))
            return false;
    }
    return result == OLD_EVENTS_END && flush(import, status);
}

/* ---- the whole ---- */

static bool report(const struct import *import, struct status *status)
{
    CHECK(import->stored + import->present + import->refused <= import->read);
    if (import->shows_progress)
        fputs("\r\033[K", stderr);
    log_info("import ended", {"read", NULL, (double)import->read},
             {"stored", NULL, (double)import->stored},
             {"already_there", NULL, (double)import->present},
             {"refused", NULL, (double)import->refused});
    return import->refused == 0 ||
           status_fail(status, STATUS_FAILED_PRECONDITION, "IMPORT_INCOMPLETE",
                       "%zu of %zu events cannot be imported; the log names them", import->refused,
                       import->read);
}

/* `url` is accepted as DATABASE_URL is, "sqlite+driver" included. */
static bool open_old_events(const char *url, struct old_events **events, struct status *status)
{
    char *uri = store_postgres_uri(url);
    char *path = store_sqlite_path(url);
    bool opened;
    if (uri)
        opened = postgres_old_events_open(uri, events, status);
    else if (path)
        opened = sqlite_old_events_open(path, events, status);
    else
        opened = status_fail(status, STATUS_INVALID_ARGUMENT, "IMPORT_URL_INVALID",
                             "--import-from is not the URL of a database; accepted: "
                             "postgresql://user:password@host:port/database, "
                             "sqlite:///relative/path, sqlite:////absolute/path");
    if (uri)
        explicit_bzero(uri, strlen(uri));
    free(uri);
    free(path);
    return opened;
}

static bool import_all(struct import *import, const struct import_settings *settings,
                       struct status *status)
{
    if (!settings->import_from)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "IMPORT_URL_MISSING",
                           "--import-from (TRIGGERS_IMPORT_FROM) must name the database to import");
    if (!open_old_events(settings->import_from, &import->events, status))
        return false;
    if (import->store->driver->session_open(import->store, false, &import->session, status) !=
        STORE_OK)
        return false;
    log_info("importing", {"store", import->store->description},
             {"events", NULL, (double)import->events->count});
    bool copied = copy_all(import, status);
    struct status incomplete;
    bool complete = report(import, &incomplete);
    if (copied && !complete)
        *status = incomplete;
    return copied && complete;
}

bool import_run(const struct import_settings *settings, struct status *status)
{
    static struct import import; /* too large for a stack */
    import.payloads = store_settings_payload_rules(&settings->store);
    import.shows_progress = isatty(STDERR_FILENO);
    if (!store_open(settings->store.database_url, &import.store, status))
        return false;
    arena_init(&import.arena, ARENA_BYTES);
    bool ok = import_all(&import, settings, status);
    import.store->driver->session_close(import.session);
    if (import.events)
        import.events->close(import.events);
    arena_fini(&import.arena);
    import.store->driver->close(import.store);
    return ok;
}
