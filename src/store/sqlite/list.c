/* The lists: from block to block, only those in which something may be found, and in each only the
 * events that are on the list. */
#include <stdlib.h>
#include <string.h>

#include "store/sqlite/session.h"

#include "base/check.h"

/* A filter that so many kinds fit is checked at each event instead of looking for each kind. */
#define KINDS_MAX 256

struct walk {
    struct sqlite_session *session;
    struct scope scope;
    const struct sqlite_log *log;
    struct store_list *list;
    struct store_event *page; /* room for list->limit */
    int code;                 /* SQLITE_DONE until something fails */
    bool full;                /* the list is complete or the memory is exhausted */
    size_t bytes;             /* of the page's payloads */
    int64_t first, last;      /* the sequences that it may still contain */

    /* The kinds that it looks for: those that fit, or 0 for whatever is pending, or none. Each with
     * the next block that has it, as far as it was looked for. */
    size_t kind_count;
    int32_t kinds[KINDS_MAX];
    int64_t next[KINDS_MAX];
    bool check_kinds;

    /* The block that is read: which of its events may be on the list, a bit each, and when each was
     * acknowledged. */
    uint64_t wanted[SQLITE_WORDS];
    int64_t acknowledged_at[STORE_BLOCK];
};

/* ---- order ---- */

/* A block after all others in the order of the list. */
static int64_t end_of(const struct walk *walk)
{
    return walk->list->oldest_first ? INT64_MAX : -1;
}

static bool comes_before(const struct walk *walk, int64_t a, int64_t b)
{
    return walk->list->oldest_first ? a < b : a > b;
}

static bool in_range(const struct walk *walk, int64_t block)
{
    return walk->code == SQLITE_DONE && block >= walk->first / STORE_BLOCK &&
           block <= walk->last / STORE_BLOCK;
}

static int64_t block_position(const struct walk *walk, int64_t block)
{
    return sqlite_position(walk->scope, block * STORE_BLOCK);
}

/* The number that the statement finds, or `otherwise`. */
static int64_t find_number(struct walk *walk, sqlite3_stmt *statement, int64_t otherwise)
{
    int code = sqlite_step(walk->session, statement);
    if (code == SQLITE_ROW) {
        otherwise = sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
    } else if (code != SQLITE_DONE) {
        walk->code = code;
        otherwise = end_of(walk);
    }
    return otherwise;
}

static sqlite3_stmt *statement_of(struct walk *walk, enum sqlite_statement oldest,
                                  enum sqlite_statement newest)
{
    return sqlite_statement_of(walk->session, walk->scope,
                               walk->list->oldest_first ? oldest : newest);
}

/* ---- the next block ---- */

/* The next of the full blocks that has the kind, or in which it may be pending, or the open one. */
static int64_t next_of_kind(struct walk *walk, int32_t kind, int64_t block)
{
    int64_t open = walk->log->open_block;
    if (block >= open)
        return block;
    bool pending = walk->list->set == STORE_PENDING;
    sqlite3_stmt *statement =
        statement_of(walk, pending ? SQLITE_PENDING_FROM : SQLITE_KIND_FROM,
                     pending ? SQLITE_PENDING_DOWN_FROM : SQLITE_KIND_DOWN_FROM);
    sqlite_bind_int64(statement, 2, kind);
    sqlite_bind_int64(statement, 3, block);
    return find_number(walk, statement, walk->list->oldest_first ? open : end_of(walk));
}

/* The next block that has one of the kinds. */
static int64_t next_of_kinds(struct walk *walk, int64_t block)
{
    if (walk->kind_count == 0)
        return block;
    int64_t next = end_of(walk);
    for (size_t i = 0; i < walk->kind_count && walk->code == SQLITE_DONE; i++) {
        if (comes_before(walk, walk->next[i], block))
            walk->next[i] = next_of_kind(walk, walk->kinds[i], block);
        if (comes_before(walk, walk->next[i], next))
            next = walk->next[i];
    }
    return next;
}

