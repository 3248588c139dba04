/* Audit records that are to be written to the store soon. Any thread. */
#ifndef TRIGGERS_ACCESS_RECORDER_H
#define TRIGGERS_ACCESS_RECORDER_H

#include <pthread.h>

#include "access/managing.h"

#define RECORDER_MAX 1000     /* records that wait; of what was refused half as many */
#define RECORD_TARGET_MAX 255 /* bytes */

struct recorder {
    pthread_mutex_t lock;
    struct waiting_record {
        int64_t tenant;
        struct slice body;   /* malloc'd */
    } waiting[RECORDER_MAX]; /* in the order in which they came */
    size_t count;
};

void recorder_init(struct recorder *recorder);
/* Logs what was not written. */
void recorder_fini(struct recorder *recorder);

/* The body of a record, in the arena; data NULL without memory. */
struct slice record_body(struct arena *arena, const struct access_deed *deed);

/* False: too many wait, or there is no memory; it is left out. */
bool recorder_add(struct recorder *recorder, const struct access_deed *deed);

bool recorder_has_more(struct recorder *recorder);

/* Writes what waits. One thread at a time. Blocks. */
enum store_result recorder_write(struct recorder *recorder, struct store_session *session,
                                 struct status *status);

#endif
