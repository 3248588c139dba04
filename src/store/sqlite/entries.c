/* Ledgers: appending takes and settlements, reading them and removing old ones. */
#include "store/sqlite/session.h"

#include "base/check.h"
#include "base/clock.h"

#define LEDGER_TRIM_STEP 1000 /* entries that one call removes */

/* One of the two lists of a ledger: its statements. */
struct entry_list {
    enum sqlite_statement newest, numbered, after, add, trim;
};

static const struct entry_list TAKES = {
    .newest = SQLITE_NEWEST_TAKE,
    .numbered = SQLITE_TAKE,
    .after = SQLITE_TAKES_AFTER,
    .add = SQLITE_ADD_TAKE,
    .trim = SQLITE_TRIM_TAKES,
};
static const struct entry_list SETTLEMENTS = {
    .newest = SQLITE_NEWEST_SETTLEMENT,
    .numbered = SQLITE_SETTLEMENT,
    .after = SQLITE_SETTLEMENTS_AFTER,
    .add = SQLITE_ADD_SETTLEMENT,
    .trim = SQLITE_TRIM_SETTLEMENTS,
};

struct store_subscription sqlite_row_subscription(sqlite3_stmt *statement)
{
    return (struct store_subscription){
        .id = sqlite3_column_int64(statement, 0),
        .revision = sqlite3_column_int64(statement, 1),
        .created_at_us = sqlite3_column_int64(statement, 2),
        .removed = sqlite3_column_int(statement, 3),
        .name = sqlite_column_slice(statement, 4),
        .settings = sqlite_column_slice(statement, 5),
    };
}

static struct store_entry row_entry(sqlite3_stmt *statement)
{
    return (struct store_entry){
        .number = sqlite3_column_int64(statement, 0),
        .token = (uint64_t)sqlite3_column_int64(statement, 1),
        .at_us = sqlite3_column_int64(statement, 2),
    };
}