static int64_t next_acknowledged(struct walk *walk, int64_t block)
{
    if (walk->list->set != STORE_ACKNOWLEDGED || !in_range(walk, block))
        return block;
    bool oldest_first = walk->list->oldest_first;
    int64_t start = block_position(walk, block);
    sqlite3_stmt *statement =
        statement_of(walk, SQLITE_ACKNOWLEDGED_FROM, SQLITE_ACKNOWLEDGED_DOWN_FROM);
    sqlite_bind_int64(statement, 1,
                      oldest_first ? start : sqlite_position(walk->scope, walk->first));
    sqlite_bind_int64(statement, 2,
                      oldest_first ? sqlite_position(walk->scope, walk->last)
                                   : start + STORE_BLOCK - 1);
    int64_t position = find_number(walk, statement, -1);
    return position < 0 ? end_of(walk) : sqlite_sequence(position) / STORE_BLOCK;
}

/* The next block that has the times of the filter. Those before the log's beginning and the open
 * one are looked at themselves. */
static int64_t next_in_time(struct walk *walk, int64_t block)
{
    const struct store_filter *filter = &walk->list->filter;
    int64_t first = walk->log->first_block;
    int64_t open = walk->log->open_block;
    bool any = filter->from_us == 0 && filter->until_us == 0;
    if (any || !in_range(walk, block) || block < first || block >= open)
        return block;
    sqlite3_stmt *statement = statement_of(walk, SQLITE_IN_TIME_FROM, SQLITE_IN_TIME_DOWN_FROM);
    sqlite_bind_int64(statement, 2, block);
    sqlite_bind_int64(statement, 3, store_filter_from(filter));
    sqlite_bind_int64(statement, 4, store_filter_until(filter));
    return find_number(walk, statement, walk->list->oldest_first ? open : first - 1);
}

/* The next block from `block` on in which something may be found. */
static int64_t next_block(struct walk *walk, int64_t block)
{
    while (in_range(walk, block)) {
        int64_t next = next_in_time(walk, next_acknowledged(walk, next_of_kinds(walk, block)));
        if (next == block)
            break;
        CHECK(comes_before(walk, block, next));
        block = next;
    }
    return block;
}

/* ---- one block ---- */

static sqlite3_stmt *of_range(struct walk *walk, enum sqlite_statement which, int64_t first,
                              int64_t last)
{
    sqlite3_stmt *statement = sqlite_statement(walk->session, which);
    sqlite_bind_int64(statement, 1, first);
    sqlite_bind_int64(statement, 2, last);
    return statement;
}

static void fail_unless_done(struct walk *walk, int code)
{
    if (code != SQLITE_DONE)
        walk->code = code;
}

/* Whether the list has only some kinds. */
static bool has_kinds(const struct walk *walk)
{
    return walk->kind_count > 0 && walk->kinds[0] != 0;
}

/* Finds the events of the kinds, in a full block, also those beyond the list's range; in the open
 * one they are not known yet. */
static void want_kinds(struct walk *walk, int64_t block)
{
    bool some = has_kinds(walk) && block < walk->log->open_block;
    memset(walk->wanted, some ? 0 : 0xFF, sizeof(walk->wanted));
    for (size_t i = 0; some && i < walk->kind_count && walk->code == SQLITE_DONE; i++)
        if (walk->next[i] == block)
            walk->code =
                sqlite_places(walk->session, walk->scope, walk->kinds[i], block, walk->wanted);
}

static void read_acknowledged(struct walk *walk, int64_t first, int64_t last, int64_t start)
{
    memset(walk->acknowledged_at, 0, sizeof(walk->acknowledged_at));
    sqlite3_stmt *statement = of_range(walk, SQLITE_ACKNOWLEDGED_IN, first, last);
    int code;
    while ((code = sqlite_step(walk->session, statement)) == SQLITE_ROW)
        walk->acknowledged_at[sqlite3_column_int64(statement, 0) - start] =
            sqlite3_column_int64(statement, 1);
    fail_unless_done(walk, code);
}

/* Leaves only what is in the list's range, and pending, or acknowledged, as it asks. */
static void want_set(struct walk *walk, int64_t first, int64_t last, int64_t start)
{
    bool log = walk->list->set == STORE_LOG;
    bool acknowledged = walk->list->set == STORE_ACKNOWLEDGED;
    for (int64_t i = 0; i < STORE_BLOCK; i++)
        if (start + i < first || start + i > last ||
            (!log && (walk->acknowledged_at[i] != 0) != acknowledged))
            walk->wanted[i / SQLITE_WORD] &= ~(UINT64_C(1) << i % SQLITE_WORD);
}

