/* The store contract: durable events, their inbox and their acknowledgements, in domain operations.
 * Every implementation keeps every sentence below; tests/contract runs the same suite against each.
 *
 * A store hands out sessions. A session belongs to one thread at a time and may block; different
 * sessions of one store may be used by different threads at once. Nothing here touches the network
 * or the disk until a session is opened.
 *
 * An event's immutable part (id, sequence, source, type, payload, ordering key, deliver_at,
 * created_at) is kept apart from its delivery state (pending or acknowledged), which is all that
 * changes. An operation is about the events of one tenant, that of its scope; those of others do
 * not exist for it.
 *
 * The log: each event of a tenant has a sequence, 1, 2, 3 and so on, without a gap, in the order of
 * the commits, and in a batch in the order of its items. Whoever has read the log up to s never
 * finds anything new at or below s, whatever sessions and processes write it at once, however slow
 * they are and wherever they are cut off. All lists are in the order of the sequences, ascending or
 * descending, and continue after one of them. Times are for people: no order hangs on them. */
#ifndef TRIGGERS_STORE_STORE_H
#define TRIGGERS_STORE_STORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/scope.h"
#include "base/status.h"
#include "base/typeid.h"

struct store;
struct store_session;

/* Bytes that belong to somebody else; not NUL-terminated. */
struct slice {
    const char *data;
    size_t size;
};

#define STORE_ORDERING_KEY_MAX 255

struct store_event {
    uint8_t id[TYPEID_BYTES];
    int64_t sequence;    /* its place in the log, from 1 */
    int32_t kind;        /* out: the number of its source and type; the store's */
    struct slice source; /* UTF-8 without NUL, as all text here */
    struct slice type;
    struct slice payload;      /* any bytes; returned as they were given; empty once erased */
    struct slice ordering_key; /* at most STORE_ORDERING_KEY_MAX bytes; empty: none */
    int64_t deliver_at_us;     /* when subscriptions get it; 0: at once. Not with an ordering key */
    int64_t created_at_us;     /* microseconds since 1970 UTC */
    int64_t acknowledged_at_us; /* the same; 0 while pending */
};

enum store_result {
    STORE_OK,
    /* Nothing was changed; the same operation may be tried again at once (serialization failure,
     * deadlock). The session stays usable. */
    STORE_RETRY,
    /* Nothing was changed because somebody else holds a lock that the operation needs, for longer
     * than a store waits. Items that need other rows may still be written: the caller may split the
     * batch to find them. The session stays usable. */
    STORE_LOCKED,
    /* Nothing was changed because the database refused, perhaps because of one item: the caller may
     * split the batch to find it. The session stays usable. */
    STORE_REJECTED,
    /* Nothing was changed, and trying again at once will not help: disk full, read-only, damaged.
     * The session stays usable. */
    STORE_UNAVAILABLE,
    /* The session is no longer usable, and whether a write happened is unknown: close it, open
     * another, and write the same batch again, which is safe (see store_write). */
    STORE_LOST,
    /* Only from session_open: no later attempt can succeed until a person acts (a newer schema, a
     * file that is not a database). `status` says what to do. */
    STORE_FATAL,
};

/* What happened to one item. Set only when the operation returned STORE_OK. */
enum store_outcome {
    STORE_DONE,      /* append: stored now; ack, erase: done now; get: found */
    STORE_REPEATED,  /* append: was there with the same content; ack, erase: was done before */
    STORE_CONFLICT,  /* append: the id is there with other content; nothing was changed */
    STORE_NOT_FOUND, /* ack, erase, get: no such event; take, settle: no such subscription */
    STORE_STALE,     /* take, settle: somebody else has written to the ledger, or changed the
                        subscription; nothing was changed */
};

/* What may be written. Items of one kind happen before those of later kinds, whatever their order
 * in the batch, so a batch may acknowledge what it appends. */
