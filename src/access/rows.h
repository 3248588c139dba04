/* Tenants and keys as rows of the store, and as messages. The body of a tenant's row is its
 * message; that of a key's is the hash of its secret, then its message. */
#ifndef TRIGGERS_ACCESS_ROWS_H
#define TRIGGERS_ACCESS_ROWS_H

#include "access/key_text.h"
#include "store/store.h"
#include "triggers/v1/access.pb-c.h"

#define TENANT_DEFAULT_NAME "default"

/* What only keys of the tenant "default" may do, as it concerns all tenants: one bit each. */
#define RIGHTS_OF_DEFAULT                                                                          \
    ((uint64_t)1 << TRIGGERS__API__V1__SCOPE__SCOPE_OPERATOR |                                     \
     (uint64_t)1 << TRIGGERS__API__V1__SCOPE__SCOPE_METRICS_READ)

/* A message of an arena; NULL without memory, as the arena remembers, or when the bytes are no such
 * message. */
void *row_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                 struct slice bytes);

/* The bytes of a message in the arena; data NULL without memory. */
struct slice row_pack(struct arena *arena, const ProtobufCMessage *message);

/* A key's body; data NULL without memory. */
struct slice row_pack_key(struct arena *arena, const uint8_t hash[KEY_HASH_SIZE],
                          const Triggers__V1__Key *key);

/* The message in a key's body; size 0 when the body is too short for one. */
struct slice row_key_message(struct slice body);

/* 0: NULL. NULL without memory, too. */
Google__Protobuf__Timestamp *row_time(struct arena *arena, int64_t time_us);

/* Microseconds; NULL: 0. Times that are not of the years 1 to 9999 are moved there. */
int64_t row_time_us(const Google__Protobuf__Timestamp *time);

struct slice slice_of(const char *text);
bool slice_is(struct slice slice, const char *text);

#endif
