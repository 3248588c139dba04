/* The Idempotency-Key header (IETF draft-ietf-httpapi-idempotency-key-header): reading it, and
 * which keys have a call in flight here. The core knows which event a key stands for. */
#ifndef TRIGGERS_BRIDGE_IDEMPOTENCY_H
#define TRIGGERS_BRIDGE_IDEMPOTENCY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define IDEMPOTENCY_KEY_SIZE 256 /* bytes with the NUL */
/* Left free at the end of a batch's key, for the number of each event. */
#define IDEMPOTENCY_SUFFIX_MAX 5

/* A key, and to whom it belongs; "": no key. */
struct idempotency_key {
    char text[IDEMPOTENCY_KEY_SIZE];
    const char *source;           /* NULL: a batch's */
    const char *authorization;    /* of the request: tenants have keys of their own */
    struct idempotency_key *next; /* in its bucket */
};

struct headers;

/* The keys of calls in flight, which two requests may not use at once. */
struct idempotency {
    pthread_mutex_t mutex;
    struct idempotency_key *buckets[256];
};

void idempotency_init(struct idempotency *keys);
void idempotency_fini(struct idempotency *keys);

/* Reads a header value: a structured-field string ("…", RFC 9651 section 3.3.3) or the bare text of
 * the key, 1 to 255 printable ASCII characters. False for anything else. */
bool idempotency_parse(const char *value, char key[IDEMPOTENCY_KEY_SIZE]);

/* Reads the header, if there is one, into `key`; X-Idempotency-Key is another name of it. False
 * when its value is not a key of at most `most` characters. */
bool idempotency_read(const struct headers *headers, size_t most, struct idempotency_key *key);

/* Marks the key as in flight until idempotency_leave. True without a key; false when it is in
 * flight already. Any thread. */
bool idempotency_enter(struct idempotency *keys, struct idempotency_key *key);
void idempotency_leave(struct idempotency *keys, struct idempotency_key *key);

#endif
