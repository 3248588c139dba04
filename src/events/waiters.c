/* The lists of who waits, by tenant, under one lock, with which each of them is parked too. So
 * whatever is committed after the beginning of a waiter's read either is in what it reads, or finds
 * it in the list. Callers' functions that may do more than park are called without it. */
#include "events/waiters.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

/* Waiters that read at the same time because they were due; the others stay parked meanwhile, so
 * that the lane of lists has room for those who do not wait. */
#define MAX_IN_TURN 32

/* One look for events of other processes. */
#define LOOK_EVENTS 200
#define LOOK_BYTES ((size_t)256 << 10)
#define LOOK_ARENA ((size_t)16 << 20) /* one event alone may be large */
#define LOOK_DEADLINE_MS 10000

/* Tenants that are looked at in a second without anybody's telling; when there are more that
 * somebody waits for, each comes after so much longer. */
#define LOOKS 32
#define LOOK_MS 1000

#define LOG_BUCKETS 256 /* a power of 2 */

/* Names that are compared for one commit; when that is used up, who may wait for its events reads.
 */
#define MAX_COMPARED 200000

/* The log of a tenant that somebody waits for. */
struct waited_log {
    struct waited_log *next, **previous; /* in the list of all, whose first is looked at first */
    struct waited_log *next_in_bucket;
    struct waited_log *next_due; /* while it is queued */
    bool queued;                 /* perhaps somebody of them is due */
    int64_t tenant;
    struct log_waiter *waiters; /* except those that are due */
    struct log_waiter *due;     /* in the order in which they came */
    struct log_waiter **last_due;
    size_t count;  /* of all */
    size_t parked; /* those that are due included */
    /* While somebody is parked: nobody of them waits for an event up to here. Where looks begin. */
    int64_t looked;
    int64_t heard; /* others have told of events up to here, since the last look; INT64_MAX: look */
    int64_t look_ms; /* monotonic; when that is to be done in any case */
};

struct waiters {
    struct list_op look; /* first */
    struct readers *readers;
    pthread_mutex_t lock;
    struct waited_log *logs;
    struct waited_log **last_log;
    struct waited_log *buckets[LOG_BUCKETS];
    size_t log_count;
    struct waited_log *due; /* logs whose waiters take turns, one of each; a queue */
    struct waited_log **last_due;
    size_t in_turn;
    bool starting; /* somebody calls `look` for those that are due */
    bool stopping;
    bool looking;       /* `look` is at the readers */
    struct arena arena; /* of `look` */
};

/* ---- names: what surely is not among some is seen from one bit of each ---- */

static size_t bit_of(struct slice name)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < name.size; i++)
        hash = (hash ^ (unsigned char)name.data[i]) * UINT64_C(1099511628211);
    return (hash ^ hash >> 32) & (NAME_BITS - 1);
}

static void bits_add(struct name_bits *bits, struct slice name)
{
    size_t bit = bit_of(name);
    bits->words[bit / 64] |= UINT64_C(1) << bit % 64;
}

/* A filter's: all of them when it has none, or one that ends in '*'. */
static struct name_bits bits_of(const struct slice *names, size_t count)
{
    struct name_bits bits = {{0}};
    bool any = count == 0;
    for (size_t i = 0; i < count; i++) {
        any = any || (names[i].size > 0 && names[i].data[names[i].size - 1] == '*');
        bits_add(&bits, names[i]);
    }
    if (any)
        memset(&bits, 0xff, sizeof(bits));
    return bits;
}

static bool bits_meet(const struct name_bits *one, const struct name_bits *other)
{
    uint64_t both = 0;
    for (size_t i = 0; i < NAME_BITS / 64; i++)
        both |= one->words[i] & other->words[i];
    return both != 0;
}

/* ---- lists; all called with the lock held ---- */

static void push(struct log_waiter **list, struct log_waiter *waiter)
{
    waiter->next = *list;
    waiter->previous = list;
    if (waiter->next)
        waiter->next->previous = &waiter->next;
    *list = waiter;
}