enum store_kind {
    /* In: everything of the event except sequence and acknowledged_at_us. Out: sequence, and
     * created_at_us when STORE_REPEATED, of the stored event (the first one's). Content is source,
     * type, ordering key and payload; of an event that was erased, all but the payload. */
    STORE_APPEND,
    /* In: the event's id, and in acknowledged_at_us the time to set. If the event was created
     * later, which happens when clocks are changed, its created_at is set. Out: acknowledged_at_us
     * as it was set, now or, when STORE_REPEATED, the first time; sequence. */
    STORE_ACK,
    /* Removes the payload for good; the rest of the event stays, and its state is not changed. In:
     * the event's id. Out: sequence. Afterwards nothing in the store's tables has the payload.
     * Copies outlive it for a while where databases keep them: in SQLite's write-ahead log until
     * that is written over, in rows that PostgreSQL has yet to vacuum, in its write-ahead log and
     * standbys, and in backups. */
    STORE_ERASE,
    /* Appends a settlement to a subscription's ledger, with what it does to events and dead
     * letters. In: `settlement`, and in the event's id store_settlement_id, which is a batch's key
     * as with other kinds. STORE_DONE, STORE_REPEATED (it is there already, as after a lost
     * answer), STORE_STALE or STORE_NOT_FOUND. A batch has at most one of each subscription. */
    STORE_SETTLE,
    STORE_KIND_COUNT
};

/* ---- ledgers: what a subscription has handed out, and what became of it ----
 *
 * Each subscription has a ledger of two lists of entries, numbered 1, 2, 3 and so on: its takes,
 * which give out new events of the log, and its settlements, which say everything else. What an
 * entry's body means is src/subscriptions/ledger.h's; the stores keep entries in order. Whoever
 * appends one says which one it follows, and must have seen all up to there: when another process
 * has appended meanwhile, or the subscription was changed, nothing is written (STORE_STALE), and he
 * reads on and decides anew. So what is decided is right, in the order of the entries, whoever
 * writes.
 *
 * A settlement is durable before the write returns. A take is not (unless `durable`): when the
 * database crashes, the last ones may be lost, never one that a later durable write of the same
 * session or of any that has seen it depends on. Another entry may then come in its place, which
 * its token tells. */
struct store_entry {
    int64_t number; /* from 1 */
    uint64_t token; /* random */
    int64_t at_us;  /* out: when it was written, by the one clock of the store: the database's where
                       several processes share it; before an earlier entry of its list only when
                       that clock was set back */
    struct slice body;
};

/* The entry that another follows; all zero before the first. */
struct store_entry_before {
    int64_t number;
    uint64_t token;
};

struct store_take {
    int64_t subscription;
    int64_t revision; /* of the subscription */
    struct store_entry_before before;
    struct store_entry entry; /* in: token, body; out: number, at_us */
    bool durable;
    enum store_outcome outcome; /* out: DONE, STALE or NOT_FOUND */
};

/* An event that is not given out any more, as its last attempt has failed. */
struct store_dead_letter {
    int64_t sequence;
    uint32_t attempts;
    int64_t first_us;    /* when it was given out for the first time */
    int64_t dead_us;     /* out, of a list: at_us of its settlement */
    struct slice reason; /* UTF-8, may be empty */
};

struct store_settlement {
    int64_t subscription;
    int64_t revision;
    struct store_entry_before before;
    struct store_entry_before seen; /* the last take that its writer has seen: if it was lost, the
                                       settlement is STORE_STALE */
    struct store_entry entry;       /* in: token, body; out: number, at_us */
    int64_t takes; /* -1; of a checkpoint, whose body replaces all entries before: the number of the
                      last take that it includes */
    const int64_t *acknowledged; /* sequences to acknowledge in the inbox as well, at at_us */
    size_t acknowledged_count;
    const struct store_dead_letter *dead; /* to put there; one that is there is replaced */
    size_t dead_count;
    const int64_t *revived; /* sequences to remove from the dead letters */
    size_t revived_count;
};

struct store_item {
    enum store_kind kind;
    enum store_outcome outcome; /* out */
    struct store_event event;
    struct store_settlement *settlement; /* of STORE_SETTLE */
};

