/* A batch of writes in one transaction. */
#include "store/sqlite/session.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"

/* One transaction. */
struct writing {
    struct sqlite_session *session;
    struct scope scope;
    int64_t before; /* the highest sequence when it began */
    int64_t last;   /* and now */
    size_t touched; /* the session's list of what acknowledgements may settle */
    bool new_kinds; /* the session's names have some that are not committed */
    bool wiping;    /* it erases */
};

static int64_t block_of(int64_t sequence)
{
    return sequence / STORE_BLOCK;
}

/* The first block that is not full when `last` is the highest sequence. */
static int64_t open_block(int64_t last)
{
    return block_of(last + 1);
}

/* ---- kinds ---- */

/* The number of the event's kind; 0 when there is none yet. */
static int find_kind(struct writing *writing, struct store_event *event)
{
    struct sqlite_session *session = writing->session;
    event->kind = names_kind(&session->names, writing->scope, event->source, event->type);
    if (event->kind != 0)
        return SQLITE_DONE;
    sqlite3_stmt *statement = sqlite_statement_of(session, writing->scope, SQLITE_FIND_KIND);
    sqlite_bind_text(statement, 2, event->source);
    sqlite_bind_text(statement, 3, event->type);
    int64_t kind;
    int code = sqlite_number(session, statement, &kind);
    event->kind = (int32_t)kind;
    if (code == SQLITE_DONE && kind != 0)
        names_add(&session->names, writing->scope, event->kind, event->source, event->type);
    return code;
}

