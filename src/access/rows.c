#include "access/rows.h"

#include <string.h>

static void *alloc_in_arena(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void free_with_arena(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer;
}

void *row_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                 struct slice bytes)
{
    ProtobufCAllocator allocator = {
        .alloc = alloc_in_arena, .free = free_with_arena, .allocator_data = arena};
    return protobuf_c_message_unpack(descriptor, &allocator, bytes.size,
                                     (const uint8_t *)bytes.data);
}

struct slice row_pack(struct arena *arena, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = arena_alloc(arena, size + 1);
    if (bytes)
        protobuf_c_message_pack(message, bytes);
    return (struct slice){(const char *)bytes, bytes ? size : 0};
}

struct slice row_pack_key(struct arena *arena, const uint8_t hash[KEY_HASH_SIZE],
                          const Triggers__V1__Key *key)
{
    size_t size = KEY_HASH_SIZE + protobuf_c_message_get_packed_size(&key->base);
    uint8_t *bytes = arena_alloc(arena, size);
    if (!bytes)
        return (struct slice){NULL, 0};
    memcpy(bytes, hash, KEY_HASH_SIZE);
    protobuf_c_message_pack(&key->base, bytes + KEY_HASH_SIZE);
    return (struct slice){(const char *)bytes, size};
}

struct slice row_key_message(struct slice body)
{
    if (body.size <= KEY_HASH_SIZE)
        return (struct slice){"", 0};
    return (struct slice){body.data + KEY_HASH_SIZE, body.size - KEY_HASH_SIZE};
}

Google__Protobuf__Timestamp *row_time(struct arena *arena, int64_t time_us)
{
    Google__Protobuf__Timestamp *time = time_us ? arena_alloc(arena, sizeof(*time)) : NULL;
    if (!time)
        return NULL;
    int64_t micros = (time_us % 1000000 + 1000000) % 1000000;
    google__protobuf__timestamp__init(time);
    time->seconds = (time_us - micros) / 1000000;
    time->nanos = (int32_t)micros * 1000;
    return time;
}

#define FIRST_SECOND INT64_C(-62135596800) /* 0001-01-01 */
#define LAST_SECOND INT64_C(253402300799)  /* 9999-12-31 */

int64_t row_time_us(const Google__Protobuf__Timestamp *time)
{
    if (!time)
        return 0;
    int64_t seconds = time->seconds < FIRST_SECOND  ? FIRST_SECOND
                      : time->seconds > LAST_SECOND ? LAST_SECOND
                                                    : time->seconds;
    int64_t micros = time->nanos > 0 && time->nanos < 1000000000 ? time->nanos / 1000 : 0;
    return seconds * 1000000 + micros;
}

struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

bool slice_is(struct slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}