/* The subscription's and the new entry's number. */
void store_settlement_id(const struct store_settlement *settlement, uint8_t id[TYPEID_BYTES]);

/* A batch of writes: one transaction, durable before the call returns. Ids may repeat within a
 * batch: the earliest item of a kind wins, the others are STORE_REPEATED or STORE_CONFLICT. */
struct store_write {
    struct store_item **items;
    size_t count;
    bool part; /* a part of a batch that failed: hardly waits for locks, as it has just waited */
    /* Adds what came before the store's turn to write: after the other items, for which there is
     * room. It may read with the session; a failure becomes that of the write. NULL:
     * nothing is added. */
    enum store_result (*gather)(struct store_write *batch, struct status *status);
    void *context; /* for `gather` */
};

struct store_get {
    int64_t sequence; /* of the event, when it is not 0; else its id counts */
    uint8_t id[TYPEID_BYTES];
    struct arena *arena; /* the event's slices are copied here */
    struct store_event event;
    enum store_outcome outcome; /* STORE_DONE or STORE_NOT_FOUND */
    bool no_memory;             /* out: the event was there but did not fit the arena */
};

/* Which events a list has: those that pass each of these. A name is exact or, with '*' at its end,
 * the beginning of one; one of the names must fit. */
struct store_filter {
    const struct slice *sources; /* none: every source */
    size_t source_count;
    const struct slice *types; /* the same */
    size_t type_count;
    int64_t from_us, until_us; /* created_at_us from the one to before the other; 0, 0: any */
};

/* Whether one of the names fits, or there are none. */
bool store_filter_fits(const struct slice *names, size_t count, struct slice name);

enum store_set {
    STORE_PENDING,
    STORE_ACKNOWLEDGED,
    STORE_LOG, /* both; listed oldest first only */
};

#define STORE_LIST_MAX 1000
struct store_list {
    enum store_set set;
    bool oldest_first;
    int64_t after; /* the sequence after which it starts (exclusive), in the order asked for; 0: at
                      its beginning */
    struct store_filter filter;
    uint32_t limit;      /* 1 to STORE_LIST_MAX events */
    size_t max_bytes;    /* stop before the payloads exceed this, but return at least one event if
                            there is one */
    struct arena *arena; /* `events` and their slices are allocated here */
    struct store_event *events;
    size_t count;
    bool more;      /* events follow the last one */
    bool no_memory; /* out: the page did not fit the arena; events and count are not set */
    /* Out, of STORE_LOG, and of STORE_PENDING oldest first: no event that the list is of is missing
     * after `after` and up to `read_to`, which is at least `after`. Of STORE_LOG: from `first` on
     * nothing was removed from the log; before it there may be single events that are still
     * pending. 1 in a log that never lost any.
     */
    int64_t read_to;
    int64_t first;
};

/* Whether events after the position were removed before they were read. Position 0 is the
 * beginning, wherever that is. Of STORE_LOG, after it was read. */
bool store_list_lacks_events(const struct store_list *list);

/* A pair of source and event type, in the order in which pairs first came. */
struct store_kinds {
    int32_t after; /* continues after this number; 0: from the beginning */
    uint32_t limit;
    struct arena *arena;
    struct store_named_kind {
        int32_t number; /* from 1 */
        struct slice source;
        struct slice type;
    } * kinds;
    size_t count;
    bool more;
    bool no_memory; /* as in store_list */
};

/* How many events are pending, and whether they are safe. They are counted while at most
 * STORE_BACKLOG_BLOCKS blocks of the log (of 256 events, see items.h) have pending ones; else it is
 * an estimate from that many. */