/* The entry that the statement finds, without its body; all zero when it finds none. */
static int find_entry(struct sqlite_session *session, sqlite3_stmt *statement,
                      struct store_entry *entry)
{
    *entry = (struct store_entry){0};
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return code;
    *entry = row_entry(statement);
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

static int find_numbered(struct sqlite_session *session, struct scope scope, int64_t subscription,
                         const struct entry_list *list, int64_t number, struct store_entry *entry)
{
    sqlite3_stmt *statement = sqlite_statement_about(session, scope, subscription, list->numbered);
    sqlite_bind_int64(statement, 3, number);
    return find_entry(session, statement, entry);
}

static bool is_entry(const struct store_entry *entry, struct store_entry_before before)
{
    return entry->number == before.number && entry->token == before.token;
}

/* 0: there is no such subscription, or it was removed. */
static int find_revision(struct sqlite_session *session, struct scope scope, int64_t subscription,
                         int64_t *revision)
{
    sqlite3_stmt *statement =
        sqlite_statement_about(session, scope, subscription, SQLITE_SUBSCRIPTION);
    *revision = 0;
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return code;
    struct store_subscription row = sqlite_row_subscription(statement);
    if (!row.removed)
        *revision = row.revision;
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

/* ---- appending ---- */

struct appending {
    struct sqlite_session *session;
    struct scope scope;
    const struct entry_list *list;
    int64_t subscription, revision;
    struct store_entry_before before;
    int64_t takes; /* of a checkpoint, else -1 */
    struct store_entry *entry;
    enum store_outcome outcome; /* out */
};

static int add_entry(struct appending *appending)
{
    const struct store_entry *entry = appending->entry;
    sqlite3_stmt *statement = sqlite_statement_about(appending->session, appending->scope,
                                                     appending->subscription, appending->list->add);
    sqlite_bind_int64(statement, 3, entry->number);
    sqlite_bind_int64(statement, 4, (int64_t)entry->token);
    sqlite_bind_int64(statement, 5, entry->at_us);
    sqlite_bind_blob(statement, 6, entry->body);
    if (appending->list == &SETTLEMENTS && appending->takes >= 0)
        sqlite_bind_int64(statement, 7, appending->takes);
    else if (appending->list == &SETTLEMENTS)
        CHECK(sqlite3_bind_null(statement, 7) != SQLITE_RANGE);
    int code = sqlite_step(appending->session, statement);
    if (code == SQLITE_DONE)
        appending->outcome = STORE_DONE;
    return code;
}

/* Appends the entry if it follows the newest one and nobody has changed the subscription. */
static int append_entry(struct appending *appending)
{
    struct sqlite_session *session = appending->session;
    struct store_entry *entry = appending->entry;
    int64_t revision;
    struct store_entry newest = {0};
    int code = find_revision(session, appending->scope, appending->subscription, &revision);
    if (code == SQLITE_DONE)
        code = find_entry(session,
                          sqlite_statement_about(session, appending->scope, appending->subscription,
                                                 appending->list->newest),
                          &newest);
    appending->outcome = revision == 0 ? STORE_NOT_FOUND : STORE_STALE;
    if (code != SQLITE_DONE || revision != appending->revision || revision == 0 ||
        !is_entry(&newest, appending->before))
        return code;
    entry->number = newest.number + 1;
    entry->at_us = clock_now_us();
    return add_entry(appending);
}

/* Whether the take that the settlement's writer has seen is not there any more. */
static int find_lost(struct appending *appending, struct store_entry_before seen, bool *lost)
{
    struct store_entry there = {0};
    int code = SQLITE_DONE;
    if (seen.number > 0)
        code = find_numbered(appending->session, appending->scope, appending->subscription, &TAKES,
                             seen.number, &there);
    *lost = !is_entry(&there, seen);
    return code;
}

/* Whether the settlement that was not appended is there already. */
static int find_repeated(struct appending *appending)
{
    struct store_entry *entry = appending->entry;
    struct store_entry there;
    int code = find_numbered(appending->session, appending->scope, appending->subscription,
                             appending->list, appending->before.number + 1, &there);
    if (code != SQLITE_DONE || there.number == 0 || there.token != entry->token)
        return code;
    entry->number = there.number;
    entry->at_us = there.at_us;
    appending->outcome = STORE_REPEATED;
    return code;
}

int sqlite_append_settlement(struct sqlite_session *session, struct scope scope,
                             struct store_settlement *settlement, enum store_outcome *outcome)
{
    struct appending appending = {
        .session = session,
        .scope = scope,
        .list = &SETTLEMENTS,
        .subscription = settlement->subscription,
        .revision = settlement->revision,
        .before = settlement->before,
        .takes = settlement->takes,
        .entry = &settlement->entry,
    };
    bool lost;
    appending.outcome = STORE_STALE;
    int code = find_lost(&appending, settlement->seen, &lost);
    if (code == SQLITE_DONE && !lost)
        code = append_entry(&appending);
    if (code == SQLITE_DONE && appending.outcome != STORE_DONE)
        code = find_repeated(&appending);
    *outcome = appending.outcome;
    if (code == SQLITE_DONE && *outcome == STORE_DONE)
        code = sqlite_move_dead_letters(session, scope, settlement);
    return code;
}

int sqlite_begin_ledger(struct sqlite_session *session, struct scope scope, int64_t subscription,
                        int64_t now_us, struct slice checkpoint)
{
    struct store_entry entry = {.number = 1, .at_us = now_us, .body = checkpoint};
    struct appending appending = {.session = session,
                                  .scope = scope,
                                  .list = &SETTLEMENTS,
                                  .subscription = subscription,
                                  .entry = &entry};
    return add_entry(&appending);
}

static int take_one(struct sqlite_session *session, struct scope scope, struct store_take *take)
{
    struct appending appending = {
        .session = session,
        .scope = scope,
        .list = &TAKES,
        .subscription = take->subscription,
        .revision = take->revision,
        .before = take->before,
        .entry = &take->entry,
    };
    int code = append_entry(&appending);
    take->outcome = appending.outcome;
    return code;
}

enum store_result sqlite_take(struct store_session *base, struct scope scope,
                              struct store_take **takes, size_t count, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    bool durable = false;
    for (size_t i = 0; i < count; i++)
        durable |= takes[i]->durable;
    int code = sqlite_begin_writing(session, durable);
    for (size_t i = 0; i < count && code == SQLITE_DONE; i++)
        code = take_one(session, scope, takes[i]);
    return sqlite_end_writing(session, code, status);
}

/* ---- reading ---- */

struct ledger_reading {
    struct sqlite_session *session;
    struct scope scope;
    struct store_ledger *ledger;
};

static int read_subscription(struct ledger_reading *reading)
{
    struct store_ledger *ledger = reading->ledger;
    sqlite3_stmt *statement = sqlite_statement_about(reading->session, reading->scope,
                                                     ledger->subscription, SQLITE_SUBSCRIPTION);
    ledger->outcome = STORE_NOT_FOUND;
    int code = sqlite_step(reading->session, statement);
    if (code != SQLITE_ROW)
        return code;
    ledger->row = sqlite_row_subscription(statement);
    if (!ledger->row.removed)
        ledger->outcome = STORE_DONE;
    ledger->no_memory = !store_slice_copy(&ledger->row.name, ledger->arena) ||
                        !store_slice_copy(&ledger->row.settings, ledger->arena);
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

/* The number of the newest checkpoint and the last take that it includes; every ledger has one. */
static int find_checkpoint(struct sqlite_session *session, struct scope scope, int64_t subscription,
                           int64_t *settlement, int64_t *takes)
{
    sqlite3_stmt *statement =
        sqlite_statement_about(session, scope, subscription, SQLITE_NEWEST_CHECKPOINT);
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
    *settlement = sqlite3_column_int64(statement, 0);
    *takes = sqlite3_column_int64(statement, 1);
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

/* It is STORE_STALE when a known entry is not there. */
static int check_known(struct ledger_reading *reading, const struct entry_list *list,
                       struct store_entry_before known)
{
    struct store_ledger *ledger = reading->ledger;
    struct store_entry there;
    if (known.number == 0)
        return SQLITE_DONE;
    int code = find_numbered(reading->session, reading->scope, ledger->subscription, list,
                             known.number, &there);
    if (code == SQLITE_DONE && !is_entry(&there, known))
        ledger->outcome = STORE_STALE;
    return code;
}

/* Copies the rows, `count` of them, as they come. A number that is missing was trimmed. */
static int copy_entries(struct ledger_reading *reading, sqlite3_stmt *statement, int64_t after,
                        struct store_entry *entries, size_t count)
{
    struct store_ledger *ledger = reading->ledger;
    size_t copied = 0;
    int code;
    while ((code = sqlite_step(reading->session, statement)) == SQLITE_ROW) {
        struct store_entry *entry = &entries[copied++];
        *entry = row_entry(statement);
        entry->body = sqlite_column_slice(statement, 3);
        if (entry->number != after + (int64_t)copied)
            ledger->outcome = STORE_STALE;
        else
            ledger->no_memory = !store_slice_copy(&entry->body, ledger->arena);
        if (ledger->outcome == STORE_STALE || ledger->no_memory) {
            sqlite3_reset(statement);
            return SQLITE_DONE;
        }
    }
    CHECK(code != SQLITE_DONE || copied == count);
    return code;
}

/* Reads the entries after the number `after`. */
static int read_entries(struct ledger_reading *reading, const struct entry_list *list,
                        int64_t after, struct store_entry **entries, size_t *count)
{
    struct sqlite_session *session = reading->session;
    struct store_ledger *ledger = reading->ledger;
    struct store_entry newest;
    int code = find_entry(
        session,
        sqlite_statement_about(session, reading->scope, ledger->subscription, list->newest),
        &newest);
    if (code != SQLITE_DONE || newest.number <= after)
        return code;
    *count = (size_t)(newest.number - after);
    *entries = arena_calloc(ledger->arena, *count, sizeof(**entries));
    ledger->no_memory = !*entries;
    if (ledger->no_memory)
        return code;
    sqlite3_stmt *statement =
        sqlite_statement_about(session, reading->scope, ledger->subscription, list->after);
    sqlite_bind_int64(statement, 3, after);
    return copy_entries(reading, statement, after, *entries, *count);
}

static bool goes_on(const struct ledger_reading *reading, int code)
{
    return code == SQLITE_DONE && reading->ledger->outcome == STORE_DONE &&
           !reading->ledger->no_memory;
}

static int read_ledger(struct ledger_reading *reading)
{
    struct store_ledger *ledger = reading->ledger;
    bool anew = ledger->settlements.number == 0;
    int64_t checkpoint, takes;
    int code = read_subscription(reading);
    if (goes_on(reading, code))
        code = find_checkpoint(reading->session, reading->scope, ledger->subscription, &checkpoint,
                               &takes);
    if (!goes_on(reading, code))
        return code;
    if (checkpoint > ledger->settlements.number)
        ledger->checkpoint_takes = takes;
    if (!anew)
        code = check_known(reading, &SETTLEMENTS, ledger->settlements);
    if (!anew && goes_on(reading, code))
        code = check_known(reading, &TAKES, ledger->takes);
    if (goes_on(reading, code))
        code =
            read_entries(reading, &SETTLEMENTS, anew ? checkpoint - 1 : ledger->settlements.number,
                         &ledger->new_settlements, &ledger->new_settlement_count);
    if (goes_on(reading, code))
        code = read_entries(reading, &TAKES, anew ? takes : ledger->takes.number,
                            &ledger->new_takes, &ledger->new_take_count);
    return code == SQLITE_DONE && anew && ledger->outcome == STORE_STALE ? SQLITE_CORRUPT : code;
}

enum store_result sqlite_ledger(struct store_session *base, struct scope scope,
                                struct store_ledger *ledger, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    struct ledger_reading reading = {session, scope, ledger};
    ledger->new_takes = ledger->new_settlements = NULL;
    ledger->new_take_count = ledger->new_settlement_count = 0;
    ledger->checkpoint_takes = -1;
    ledger->no_memory = false;
    int code = sqlite_step(session, sqlite_statement(session, SQLITE_BEGIN));
    if (code == SQLITE_DONE)
        code = read_ledger(&reading);
    sqlite_end_read(session);
    ledger->now_us = clock_now_us();
    if (ledger->outcome != STORE_DONE || ledger->no_memory)
        ledger->new_take_count = ledger->new_settlement_count = 0;
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}

static int newest_number(struct sqlite_session *session, struct scope scope, int64_t subscription,
                         const struct entry_list *list, int64_t *number)
{
    return sqlite_number(
        session, sqlite_statement_about(session, scope, subscription, list->newest), number);
}

static int read_head(struct sqlite_session *session, struct scope scope, int64_t subscription,
                     struct store_ledger_head *head)
{
    *head = (struct store_ledger_head){0};
    int code = find_revision(session, scope, subscription, &head->revision);
    if (code != SQLITE_DONE || head->revision == 0)
        return code;
    code = newest_number(session, scope, subscription, &TAKES, &head->take);
    if (code == SQLITE_DONE)
        code = newest_number(session, scope, subscription, &SETTLEMENTS, &head->settlement);
    return code;
}

enum store_result sqlite_ledger_heads(struct store_session *base, struct scope scope,
                                      struct store_ledger_heads *heads, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    int code = sqlite_step(session, sqlite_statement(session, SQLITE_BEGIN));
    for (size_t i = 0; i < heads->count && code == SQLITE_DONE; i++)
        code = read_head(session, scope, heads->ids[i], &heads->heads[i]);
    sqlite_end_read(session);
    return code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
}

/* ---- removing ---- */

struct ledger_trimming {
    struct sqlite_session *session;
    struct scope scope;
    int64_t subscription;
};

/* Removes entries from the number *from to before `to`; *from becomes where it has come to. */
static int trim_entries(const struct ledger_trimming *trimming, const struct entry_list *list,
                        int64_t *from, int64_t to)
{
    if (*from >= to)
        return SQLITE_DONE;
    sqlite3_stmt *statement = sqlite_statement_about(trimming->session, trimming->scope,
                                                     trimming->subscription, list->after);
    sqlite_bind_int64(statement, 3, *from - 1);
    int64_t first;
    int code = sqlite_number(trimming->session, statement, &first);
    if (code != SQLITE_DONE)
        return code;
    int64_t end = first != 0 && first + LEDGER_TRIM_STEP < to ? first + LEDGER_TRIM_STEP : to;
    statement = sqlite_statement_about(trimming->session, trimming->scope, trimming->subscription,
                                       list->trim);
    sqlite_bind_int64(statement, 3, *from);
    sqlite_bind_int64(statement, 4, end);
    *from = end;
    return sqlite_step(trimming->session, statement);
}

/* Whatever is asked for, what no checkpoint has replaced stays. */
static int trim_ledger(const struct ledger_trimming *trimming, struct store_ledger_head *from,
                       struct store_ledger_head to)
{
    int64_t checkpoint, takes;
    int code = find_checkpoint(trimming->session, trimming->scope, trimming->subscription,
                               &checkpoint, &takes);
    if (code != SQLITE_DONE)
        return code;
    code = trim_entries(trimming, &SETTLEMENTS, &from->settlement,
                        to.settlement < checkpoint ? to.settlement : checkpoint);
    if (code == SQLITE_DONE)
        code = trim_entries(trimming, &TAKES, &from->take, to.take < takes ? to.take : takes);
    return code;
}

enum store_result sqlite_ledger_trim(struct store_session *base, struct scope scope,
                                     int64_t subscription, struct store_ledger_head *from,
                                     struct store_ledger_head to, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    struct ledger_trimming trimming = {session, scope, subscription};
    struct store_ledger_head trimmed = *from;
    int64_t revision;
    int code = sqlite_begin_writing(session, true);
    if (code == SQLITE_DONE)
        code = find_revision(session, scope, subscription, &revision);
    if (code == SQLITE_DONE && revision != 0)
        code = trim_ledger(&trimming, &trimmed, to);
    enum store_result result = sqlite_end_writing(session, code, status);
    if (result == STORE_OK)
        *from = trimmed;
    return result;
}
