/* In the store settings are a byte for the version, and fields: a number that says which, and
 * whether bytes follow (their count, and they) or one number. */
#include "subscriptions/settings.h"

#include <string.h>

#include "base/clock.h"
#include "base/varint.h"

#define VERSION 1
#define SECOND_US INT64_C(1000000)

enum settings_field {
    FIELD_DESCRIPTION = 1,
    FIELD_SOURCE, /* one for each */
    FIELD_TYPE,   /* the same */
    FIELD_LEASE_SECONDS,
    FIELD_MAX_ATTEMPTS,
    FIELD_BACKOFF_MINIMUM,
    FIELD_BACKOFF_MAXIMUM,
    FIELD_MAX_OUTSTANDING,
    FIELD_ACKNOWLEDGES_IN_INBOX,
    FIELD_PAUSED,
    FIELD_KEY,
    FIELD_BY_KEY,
    FIELD_BLOCKS_BY_DEAD,
};

struct subscription_settings subscription_settings_new(void)
{
    struct subscription_settings settings = {
        .description = {"", 0},
        .lease_seconds = 30,
        .max_attempts = 10,
        .backoff_minimum = 1,
        .backoff_maximum = 600,
        .max_outstanding = 10000,
    };
    random_fill(settings.key, sizeof(settings.key));
    return settings;
}

void subscription_name_not_found(const char *name, struct status *status)
{
    status_fail(status, STATUS_NOT_FOUND, "SUBSCRIPTION_NOT_FOUND",
                "there is no subscription \"%s\"; create it with PutSubscription", name);
}