#define STORE_BACKLOG_BLOCKS 200
struct store_backlog {
    int64_t pending;
    int64_t oldest_created_at_us; /* of the pending events; 0 when there is none */
    /* Standbys of the database when none of them is synchronous, so a failover to one may lose the
     * latest writes. Else 0. Without the role pg_monitor a running backup counts too. */
    int64_t asynchronous_standbys;
    /* Who keeps removed rows from being cleaned away for longest, such as a transaction that was
     * left open: "" when nobody does; for how long (0 when that is not known) and for how many
     * transactions. PostgreSQL only. */
    char snapshot_holder[160];
    int64_t oldest_snapshot_us;
    int64_t oldest_snapshot_transactions;
};

/* How much a tenant has. What is pending is counted in steps, block after block, from the oldest
 * that has something pending; what a step finds is right when it looks. */
struct store_usage {
    uint32_t blocks;     /* that a step counts at most, at least 1 */
    int64_t after_block; /* in: -1, or as the step before left it; out: how far this one has come */
    /* Out: what this step has found: in full blocks, and when `more` is false in the one that is
     * not full. */
    bool more;
    int64_t pending;
    int64_t single_events; /* of those, events before the log's beginning (struct store_trim) */
    int64_t single_bytes;  /* of their payloads */
    /* Out, of each step: of the log, from its beginning. */
    int64_t first; /* sequence; 1 in an empty log, too */
    int64_t last;  /* 0: there is no event */
    int64_t bytes; /* of payloads, without those of blocks that were full before the store counted
                      bytes; what was erased since its block was full counts as before */
    int64_t subscriptions; /* that were not removed */
};

/* Removal of what need not be kept any more, from the old end of the log: a small step. The events
 * of the log's first block go when it is full and not the newest of the full ones, and all of them
 * were created, and those that are acknowledged were acknowledged, before `acknowledged_before_us`.
 * Of them, those that are pending and were not created before `pending_before_us` stay as single
 * events before the log's beginning, until they are acknowledged long enough or are old enough
 * themselves. So the newest events always stay, and the sequences go on after them. */
struct store_trim {
    int64_t acknowledged_before_us; /* INT64_MIN: nothing is removed */
    int64_t pending_before_us;      /* at most that; INT64_MIN: no pending event is removed */
    uint32_t blocks;                /* the most blocks of which events are removed, at least 1 */
    /* In, out: how far the sweep has come that finds what was left behind by sessions that were cut
     * off; 0, 0: it begins, or has come to its end. */
    int32_t swept_kind;
    int64_t swept_block;
    /* Out. */
    int64_t acknowledged; /* so many of either were removed */
    int64_t pending;
    int64_t first; /* the first sequence from which on nothing was removed */
    bool more;     /* there is more to do at once, besides the sweep */
};

/* A subscription as the store has it. Those that were removed are listed until everything of theirs
 * is gone, see subscription_remove. */
struct store_subscription {
    int64_t id;       /* from 1; never given twice */
    int64_t revision; /* grows with each change */
    int64_t created_at_us;
    bool removed;
    struct slice name;     /* [a-z0-9._-], unique among those that were not removed */
    struct slice settings; /* the caller's */
};

#define STORE_SUBSCRIPTIONS_MAX 1000 /* of a tenant, those that were removed not counted */
struct store_subscriptions {
    struct slice name; /* data not NULL: only the one of this name that was not removed */
    int64_t after;     /* continues after this id; 0: from the beginning */
    uint32_t limit;
    struct arena *arena;
    struct store_subscription *subscriptions; /* by id */
    size_t count;
    bool more;
    bool no_memory; /* as in store_list */
};

/* Creates a subscription, with its first settlement, a checkpoint of no takes; or changes one. */
struct store_put {
    struct slice name;
    struct slice settings;
    int64_t revision; /* the one to change has this revision; 0: there must be none of the name */
    struct slice checkpoint; /* of a new one: body of settlement 1, whose token is 0 */
    uint32_t most;           /* of a new one: so many may there be; 0: STORE_SUBSCRIPTIONS_MAX */
    int64_t id;              /* out */
    int64_t created_at_us;   /* out */
    /* Out: STORE_DONE, with the new revision in `revision`; STORE_STALE: it has another revision,
     * is there, or is not; STORE_CONFLICT: the tenant has too many. */
    enum store_outcome outcome;
};

