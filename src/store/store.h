/* The store contract: durable events, their inbox and their acknowledgements, in domain operations.
 * Every implementation keeps every sentence below; tests/contract runs the same suite against each.
 *
 * A store hands out sessions. A session belongs to one thread at a time and may block; different
 * sessions of one store may be used by different threads at once. Nothing here touches the network
 * or the disk until a session is opened.
 *
 * An event's immutable part (id, source, type, payload, created_at) is kept apart from its delivery
 * state (pending or acknowledged), which is all that changes. An operation is about the events of
 * one tenant, that of its scope; those of others do not exist for it.
 *
 * Order: events are listed by (created_at, id), both ascending or both descending; the id compares
 * bytewise. The keyset cursor is that pair. */
#ifndef TRIGGERS_STORE_STORE_H
#define TRIGGERS_STORE_STORE_H

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

struct store_event {
    uint8_t id[TYPEID_BYTES];
    struct slice source; /* UTF-8 without NUL, as all text here */
    struct slice type;
    struct slice payload;       /* any bytes; returned as they were given */
    int64_t created_at_us;      /* microseconds since 1970 UTC */
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
    STORE_DONE,      /* append: stored now; ack: acknowledged now; get: found */
    STORE_REPEATED,  /* append: was there with the same content; ack: was acknowledged before */
    STORE_CONFLICT,  /* append: the id is there with other content; nothing was changed */
    STORE_NOT_FOUND, /* ack, get: no such event */
    STORE_BUSY,      /* ack: somebody else holds the event's lock; it was not acknowledged */
};

/* What may be written. Items of one kind happen before those of later kinds, whatever their order
 * in the batch, so a batch may acknowledge what it appends. */
enum store_kind {
    /* In: everything of the event except acknowledged_at_us. Out: created_at_us of the stored event
     * when STORE_REPEATED (the first one's). Content is source, type and payload. */
    STORE_APPEND,
    /* In: the event's id, and in acknowledged_at_us the time to set. If the event was created
     * later, which happens when clocks are changed, its created_at is set. Out: acknowledged_at_us
     * as it was set, now or, when STORE_REPEATED, the first time. */
    STORE_ACK,
    STORE_KIND_COUNT
};

struct store_item {
    enum store_kind kind;
    enum store_outcome outcome; /* out */
    struct store_event event;
};

/* A batch of writes: one transaction, durable before the call returns. Ids may repeat within a
 * batch: the earliest item of a kind wins, the others are STORE_REPEATED or STORE_CONFLICT. */
struct store_write {
    struct store_item **items;
    size_t count;
    bool part; /* a part of a batch that failed: hardly waits for locks, as it has just waited */
};

struct store_get {
    uint8_t id[TYPEID_BYTES];
    struct arena *arena; /* the event's slices are copied here */
    struct store_event event;
    enum store_outcome outcome; /* STORE_DONE or STORE_NOT_FOUND */
    bool no_memory;             /* out: the event was there but did not fit the arena */
};

struct store_position {
    int64_t created_at_us;
    uint8_t id[TYPEID_BYTES];
};

#define STORE_LIST_MAX 1000
struct store_list {
    bool acknowledged; /* list acknowledged instead of pending events */
    bool oldest_first;
    bool has_after; /* start after `after` (exclusive), in the order asked for */
    struct store_position after;
    uint32_t limit;      /* 1 to STORE_LIST_MAX events */
    size_t max_bytes;    /* stop before the payloads exceed this, but return at least one event if
                            there is one */
    struct arena *arena; /* `events` and their slices are allocated here */
    struct store_event *events;
    size_t count;
    bool more;      /* events follow the last one */
    bool no_memory; /* out: the page did not fit the arena; events and count are not set */
};

/* How many events are pending, and whether they are safe. SQLite, where one transaction writes at a
 * time, keeps the exact count. On PostgreSQL several cores would wait for each other at such a row,
 * so the events are counted one by one up to STORE_BACKLOG_EXACT, which costs a walk over so many
 * entries of an index, whatever the store holds. Above that it is the planner's estimate, which
 * autovacuum refreshes, but at least STORE_BACKLOG_EXACT + 1. */
#define STORE_BACKLOG_EXACT 10000
struct store_backlog {
    int64_t pending;
    int64_t oldest_created_at_us; /* of the pending events; 0 when there is none */
    /* Standbys of the database when none of them is synchronous, so a failover to one may lose the
     * latest writes. Else 0. Without the role pg_monitor a running backup counts too. */
    int64_t asynchronous_standbys;
};

struct store_driver {
    const char *name; /* "sqlite", "postgresql" */

    void (*close)(
        struct store *store); /* call after all its sessions are closed; frees the store */

    /* Connects, and for the first session of the process brings the schema up to date (creating the
     * database where that is possible); other processes may do the same at once. STORE_OK,
     * STORE_UNAVAILABLE or STORE_FATAL; blocks for at most about five seconds. */
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
    enum store_result (*backlog)(struct store_session *session, struct scope scope,
                                 struct store_backlog *backlog, struct status *status);
    /* One cheap round trip: is the store there? STORE_OK, STORE_UNAVAILABLE or STORE_LOST. */
    enum store_result (*ping)(struct store_session *session, struct status *status);
};

/* What every implementation's own struct begins with. */
struct store {
    const struct store_driver *driver;
    char *description;   /* for logs: file path, or host, port and database; never a password */
    atomic_uint wanting; /* users that have no session now; nobody opens a second session before
                            they have one */
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
