/* What entries say, and the state that they make. The leases themselves are in leases.c.
 *
 * A body is a byte for its version, one for what it is, and numbers (base/varint.h), those that may
 * be negative in zigzag. Sequences come as a list of runs: how many runs, and for each the distance
 * from the one before to its beginning and how many more follow on. */
#include "subscriptions/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "base/varint.h"
#include "subscriptions/leases.h"

#define VERSION 1
#define SEQUENCE_MAX (INT64_MAX / 2)
#define TIME_MAX (INT64_MAX / 4) /* microseconds, either way: nothing overflows */
/* Sequences in one body: enough for several orders about each lease, and not so many that a damaged
 * body takes long. */
#define BODY_SEQUENCES (2 * LEASES_MAX)
#define AHEAD_MAX (2 * LEDGER_MAX_AHEAD)
#define CHECKPOINT_BYTES 64 /* without leases */
#define CHECKPOINT_LEASE_BYTES 16

enum entry_kind { ENTRY_TAKE = 1, ENTRY_SEEK, ENTRY_SETTLEMENT, ENTRY_CHECKPOINT };

enum order_kind {
    ORDER_SETTLED = 1,
    ORDER_BACK,
    ORDER_RELEASED,
    ORDER_EXTENDED,
    ORDER_AGAIN,
    ORDER_DEAD,
    ORDER_REVIVED,
    ORDER_BURIED,
};

/* What a settlement says about some sequences. */
struct ledger_order {
    uint64_t kind;
    int64_t due_us;    /* of those that have it */
    uint64_t pull;     /* AGAIN */
    uint64_t lease_ms; /* the same */
};

enum { GROUP_OUT = 1, GROUP_AGAIN = 2, GROUP_FLAGS = 3 };

struct ledger {
    struct leases leases;
    int64_t *ahead; /* ascending */
    size_t ahead_count, ahead_room;
    int64_t position, epoch, dead;
    int64_t seen_us; /* the latest time of an entry */
    struct store_entry_before take, settlement;
    size_t since, since_bytes;
};

struct ledger *ledger_open(int64_t position, ledger_next *next, const void *settings)
{
    CHECK(position >= 0 && position <= SEQUENCE_MAX);
    struct ledger *ledger = calloc(1, sizeof(*ledger));
    if (!ledger)
        return NULL;
    ledger->position = position;
    leases_init(&ledger->leases, next, settings);
    return ledger;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    leases_fini(&ledger->leases);
    free(ledger->ahead);
    free(ledger);
}

void ledger_reorder(struct ledger *ledger, const void *settings)
{
    leases_reorder(&ledger->leases, settings);
}

/* ---- those that are ahead ---- */