/* Everything of a ledger after what is known. First the settlements are read and then the takes, so
 * every take is there that a settlement depends on. */
struct store_ledger {
    int64_t subscription;
    struct store_entry_before takes, settlements; /* known; all zero: from the newest checkpoint on,
                                                     which is the first of `new_settlements` */
    struct arena *arena;
    struct store_entry *new_takes, *new_settlements;
    size_t new_take_count, new_settlement_count;
    int64_t checkpoint_takes; /* out: `takes` of the newest checkpoint when it was read, else -1 */
    struct store_subscription row; /* out: the subscription as it is now */
    int64_t now_us;                /* out: the clock that entries get their times from */
    enum store_outcome outcome;    /* out: DONE; NOT_FOUND: no such subscription, or removed; STALE:
                                      the    entries that are known are not there any more (trimmed, or
                                      others    came in their place): read from the checkpoint */
    bool no_memory;
};

/* Events that have a deliver_at, in the order of it and, where it is the same, of their sequences.
 */
struct store_delayed {
    int64_t after_us, after_sequence;   /* continues after this deliver_at and sequence */
    int64_t until_us;                   /* deliver_at at most this */
    int64_t from_sequence, to_sequence; /* after the one, up to the other */
    struct store_filter filter;         /* of names; no times */
    bool pending;                       /* only those that are not acknowledged */
    uint32_t limit;                     /* 1 to STORE_LIST_MAX */
    size_t max_bytes;                   /* as in store_list */
    struct arena *arena;
    struct store_event *events;
    size_t count;
    bool more;
    bool no_memory; /* as in store_list */
    /* Out, when there are no more: the earliest deliver_at after until_us of those sequences,
     * whatever the filter and acknowledged or not; INT64_MAX: none. */
    int64_t next_us;
    /* Out, when `counts`: how many there are after `after` and until any time, whatever the filter
     * and acknowledged or not; up to STORE_DELAYED_COUNT are counted. */
    bool counts;
    int64_t total;
};
#define STORE_DELAYED_COUNT 10000

/* The next events of some ordering keys. */
struct store_key_walk {
    struct store_key_next {
        uint64_t key;  /* store_key_of */
        int64_t after; /* a sequence */
        int64_t next;  /* out: the first of the key after that, and up to `to`; 0: none */
    } * keys;          /* each key once */
    size_t count;      /* at most STORE_LIST_MAX */
    int64_t to;
    struct store_filter filter; /* of names; no times */
    bool pending;               /* only those that are not acknowledged */
};

/* What ordering keys are told apart by: a hash, never 0. Keys that share one are one key. 0: of an
 * empty key. The same for ever, as it is stored. */
uint64_t store_key_of(struct slice ordering_key);

/* Where ledgers are, to see whether something is new: of each of `ids`, zeros when it is not there.
 */
struct store_ledger_heads {
    const int64_t *ids;
    size_t count;
    struct store_ledger_head {
        int64_t revision, take, settlement; /* numbers of the newest entries */
    } * heads;                              /* in: room for `count` */
};

/* Dead letters of a subscription, the last to come first. Those whose events retention has removed
 * pass no filter. */
struct store_dead_letters {
    int64_t subscription;
    int64_t after_settlement, after_sequence; /* continues after this one; 0, 0: from the newest */
    const int64_t *sequences; /* only those of these events, in any order; NULL: of all */
    size_t sequence_count;
    struct store_filter filter;
    uint32_t limit;   /* 1 to STORE_LIST_MAX */
    size_t max_bytes; /* as in store_list */
    struct arena *arena;
    struct store_listed_dead_letter {
        struct store_dead_letter letter;
        int64_t settlement;       /* that moved it there */
        struct store_event event; /* id 0 and no texts when retention has removed it */
    } * letters;
    size_t count;
    bool more;
    bool no_memory;
};

/* What the processes that share a store tell each other: the tenant's log has events up to here;
 * or, with a tenant that is none, whatever they have agreed on (events/core_count.h). */