bool subscription_name_is_valid(struct slice name)
{
    if (name.size == 0 || name.size > SUBSCRIPTION_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_word && (i == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return true;
}

/* ---- writing ---- */

static void put_varint(struct buffer *bytes, uint64_t value)
{
    uint8_t encoded[VARINT_MAX_SIZE];
    buffer_append(bytes, encoded, varint_write(encoded, value));
}

static void put_value(struct buffer *bytes, enum settings_field field, uint32_t value)
{
    put_varint(bytes, field << 1);
    put_varint(bytes, value);
}

static void put_bytes(struct buffer *bytes, enum settings_field field, const void *data,
                      size_t size)
{
    put_varint(bytes, field << 1 | 1);
    put_varint(bytes, size);
    buffer_append(bytes, data, size);
}

void subscription_settings_encode(const struct subscription_settings *settings,
                                  struct buffer *bytes)
{
    const struct store_filter *filter = &settings->filter;
    buffer_append(bytes, &(uint8_t){VERSION}, 1);
    put_bytes(bytes, FIELD_DESCRIPTION, settings->description.data, settings->description.size);
    for (size_t i = 0; i < filter->source_count; i++)
        put_bytes(bytes, FIELD_SOURCE, filter->sources[i].data, filter->sources[i].size);
    for (size_t i = 0; i < filter->type_count; i++)
        put_bytes(bytes, FIELD_TYPE, filter->types[i].data, filter->types[i].size);
    put_value(bytes, FIELD_LEASE_SECONDS, settings->lease_seconds);
    put_value(bytes, FIELD_MAX_ATTEMPTS, settings->max_attempts);
    put_value(bytes, FIELD_BACKOFF_MINIMUM, settings->backoff_minimum);
    put_value(bytes, FIELD_BACKOFF_MAXIMUM, settings->backoff_maximum);
    put_value(bytes, FIELD_MAX_OUTSTANDING, settings->max_outstanding);
    put_value(bytes, FIELD_ACKNOWLEDGES_IN_INBOX, settings->acknowledges_in_inbox);
    put_value(bytes, FIELD_PAUSED, settings->paused);
    put_value(bytes, FIELD_BY_KEY, settings->by_key);
    put_value(bytes, FIELD_BLOCKS_BY_DEAD, settings->blocks_by_dead);
    put_bytes(bytes, FIELD_KEY, settings->key, sizeof(settings->key));
}

/* ---- reading ---- */

struct stored_field {
    uint64_t tag;
    uint64_t value;      /* or, of bytes, their count */
    const uint8_t *data; /* of bytes; else NULL */
};

/* Reads the next field; false when it is cut off. */
static bool read_field(const uint8_t **at, const uint8_t *end, struct stored_field *field)
{
    if (!varint_read(at, end, &field->tag) || !varint_read(at, end, &field->value))
        return false;
    field->data = field->tag & 1 ? *at : NULL;
    if (!field->data)
        return true;
    if (field->value > (uint64_t)(end - *at))
        return false;
    *at += field->value;
    return true;
}

static bool copy_text(const struct stored_field *field, struct arena *arena, struct slice *text)
{
    text->data = arena_copy(arena, field->data, field->value);
    text->size = field->value;
    return text->data;
}

static bool add_pattern(const struct stored_field *field, struct arena *arena,
                        const struct slice **patterns, size_t *count)
{
    if (!*patterns)
        *patterns = arena_calloc(arena, SUBSCRIPTION_PATTERNS_MAX, sizeof(struct slice));
    struct slice *room = (struct slice *)*patterns;
    return room && *count < SUBSCRIPTION_PATTERNS_MAX && copy_text(field, arena, &room[(*count)++]);
}

static bool set_number(const struct stored_field *field, uint32_t *number)
{
    *number = (uint32_t)field->value;
    return field->value <= UINT32_MAX;
}

static bool set_flag(const struct stored_field *field, bool *flag)
{
    *flag = field->value;
    return field->value <= 1;
}

static bool set_key(const struct stored_field *field, struct subscription_settings *settings)
{
    if (field->value != sizeof(settings->key) || !field->data)
        return false;
    memcpy(settings->key, field->data, sizeof(settings->key));
    return true;
}

#define BYTES(field) ((field) << 1 | 1)
#define VALUE(field) ((field) << 1)
static bool set_field(struct subscription_settings *settings, const struct stored_field *field,
                      struct arena *arena)
{
    struct store_filter *filter = &settings->filter;
    switch (field->tag) {
    case BYTES(FIELD_DESCRIPTION): return copy_text(field, arena, &settings->description);
    case BYTES(FIELD_SOURCE):
        return add_pattern(field, arena, &filter->sources, &filter->source_count);
    case BYTES(FIELD_TYPE): return add_pattern(field, arena, &filter->types, &filter->type_count);
    case BYTES(FIELD_KEY): return set_key(field, settings);
    case VALUE(FIELD_LEASE_SECONDS): return set_number(field, &settings->lease_seconds);
    case VALUE(FIELD_MAX_ATTEMPTS): return set_number(field, &settings->max_attempts);
    case VALUE(FIELD_BACKOFF_MINIMUM): return set_number(field, &settings->backoff_minimum);
    case VALUE(FIELD_BACKOFF_MAXIMUM): return set_number(field, &settings->backoff_maximum);
    case VALUE(FIELD_MAX_OUTSTANDING): return set_number(field, &settings->max_outstanding);
    case VALUE(FIELD_ACKNOWLEDGES_IN_INBOX):
        return set_flag(field, &settings->acknowledges_in_inbox);
    case VALUE(FIELD_PAUSED): return set_flag(field, &settings->paused);
    case VALUE(FIELD_BY_KEY): return set_flag(field, &settings->by_key);
    case VALUE(FIELD_BLOCKS_BY_DEAD): return set_flag(field, &settings->blocks_by_dead);
    default: return true;
    }
}

static bool are_in_range(const struct subscription_settings *settings)
{
    return settings->lease_seconds >= 1 && settings->lease_seconds <= SUBSCRIPTION_LEASE_MAX &&
           settings->max_attempts <= SUBSCRIPTION_ATTEMPTS_MAX &&
           settings->backoff_minimum <= settings->backoff_maximum &&
           settings->backoff_maximum <= SUBSCRIPTION_BACKOFF_MAX &&
           settings->max_outstanding >= 1 &&
           settings->max_outstanding <= SUBSCRIPTION_OUTSTANDING_MAX;
}

bool subscription_settings_decode(struct slice bytes, struct arena *arena,
                                  struct subscription_settings *settings)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    const uint8_t *end = at + bytes.size;
    bool has_key = false;
    *settings = (struct subscription_settings){.description = {"", 0}};
    if (bytes.size == 0 || *at++ != VERSION)
        return false;
    while (at < end) {
        struct stored_field field;
        if (!read_field(&at, end, &field) || !set_field(settings, &field, arena))
            return false;
        has_key |= field.tag == BYTES(FIELD_KEY);
    }
    return has_key && are_in_range(settings);
}

/* ---- what follows from them ---- */

/* Any number, the same for the same sequence and attempt (the end of splitmix64). */
static uint64_t any_number(int64_t sequence, uint32_t attempts)
{
    uint64_t mixed = (uint64_t)sequence * 0x9E3779B97F4A7C15 + attempts;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
    return mixed ^ mixed >> 31;
}

int64_t subscription_backoff_us(const struct subscription_settings *settings, int64_t sequence,
                                uint32_t attempts)
{
    int64_t most = settings->backoff_maximum * SECOND_US;
    int64_t pause = settings->backoff_minimum * SECOND_US;
    for (uint32_t i = 1; i < attempts && pause > 0 && pause < most; i++)
        pause *= 2;
    pause = pause < most ? pause : most;
    uint64_t fifth = (uint64_t)pause / 5;
    return pause - (int64_t)fifth + (int64_t)(any_number(sequence, attempts) % (2 * fifth + 1));
}

int64_t subscription_next_us(const void *settings, const struct lease *lease)
{
    const struct subscription_settings *told = settings;
    bool attempts_are_left = told->max_attempts == 0 || lease->attempts < told->max_attempts;
    if (!lease->out || !attempts_are_left)
        return lease->due_us;
    return lease->due_us + subscription_backoff_us(told, lease->sequence, lease->attempts);
}
