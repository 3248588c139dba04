/* The Idempotency-Key header (IETF draft-ietf-httpapi-idempotency-key-header): reading it, and
 * which keys have a call in flight here. What a key stands for is the core's to know. */
#ifndef TRIGGERS_BRIDGE_IDEMPOTENCY_H
#define TRIGGERS_BRIDGE_IDEMPOTENCY_H

#include <pthread.h>
#include <stdbool.h>

#define IDEMPOTENCY_KEY_SIZE 256 /* bytes with the NUL */
/* Left free at the end of a batch's key, for the number of each event. */
#define IDEMPOTENCY_SUFFIX_MAX 5

struct request;

/* The keys of calls in flight: those that two requests may not have at once. */
struct idempotency {
    pthread_mutex_t mutex;
    struct request *buckets[256]; /* linked by `next_keyed` */
};

void idempotency_init(struct idempotency *keys);
void idempotency_fini(struct idempotency *keys);

/* Reads a header value: a structured-field string ("…", RFC 9651 section 3.3.3) or the bare text of
 * the key, 1 to 255 printable ASCII characters. False for anything else. */
bool idempotency_parse(const char *value, char key[IDEMPOTENCY_KEY_SIZE]);

/* Takes the request's header, if it has one, into `key`; X-Idempotency-Key is another name of it.
 * False after having answered 400. */
bool idempotency_read(struct request *request);

/* Marks the request's key as in flight. True without a key; false when another request has it. Any
 * thread. */
bool idempotency_enter(struct idempotency *keys, struct request *request);
void idempotency_leave(struct idempotency *keys, struct request *request);

#endif