struct store_notice {
    int64_t tenant;
    int64_t last; /* sequence, from 1 */
};

/* ---- access: tenants, their keys, and the records of what was changed ----
 *
 * What tenants and keys are is src/access's; a store keeps them as rows under their ids, all under
 * one version that grows with each change, so that every process can follow: whoever has read the
 * changes up to a version never finds another one at or below it. */

enum store_access_kind { STORE_TENANT, STORE_KEY };

#define STORE_ACCESS_ID_MAX 63

struct store_access_row {
    enum store_access_kind kind;
    bool gone; /* it was removed, its body is empty; known of for a day */
    /* Of a key: whose it is. Of a tenant: its number, which is never given twice; 0 is the tenant
     * "default", which is there from the beginning, with an empty body. It stays as it is. */
    int64_t tenant;
    struct slice id; /* [A-Za-z0-9._-], 1 to STORE_ACCESS_ID_MAX bytes, unique among those of its
                        kind that are not gone. Of a tenant: its name */
    int64_t version; /* of its last change, from 1 */
    struct slice body;
};

/* The changes after a version, the earliest first; a row that was changed again is there once, with
 * its last change. One that is gone may come before another of the same id. */
struct store_access_changes {
    int64_t after;  /* 0: everything */
    uint32_t limit; /* 1 to STORE_LIST_MAX */
    struct arena *arena;
    struct store_access_row *rows;
    size_t count;
    bool more;
    bool no_memory; /* as in store_list */
    int64_t now_us; /* out: the store's clock, as in store_ledger */
};

/* What was done, or tried; what it says is src/access's. */
struct store_audit_record {
    int64_t number; /* out: grows within a tenant, from 1; gaps are possible */
    int64_t at_us;  /* out: the store's clock */
    struct slice body;
};

/* Changes rows, all or none, with the record of it. */
#define STORE_ACCESS_CHANGE_MAX 10
struct store_access_change {
    /* In: all but `version` of each as it is to be. A new tenant, at most one, has number -1 and
     * gets the next one, out, as do rows of its keys. `version` in: that of the row as it was read,
     * 0 if there is to be none that is not gone; out: the new one, which grows from row to row. */
    struct store_access_row *rows;
    size_t count;                      /* 1 to STORE_ACCESS_CHANGE_MAX, each another row */
    struct store_audit_record *record; /* NULL: none */
    int64_t record_tenant;             /* whose record it is; -1: of the new tenant */
    /* Out: STORE_DONE, or STORE_STALE: a row has another version, is there, or is not; nothing was
     * changed. */
    enum store_outcome outcome;
};

/* When keys were used. */
struct store_key_use {
    struct slice id; /* of the key */
    int64_t used_us; /* 0: never */
};

/* Records, the latest first. */
struct store_audit_list {
    int64_t before; /* continues before this number; 0: from the latest */
    uint32_t limit; /* 1 to STORE_LIST_MAX */
    struct arena *arena;
    struct store_audit_record *records;
    size_t count;
    bool more;
    bool no_memory; /* as in store_list */
};

struct store_driver {
    const char *name; /* "sqlite", "postgresql" */

    void (*close)(
        struct store *store); /* call after all its sessions are closed; frees the store */

    /* Connects, and for the first session of the process brings the schema up to date (creating the
     * database where that is possible); other processes may do the same at once. STORE_OK,
     * STORE_UNAVAILABLE, also while there are older events to move, see moving.h, or STORE_FATAL;
     * blocks for at most about five seconds. */
    enum store_result (*session_open)(struct store *store, bool read_only,
                                      struct store_session **session, struct status *status);
    void (*session_close)(struct store_session *session); /* any state; NULL is allowed */