static void take_out(struct log_waiter *waiter)
{
    CHECK(*waiter->previous == waiter);
    *waiter->previous = waiter->next;
    if (waiter->next)
        waiter->next->previous = waiter->previous;
    else if (waiter->state == LOG_WAITER_DUE)
        waiter->log->last_due = waiter->previous;
}

/* Its waiters that are due have a turn after those of the others that are queued. */
static void queue_log(struct waiters *waiters, struct waited_log *log)
{
    if (log->queued)
        return;
    log->queued = true;
    log->next_due = NULL;
    *waiters->last_due = log;
    waiters->last_due = &log->next_due;
}

/* Takes the first out of the queue; NULL: it is empty. */
static struct waited_log *take_queued(struct waiters *waiters)
{
    struct waited_log *log = waiters->due;
    if (!log)
        return NULL;
    waiters->due = log->next_due;
    if (!waiters->due)
        waiters->last_due = &waiters->due;
    log->queued = false;
    return log;
}

static void make_due(struct waiters *waiters, struct log_waiter *waiter)
{
    struct waited_log *log = waiter->log;
    CHECK(waiter->state == LOG_WAITER_PARKED);
    take_out(waiter);
    waiter->state = LOG_WAITER_DUE;
    waiter->next = NULL;
    waiter->previous = log->last_due;
    *log->last_due = waiter;
    log->last_due = &waiter->next;
    queue_log(waiters, log);
}

/* The one that is due whose turn it is; NULL: nobody is due. */
static struct log_waiter *next_due(struct waiters *waiters)
{
    for (struct waited_log *log; (log = take_queued(waiters));) {
        struct log_waiter *waiter = log->due;
        if (waiter && waiter->next)
            queue_log(waiters, log);
        if (waiter)
            return waiter;
    }
    return NULL;
}

/* The owner reads for one that was parked. */
static void make_reading(struct log_waiter *waiter)
{
    CHECK(waiter->state == LOG_WAITER_DUE && waiter->log->parked > 0);
    take_out(waiter);
    waiter->state = LOG_WAITER_READS;
    waiter->again_to = 0;
    waiter->log->parked--;
    push(&waiter->log->waiters, waiter);
}

static void end_turn(struct waiters *waiters, struct log_waiter *waiter)
{
    CHECK(!waiter->in_turn || waiters->in_turn > 0);
    waiters->in_turn -= waiter->in_turn;
    waiter->in_turn = false;
}

static struct waited_log **bucket_of(struct waiters *waiters, int64_t tenant)
{
    return &waiters->buckets[(uint64_t)tenant & (LOG_BUCKETS - 1)];
}

static struct waited_log *find_log(struct waiters *waiters, int64_t tenant)
{
    struct waited_log *log = *bucket_of(waiters, tenant);
    while (log && log->tenant != tenant)
        log = log->next_in_bucket;
    return log;
}

static void list_log(struct waiters *waiters, struct waited_log *log)
{
    log->next = NULL;
    log->previous = waiters->last_log;
    *waiters->last_log = log;
    waiters->last_log = &log->next;
}

static void unlist_log(struct waiters *waiters, struct waited_log *log)
{
    *log->previous = log->next;
    if (log->next)
        log->next->previous = log->previous;
    else
        waiters->last_log = log->previous;
}

static struct waited_log *find_or_make_log(struct waiters *waiters, int64_t tenant)
{
    struct waited_log **bucket = bucket_of(waiters, tenant);
    struct waited_log *log = find_log(waiters, tenant);
    if (log)
        return log;
    log = malloc(sizeof(*log));
    if (!log)
        return NULL;
    *log = (struct waited_log){.tenant = tenant, .next_in_bucket = *bucket};
    log->last_due = &log->due;
    *bucket = log;
    list_log(waiters, log);
    waiters->log_count++;
    return log;
}