static int add_kind(struct writing *writing, struct store_event *event)
{
    struct sqlite_session *session = writing->session;
    sqlite3_stmt *statement = sqlite_statement_of(session, writing->scope, SQLITE_ADD_KIND);
    sqlite_bind_text(statement, 2, event->source);
    sqlite_bind_text(statement, 3, event->type);
    int code = sqlite_step(session, statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
    event->kind = sqlite3_column_int(statement, 0);
    code = sqlite_step(session, statement);
    writing->new_kinds = true;
    if (code == SQLITE_DONE)
        names_add(&session->names, writing->scope, event->kind, event->source, event->type);
    return code;
}

/* ---- appends ---- */

static void bind_ordering_key(sqlite3_stmt *statement, int index, struct slice key)
{
    if (key.size > 0)
        sqlite_bind_text(statement, index, key);
    else
        sqlite_bind_null(statement, index);
}

/* A number, or null for 0. */
static void bind_unless_zero(sqlite3_stmt *statement, int index, int64_t number)
{
    if (number != 0)
        sqlite_bind_int64(statement, index, number);
    else
        sqlite_bind_null(statement, index);
}

/* Sets the outcome when the id is there, else leaves it as it is. */
static int compare_append(struct writing *writing, struct store_item *append)
{
    sqlite3_stmt *statement = sqlite_statement_of(writing->session, writing->scope, SQLITE_COMPARE);
    sqlite_bind_id(statement, 2, append->event.id);
    sqlite_bind_int64(statement, 3, append->event.kind);
    sqlite_bind_blob(statement, 4, append->event.payload);
    bind_ordering_key(statement, 5, append->event.ordering_key);
    int code = sqlite_step(writing->session, statement);
    if (code != SQLITE_ROW)
        return code;
    append->outcome = STORE_CONFLICT;
    append->event.sequence = sqlite_sequence(sqlite3_column_int64(statement, 0));
    if (sqlite3_column_int(statement, 3)) {
        append->outcome = STORE_REPEATED;
        append->event.created_at_us = sqlite3_column_int64(statement, 1);
    }
    append->event.kind = sqlite3_column_int(statement, 2);
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

static int insert_event(struct writing *writing, struct store_item *append)
{
    struct store_event *event = &append->event;
    event->sequence = writing->last + 1;
    sqlite3_stmt *statement = sqlite_statement_of(writing->session, writing->scope, SQLITE_APPEND);
    sqlite_bind_int64(statement, 2, sqlite_position(writing->scope, event->sequence));
    sqlite_bind_id(statement, 3, event->id);
    sqlite_bind_int64(statement, 4, event->created_at_us);
    sqlite_bind_int64(statement, 5, event->kind);
    sqlite_bind_blob(statement, 6, event->payload);
    bind_ordering_key(statement, 7, event->ordering_key);
    bind_unless_zero(statement, 8, (int64_t)store_key_of(event->ordering_key));
    bind_unless_zero(statement, 9, event->deliver_at_us);
    int code = sqlite_step(writing->session, statement);
    if (code != SQLITE_DONE)
        return code;
    int changes = sqlite3_changes(writing->session->db);
    CHECK(changes == 0 || changes == 1);
    if (changes == 0)
        return compare_append(writing, append);
    append->outcome = STORE_DONE;
    writing->last++;
    return SQLITE_DONE;
}

/* An id that is there must not leave a new kind behind, so it is looked for first. */
static int append_one(struct writing *writing, struct store_item *append)
{
    append->outcome = STORE_DONE;
    int code = find_kind(writing, &append->event);
    bool new_kind = append->event.kind == 0;
    if (code == SQLITE_DONE && new_kind)
        code = compare_append(writing, append);
    if (code != SQLITE_DONE || append->outcome != STORE_DONE)
        return code;
    if (new_kind)
        code = add_kind(writing, &append->event);
    return code == SQLITE_DONE ? insert_event(writing, append) : code;
}

/* Finds the item's event: sets its sequence and kind, or the outcome STORE_NOT_FOUND. */
static int find_event(struct writing *writing, struct store_item *item, int64_t *created_at_us)
{
    sqlite3_stmt *statement = sqlite_statement_of(writing->session, writing->scope, SQLITE_FIND);
    sqlite_bind_id(statement, 2, item->event.id);
    int code = sqlite_step(writing->session, statement);
    item->outcome = STORE_NOT_FOUND;
    if (code != SQLITE_ROW)
        return code;
    item->outcome = STORE_DONE;
    item->event.sequence = sqlite_sequence(sqlite3_column_int64(statement, 0));
    item->event.kind = sqlite3_column_int(statement, 1);
    *created_at_us = sqlite3_column_int64(statement, 2);
    sqlite3_reset(statement);
    return SQLITE_DONE;
}

/* ---- acknowledgements ---- */

static void touch(struct writing *writing, const struct store_event *event)
{
    struct sqlite_session *session = writing->session;
    int64_t block = block_of(event->sequence);
    if (block >= open_block(writing->before))
        return; /* not full, or filled by this transaction, which will see the acknowledgement */
    CHECK(writing->touched < session->touched_room);
    session->touched[writing->touched++] = (struct sqlite_touched){block, event->kind};
}

static int acknowledge(struct writing *writing, struct store_item *ack, int64_t created_at_us)
{
    struct sqlite_session *session = writing->session;
    if (ack->event.acknowledged_at_us < created_at_us)
        ack->event.acknowledged_at_us = created_at_us;
    int64_t position = sqlite_position(writing->scope, ack->event.sequence);
    sqlite3_stmt *statement = sqlite_statement(session, SQLITE_ACKNOWLEDGE);
    sqlite_bind_int64(statement, 1, position);
    sqlite_bind_int64(statement, 2, ack->event.acknowledged_at_us);
    int code = sqlite_step(session, statement);
    if (code != SQLITE_DONE)
        return code;
    ack->outcome = sqlite3_changes(session->db) ? STORE_DONE : STORE_REPEATED;
    if (ack->outcome == STORE_DONE) {
        touch(writing, &ack->event);
        return SQLITE_DONE;
    }
    statement = sqlite_statement(session, SQLITE_ACKNOWLEDGED_AT);
    sqlite_bind_int64(statement, 1, position);
    return sqlite_number(session, statement, &ack->event.acknowledged_at_us);
}

static int ack_one(struct writing *writing, struct store_item *ack)
{
    int64_t created_at_us;
    int code = find_event(writing, ack, &created_at_us);
    if (code != SQLITE_DONE || ack->outcome == STORE_NOT_FOUND)
        return code;
    return acknowledge(writing, ack, created_at_us);
}

/* ---- settlements ---- */

/* Acknowledges the event, unless retention has removed it. */
static int ack_sequence(struct writing *writing, int64_t sequence, int64_t at_us)
{
    struct store_item ack = {.event = {.sequence = sequence, .acknowledged_at_us = at_us}};
    if (!sqlite_is_sequence(sequence))
        return SQLITE_DONE;
    sqlite3_stmt *statement = sqlite_statement(writing->session, SQLITE_FIND_AT);
    sqlite_bind_int64(statement, 1, sqlite_position(writing->scope, sequence));
    int code = sqlite_step(writing->session, statement);
    if (code != SQLITE_ROW)
        return code;
    ack.event.kind = sqlite3_column_int(statement, 0);
    int64_t created_at_us = sqlite3_column_int64(statement, 1);
    sqlite3_reset(statement);
    return acknowledge(writing, &ack, created_at_us);
}

static int settle_one(struct writing *writing, struct store_item *item)
{
    const struct store_settlement *settlement = item->settlement;
    int code = sqlite_append_settlement(writing->session, writing->scope, item->settlement,
                                        &item->outcome);
    if (code != SQLITE_DONE || item->outcome != STORE_DONE)
        return code;
    for (size_t i = 0; i < settlement->acknowledged_count && code == SQLITE_DONE; i++)
        code = ack_sequence(writing, settlement->acknowledged[i], settlement->entry.at_us);
    return code;
}

/* ---- erasures ---- */

/* Payloads of several pages leave free ones, which are wiped, too. */
static int wipe(struct writing *writing, enum sqlite_statement how)
{
    writing->wiping = how == SQLITE_WIPE;
    return sqlite3_exec(writing->session->db, SQLITE_STATEMENTS[how].sql, NULL, NULL, NULL);
}

static int erase_one(struct writing *writing, struct store_item *erase)
{
    struct sqlite_session *session = writing->session;
    int64_t created_at_us;
    int code = find_event(writing, erase, &created_at_us);
    if (code != SQLITE_DONE || erase->outcome == STORE_NOT_FOUND)
        return code;
    if (!writing->wiping && (code = wipe(writing, SQLITE_WIPE)) != SQLITE_OK)
        return code;
    sqlite3_stmt *statement = sqlite_statement(session, SQLITE_ERASE);
    sqlite_bind_int64(statement, 1, sqlite_position(writing->scope, erase->event.sequence));
    sqlite_bind_int64(statement, 2, clock_now_us());
    code = sqlite_step(session, statement);
    erase->outcome = sqlite3_changes(session->db) ? STORE_DONE : STORE_REPEATED;
    return code;
}

/* ---- blocks ---- */

static sqlite3_stmt *of_block(struct writing *writing, enum sqlite_statement which, int64_t block)
{
    sqlite3_stmt *statement = sqlite_statement_of(writing->session, writing->scope, which);
    sqlite_bind_int64(statement, 2, block);
    return statement;
}

/* What is kept of a block. */
struct filling {
    int64_t oldest, newest;
    int64_t bytes; /* of payloads */
    bool pending;  /* anything is */
    size_t count;  /* of the kinds */
    struct filled {
        int32_t kind;
        bool pending;
        uint64_t places[SQLITE_WORDS];
    } kinds[STORE_BLOCK];
};

static struct filled *filled_of(struct filling *filling, int32_t kind)
{
    for (size_t i = filling->count; i > 0; i--)
        if (filling->kinds[i - 1].kind == kind)
            return &filling->kinds[i - 1];
    CHECK(filling->count < STORE_BLOCK);
    filling->kinds[filling->count] = (struct filled){.kind = kind};
    return &filling->kinds[filling->count++];
}

/* The row's place, time, kind, whether it is pending, and size. */
static void add_to_filling(struct filling *filling, sqlite3_stmt *statement)
{
    int place = sqlite3_column_int(statement, 0);
    int64_t created_at_us = sqlite3_column_int64(statement, 1);
    struct filled *filled = filled_of(filling, sqlite3_column_int(statement, 2));
    bool pending = sqlite3_column_int(statement, 3);
    if (created_at_us < filling->oldest)
        filling->oldest = created_at_us;
    if (created_at_us > filling->newest)
        filling->newest = created_at_us;
    filled->places[place / SQLITE_WORD] |= UINT64_C(1) << place % SQLITE_WORD;
    filled->pending |= pending;
    filling->pending |= pending;
    filling->bytes += sqlite3_column_int64(statement, 4);
}

static int read_filling(struct writing *writing, int64_t block, struct filling *filling)
{
    int64_t first = sqlite_position(writing->scope, block * STORE_BLOCK);
    sqlite3_stmt *statement = sqlite_statement(writing->session, SQLITE_BLOCK_EVENTS);
    sqlite_bind_int64(statement, 1, first);
    sqlite_bind_int64(statement, 2, first + STORE_BLOCK - 1);
    filling->oldest = INT64_MAX;
    filling->newest = INT64_MIN;
    filling->bytes = 0;
    filling->pending = false;
    filling->count = 0;
    int code;
    while ((code = sqlite_step(writing->session, statement)) == SQLITE_ROW)
        add_to_filling(filling, statement);
    return code;
}

static int add_block(struct writing *writing, int64_t block, const struct filling *filling)
{
    sqlite3_stmt *statement = of_block(writing, SQLITE_ADD_BLOCK, block);
    sqlite_bind_int64(statement, 3, filling->oldest);
    sqlite_bind_int64(statement, 4, filling->newest);
    sqlite_bind_int64(statement, 5, filling->bytes);
    return sqlite_step(writing->session, statement);
}

static int add_pending(struct writing *writing, int64_t block, int32_t kind)
{
    sqlite3_stmt *statement = of_block(writing, SQLITE_ADD_PENDING, block);
    sqlite_bind_int64(statement, 3, kind);
    return sqlite_step(writing->session, statement);
}

static int add_kind_block(struct writing *writing, int64_t block, const struct filled *filled)
{
    sqlite3_stmt *statement = of_block(writing, SQLITE_ADD_KIND_BLOCK, block);
    sqlite_bind_int64(statement, 3, filled->kind);
    for (int i = 0; i < SQLITE_WORDS; i++)
        sqlite_bind_int64(statement, 4 + i, (int64_t)filled->places[i]);
    int code = sqlite_step(writing->session, statement);
    return code == SQLITE_DONE && filled->pending ? add_pending(writing, block, filled->kind)
                                                  : code;
}

static int fill_block(struct writing *writing, int64_t block)
{
    struct filling filling;
    int code = read_filling(writing, block, &filling);
    if (code == SQLITE_DONE)
        code = add_block(writing, block, &filling);
    if (code == SQLITE_DONE && filling.pending)
        code = add_pending(writing, block, 0);
    for (size_t i = 0; i < filling.count && code == SQLITE_DONE; i++)
        code = add_kind_block(writing, block, &filling.kinds[i]);
    return code;
}

/* Writes what is kept of the blocks that the transaction filled. */
static int fill_blocks(struct writing *writing)
{
    int code = SQLITE_DONE;
    for (int64_t block = open_block(writing->before);
         block < open_block(writing->last) && code == SQLITE_DONE; block++)
        code = fill_block(writing, block);
    return code;
}

static int compare_touched(const void *left, const void *right)
{
    const struct sqlite_touched *a = left, *b = right;
    if (a->block != b->block)
        return a->block < b->block ? -1 : 1;
    return (a->kind > b->kind) - (a->kind < b->kind);
}

static int look_at(struct writing *writing, int64_t sequence, bool *pending)
{
    sqlite3_stmt *statement = sqlite_statement(writing->session, SQLITE_ACKNOWLEDGED_AT);
    sqlite_bind_int64(statement, 1, sqlite_position(writing->scope, sequence));
    int64_t acknowledged_at_us;
    int code = sqlite_number(writing->session, statement, &acknowledged_at_us);
    *pending = acknowledged_at_us == 0;
    return code;
}

/* Whether an event of the kind is pending in the full block. The last one is looked at first: who
 * acknowledges in order leaves it for the end. */
static int find_pending(struct writing *writing, const struct sqlite_touched *touched,
                        bool *pending)
{
    uint64_t places[SQLITE_WORDS] = {0};
    int code =
        sqlite_places(writing->session, writing->scope, touched->kind, touched->block, places);
    int64_t first = touched->block * STORE_BLOCK;
    int word = SQLITE_WORDS - 1;
    while (word > 0 && places[word] == 0)
        word--;
    *pending = false;
    if (code == SQLITE_DONE && places[word] != 0)
        code = look_at(
            writing, first + (word + 1) * SQLITE_WORD - 1 - __builtin_clzll(places[word]), pending);
    for (int i = 0; i < STORE_BLOCK && code == SQLITE_DONE && !*pending; i++)
        if (places[i / SQLITE_WORD] >> i % SQLITE_WORD & 1)
            code = look_at(writing, first + i, pending);
    return code;
}

/* Takes the block from the pending ones if nothing in it is pending now. */
static int settle_any(struct writing *writing, int64_t block)
{
    sqlite3_stmt *statement = of_block(writing, SQLITE_SETTLE_ANY, block);
    int64_t first = sqlite_position(writing->scope, block * STORE_BLOCK);
    sqlite_bind_int64(statement, 3, first);
    sqlite_bind_int64(statement, 4, first + STORE_BLOCK - 1);
    return sqlite_step(writing->session, statement);
}

/* Takes the kind, and perhaps the block, from the pending ones if nothing in it is pending now. */
static int settle(struct writing *writing, const struct sqlite_touched *touched)
{
    bool pending;
    int code = find_pending(writing, touched, &pending);
    if (code != SQLITE_DONE || pending)
        return code;
    sqlite3_stmt *statement = of_block(writing, SQLITE_SETTLE_KIND, touched->block);
    sqlite_bind_int64(statement, 3, touched->kind);
    code = sqlite_step(writing->session, statement);
    if (code == SQLITE_DONE && sqlite3_changes(writing->session->db) > 0)
        code = settle_any(writing, touched->block);
    return code;
}

static int settle_touched(struct writing *writing)
{
    struct sqlite_touched *touched = writing->session->touched;
    if (writing->touched > 1)
        qsort(touched, writing->touched, sizeof(*touched), compare_touched);
    int code = SQLITE_DONE;
    for (size_t i = 0; i < writing->touched && code == SQLITE_DONE; i++)
        if (i == 0 || compare_touched(&touched[i - 1], &touched[i]) != 0)
            code = settle(writing, &touched[i]);
    return code;
}

/* ---- batches ---- */

static int write_items(struct writing *writing, const struct store_write *batch)
{
    static int (*const write[STORE_KIND_COUNT])(struct writing *, struct store_item *) = {
        [STORE_APPEND] = append_one,
        [STORE_ACK] = ack_one,
        [STORE_ERASE] = erase_one,
        [STORE_SETTLE] = settle_one,
    };
    int code = SQLITE_DONE;
    size_t written = 0;
    for (enum store_kind kind = 0; kind < STORE_KIND_COUNT; kind++) {
        for (size_t i = 0; i < batch->count && code == SQLITE_DONE; i++) {
            if (batch->items[i]->kind != kind)
                continue;
            code = write[kind](writing, batch->items[i]);
            written++;
        }
    }
    CHECK(code != SQLITE_DONE || written == batch->count);
    return code;
}

static int write_batch(struct writing *writing, const struct store_write *batch)
{
    int code = sqlite_begin_writing(writing->session, true);
    if (code == SQLITE_DONE)
        code = sqlite_last_sequence(writing->session, writing->scope, &writing->before);
    writing->last = writing->before;
    if (code == SQLITE_DONE)
        code = write_items(writing, batch);
    if (code == SQLITE_DONE)
        code = fill_blocks(writing);
    if (code == SQLITE_DONE)
        code = settle_touched(writing);
    return code;
}

static bool make_room(struct sqlite_session *session, size_t count)
{
    if (session->touched_room >= count)
        return true;
    struct sqlite_touched *touched =
        reallocarray(session->touched, count, sizeof(*session->touched));
    if (!touched)
        return false;
    session->touched = touched;
    session->touched_room = count;
    return true;
}

/* How many acknowledgements it may have. */
static size_t count_acks(const struct store_write *batch)
{
    size_t count = batch->count;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i]->kind == STORE_SETTLE)
            count += batch->items[i]->settlement->acknowledged_count;
    return count;
}

enum store_result sqlite_write(struct store_session *base, struct scope scope,
                               struct store_write *batch, struct status *status)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    if (!make_room(session, count_acks(batch)))
        return store_unavailable(status, "out of memory");
    struct writing writing = {.session = session, .scope = scope};
    int code = write_batch(&writing, batch);
    enum store_result result = sqlite_end_writing(session, code, status);
    if (writing.wiping)
        wipe(&writing, SQLITE_WIPE_FAST);
    if (result != STORE_OK && writing.new_kinds)
        names_clear(&session->names);
    return result;
}