/* Where a sequence is, or would be. */
static size_t ahead_place(const struct ledger *ledger, int64_t sequence)
{
    size_t low = 0, high = ledger->ahead_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ledger->ahead[middle] < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool ledger_is_ahead(const struct ledger *ledger, int64_t sequence)
{
    size_t place = ahead_place(ledger, sequence);
    return place < ledger->ahead_count && ledger->ahead[place] == sequence;
}

static bool ahead_add(struct ledger *ledger, int64_t sequence, bool *no_memory)
{
    if (ledger_is_ahead(ledger, sequence))
        return true;
    if (ledger->ahead_count == AHEAD_MAX)
        return false;
    if (ledger->ahead_count == ledger->ahead_room) {
        size_t room = ledger->ahead_room ? 2 * ledger->ahead_room : 16;
        int64_t *ahead = realloc(ledger->ahead, room * sizeof(*ahead));
        *no_memory = !ahead;
        if (!ahead)
            return false;
        ledger->ahead = ahead;
        ledger->ahead_room = room;
    }
    size_t place = ahead_place(ledger, sequence);
    memmove(&ledger->ahead[place + 1], &ledger->ahead[place],
            (ledger->ahead_count++ - place) * sizeof(*ledger->ahead));
    ledger->ahead[place] = sequence;
    return true;
}

/* Forgets those up to the position. */
static void ahead_pass(struct ledger *ledger, int64_t position)
{
    size_t passed = ahead_place(ledger, position + 1);
    ledger->ahead_count -= passed;
    if (ledger->ahead_count > 0) {
        memmove(ledger->ahead, &ledger->ahead[passed],
                ledger->ahead_count * sizeof(*ledger->ahead));
        return;
    }
    free(ledger->ahead);
    ledger->ahead = NULL;
    ledger->ahead_room = 0;
}

/* ---- what it is ---- */

struct ledger_figures ledger_figures_of(const struct ledger *ledger)
{
    const struct leases *leases = &ledger->leases;
    return (struct ledger_figures){
        .position = ledger->position,
        .epoch = ledger->epoch,
        .out = leases->out,
        .waiting = leases->count - leases->out,
        .dead = ledger->dead,
        .take = ledger->take,
        .settlement = ledger->settlement,
        .since = ledger->since,
        .since_bytes = ledger->since_bytes,
        .checkpoint_bytes = CHECKPOINT_BYTES + 2 * ledger->ahead_count +
                            CHECKPOINT_LEASE_BYTES * (size_t)leases->count,
    };
}

const struct lease *ledger_find(const struct ledger *ledger, int64_t sequence)
{
    return leases_find(&ledger->leases, sequence);
}

int64_t ledger_oldest(const struct ledger *ledger)
{
    int64_t oldest = INT64_MAX;
    for (size_t i = 0; i < ledger->leases.count; i++) {
        int64_t sequence = leases_at(&ledger->leases, i)->sequence;
        oldest = sequence < oldest ? sequence : oldest;
    }
    return ledger->leases.count > 0 ? oldest : 0;
}

size_t ledger_due(const struct ledger *ledger, int64_t now_us, const struct lease **leases,
                  size_t max)
{
    return leases_due(&ledger->leases, now_us, leases, max);
}

int64_t ledger_next_us(const struct ledger *ledger)
{
    return leases_next_us(&ledger->leases);
}

static int compare_sequences(const void *a, const void *b)
{
    const struct lease *one = *(const struct lease *const *)a;
    const struct lease *other = *(const struct lease *const *)b;
    return (one->sequence > other->sequence) - (one->sequence < other->sequence);
}

size_t ledger_pulled(const struct ledger *ledger, uint64_t pull, int64_t now_us,
                     const struct lease **leases, size_t max)
{
    size_t count = 0;
    const struct lease *lease = NULL;
    while (count < max && (lease = leases_pulled(&ledger->leases, pull, lease)))
        if (lease->due_us > now_us && now_us - lease->started_us < LEDGER_PULL_US)
            leases[count++] = lease;
    if (count > 1)
        qsort(leases, count, sizeof(struct lease *), compare_sequences);
    return count;
}

static bool is_same_lease(struct lease_id a, struct lease_id b)
{
    return a.number == b.number && a.token == b.token && a.again == b.again;
}

enum lease_claim ledger_claim(const struct ledger *ledger, int64_t sequence, struct lease_id id,
                              int64_t epoch, int64_t now_us)
{
    if (epoch != ledger->epoch)
        return LEASE_LOST;
    const struct lease *lease = ledger_find(ledger, sequence);
    if (lease && !is_same_lease(lease->id, id))
        return LEASE_LOST;
    if (lease)
        return lease->out && lease->due_us > now_us ? LEASE_HELD : LEASE_LATE;
    if (sequence <= ledger->position || ledger_is_ahead(ledger, sequence))
        return LEASE_SETTLED;
    return ledger->ahead_count < LEDGER_MAX_AHEAD ? LEASE_AHEAD : LEASE_LOST;
}

/* ---- writing bodies ---- */

static void put_number(struct buffer *body, uint64_t value)
{
    uint8_t bytes[VARINT_MAX_SIZE];
    buffer_append(body, bytes, varint_write(bytes, value));
}

static void put_signed(struct buffer *body, int64_t value)
{
    put_number(body, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

/* Where the run that begins at `from` ends. */
static size_t run_end(const int64_t *sequences, size_t count, size_t from)
{
    size_t end = from + 1;
    while (end < count && sequences[end] == sequences[end - 1] + 1)
        end++;
    return end;
}

/* `last` is the sequence before the list, and then the last one of it. */
static void put_sequences(struct buffer *body, int64_t *last, const int64_t *sequences,
                          size_t count)
{
    uint64_t runs = 0;
    for (size_t at = 0; at < count; at = run_end(sequences, count, at))
        runs++;
    put_number(body, runs);
    for (size_t at = 0, end; at < count; at = end) {
        end = run_end(sequences, count, at);
        CHECK(sequences[at] > 0 && sequences[end - 1] <= SEQUENCE_MAX);
        put_signed(body, sequences[at] - *last - 1);
        put_number(body, end - at - 1);
        *last = sequences[end - 1];
    }
}

static void put_kind(struct buffer *body, enum entry_kind kind)
{
    const uint8_t head[] = {VERSION, (uint8_t)kind};
    buffer_append(body, head, sizeof(head));
}

static void put_grant(struct buffer *body, int64_t *last, const struct ledger_grant *grant)
{
    CHECK(grant->lease_ms > 0 && grant->lease_ms <= LEASE_MAX_US / 1000);
    put_number(body, grant->pull);
    put_number(body, grant->lease_ms);
    put_sequences(body, last, grant->sequences, grant->count);
}

void ledger_make_take(struct buffer *body, int64_t position, const struct ledger_grant *grants,
                      size_t count)
{
    CHECK(position >= 0 && position <= SEQUENCE_MAX);
    put_kind(body, ENTRY_TAKE);
    put_number(body, (uint64_t)position);
    int64_t last = position, given = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < grants[i].count; given = grants[i].sequences[j++])
            CHECK(grants[i].sequences[j] > given && grants[i].sequences[j] <= position);
        put_grant(body, &last, &grants[i]);
    }
}

void ledger_make_seek(struct buffer *body, int64_t position)
{
    CHECK(position >= 0 && position <= SEQUENCE_MAX);
    put_kind(body, ENTRY_SEEK);
    put_number(body, (uint64_t)position);
}

/* What settlements and checkpoints begin with. */
static void put_head(struct buffer *body, enum entry_kind kind, const struct ledger *ledger)
{
    put_kind(body, kind);
    put_number(body, (uint64_t)ledger->epoch);
    put_number(body, (uint64_t)(ledger->take.number - ledger->epoch));
}

void ledger_make_settlement(struct buffer *body, const struct ledger *ledger)
{
    put_head(body, ENTRY_SETTLEMENT, ledger);
}

static void put_order(struct buffer *body, enum order_kind kind, const int64_t *sequences,
                      size_t count)
{
    put_number(body, kind);
    put_sequences(body, &(int64_t){0}, sequences, count);
}

static void put_order_until(struct buffer *body, enum order_kind kind, const int64_t *sequences,
                            size_t count, int64_t due_us)
{
    put_number(body, kind);
    put_signed(body, due_us);
    put_sequences(body, &(int64_t){0}, sequences, count);
}

void ledger_add_settled(struct buffer *body, const int64_t *sequences, size_t count)
{
    put_order(body, ORDER_SETTLED, sequences, count);
}

void ledger_add_back(struct buffer *body, const int64_t *sequences, size_t count, int64_t due_us,
                     bool uncounted)
{
    put_order_until(body, uncounted ? ORDER_RELEASED : ORDER_BACK, sequences, count, due_us);
}

void ledger_add_extended(struct buffer *body, const int64_t *sequences, size_t count,
                         int64_t until_us)
{
    put_order_until(body, ORDER_EXTENDED, sequences, count, until_us);
}

void ledger_add_again(struct buffer *body, const struct ledger_grant *grant)
{
    put_number(body, ORDER_AGAIN);
    put_grant(body, &(int64_t){0}, grant);
}

void ledger_add_dead(struct buffer *body, const int64_t *sequences, size_t count)
{
    put_order(body, ORDER_DEAD, sequences, count);
}

/* Which of them come from the log is decided here: who applies it may have seen later takes. */
void ledger_add_revived(struct buffer *body, const struct ledger *ledger, const int64_t *sequences,
                        size_t count, int64_t due_us)
{
    size_t after = 0;
    for (size_t at = 0, end; at < count; at = end) {
        end = at;
        while (end < count && sequences[end] <= ledger->position)
            end++;
        if (end > at)
            put_order_until(body, ORDER_REVIVED, &sequences[at], end - at, due_us);
        for (; end < count && sequences[end] > ledger->position; end++)
            after++;
    }
    if (after > 0)
        ledger_add_buried(body, after);
}

void ledger_add_buried(struct buffer *body, size_t count)
{
    put_number(body, ORDER_BURIED);
    put_number(body, count);
}

/* A lease as a checkpoint has it: without a pull that nobody may ask for any more. */
static struct lease lasting_lease(const struct ledger *ledger, const struct lease *lease)
{
    struct lease lasting = *lease;
    if (ledger->seen_us - lease->started_us >= LEDGER_PULL_US)
        lasting.pull = 0;
    return lasting;
}

static bool is_same_group(const struct lease *a, const struct lease *b)
{
    return is_same_lease(a->id, b->id) && a->pull == b->pull && a->first_us == b->first_us &&
           a->started_us == b->started_us && a->due_us == b->due_us && a->attempts == b->attempts &&
           a->out == b->out;
}

/* What the leases of a group have in common. `before` is one of the group before. */
static void put_group(struct buffer *body, const struct lease *before, const struct lease *lease)
{
    put_number(body, (lease->out ? GROUP_OUT : 0) | (lease->id.again ? GROUP_AGAIN : 0));
    put_number(body, (uint64_t)lease->id.number);
    put_number(body, lease->id.token);
    put_number(body, lease->attempts);
    put_number(body, lease->pull);
    put_signed(body, lease->first_us - before->first_us);
    put_signed(body, lease->started_us - before->started_us);
    put_signed(body, lease->due_us - before->due_us);
}

static void put_groups(struct buffer *body, const struct ledger *ledger,
                       const struct lease **sorted, int64_t *sequences, size_t count)
{
    struct lease before = {0};
    int64_t last = 0;
    for (size_t at = 0, end; at < count; at = end) {
        struct lease lease = lasting_lease(ledger, sorted[at]);
        for (end = at; end < count; end++) {
            struct lease other = lasting_lease(ledger, sorted[end]);
            if (!is_same_group(&lease, &other))
                break;
            sequences[end] = other.sequence;
        }
        put_group(body, &before, &lease);
        put_sequences(body, &last, &sequences[at], end - at);
        before = lease;
    }
}

void ledger_make_checkpoint(struct buffer *body, const struct ledger *ledger)
{
    put_head(body, ENTRY_CHECKPOINT, ledger);
    put_number(body, (uint64_t)ledger->position);
    put_number(body, (uint64_t)ledger->dead);
    put_number(body, ledger->take.token);
    put_signed(body, ledger->seen_us);
    put_sequences(body, &(int64_t){ledger->position}, ledger->ahead, ledger->ahead_count);
    size_t count = ledger->leases.count;
    if (count == 0)
        return;
    const struct lease **sorted = malloc(count * sizeof(struct lease *));
    int64_t *sequences = malloc(count * sizeof(*sequences));
    if (sorted && sequences) {
        for (size_t i = 0; i < count; i++)
            sorted[i] = leases_at(&ledger->leases, i);
        qsort(sorted, count, sizeof(struct lease *), compare_sequences);
        put_groups(body, ledger, sorted, sequences, count);
    } else {
        body->failed = true;
    }
    free(sequences);
    free(sorted);
}

/* ---- reading bodies: nothing is taken on trust ---- */

struct body_reader {
    const uint8_t *at, *end;
    uint64_t left; /* sequences that it may still have */
    bool bad;      /* then all that is read is of no use, and it is at its end */
};

static void mark_bad(struct body_reader *reader)
{
    reader->bad = true;
    reader->at = reader->end;
}

static uint64_t read_number(struct body_reader *reader, uint64_t max)
{
    uint64_t value;
    if (varint_read(&reader->at, reader->end, &value) && value <= max)
        return value;
    mark_bad(reader);
    return 0;
}

static int64_t read_signed(struct body_reader *reader)
{
    uint64_t value = read_number(reader, UINT64_MAX);
    return (int64_t)(value >> 1 ^ -(value & 1));
}

static int64_t read_position(struct body_reader *reader)
{
    return (int64_t)read_number(reader, SEQUENCE_MAX);
}

/* What its writer had seen. */
struct entry_head {
    int64_t epoch;
    int64_t takes;
};

static struct entry_head read_head(struct body_reader *reader)
{
    int64_t epoch = (int64_t)read_number(reader, INT64_MAX / 2);
    int64_t more = (int64_t)read_number(reader, INT64_MAX / 2);
    return (struct entry_head){epoch, epoch + more};
}

static bool is_time(int64_t time_us)
{
    return time_us >= -TIME_MAX && time_us <= TIME_MAX;
}

/* A time that is stored as the distance from another. */
static int64_t read_time(struct body_reader *reader, int64_t before_us)
{
    int64_t time_us;
    if (!__builtin_add_overflow(before_us, read_signed(reader), &time_us) && is_time(time_us))
        return time_us;
    mark_bad(reader);
    return 0;
}

/* A list of sequences, as far as it was read. */
struct run_reader {
    uint64_t runs; /* that follow */
    uint64_t left; /* of this run */
    int64_t last;
};

static struct run_reader read_sequences(struct body_reader *reader, int64_t last)
{
    return (struct run_reader){.runs = read_number(reader, BODY_SEQUENCES), .last = last};
}

/* The next one; 0 at the end, and when it is bad. */
static int64_t read_sequence(struct body_reader *reader, struct run_reader *list)
{
    if (list->left == 0) {
        if (list->runs-- == 0)
            return 0;
        int64_t before;
        bool over = __builtin_add_overflow(list->last, read_signed(reader), &before);
        list->left = 1 + read_number(reader, BODY_SEQUENCES);
        if (over || before < 0 || before > SEQUENCE_MAX - BODY_SEQUENCES - 1 ||
            list->left > reader->left)
            mark_bad(reader);
        if (reader->bad)
            return 0;
        list->last = before;
        reader->left -= list->left;
    }
    list->left--;
    return ++list->last;
}

/* Reads what a body begins with; false when it is none of these kinds. */
static bool read_kind(const struct store_entry *entry, struct body_reader *reader,
                      enum entry_kind *kind)
{
    const uint8_t *bytes = (const uint8_t *)entry->body.data;
    if (entry->body.size < 2 || bytes[0] != VERSION || bytes[1] < ENTRY_TAKE ||
        bytes[1] > ENTRY_CHECKPOINT || !is_time(entry->at_us))
        return false;
    *kind = bytes[1];
    *reader = (struct body_reader){
        .at = bytes + 2, .end = bytes + entry->body.size, .left = BODY_SEQUENCES};
    return true;
}

/* ---- applying ---- */

static void note_entry(struct ledger *ledger, const struct store_entry *entry,
                       struct store_entry_before *last)
{
    *last = (struct store_entry_before){entry->number, entry->token};
    ledger->seen_us = entry->at_us > ledger->seen_us ? entry->at_us : ledger->seen_us;
    ledger->since++;
    ledger->since_bytes += entry->body.size;
}

static void give_out(struct lease *lease, const struct store_entry *entry, bool again,
                     uint64_t pull, uint64_t lease_ms)
{
    lease->id = (struct lease_id){entry->number, (uint32_t)entry->token, again};
    lease->pull = pull;
    lease->first_us = lease->first_us ? lease->first_us : entry->at_us;
    lease->started_us = entry->at_us;
    lease->due_us = entry->at_us + (int64_t)lease_ms * 1000;
    lease->attempts += lease->attempts < UINT32_MAX;
    lease->out = true;
}

/* One grant of a take. `last` is the sequence of the grant before, for what is stored; `given` the
 * last one given out, after which these come. */
static bool apply_grant(struct ledger *ledger, const struct store_entry *entry,
                        struct body_reader *reader, int64_t position, int64_t *last, int64_t *given,
                        bool *no_memory)
{
    uint64_t pull = read_number(reader, UINT64_MAX);
    uint64_t lease_ms = read_number(reader, LEASE_MAX_US / 1000);
    struct run_reader list = read_sequences(reader, *last);
    for (int64_t sequence; (sequence = read_sequence(reader, &list)) > 0; *given = sequence) {
        if (sequence <= *given || sequence > position)
            return false;
        if (ledger_is_ahead(ledger, sequence))
            continue;
        struct lease lease = {.sequence = sequence};
        give_out(&lease, entry, false, pull, lease_ms);
        if (ledger_find(ledger, sequence) || !leases_add(&ledger->leases, &lease, no_memory))
            return false;
    }
    *last = list.last;
    return !reader->bad && lease_ms > 0;
}

static bool apply_new_events(struct ledger *ledger, const struct store_entry *entry,
                             struct body_reader *reader, bool *no_memory)
{
    int64_t position = read_position(reader);
    int64_t last = position;
    int64_t given = ledger->position;
    if (reader->bad || position < ledger->position)
        return false;
    while (reader->at < reader->end)
        if (!apply_grant(ledger, entry, reader, position, &last, &given, no_memory))
            return false;
    ledger->position = position;
    ahead_pass(ledger, position);
    return true;
}

static bool apply_seek(struct ledger *ledger, const struct store_entry *entry,
                       struct body_reader *reader)
{
    int64_t position = read_position(reader);
    if (reader->bad || reader->at < reader->end)
        return false;
    leases_clear(&ledger->leases);
    ahead_pass(ledger, SEQUENCE_MAX);
    ledger->position = position;
    ledger->epoch = entry->number;
    return true;
}

bool ledger_apply_take(struct ledger *ledger, const struct store_entry *entry, bool *no_memory)
{
    struct body_reader reader;
    enum entry_kind kind;
    *no_memory = false;
    if (entry->number != ledger->take.number + 1 || !read_kind(entry, &reader, &kind))
        return false;
    bool applied = kind == ENTRY_TAKE   ? apply_new_events(ledger, entry, &reader, no_memory)
                   : kind == ENTRY_SEEK ? apply_seek(ledger, entry, &reader)
                                        : false;
    if (applied)
        note_entry(ledger, entry, &ledger->take);
    return applied;
}

/* An order about a sequence of which there is no lease. */
static bool apply_to_absent(struct ledger *ledger, const struct ledger_order *order,
                            int64_t sequence, bool *no_memory)
{
    struct lease lease = {.sequence = sequence, .due_us = order->due_us};
    if (order->kind == ORDER_SETTLED && sequence > ledger->position)
        return ahead_add(ledger, sequence, no_memory);
    if (order->kind == ORDER_REVIVED && sequence <= ledger->position)
        return leases_add(&ledger->leases, &lease, no_memory);
    return true;
}

static void apply_to_lease(struct ledger *ledger, const struct store_entry *entry,
                           const struct ledger_order *order, struct lease lease)
{
    switch (order->kind) {
    case ORDER_SETTLED:
    case ORDER_DEAD: leases_remove(&ledger->leases, lease.sequence); return;
    case ORDER_RELEASED:
        lease.attempts -= lease.out && lease.attempts > 0;
        /* fall through */
    case ORDER_BACK:
        lease.out = false;
        lease.pull = 0;
        lease.due_us = order->due_us;
        break;
    case ORDER_EXTENDED: lease.due_us = lease.out ? order->due_us : lease.due_us; break;
    case ORDER_AGAIN: give_out(&lease, entry, true, order->pull, order->lease_ms); break;
    default: return; /* revived: it is out or waits already */
    }
    leases_set(&ledger->leases, &lease);
}

static bool read_order(struct body_reader *reader, struct ledger_order *order)
{
    *order = (struct ledger_order){.kind = read_number(reader, ORDER_BURIED)};
    switch (order->kind) {
    case ORDER_SETTLED:
    case ORDER_DEAD:
    case ORDER_BURIED: break;
    case ORDER_BACK:
    case ORDER_RELEASED:
    case ORDER_EXTENDED:
    case ORDER_REVIVED: order->due_us = read_time(reader, 0); break;
    case ORDER_AGAIN:
        order->pull = read_number(reader, UINT64_MAX);
        order->lease_ms = read_number(reader, LEASE_MAX_US / 1000);
        return !reader->bad && order->lease_ms > 0;
    default: return false;
    }
    return !reader->bad;
}

static void bury(struct ledger *ledger, uint64_t count)
{
    ledger->dead -= count < (uint64_t)ledger->dead ? (int64_t)count : ledger->dead;
}

/* With an order that is `void`, only dead letters are counted: the store has them in any case. */
static bool apply_order(struct ledger *ledger, const struct store_entry *entry,
                        struct body_reader *reader, bool is_void, bool *no_memory)
{
    struct ledger_order order;
    if (!read_order(reader, &order))
        return false;
    if (order.kind == ORDER_BURIED) {
        bury(ledger, read_number(reader, INT64_MAX));
        return !reader->bad;
    }
    struct run_reader list = read_sequences(reader, 0);
    for (int64_t sequence; (sequence = read_sequence(reader, &list)) > 0;) {
        if (order.kind == ORDER_REVIVED)
            bury(ledger, 1);
        ledger->dead += order.kind == ORDER_DEAD && ledger->dead < INT64_MAX;
        const struct lease *lease = ledger_find(ledger, sequence);
        if (is_void)
            continue;
        if (lease)
            apply_to_lease(ledger, entry, &order, *lease);
        else if (!apply_to_absent(ledger, &order, sequence, no_memory))
            return false;
    }
    return !reader->bad;
}

static bool apply_orders(struct ledger *ledger, const struct store_entry *entry,
                         struct body_reader *reader, bool *no_memory)
{
    struct entry_head head = read_head(reader);
    if (reader->bad || head.takes > ledger->take.number || head.epoch > ledger->epoch)
        return false; /* its writer has seen takes that we have not */
    while (reader->at < reader->end)
        if (!apply_order(ledger, entry, reader, head.epoch < ledger->epoch, no_memory))
            return false;
    return true;
}

/* What the leases of the next group have in common; `lease` is one of the group before. */
static bool read_group(struct body_reader *reader, const struct ledger *ledger, int64_t settlement,
                       struct lease *lease)
{
    uint64_t flags = read_number(reader, GROUP_FLAGS);
    lease->out = flags & GROUP_OUT;
    lease->id.again = flags & GROUP_AGAIN;
    int64_t newest = lease->id.again ? settlement - 1 : ledger->take.number;
    lease->id.number = (int64_t)read_number(reader, (uint64_t)newest);
    lease->id.token = (uint32_t)read_number(reader, UINT32_MAX);
    lease->attempts = (uint32_t)read_number(reader, UINT32_MAX);
    lease->pull = read_number(reader, UINT64_MAX);
    lease->first_us = read_time(reader, lease->first_us);
    lease->started_us = read_time(reader, lease->started_us);
    lease->due_us = read_time(reader, lease->due_us);
    return !reader->bad && (lease->out || lease->pull == 0);
}

static bool load_leases(struct ledger *ledger, struct body_reader *reader, int64_t settlement,
                        bool *no_memory)
{
    struct lease lease = {0};
    int64_t last = 0;
    while (reader->at < reader->end) {
        if (!read_group(reader, ledger, settlement, &lease))
            return false;
        struct run_reader list = read_sequences(reader, last);
        while ((lease.sequence = read_sequence(reader, &list)) > 0) {
            if (lease.sequence <= last || lease.sequence > ledger->position)
                return false;
            last = lease.sequence;
            if (!leases_add(&ledger->leases, &lease, no_memory))
                return false;
        }
    }
    return !reader->bad;
}

static bool load_ahead(struct ledger *ledger, struct body_reader *reader, bool *no_memory)
{
    struct run_reader list = read_sequences(reader, ledger->position);
    for (int64_t sequence; (sequence = read_sequence(reader, &list)) > 0;)
        if (sequence <= ledger->position || !ahead_add(ledger, sequence, no_memory))
            return false;
    return !reader->bad;
}

static bool load_checkpoint(struct ledger *ledger, const struct store_entry *entry,
                            struct body_reader *reader, bool *no_memory)
{
    struct entry_head head = read_head(reader);
    ledger->epoch = head.epoch;
    ledger->take.number = head.takes;
    ledger->position = read_position(reader);
    ledger->dead = (int64_t)read_number(reader, INT64_MAX);
    ledger->take.token = read_number(reader, UINT64_MAX);
    ledger->seen_us = read_time(reader, 0);
    return !reader->bad && load_ahead(ledger, reader, no_memory) &&
           load_leases(ledger, reader, entry->number, no_memory);
}

static bool is_new(const struct ledger *ledger)
{
    return ledger->take.number == 0 && ledger->settlement.number == 0;
}

bool ledger_apply_settlement(struct ledger *ledger, const struct store_entry *entry,
                             bool *no_memory)
{
    struct body_reader reader;
    enum entry_kind kind;
    *no_memory = false;
    if (!read_kind(entry, &reader, &kind))
        return false;
    bool loads = kind == ENTRY_CHECKPOINT && is_new(ledger);
    if (entry->number < 1 || (!loads && entry->number != ledger->settlement.number + 1))
        return false;
    if (kind == ENTRY_SETTLEMENT && !apply_orders(ledger, entry, &reader, no_memory))
        return false;
    if (loads && !load_checkpoint(ledger, entry, &reader, no_memory))
        return false;
    if (kind != ENTRY_SETTLEMENT && kind != ENTRY_CHECKPOINT)
        return false;
    note_entry(ledger, entry, &ledger->settlement);
    if (kind == ENTRY_CHECKPOINT)
        ledger->since = ledger->since_bytes = 0;
    return true;
}

/* The last take that the writer of a settlement had seen; 0 also when it is not one of ours. */
static int64_t takes_seen(const struct store_entry *settlement)
{
    struct body_reader reader;
    enum entry_kind kind;
    bool has_head = read_kind(settlement, &reader, &kind) &&
                    (kind == ENTRY_SETTLEMENT || kind == ENTRY_CHECKPOINT);
    return has_head ? read_head(&reader).takes : 0;
}

/* Applies those up to `last`, of which some may be known, and passes them. */
static bool apply_takes(struct ledger *ledger, const struct store_entry **takes,
                        const struct store_entry *end, int64_t last, bool *no_memory)
{
    for (; *takes < end && (*takes)->number <= last; (*takes)++)
        if ((*takes)->number > ledger->take.number && !ledger_apply_take(ledger, *takes, no_memory))
            return false;
    return true;
}

bool ledger_apply_read(struct ledger *ledger, const struct store_entry *takes, size_t take_count,
                       const struct store_entry *settlements, size_t settlement_count,
                       bool *no_memory)
{
    const struct store_entry *end = takes + take_count;
    *no_memory = false;
    for (size_t i = 0; i < settlement_count; i++) {
        if (settlements[i].number <= ledger->settlement.number)
            continue;
        if (!apply_takes(ledger, &takes, end, takes_seen(&settlements[i]), no_memory) ||
            !ledger_apply_settlement(ledger, &settlements[i], no_memory))
            return false;
    }
    return apply_takes(ledger, &takes, end, INT64_MAX, no_memory);
}