static void free_log(struct waiters *waiters, struct waited_log *log)
{
    struct waited_log **in_bucket = bucket_of(waiters, log->tenant), **queued = &waiters->due;
    CHECK(log->parked == 0 && !log->waiters && !log->due);
    while (*in_bucket != log)
        in_bucket = &(*in_bucket)->next_in_bucket;
    *in_bucket = log->next_in_bucket;
    unlist_log(waiters, log);
    waiters->log_count--;
    while (log->queued && *queued != log)
        queued = &(*queued)->next_due;
    if (log->queued) {
        *queued = log->next_due;
        if (!log->next_due)
            waiters->last_due = queued;
    }
    free(log);
}

/* ---- what was committed ---- */

/* Events of one commit, or of one look, in the order of the log. */
struct note {
    const struct store_event *const *events;
    size_t count;
    int64_t first, last;
    bool dense; /* every sequence from `first` to `last` is among them */
    struct name_bits sources, types;
    size_t compared; /* names, so far */
};

static struct note note_of(const struct store_event *const *events, size_t count)
{
    CHECK(count > 0);
    struct note note = {.events = events, .count = count, .first = INT64_MAX, .dense = true};
    for (size_t i = 0; i < count; i++) {
        int64_t sequence = events[i]->sequence;
        note.first = sequence < note.first ? sequence : note.first;
        note.last = sequence > note.last ? sequence : note.last;
        note.dense = note.dense && (i == 0 || sequence == events[i - 1]->sequence + 1);
        bits_add(&note.sources, events[i]->source);
        bits_add(&note.types, events[i]->type);
    }
    return note;
}

static bool passes(const struct store_filter *filter, const struct store_event *event)
{
    bool in_time = (filter->from_us == 0 || event->created_at_us >= filter->from_us) &&
                   (filter->until_us == 0 || event->created_at_us < filter->until_us);
    return in_time && store_filter_fits(filter->sources, filter->source_count, event->source) &&
           store_filter_fits(filter->types, filter->type_count, event->type);
}

/* Whether one of the events may be what the waiter waits for. */
static bool concerns(struct note *note, const struct log_waiter *waiter)
{
    const struct store_filter *filter = waiter->filter;
    if (note->last <= waiter->after || !bits_meet(&note->sources, &waiter->sources) ||
        !bits_meet(&note->types, &waiter->types))
        return false;
    for (size_t i = 0; i < note->count; i++) {
        note->compared += 1 + filter->source_count + filter->type_count;
        if (note->compared > MAX_COMPARED)
            return true;
        if (note->events[i]->sequence > waiter->after && passes(filter, note->events[i]))
            return true;
    }
    return false;
}

/* Moves a position to the end of the note when nothing is between them. */
static void move_on(int64_t *position, const struct note *note)
{
    if (note->dense && *position >= note->first - 1 && *position < note->last)
        *position = note->last;
}

/* Called with the lock held. */
static void note_events(struct waiters *waiters, struct waited_log *log,
                        const struct store_event *const *events, size_t count)
{
    struct note noted = note_of(events, count), *note = &noted;
    for (struct log_waiter *waiter = log->waiters, *next; waiter; waiter = next) {
        next = waiter->next;
        bool concerned = concerns(note, waiter);
        if (waiter->state == LOG_WAITER_READS) {
            if (concerned && waiter->again_to < note->last)
                waiter->again_to = note->last;
        } else if (concerned) {
            make_due(waiters, waiter);
        } else {
            move_on(&waiter->after, note);
        }
    }
    if (log->parked > 0)
        move_on(&log->looked, note);
}

/* ---- carrying on: called without the lock, after whatever gives something to do ---- */

/* Lets those that are due read, as many at once as may. Those who come while another thread does
 * this leave it to that one. */
static void start_due(struct waiters *waiters)
{
    pthread_mutex_lock(&waiters->lock);
    bool mine = !waiters->starting;
    waiters->starting = true;
    while (mine && waiters->in_turn < MAX_IN_TURN && !waiters->stopping) {
        struct log_waiter *waiter = next_due(waiters);
        if (!waiter)
            break;
        make_reading(waiter);
        if (!waiter->calls->unpark(waiter))
            continue;
        waiter->in_turn = true;
        waiters->in_turn++;
        pthread_mutex_unlock(&waiters->lock);
        waiter->calls->look(waiter);
        pthread_mutex_lock(&waiters->lock);
    }
    if (mine)
        waiters->starting = false;
    pthread_mutex_unlock(&waiters->lock);
}