/* Whether the event, without its acknowledgement and names, passes the filter; sets them. */
static bool complete_event(struct walk *walk, struct store_event *event)
{
    const struct store_filter *filter = &walk->list->filter;
    if (event->created_at_us < store_filter_from(filter) ||
        (filter->until_us != 0 && event->created_at_us >= filter->until_us))
        return false;
    walk->code = sqlite_pair(walk->session, walk->scope, event);
    event->acknowledged_at_us = walk->acknowledged_at[event->sequence % STORE_BLOCK];
    return walk->code == SQLITE_DONE &&
           (!walk->check_kinds ||
            (store_filter_fits(filter->sources, filter->source_count, event->source) &&
             store_filter_fits(filter->types, filter->type_count, event->type)));
}

/* Copies the event into the page, unless that is full. */
static void take_event(struct walk *walk, struct store_event *event)
{
    struct store_list *list = walk->list;
    walk->bytes += event->payload.size;
    list->more = list->count == list->limit || (list->count > 0 && walk->bytes > list->max_bytes);
    list->no_memory = !list->more && !store_event_copy(event, list->arena);
    walk->full = list->more || list->no_memory;
    if (!walk->full)
        walk->page[list->count++] = *event;
}

static bool is_looked_for(const struct walk *walk, int32_t kind)
{
    for (size_t i = 0; i < walk->kind_count; i++)
        if (walk->kinds[i] == kind)
            return true;
    return false;
}

/* The statement with the first and the last position of the bits bound. */
static sqlite3_stmt *of_bits(struct walk *walk, enum sqlite_statement which, int64_t start,
                             uint64_t bits)
{
    return of_range(walk, which, start + __builtin_ctzll(bits),
                    start + SQLITE_WORD - 1 - __builtin_clzll(bits));
}

/* Leaves only the events of the kinds, in the open block. */
static uint64_t those_of_kinds(struct walk *walk, int64_t start, uint64_t wanted)
{
    uint64_t found = 0;
    sqlite3_stmt *statement = of_bits(walk, SQLITE_KINDS_IN, start, wanted);
    int code;
    while ((code = sqlite_step(walk->session, statement)) == SQLITE_ROW)
        if (is_looked_for(walk, sqlite3_column_int(statement, 1)))
            found |= UINT64_C(1) << (sqlite3_column_int64(statement, 0) - start);
    fail_unless_done(walk, code);
    return wanted & found;
}

