/* What entries say, and the state that they make. The leases themselves are in leases.c, the marks
 * in marks.c.
 *
 * A body is a byte for its version, one for what it is, and numbers (base/varint.h), those that may
 * be negative in zigzag. Sequences come as a list of runs: how many runs, and for each the distance
 * from the one before to its beginning and how many more follow on. Where they may have keys, these
 * come before: how many, which is none or one for each, and eight bytes of each, the low one first.
 *
 * Most takes only give out new events without keys: a short take is the position, and grants to the
 * end. A long one is the position, a byte of flags, the time position and the next time if they
 * change, marks, grants of passed events, and grants with keys to the end. */
#include "subscriptions/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "base/varint.h"
#include "subscriptions/leases.h"
#include "subscriptions/marks.h"

#define VERSION 1
#define SEQUENCE_MAX (INT64_MAX / 2)
#define TIME_MAX (INT64_MAX / 4) /* microseconds, either way: nothing overflows */
/* Sequences in one body: enough for several orders about each lease, and not so many that a damaged
 * body takes long. */
#define BODY_SEQUENCES (2 * LEASES_MAX)
#define AHEAD_MAX (2 * LEDGER_MAX_AHEAD)
#define KEY_BYTES sizeof(uint64_t)
#define CHECKPOINT_BYTES 80 /* without leases and marks */
#define CHECKPOINT_LEASE_BYTES 16
#define CHECKPOINT_MARK_BYTES 12

enum entry_kind { ENTRY_TAKE = 1, ENTRY_SEEK, ENTRY_SETTLEMENT, ENTRY_CHECKPOINT, ENTRY_LONG_TAKE };

enum { LONG_TAKE_TIMES = 1, LONG_TAKE_FLAGS = 1 };

enum order_kind {
    ORDER_SETTLED = 1,
    ORDER_BACK,
    ORDER_RELEASED,
    ORDER_EXTENDED,
    ORDER_AGAIN,
    ORDER_DEAD,
    ORDER_REVIVED,
    ORDER_BURIED,
    ORDER_BLOCKED, /* dead, and they keep their key busy */
    ORDER_UNBLOCKED,
    ORDER_KINDS,
};

/* What a settlement says about some sequences. */
struct ledger_order {
    uint64_t kind;
    int64_t due_us;    /* of those that have it */
    uint64_t pull;     /* AGAIN */
    uint64_t lease_ms; /* the same */
    int64_t takes;     /* that its writer had seen */
};

enum { GROUP_OUT = 1, GROUP_AGAIN = 2, GROUP_DEAD = 4, GROUP_KEYED = 8, GROUP_FLAGS = 15 };

struct ledger {
    struct leases leases;
    struct marks marks; /* which are ready follows from the leases */
    int64_t *ahead;     /* ascending */
    size_t ahead_count, ahead_room;
    int64_t position, begin, epoch, dead;
    int64_t delayed_us, delayed_sequence; /* the time position */
    int64_t next_delayed_us;              /* at least delayed_us */
    int64_t seen_us;                      /* the latest time of an entry */
    struct store_entry_before take, settlement;
    size_t since, since_bytes;
};

static bool is_time(int64_t time_us)
{
    return time_us >= -TIME_MAX && time_us <= TIME_MAX;
}

struct ledger *ledger_open(int64_t position, int64_t now_us, ledger_next *next,
                           const void *settings)
{
    CHECK(position >= 0 && position <= SEQUENCE_MAX && is_time(now_us));
    struct ledger *ledger = calloc(1, sizeof(*ledger));
    if (!ledger)
        return NULL;
    ledger->position = ledger->begin = position;
    ledger->delayed_us = now_us;
    ledger->next_delayed_us = INT64_MAX;
    leases_init(&ledger->leases, next, settings);
    return ledger;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    leases_fini(&ledger->leases);
    marks_clear(&ledger->marks);
    free(ledger->ahead);
    free(ledger);
}

void ledger_reorder(struct ledger *ledger, const void *settings)
{
    leases_reorder(&ledger->leases, settings);
}

