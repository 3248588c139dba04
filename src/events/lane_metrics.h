/* The metrics of lanes, by kind, for the whole process. Any thread; nothing here waits. */
#ifndef TRIGGERS_EVENTS_LANE_METRICS_H
#define TRIGGERS_EVENTS_LANE_METRICS_H

#include "base/metrics.h"
#include "events/lane.h"

extern struct metric lane_queue_depth, lane_batch_items, lane_sessions, lane_store_duration,
    lane_store_errors;

/* Operations queued or at the store now. */
void lane_note_held(enum lane_kind kind, size_t count);

/* Sessions that are open now. */
void lane_note_sessions(enum lane_kind kind, unsigned count);

/* A batch that a worker took. */
void lane_note_batch(enum lane_kind kind, size_t items);

/* An operation of the store that began at `started_us` (monotonic) and has just ended. */
void lane_note_store(enum lane_kind kind, int64_t started_us, enum store_result result);

#endif