static void on_looked(struct op *op);

/* A log that has something to look for, which comes last after that; NULL: none. Called with the
 * lock held. */
static struct waited_log *log_to_look_at(struct waiters *waiters)
{
    struct waited_log *log = waiters->logs;
    while (log && (log->parked == 0 || log->heard <= log->looked))
        log = log->next;
    if (log) {
        unlist_log(waiters, log);
        list_log(waiters, log);
    }
    return log;
}

/* Whether there is something to look for, which `look` is ready for then. */
static bool prepare_look(struct waiters *waiters)
{
    pthread_mutex_lock(&waiters->lock);
    bool may = !waiters->looking && !waiters->stopping;
    struct waited_log *log = may ? log_to_look_at(waiters) : NULL;
    if (log) {
        log->heard = 0;
        waiters->looking = true;
        arena_reset(&waiters->arena);
        waiters->look = (struct list_op){
            .op = {.done = on_looked,
                   .scope = {log->tenant, UINT64_MAX},
                   .deadline_ms = clock_monotonic_ms() + LOOK_DEADLINE_MS},
            .list = {.set = STORE_LOG,
                     .oldest_first = true,
                     .after = log->looked,
                     .limit = LOOK_EVENTS,
                     .max_bytes = LOOK_BYTES,
                     .arena = &waiters->arena},
        };
    }
    pthread_mutex_unlock(&waiters->lock);
    return log != NULL;
}

/* A look that the readers refuse is made up for by that of the next second. */
static void start_look(struct waiters *waiters)
{
    struct status status;
    if (!prepare_look(waiters) || readers_submit_list(waiters->readers, &waiters->look, &status))
        return;
    pthread_mutex_lock(&waiters->lock);
    waiters->looking = false;
    pthread_mutex_unlock(&waiters->lock);
}

/* Called with the lock held. */
static void note_look(struct waiters *waiters, struct waited_log *log)
{
    const struct store_list *list = &waiters->look.list;
    const struct store_event *events[LOOK_EVENTS];
    CHECK(list->count <= LOOK_EVENTS);
    for (size_t i = 0; i < list->count; i++)
        events[i] = &list->events[i];
    if (list->count > 0)
        note_events(waiters, log, events, list->count);
    if (log->parked > 0 && log->looked >= list->after && log->looked < list->read_to)
        log->looked = list->read_to;
    if (list->more)
        log->heard = INT64_MAX;
}

static void on_looked(struct op *op)
{
    struct waiters *waiters = (struct waiters *)op;
    pthread_mutex_lock(&waiters->lock);
    CHECK(waiters->looking);
    struct waited_log *log = find_log(waiters, op->scope.tenant);
    if (log && op->status.code == STATUS_OK && !waiters->look.list.no_memory)
        note_look(waiters, log);
    waiters->looking = false;
    pthread_mutex_unlock(&waiters->lock);
    start_due(waiters);
    start_look(waiters);
}

/* ---- who waits ---- */

bool waiters_join(struct waiters *waiters, struct log_waiter *waiter)
{
    CHECK(waiter->state == LOG_WAITER_OUTSIDE && waiter->calls && waiter->filter);
    const struct store_filter *filter = waiter->filter;
    waiter->sources = bits_of(filter->sources, filter->source_count);
    waiter->types = bits_of(filter->types, filter->type_count);
    pthread_mutex_lock(&waiters->lock);
    waiter->log = find_or_make_log(waiters, waiter->scope.tenant);
    if (waiter->log) {
        waiter->state = LOG_WAITER_READS;
        waiter->log->count++;
        push(&waiter->log->waiters, waiter);
    }
    pthread_mutex_unlock(&waiters->lock);
    return waiter->log != NULL;
}

