/* What all of access has in common, and the work that it gives the store. */
#ifndef TRIGGERS_ACCESS_ACCESS_STATE_H
#define TRIGGERS_ACCESS_ACCESS_STATE_H

#include "access/following.h"
#include "access/recorder.h"
#include "access/wrong_keys.h"
#include "events/asks.h"
#include "events/core_count.h"

enum access_work {
    WORK_LOOK,
    WORK_USES,
    WORK_RECORDS,
    WORK_REMOVALS,
    WORK_TRIM,
    WORK_USAGE,
    WORK_COUNT
};

/* One kind of work, which is under way once at a time. */
struct access_task {
    struct ask_op op; /* first */
    struct access *access;
    atomic_bool busy;
    int64_t next_ms; /* monotonic; the main thread's */
};

/* How many of a tenant's events, of those that this core has removed, its row includes. */
struct told_removal {
    int64_t tenant;
    int64_t events;
    struct told_removal *next;
};

struct access {
    enum access_mode mode;
    struct asks *asks;
    struct tenants *tenants; /* NULL: nobody looks after them */
    struct keyring *keyring;
    struct following following;
    struct recorder recorder;
    struct quota *without_key; /* refusals of those who have none */
    struct wrong_keys wrong_keys;
    const struct core_count *cores; /* NULL: there is one */
    struct access_task tasks[WORK_COUNT];
    struct told_removal *removals; /* of WORK_REMOVALS */
    int64_t usage_after;           /* of WORK_USAGE: the tenant that was counted last */
    int64_t counted_ms; /* when keys that are about to expire were counted; the main thread's */
};

void upkeep_fini(struct access *access);

/* Begins what is due. The main thread. */
void upkeep_look(struct access *access);

/* Writes records that wait, if nobody is at it. Any thread. */
void upkeep_write_records(struct access *access);

#endif