void ledger_turn_back(struct ledger *ledger, int64_t now_us, int64_t by_us)
{
    CHECK(by_us >= 0);
    leases_turn_back(&ledger->leases, now_us, by_us);
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
        .begin = ledger->begin,
        .epoch = ledger->epoch,
        .delayed_us = ledger->delayed_us,
        .delayed_sequence = ledger->delayed_sequence,
        .next_delayed_us = ledger->next_delayed_us,
        .out = leases->out,
        .waiting = leases->count - leases->out - leases->dead,
        .blocked = leases->dead,
        .marks = ledger->marks.count,
        .dead = ledger->dead,
        .take = ledger->take,
        .settlement = ledger->settlement,
        .since = ledger->since,
        .since_bytes = ledger->since_bytes,
        .checkpoint_bytes = CHECKPOINT_BYTES + 2 * ledger->ahead_count +
                            CHECKPOINT_LEASE_BYTES * (size_t)leases->count +
                            KEY_BYTES * leases->keyed +
                            CHECKPOINT_MARK_BYTES * (size_t)ledger->marks.count,
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
        const struct lease *lease = leases_at(&ledger->leases, i);
        if (!lease->dead && lease->sequence < oldest)
            oldest = lease->sequence;
    }
    for (size_t i = 0; i < ledger->marks.count; i++) {
        int64_t from = marks_at(&ledger->marks, i).from;
        oldest = from < oldest ? from : oldest;
    }
    return oldest < INT64_MAX ? oldest : 0;
}

bool ledger_key_is_marked(const struct ledger *ledger, uint64_t key)
{
    return key != 0 && marks_find(&ledger->marks, key) != 0;
}

bool ledger_key_is_busy(const struct ledger *ledger, uint64_t key)
{
    return key != 0 &&
           (leases_have_key(&ledger->leases, key) || marks_find(&ledger->marks, key) != 0);
}

size_t ledger_ready(const struct ledger *ledger, struct ledger_key *keys, size_t max)
{
    return marks_ready(&ledger->marks, keys, max);
}

size_t ledger_blocked(const struct ledger *ledger, int64_t *sequences, size_t max)
{
    const struct leases *leases = &ledger->leases;
    size_t most = leases->dead < max ? leases->dead : max, count = 0;
    for (size_t i = 0; count < most; i++)
        if (leases_at(leases, i)->dead)
            sequences[count++] = leases_at(leases, i)->sequence;
    return count;
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
    if (lease && lease->dead)
        return LEASE_SETTLED;
    if (lease && !is_same_lease(lease->id, id))
        return LEASE_LOST;
    if (lease)
        return lease->out && lease->due_us > now_us ? LEASE_HELD : LEASE_LATE;
    if (sequence <= ledger->position || ledger_is_ahead(ledger, sequence))
        return LEASE_SETTLED;
    return ledger->ahead_count < LEDGER_MAX_AHEAD ? LEASE_AHEAD : LEASE_LOST;
}