/* Called with the lock held. */
static enum log_waiter_parking park_waiter(struct log_waiter *waiter, int64_t read_to)
{
    struct waited_log *log = waiter->log;
    CHECK(waiter->state == LOG_WAITER_READS && read_to >= waiter->after);
    waiter->after = read_to;
    bool again = waiter->again_to > read_to;
    waiter->again_to = 0;
    if (again)
        return LOG_WAITER_LOOKS_AGAIN;
    if (!waiter->calls->park(waiter))
        return LOG_WAITER_CANNOT;
    waiter->state = LOG_WAITER_PARKED;
    if (log->parked++ == 0 || read_to < log->looked)
        log->looked = read_to;
    return LOG_WAITER_WAITS;
}

enum log_waiter_parking waiters_park(struct waiters *waiters, struct log_waiter *waiter,
                                     int64_t read_to)
{
    pthread_mutex_lock(&waiters->lock);
    enum log_waiter_parking parking = park_waiter(waiter, read_to);
    if (parking == LOG_WAITER_WAITS)
        end_turn(waiters, waiter);
    pthread_mutex_unlock(&waiters->lock);
    start_due(waiters);
    start_look(waiters);
    return parking;
}

void waiters_leave(struct waiters *waiters, struct log_waiter *waiter)
{
    pthread_mutex_lock(&waiters->lock);
    struct waited_log *log = waiter->log;
    CHECK(waiter->state != LOG_WAITER_OUTSIDE && log->count > 0);
    take_out(waiter);
    log->parked -= waiter->state != LOG_WAITER_READS;
    end_turn(waiters, waiter);
    waiter->state = LOG_WAITER_OUTSIDE;
    if (--log->count == 0)
        free_log(waiters, log);
    pthread_mutex_unlock(&waiters->lock);
    start_due(waiters);
}

/* ---- what wakes them ---- */

void waiters_note(struct waiters *waiters, struct scope scope,
                  const struct store_event *const *events, size_t count)
{
    if (count == 0)
        return;
    pthread_mutex_lock(&waiters->lock);
    struct waited_log *log = find_log(waiters, scope.tenant);
    if (log)
        note_events(waiters, log, events, count);
    pthread_mutex_unlock(&waiters->lock);
    start_due(waiters);
}

void waiters_hear(struct waiters *waiters, int64_t tenant, int64_t last)
{
    pthread_mutex_lock(&waiters->lock);
    struct waited_log *log = find_log(waiters, tenant);
    if (log && last > log->heard)
        log->heard = last;
    pthread_mutex_unlock(&waiters->lock);
    start_look(waiters);
}

void waiters_look(struct waiters *waiters)
{
    int64_t now_ms = clock_monotonic_ms();
    size_t left = LOOKS;
    pthread_mutex_lock(&waiters->lock);
    bool all = waiters->log_count <= LOOKS;
    int64_t again_ms = now_ms + (int64_t)(waiters->log_count * LOOK_MS / LOOKS);
    for (struct waited_log *log = waiters->logs; log && left > 0; log = log->next) {
        if (!all && now_ms < log->look_ms)
            continue;
        log->heard = INT64_MAX;
        log->look_ms = again_ms;
        left--;
    }
    pthread_mutex_unlock(&waiters->lock);
    start_look(waiters);
}

/* ---- life ---- */

struct waiters *waiters_open(struct readers *readers)
{
    struct waiters *waiters = calloc(1, sizeof(*waiters));
    if (!waiters)
        return NULL;
    waiters->readers = readers;
    waiters->last_due = &waiters->due;
    waiters->last_log = &waiters->logs;
    arena_init(&waiters->arena, LOOK_ARENA);
    pthread_mutex_init(&waiters->lock, NULL);
    return waiters;
}

void waiters_stop(struct waiters *waiters)
{
    pthread_mutex_lock(&waiters->lock);
    waiters->stopping = true;
    pthread_mutex_unlock(&waiters->lock);
}

void waiters_close(struct waiters *waiters)
{
    if (!waiters)
        return;
    CHECK(!waiters->logs && !waiters->looking && waiters->in_turn == 0);
    arena_fini(&waiters->arena);
    pthread_mutex_destroy(&waiters->lock);
    free(waiters);
}