    /* For all of these: `scope` says whose events they are about; `status` is filled unless
     * STORE_OK is returned, with a code and text fit for a caller (no password, no SQL). A failure
     * of the database is never the caller's fault, whose input was checked before: UNAVAILABLE,
     * with a retry delay, or DATA_LOSS. No operation blocks for more than about ten seconds. */
    enum store_result (*write)(struct store_session *session, struct scope scope,
                               struct store_write *batch, struct status *status);
    enum store_result (*get)(struct store_session *session, struct scope scope,
                             struct store_get **gets, size_t count, struct status *status);
    /* Several pages in one round trip, if the store needs one; a failure is that of all of them. */
    enum store_result (*list)(struct store_session *session, struct scope scope,
                              struct store_list **lists, size_t count, struct status *status);
    /* The kinds that the tenant's events have, or had. */
    enum store_result (*kinds)(struct store_session *session, struct scope scope,
                               struct store_kinds *kinds, struct status *status);
    enum store_result (*backlog)(struct store_session *session, struct scope scope,
                                 struct store_backlog *backlog, struct status *status);
    enum store_result (*usage)(struct store_session *session, struct scope scope,
                               struct store_usage *usage, struct status *status);
    /* One step, in one transaction. While another session is at it, nothing happens. In a session
     * that writes. */
    enum store_result (*trim)(struct store_session *session, struct scope scope,
                              struct store_trim *trim, struct status *status);

    /* Ledgers, in a session that writes. Every operation is one transaction, durable unless it says
     * otherwise. */
    enum store_result (*subscriptions)(struct store_session *session, struct scope scope,
                                       struct store_subscriptions *list, struct status *status);
    enum store_result (*subscription_put)(struct store_session *session, struct scope scope,
                                          struct store_put *put, struct status *status);
    /* A step of removing one: the first hides it, and ends its name and ledger; further ones remove
     * rows until there are none, when *more is false. It may be listed for a minute then: a step
     * after that finds what others were still appending. */
    enum store_result (*subscription_remove)(struct store_session *session, struct scope scope,
                                             int64_t id, bool *more, struct status *status);
    /* Each has its own outcome. At most one of a subscription. */
    enum store_result (*take)(struct store_session *session, struct scope scope,
                              struct store_take **takes, size_t count, struct status *status);
    enum store_result (*ledger)(struct store_session *session, struct scope scope,
                                struct store_ledger *ledger, struct status *status);
    enum store_result (*ledger_heads)(struct store_session *session, struct scope scope,
                                      struct store_ledger_heads *heads, struct status *status);
    /* Removes what a checkpoint has replaced: settlements before `to.settlement`, which is at most
     * the checkpoint's number, and takes before `to.take`, which is at most its `takes`, as the
     * next ones follow these. `from`, in: up to where earlier calls have removed, or zeros; out: up
     * to where all is removed now. Some stay for a later call: there is much to do, or they are not
     * a minute old, so that somebody may still be appending after them. */
    enum store_result (*ledger_trim)(struct store_session *session, struct scope scope,
                                     int64_t subscription, struct store_ledger_head *from,
                                     struct store_ledger_head to, struct status *status);
    enum store_result (*dead_letters)(struct store_session *session, struct scope scope,
                                      struct store_dead_letters *list, struct status *status);
    enum store_result (*delayed)(struct store_session *session, struct scope scope,
                                 struct store_delayed *delayed, struct status *status);
    enum store_result (*key_next)(struct store_session *session, struct scope scope,
                                  struct store_key_walk *walk, struct status *status);
    /* The highest sequence of the tenant's log; 0: it has no event. */
    enum store_result (*log_end)(struct store_session *session, struct scope scope, int64_t *last,
                                 struct status *status);