/* Whether a take that moves the position to `position` may do this to a mark. */
static bool is_right_mark(const struct ledger *ledger, const struct ledger_key *mark,
                          int64_t position)
{
    if (mark->key == 0)
        return false;
    int64_t before = marks_find(&ledger->marks, mark->key);
    if (mark->from == 0)
        return before != 0;
    return mark->from > (before != 0 ? before : ledger->position) && mark->from <= position;
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

/* The next time that something may be waiting for, as what it is after the time position and one
 * more; 0: none. */
static void put_next_delayed(struct buffer *body, int64_t delayed_us, int64_t next_us)
{
    CHECK(next_us == INT64_MAX || (next_us >= delayed_us && is_time(next_us)));
    put_number(body, next_us == INT64_MAX ? 0 : (uint64_t)(next_us - delayed_us) + 1);
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

static void put_key(struct buffer *body, uint64_t key)
{
    uint8_t bytes[KEY_BYTES];
    for (size_t i = 0; i < KEY_BYTES; i++)
        bytes[i] = (uint8_t)(key >> (8 * i));
    buffer_append(body, bytes, KEY_BYTES);
}

static bool has_key(const uint64_t *keys, size_t count)
{
    size_t i = 0;
    while (keys && i < count && keys[i] == 0)
        i++;
    return keys && i < count;
}

/* `keys` may be NULL. */
static void put_keys(struct buffer *body, const uint64_t *keys, size_t count)
{
    if (!has_key(keys, count))
        count = 0;
    put_number(body, count);
    for (size_t i = 0; i < count; i++)
        put_key(body, keys[i]);
}

static void put_grant(struct buffer *body, int64_t *last, const struct ledger_grant *grant,
                      bool keyed)
{
    CHECK(grant->lease_ms > 0 && grant->lease_ms <= LEASE_MAX_US / 1000);
    put_number(body, grant->pull);
    put_number(body, grant->lease_ms);
    if (keyed)
        put_keys(body, grant->keys, grant->count);
    put_sequences(body, last, grant->sequences, grant->count);
}

struct ledger_take ledger_take_of(const struct ledger *ledger)
{
    return (struct ledger_take){
        .position = ledger->position,
        .delayed_us = ledger->delayed_us,
        .delayed_sequence = ledger->delayed_sequence,
        .next_delayed_us = ledger->next_delayed_us,
    };
}

static bool is_before_time(int64_t a_us, int64_t a_sequence, int64_t b_us, int64_t b_sequence)
{
    return a_us != b_us ? a_us < b_us : a_sequence < b_sequence;
}

static bool moves_times(const struct ledger *ledger, const struct ledger_take *take)
{
    return take->delayed_us != ledger->delayed_us ||
           take->delayed_sequence != ledger->delayed_sequence ||
           take->next_delayed_us != ledger->next_delayed_us;
}

static bool is_short(const struct ledger *ledger, const struct ledger_take *take)
{
    bool keyed = false;
    for (size_t i = 0; i < take->grant_count; i++)
        keyed = keyed || has_key(take->grants[i].keys, take->grants[i].count);
    return !keyed && take->passed_count == 0 && take->key_count == 0 && !moves_times(ledger, take);
}

/* The time position as what is added to the one before; the next time as what is added to the new
 * one and one more, or 0. */
static void put_times(struct buffer *body, const struct ledger *ledger,
                      const struct ledger_take *take)
{
    CHECK(is_time(take->delayed_us) && take->delayed_sequence >= 0 &&
          take->delayed_sequence <= SEQUENCE_MAX &&
          !is_before_time(take->delayed_us, take->delayed_sequence, ledger->delayed_us,
                          ledger->delayed_sequence));
    put_number(body, (uint64_t)(take->delayed_us - ledger->delayed_us));
    put_number(body, (uint64_t)take->delayed_sequence);
    put_next_delayed(body, take->delayed_us, take->next_delayed_us);
}

/* Each as its key, and how far it is from the position, or 0. */
static void put_marks(struct buffer *body, const struct ledger *ledger,
                      const struct ledger_take *take)
{
    put_number(body, take->key_count);
    for (size_t i = 0; i < take->key_count; i++) {
        struct ledger_key key = take->keys[i];
        CHECK(is_right_mark(ledger, &key, take->position));
        put_key(body, key.key);
        put_number(body, key.from ? (uint64_t)(take->position - key.from) + 1 : 0);
    }
}

static void put_passed(struct buffer *body, const struct ledger *ledger,
                       const struct ledger_take *take)
{
    int64_t last = take->position;
    put_number(body, take->passed_count);
    for (size_t i = 0; i < take->passed_count; i++) {
        for (size_t j = 0; j < take->passed[i].count; j++)
            CHECK(take->passed[i].sequences[j] > ledger->begin &&
                  take->passed[i].sequences[j] <= ledger->position);
        put_grant(body, &last, &take->passed[i], true);
    }
}

void ledger_make_take(struct buffer *body, const struct ledger *ledger,
                      const struct ledger_take *take)
{
    bool is_long = !is_short(ledger, take);
    CHECK(take->position >= ledger->position && take->position <= SEQUENCE_MAX);
    put_kind(body, is_long ? ENTRY_LONG_TAKE : ENTRY_TAKE);
    put_number(body, (uint64_t)take->position);
    if (is_long) {
        bool times = moves_times(ledger, take);
        put_number(body, times ? LONG_TAKE_TIMES : 0);
        if (times)
            put_times(body, ledger, take);
        put_marks(body, ledger, take);
        put_passed(body, ledger, take);
    }
    int64_t last = take->position, given = ledger->position;
    for (size_t i = 0; i < take->grant_count; i++) {
        const struct ledger_grant *grant = &take->grants[i];
        for (size_t j = 0; j < grant->count; given = grant->sequences[j++])
            CHECK(grant->sequences[j] > given && grant->sequences[j] <= take->position);
        put_grant(body, &last, grant, is_long);
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
    put_grant(body, &(int64_t){0}, grant, false);
}

void ledger_add_dead(struct buffer *body, const int64_t *sequences, size_t count, bool blocks)
{
    put_order(body, blocks ? ORDER_BLOCKED : ORDER_DEAD, sequences, count);
}

void ledger_add_unblocked(struct buffer *body, const int64_t *sequences, size_t count)
{
    put_order(body, ORDER_UNBLOCKED, sequences, count);
}

/* Whether the event is still to be given out anyway. Takes that the maker of an entry has not seen
 * change nothing about that, but that they may have given it out: they pass only events after the
 * position that he has seen, and marks only go on. */
static bool comes_anyway(const struct ledger *ledger, int64_t sequence, uint64_t key)
{
    int64_t from = key != 0 ? marks_find(&ledger->marks, key) : 0;
    return sequence > ledger->position || (from != 0 && sequence >= from);
}

static void put_revived(struct buffer *body, const int64_t *sequences, const uint64_t *keys,
                        size_t count, int64_t due_us)
{
    put_number(body, ORDER_REVIVED);
    put_signed(body, due_us);
    put_keys(body, keys, count);
    put_sequences(body, &(int64_t){0}, sequences, count);
}

/* Which of them come anyway is decided here: who applies it may have seen later takes. */
void ledger_add_revived(struct buffer *body, const struct ledger *ledger, const int64_t *sequences,
                        const uint64_t *keys, size_t count, int64_t due_us)
{
    size_t coming = 0;
    for (size_t at = 0, end; at < count; at = end) {
        end = at;
        while (end < count && !comes_anyway(ledger, sequences[end], keys ? keys[end] : 0))
            end++;
        if (end > at)
            put_revived(body, &sequences[at], keys ? &keys[at] : NULL, end - at, due_us);
        for (; end < count && comes_anyway(ledger, sequences[end], keys ? keys[end] : 0); end++)
            coming++;
    }
    if (coming > 0)
        ledger_add_buried(body, coming);
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
           a->out == b->out && a->dead == b->dead && (a->key == 0) == (b->key == 0);
}

/* What the leases of a group have in common. `before` is one of the group before. */
static void put_group(struct buffer *body, const struct lease *before, const struct lease *lease)
{
    put_number(body, (lease->out ? GROUP_OUT : 0) | (lease->id.again ? GROUP_AGAIN : 0) |
                         (lease->dead ? GROUP_DEAD : 0) | (lease->key ? GROUP_KEYED : 0));
    put_number(body, (uint64_t)lease->id.number);
    put_number(body, lease->id.token);
    put_number(body, lease->attempts);
    put_number(body, lease->pull);
    put_signed(body, lease->first_us - before->first_us);
    put_signed(body, lease->started_us - before->started_us);
    put_signed(body, lease->due_us - before->due_us);
}

/* `sequences` and `keys` are room for as many. */
static void put_groups(struct buffer *body, const struct ledger *ledger,
                       const struct lease **sorted, int64_t *sequences, uint64_t *keys,
                       size_t count)
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
            keys[end] = other.key;
        }
        put_group(body, &before, &lease);
        if (lease.key != 0)
            put_keys(body, &keys[at], end - at);
        put_sequences(body, &last, &sequences[at], end - at);
        before = lease;
    }
}