/* Reads the events of the bits, counted from the position `start`. */
static void read_events(struct walk *walk, int64_t start, uint64_t wanted)
{
    bool open = start >= block_position(walk, walk->log->open_block);
    if (wanted != 0 && open && has_kinds(walk))
        wanted = those_of_kinds(walk, start, wanted);
    if (wanted == 0 || walk->code != SQLITE_DONE)
        return;
    enum sqlite_statement which =
        walk->list->oldest_first ? SQLITE_EVENTS_OLDEST : SQLITE_EVENTS_NEWEST;
    sqlite3_stmt *statement = of_bits(walk, which, start, wanted);
    sqlite_bind_int64(statement, 3, (int64_t)wanted);
    int code;
    while ((code = sqlite_step(walk->session, statement)) == SQLITE_ROW) {
        struct store_event event = sqlite_row_event(statement);
        if (complete_event(walk, &event))
            take_event(walk, &event);
        if (walk->full || walk->code != SQLITE_DONE) {
            sqlite3_reset(statement);
            return;
        }
    }
    fail_unless_done(walk, code);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void read_block(struct walk *walk, int64_t block)
{
    int64_t start = block_position(walk, block);
    int64_t first = most(start, sqlite_position(walk->scope, walk->first));
    int64_t last = least(start + STORE_BLOCK - 1, sqlite_position(walk->scope, walk->last));
    CHECK(first <= last);
    want_kinds(walk, block);
    read_acknowledged(walk, first, last, start);
    want_set(walk, first, last, start);
    for (int i = 0; i < SQLITE_WORDS && !walk->full && walk->code == SQLITE_DONE; i++) {
        int word = walk->list->oldest_first ? i : SQLITE_WORDS - 1 - i;
        read_events(walk, start + word * SQLITE_WORD, walk->wanted[word]);
    }
}

/* ---- the list ---- */

static int find_kinds(struct walk *walk, size_t *all, size_t *fitting)
{
    const struct store_filter *filter = &walk->list->filter;
    sqlite3_stmt *statement = sqlite_statement_of(walk->session, walk->scope, SQLITE_KINDS);
    sqlite_bind_int64(statement, 2, 0);
    sqlite_bind_int64(statement, 3, -1); /* without a limit */
    int code;
    while ((code = sqlite_step(walk->session, statement)) == SQLITE_ROW) {
        ++*all;
        if (!store_filter_fits(filter->sources, filter->source_count,
                               sqlite_column_slice(statement, 1)) ||
            !store_filter_fits(filter->types, filter->type_count,
                               sqlite_column_slice(statement, 2)))
            continue;
        if (*fitting < KINDS_MAX)
            walk->kinds[*fitting] = sqlite3_column_int(statement, 0);
        ++*fitting;
    }
    return code;
}

/* Chooses what the walk looks for; false when no kind fits. */
static bool choose_kinds(struct walk *walk)
{
    const struct store_filter *filter = &walk->list->filter;
    size_t all = 0, fitting = 0;
    if (filter->source_count > 0 || filter->type_count > 0)
        walk->code = find_kinds(walk, &all, &fitting);
    walk->kind_count = fitting;
    walk->check_kinds = fitting < all && fitting > KINDS_MAX;
    bool any = fitting == all || walk->check_kinds;
    if (any) {
        walk->kinds[0] = 0;
        walk->kind_count = walk->list->set == STORE_PENDING;
    }
    for (size_t i = 0; i < walk->kind_count; i++) /* a block before all others */
        walk->next[i] = walk->list->oldest_first ? -1 : INT64_MAX;
    return any || fitting > 0;
}

/* Sets which sequences the list may have. */
static void choose_range(struct walk *walk)
{
    const struct store_list *list = walk->list;
    int64_t start = store_list_start(list);
    walk->first = list->set == STORE_LOG ? list->first : 1;
    walk->last = walk->log->last;
    if (list->oldest_first)
        walk->first = start < walk->last ? most(walk->first, start + 1) : walk->last + 1;
    else
        walk->last = least(walk->last, start - 1);
}

static void read_page(struct walk *walk)
{
    choose_range(walk);
    if (walk->first > walk->last || !choose_kinds(walk))
        return;
    int step = walk->list->oldest_first ? 1 : -1;
    int64_t block =
        next_block(walk, (walk->list->oldest_first ? walk->first : walk->last) / STORE_BLOCK);
    while (in_range(walk, block) && !walk->full) {
        read_block(walk, block);
        if (!walk->full)
            block = next_block(walk, block + step);
    }
}

/* Moves the page to the list's arena. */
static void keep_page(struct walk *walk)
{
    struct store_list *list = walk->list;
    CHECK(list->count <= list->limit);
    list->events = arena_calloc(list->arena, list->count, sizeof(*walk->page));
    list->no_memory = !list->events;
    if (list->events && list->count > 0)
        memcpy(list->events, walk->page, list->count * sizeof(*walk->page));
    list->read_to =
        list->more ? walk->page[list->count - 1].sequence : most(list->after, walk->log->last);
}

static enum store_result list_one(struct sqlite_session *session, struct scope scope,
                                  const struct sqlite_log *log, struct store_list *list,
                                  struct status *status)
{
    struct store_event *page = malloc(list->limit * sizeof(*page));
    if (!page)
        return store_unavailable(status, "out of memory");
    list->count = 0;
    list->more = list->no_memory = false;
    list->first = most(log->first_block * STORE_BLOCK, 1);
    struct walk walk = {.session = session,
                        .scope = scope,
                        .log = log,
                        .list = list,
                        .page = page,
                        .code = SQLITE_DONE};
    read_page(&walk);
    if (walk.code == SQLITE_DONE && !list->no_memory)
        keep_page(&walk);
    free(page);
    return walk.code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, walk.code, status);
}

enum store_result sqlite_list(struct store_session *base, struct scope scope,
                              struct store_list **lists, size_t count, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    struct sqlite_log log;
    int code = sqlite_begin_read(session, scope, &log);
    enum store_result result =
        code == SQLITE_DONE ? STORE_OK : sqlite_failed(session, code, status);
    for (size_t i = 0; i < count && result == STORE_OK; i++)
        result = list_one(session, scope, &log, lists[i], status);
    sqlite_end_read(session);
    return result;
}