    /* Access, in a session that writes. Every operation is one transaction, durable. */
    enum store_result (*access_changes)(struct store_session *session,
                                        struct store_access_changes *changes,
                                        struct status *status);
    enum store_result (*access_change)(struct store_session *session,
                                       struct store_access_change *change, struct status *status);
    /* Notes uses of at most STORE_LIST_MAX keys; one that is noted already with a later time keeps
     * it. Ids that are no key's are left out. It changes no version and need not be durable. */
    enum store_result (*keys_used)(struct store_session *session, const struct store_key_use *uses,
                                   size_t count, struct status *status);
    /* Fills `used_us` of at most STORE_LIST_MAX keys. */
    enum store_result (*key_uses)(struct store_session *session, struct store_key_use *uses,
                                  size_t count, struct status *status);
    enum store_result (*audit_add)(struct store_session *session, struct scope scope,
                                   struct store_audit_record *records, size_t count,
                                   struct status *status);
    enum store_result (*audit_list)(struct store_session *session, struct scope scope,
                                    struct store_audit_list *list, struct status *status);
    /* A step of removing what is over: records of all tenants before `before_us`, and rows that
     * have been gone for a day. */
    enum store_result (*access_trim)(struct store_session *session, int64_t before_us, bool *more,
                                     struct status *status);
    /* A step of removing everything that a tenant has: its log, subscriptions, keys, records; its
     * row of STORE_TENANT stays, for the caller. Its keys become rows that are gone. A step takes
     * about a tenth of a second at most; while another session is at one, nothing happens. Not for
     * tenant 0. *more is false when nothing was left. *events: so many this step removed. Others
     * may still be writing: the caller sees to it that nobody begins to, and steps again after a
     * minute. */
    enum store_result (*tenant_remove)(struct store_session *session, struct scope scope,
                                       bool *more, int64_t *events, struct status *status);

    /* One cheap round trip: is the store there? STORE_OK, STORE_UNAVAILABLE or STORE_LOST. */
    enum store_result (*ping)(struct store_session *session, struct status *status);

    /* Notices between processes; NULL in a store that has none. They take a session of their own,
     * apart from all writes, which session_close closes and which can do nothing else. A notice may
     * be lost, and none comes back to the session that sent it. */

    /* As session_open, for an existing store. STORE_FATAL: notices do not get through to this
     * process (a pooler is in between), though the store may well work. */
    enum store_result (*notice_open)(struct store *store, struct store_session **session,
                                     struct status *status);
    enum store_result (*notice_send)(struct store_session *session,
                                     const struct store_notice *notices, size_t count,
                                     struct status *status);
    /* Waits for notices, at most for `wait_ms` or until the descriptor `wake` is readable. In:
     * *count is the room in `notices`, at least 1; out: how many there are, perhaps 0. Others come
     * next time, or are lost when they were sent together. */
    enum store_result (*notice_await)(struct store_session *session, int wake, int64_t wait_ms,
                                      struct store_notice *notices, size_t *count,
                                      struct status *status);
};

/* How far the moving of older events is, see moving.h; begins as {.lock =
 * PTHREAD_MUTEX_INITIALIZER}.
 */
struct store_moving {
    pthread_mutex_t lock; /* held by the thread that moves them; guards the rest */
    int64_t total;        /* events, about */
    int64_t moved;        /* of them */
    int64_t first;        /* the same when this process began */
    int64_t started_ms;   /* when that was, on clock_monotonic_ms */
    int64_t size;         /* events of the next slice; 0: it has not begun */
    bool announced;       /* the log says how long it takes */
};

/* What every implementation's own struct begins with. */
struct store {
    const struct store_driver *driver;
    char *description;   /* for logs: file path, or host, port and database; never a password */
    atomic_uint wanting; /* users that have no session now; nobody opens a second session before
                            they have one, but in place of one that was lost */
    struct store_moving moving;
};
struct store_session {
    struct store *store;
};

/* Makes the store that DATABASE_URL names; NULL or "" is sqlite:///triggers.db. Accepts
 *   sqlite:///relative/path  sqlite:////absolute/path   (slashes as SQLAlchemy reads them)
 *   postgresql://…  postgres://…  postgresql+driver://…  (the rest as libpq reads it, several hosts
 *   included)
 * Checks the form only. False with INVALID_ARGUMENT and a text that names the fault and the
 * accepted forms, never the password. */
bool store_open(const char *database_url, struct store **store, struct status *status) MUST_CHECK;

#endif