static void put_all_leases(struct buffer *body, const struct ledger *ledger)
{
    size_t count = ledger->leases.count;
    if (count == 0)
        return;
    const struct lease **sorted = malloc(count * sizeof(struct lease *));
    int64_t *sequences = malloc(count * sizeof(*sequences));
    uint64_t *keys = malloc(count * sizeof(*keys));
    if (sorted && sequences && keys) {
        for (size_t i = 0; i < count; i++)
            sorted[i] = leases_at(&ledger->leases, i);
        qsort(sorted, count, sizeof(struct lease *), compare_sequences);
        put_groups(body, ledger, sorted, sequences, keys, count);
    } else {
        body->failed = true;
    }
    free(keys);
    free(sequences);
    free(sorted);
}

static int compare_marks(const void *a, const void *b)
{
    const struct ledger_key *one = a, *other = b;
    return one->from != other->from ? (one->from > other->from) - (one->from < other->from)
                                    : (one->key > other->key) - (one->key < other->key);
}

/* By their events, each as the distance from the one before. */
static void put_all_marks(struct buffer *body, const struct ledger *ledger)
{
    size_t count = ledger->marks.count;
    put_number(body, count);
    if (count == 0)
        return;
    struct ledger_key *sorted = malloc(count * sizeof(*sorted));
    if (!sorted) {
        body->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        sorted[i] = marks_at(&ledger->marks, i);
    qsort(sorted, count, sizeof(*sorted), compare_marks);
    int64_t last = ledger->begin;
    for (size_t i = 0; i < count; last = sorted[i++].from) {
        put_key(body, sorted[i].key);
        put_number(body, (uint64_t)(sorted[i].from - last));
    }
    free(sorted);
}

void ledger_make_checkpoint(struct buffer *body, const struct ledger *ledger)
{
    put_head(body, ENTRY_CHECKPOINT, ledger);
    put_number(body, (uint64_t)ledger->position);
    put_number(body, (uint64_t)ledger->dead);
    put_number(body, ledger->take.token);
    put_signed(body, ledger->seen_us);
    put_sequences(body, &(int64_t){ledger->position}, ledger->ahead, ledger->ahead_count);
    put_number(body, (uint64_t)(ledger->position - ledger->begin));
    put_signed(body, ledger->delayed_us);
    put_number(body, (uint64_t)ledger->delayed_sequence);
    put_next_delayed(body, ledger->delayed_us, ledger->next_delayed_us);
    put_all_marks(body, ledger);
    put_all_leases(body, ledger);
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

/* What is added to a number that is at most `max` itself, and the sum at most that. */
static int64_t read_more(struct body_reader *reader, int64_t before, int64_t max)
{
    return before + (int64_t)read_number(reader, (uint64_t)(max - before));
}

static int64_t read_next_delayed(struct body_reader *reader, int64_t delayed_us)
{
    int64_t more = (int64_t)read_number(reader, (uint64_t)(TIME_MAX - delayed_us) + 1);
    return more == 0 ? INT64_MAX : delayed_us + more - 1;
}

static uint64_t read_key(struct body_reader *reader)
{
    uint64_t key = 0;
    if ((size_t)(reader->end - reader->at) < KEY_BYTES) {
        mark_bad(reader);
        return 0;
    }
    for (size_t i = 0; i < KEY_BYTES; i++)
        key |= (uint64_t)*reader->at++ << (8 * i);
    return key;
}

/* The keys of a list of sequences, as far as they were read. */
struct key_reader {
    struct body_reader reader;
    bool some; /* else none of the sequences has one */
};

static struct key_reader read_keys(struct body_reader *reader)
{
    uint64_t bytes = KEY_BYTES * read_number(reader, BODY_SEQUENCES);
    if (bytes > (size_t)(reader->end - reader->at))
        mark_bad(reader);
    struct key_reader keys = {.some = bytes > 0 && !reader->bad};
    if (keys.some) {
        keys.reader = (struct body_reader){.at = reader->at, .end = reader->at + bytes};
        reader->at += bytes;
    }
    return keys;
}

static uint64_t next_key(struct key_reader *keys)
{
    return keys->some ? read_key(&keys->reader) : 0;
}

/* Whether there were as many keys as sequences, or none. */
static bool keys_were_right(const struct key_reader *keys)
{
    return !keys->reader.bad && keys->reader.at == keys->reader.end;
}

/* Reads what a body begins with; false when it is none of these kinds. */
static bool read_kind(const struct store_entry *entry, struct body_reader *reader,
                      enum entry_kind *kind)
{
    const uint8_t *bytes = (const uint8_t *)entry->body.data;
    if (entry->body.size < 2 || bytes[0] != VERSION || bytes[1] < ENTRY_TAKE ||
        bytes[1] > ENTRY_LONG_TAKE || !is_time(entry->at_us))
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
    lease->passed = false;
}

static bool add_lease(struct ledger *ledger, const struct lease *lease, bool *no_memory)
{
    if (!leases_add(&ledger->leases, lease, no_memory))
        return false;
    if (lease->key != 0)
        marks_set_ready(&ledger->marks, lease->key, false);
    return true;
}

static void remove_lease(struct ledger *ledger, int64_t sequence, uint64_t key)
{
    leases_remove(&ledger->leases, sequence);
    if (key != 0 && !leases_have_key(&ledger->leases, key))
        marks_set_ready(&ledger->marks, key, true);
}

/* A take as it is read. */
struct take_reader {
    struct body_reader *reader;
    const struct store_entry *entry;
    bool is_long;
    int64_t position;
    int64_t last;  /* the sequence of the grant before, for what is stored */
    int64_t given; /* the last one given out, after which the next ones come; passed: all do */
    int64_t until; /* up to here */
};

/* One grant. */
static bool apply_grant(struct ledger *ledger, struct take_reader *take, bool passed,
                        bool *no_memory)
{
    struct body_reader *reader = take->reader;
    uint64_t pull = read_number(reader, UINT64_MAX);
    uint64_t lease_ms = read_number(reader, LEASE_MAX_US / 1000);
    struct key_reader keys = {0};
    if (take->is_long)
        keys = read_keys(reader);
    struct run_reader list = read_sequences(reader, take->last);
    for (int64_t sequence; (sequence = read_sequence(reader, &list)) > 0;) {
        struct lease lease = {.sequence = sequence, .key = next_key(&keys)};
        if (sequence <= take->given || sequence > take->until)
            return false;
        if (!passed)
            take->given = sequence;
        if (ledger_is_ahead(ledger, sequence))
            continue;
        give_out(&lease, take->entry, false, pull, lease_ms);
        lease.passed = passed;
        if (ledger_find(ledger, sequence) || !add_lease(ledger, &lease, no_memory))
            return false;
    }
    take->last = list.last;
    return !reader->bad && lease_ms > 0 && keys_were_right(&keys);
}

static bool apply_times(struct ledger *ledger, struct body_reader *reader)
{
    int64_t us = read_more(reader, ledger->delayed_us, TIME_MAX);
    int64_t sequence = read_position(reader);
    if (reader->bad || is_before_time(us, sequence, ledger->delayed_us, ledger->delayed_sequence))
        return false;
    ledger->delayed_us = us;
    ledger->delayed_sequence = sequence;
    ledger->next_delayed_us = read_next_delayed(reader, us);
    return true;
}

static bool apply_marks(struct ledger *ledger, struct take_reader *take, bool *no_memory)
{
    struct body_reader *reader = take->reader;
    for (uint64_t left = read_number(reader, LEDGER_MAX_MARKS); left > 0; left--) {
        struct ledger_key mark = {.key = read_key(reader)};
        int64_t before = (int64_t)read_number(reader, (uint64_t)take->position);
        mark.from = before ? take->position - before + 1 : 0;
        if (reader->bad || !is_right_mark(ledger, &mark, take->position))
            return false;
        bool ready = !leases_have_key(&ledger->leases, mark.key);
        if (mark.from == 0)
            marks_remove(&ledger->marks, mark.key);
        else if (!marks_set(&ledger->marks, mark, ready, no_memory))
            return false;
    }
    return true;
}

static bool apply_passed(struct ledger *ledger, struct take_reader *take, bool *no_memory)
{
    uint64_t left = read_number(take->reader, BODY_SEQUENCES);
    take->last = take->position;
    take->until = ledger->position;
    take->given = ledger->begin;
    for (; left > 0; left--)
        if (!apply_grant(ledger, take, true, no_memory))
            return false;
    return true;
}

/* What a long take has before its new events. */
static bool apply_more(struct ledger *ledger, struct take_reader *take, bool *no_memory)
{
    uint64_t flags = read_number(take->reader, LONG_TAKE_FLAGS);
    return (!(flags & LONG_TAKE_TIMES) || apply_times(ledger, take->reader)) &&
           apply_marks(ledger, take, no_memory) && apply_passed(ledger, take, no_memory) &&
           !take->reader->bad;
}

static bool apply_events(struct ledger *ledger, const struct store_entry *entry,
                         struct body_reader *reader, bool is_long, bool *no_memory)
{
    struct take_reader take = {.reader = reader, .entry = entry, .is_long = is_long};
    take.position = read_position(reader);
    if (reader->bad || take.position < ledger->position ||
        (is_long && !apply_more(ledger, &take, no_memory)))
        return false;
    take.last = take.until = take.position;
    take.given = ledger->position;
    while (reader->at < reader->end)
        if (!apply_grant(ledger, &take, false, no_memory))
            return false;
    ledger->position = take.position;
    ahead_pass(ledger, take.position);
    return true;
}

static bool apply_seek(struct ledger *ledger, const struct store_entry *entry,
                       struct body_reader *reader)
{
    int64_t position = read_position(reader);
    if (reader->bad || reader->at < reader->end)
        return false;
    leases_clear(&ledger->leases);
    marks_clear(&ledger->marks);
    ahead_pass(ledger, SEQUENCE_MAX);
    ledger->position = ledger->begin = position;
    if (is_before_time(ledger->delayed_us, ledger->delayed_sequence, entry->at_us, 0)) {
        ledger->delayed_us = entry->at_us;
        ledger->delayed_sequence = 0;
    }
    ledger->next_delayed_us = INT64_MAX;
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
    bool is_long = kind == ENTRY_LONG_TAKE;
    bool applied = kind == ENTRY_TAKE || is_long
                       ? apply_events(ledger, entry, &reader, is_long, no_memory)
                   : kind == ENTRY_SEEK ? apply_seek(ledger, entry, &reader)
                                        : false;
    if (applied)
        note_entry(ledger, entry, &ledger->take);
    return applied;
}

/* An order about a sequence of which there is no lease. */
static bool apply_to_absent(struct ledger *ledger, const struct ledger_order *order,
                            int64_t sequence, uint64_t key, bool *no_memory)
{
    struct lease lease = {.sequence = sequence, .key = key, .due_us = order->due_us};
    if (order->kind == ORDER_SETTLED && sequence > ledger->position)
        return ahead_add(ledger, sequence, no_memory);
    if (order->kind == ORDER_REVIVED && sequence <= ledger->position)
        return add_lease(ledger, &lease, no_memory);
    return true;
}

/* An order about a dead letter that blocks its key. */
static void apply_to_dead(struct ledger *ledger, const struct ledger_order *order,
                          const struct lease *dead)
{
    struct lease lease = {.sequence = dead->sequence, .key = dead->key, .due_us = order->due_us};
    if (order->kind == ORDER_UNBLOCKED)
        remove_lease(ledger, lease.sequence, lease.key);
    else if (order->kind == ORDER_REVIVED)
        leases_set(&ledger->leases, &lease);
}

static void apply_to_lease(struct ledger *ledger, const struct store_entry *entry,
                           const struct ledger_order *order, struct lease lease)
{
    switch (order->kind) {
    case ORDER_BLOCKED:
        if (lease.key != 0) {
            lease = (struct lease){.sequence = lease.sequence, .key = lease.key, .dead = true};
            break;
        }
        /* fall through */
    case ORDER_SETTLED:
        /* It was said ahead of a take that was lost. Who applies it before the position passes the
         * event forgets it then; so do we. */
        if (lease.passed && lease.id.number > order->takes)
            return;
        /* fall through */
    case ORDER_DEAD: remove_lease(ledger, lease.sequence, lease.key); return;
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
    default: return; /* revived: it is out or waits already; unblocked: it does not block */
    }
    leases_set(&ledger->leases, &lease);
}

static bool read_order(struct body_reader *reader, struct ledger_order *order)
{
    *order = (struct ledger_order){.kind = read_number(reader, ORDER_KINDS)};
    switch (order->kind) {
    case ORDER_SETTLED:
    case ORDER_DEAD:
    case ORDER_BURIED:
    case ORDER_BLOCKED:
    case ORDER_UNBLOCKED: break;
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

/* Of an order from before a seek, only dead letters are counted: the store has them in any case. */
static bool apply_order(struct ledger *ledger, const struct store_entry *entry,
                        struct body_reader *reader, struct entry_head head, bool *no_memory)
{
    struct ledger_order order;
    bool is_void = head.epoch < ledger->epoch;
    if (!read_order(reader, &order))
        return false;
    order.takes = head.takes;
    if (order.kind == ORDER_BURIED) {
        bury(ledger, read_number(reader, INT64_MAX));
        return !reader->bad;
    }
    struct key_reader keys = {0};
    if (order.kind == ORDER_REVIVED)
        keys = read_keys(reader);
    bool kills = order.kind == ORDER_DEAD || order.kind == ORDER_BLOCKED;
    struct run_reader list = read_sequences(reader, 0);
    for (int64_t sequence; (sequence = read_sequence(reader, &list)) > 0;) {
        uint64_t key = next_key(&keys);
        if (order.kind == ORDER_REVIVED)
            bury(ledger, 1);
        ledger->dead += kills && ledger->dead < INT64_MAX;
        const struct lease *lease = ledger_find(ledger, sequence);
        if (is_void)
            continue;
        if (lease && lease->dead)
            apply_to_dead(ledger, &order, lease);
        else if (lease)
            apply_to_lease(ledger, entry, &order, *lease);
        else if (!apply_to_absent(ledger, &order, sequence, key, no_memory))
            return false;
    }
    return !reader->bad && keys_were_right(&keys);
}

static bool apply_orders(struct ledger *ledger, const struct store_entry *entry,
                         struct body_reader *reader, bool *no_memory)
{
    struct entry_head head = read_head(reader);
    if (reader->bad || head.takes > ledger->take.number || head.epoch > ledger->epoch)
        return false; /* its writer has seen takes that we have not */
    while (reader->at < reader->end)
        if (!apply_order(ledger, entry, reader, head, no_memory))
            return false;
    return true;
}

/* What the leases of the next group have in common; `lease` is one of the group before. */
static bool read_group(struct body_reader *reader, const struct ledger *ledger, int64_t settlement,
                       struct lease *lease, bool *keyed)
{
    uint64_t flags = read_number(reader, GROUP_FLAGS);
    lease->out = flags & GROUP_OUT;
    lease->dead = flags & GROUP_DEAD;
    lease->id.again = flags & GROUP_AGAIN;
    *keyed = flags & GROUP_KEYED;
    int64_t newest = lease->id.again ? settlement - 1 : ledger->take.number;
    lease->id.number = (int64_t)read_number(reader, (uint64_t)newest);
    lease->id.token = (uint32_t)read_number(reader, UINT32_MAX);
    lease->attempts = (uint32_t)read_number(reader, UINT32_MAX);
    lease->pull = read_number(reader, UINT64_MAX);
    lease->first_us = read_time(reader, lease->first_us);
    lease->started_us = read_time(reader, lease->started_us);
    lease->due_us = read_time(reader, lease->due_us);
    return !reader->bad && (lease->out || lease->pull == 0) &&
           (!lease->dead || (*keyed && !lease->out));
}

static bool load_leases(struct ledger *ledger, struct body_reader *reader, int64_t settlement,
                        bool *no_memory)
{
    struct lease lease = {0};
    int64_t last = 0;
    while (reader->at < reader->end) {
        bool keyed;
        struct key_reader keys = {0};
        if (!read_group(reader, ledger, settlement, &lease, &keyed))
            return false;
        if (keyed)
            keys = read_keys(reader);
        struct run_reader list = read_sequences(reader, last);
        while ((lease.sequence = read_sequence(reader, &list)) > 0) {
            lease.key = next_key(&keys);
            if (lease.sequence <= last || lease.sequence > ledger->position ||
                (lease.key != 0) != keyed)
                return false;
            last = lease.sequence;
            if (!add_lease(ledger, &lease, no_memory))
                return false;
        }
        if (!keys_were_right(&keys))
            return false;
    }
    return !reader->bad;
}

/* Before the leases: none is there that one of them waits for. */
static bool load_marks(struct ledger *ledger, struct body_reader *reader, bool *no_memory)
{
    struct ledger_key before = {.from = ledger->begin};
    for (uint64_t left = read_number(reader, LEDGER_MAX_MARKS); left > 0; left--) {
        struct ledger_key mark = {.key = read_key(reader)};
        mark.from = read_more(reader, before.from, ledger->position);
        if (reader->bad || mark.key == 0 || mark.from <= ledger->begin ||
            compare_marks(&mark, &before) <= 0 || marks_find(&ledger->marks, mark.key) != 0 ||
            !marks_set(&ledger->marks, mark, true, no_memory))
            return false;
        before = mark;
    }
    return !reader->bad;
}

static bool load_times(struct ledger *ledger, struct body_reader *reader)
{
    ledger->begin = ledger->position - (int64_t)read_number(reader, (uint64_t)ledger->position);
    ledger->delayed_us = read_time(reader, 0);
    ledger->delayed_sequence = read_position(reader);
    ledger->next_delayed_us = read_next_delayed(reader, ledger->delayed_us);
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
    return !reader->bad && load_ahead(ledger, reader, no_memory) && load_times(ledger, reader) &&
           load_marks(ledger, reader, no_memory) &&
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
