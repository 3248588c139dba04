/* Ordering a batch and turning items into parameters; see writing.h. */
#include "store/postgres/writing.h"

#include <stdlib.h>

bool writing_init(struct writing *writing, struct scope scope, struct store_write *batch)
{
    *writing = (struct writing){
        .scope = scope,
        .batch = batch,
        .append_keys.list = calloc(batch->append_count + 1, sizeof(struct key)),
        .ack_keys.list = calloc(batch->ack_count + 1, sizeof(struct key)),
        .appends = calloc(batch->append_count + 1, sizeof(struct store_append *)),
        .acks = calloc(batch->ack_count + 1, sizeof(struct store_ack *)),
    };
    if (!writing->append_keys.list || !writing->ack_keys.list || !writing->appends ||
        !writing->acks)
        return false;
    for (size_t i = 0; i < batch->append_count; i++) {
        batch->appends[i]->outcome = STORE_NOT_FOUND;
        writing->append_keys.list[writing->append_keys.count++] =
            (struct key){batch->appends[i]->event.id, i};
    }
    for (size_t i = 0; i < batch->ack_count; i++) {
        batch->acks[i]->outcome = STORE_NOT_FOUND;
        writing->ack_keys.list[writing->ack_keys.count++] = (struct key){batch->acks[i]->id, i};
    }
    keys_sort(&writing->append_keys);
    keys_sort(&writing->ack_keys);
    return true;
}

void writing_fini(struct writing *writing)
{
    free(writing->append_keys.list);
    free(writing->ack_keys.list);
    free(writing->appends);
    free(writing->acks);
}

struct store_append *writing_append(const struct writing *writing, size_t position)
{
    return writing->batch->appends[writing->append_keys.list[position].item];
}

struct store_ack *writing_ack(const struct writing *writing, size_t position)
{
    return writing->batch->acks[writing->ack_keys.list[position].item];
}

void writing_choose(struct writing *writing, bool all_appends)
{
    writing->append_count = 0;
    size_t end;
    for (size_t start = 0; start < writing->append_keys.count; start = end) {
        end = keys_group_end(&writing->append_keys, start);
        if (writing_append(writing, start)->outcome != STORE_NOT_FOUND)
            continue;
        for (size_t i = start; i < (all_appends ? end : start + 1); i++)
            writing->appends[writing->append_count++] = writing_append(writing, i);
    }
    writing->ack_count = 0;
    for (size_t start = 0; start < writing->ack_keys.count; start = end) {
        end = keys_group_end(&writing->ack_keys, start);
        if (writing_ack(writing, start)->outcome == STORE_NOT_FOUND)
            writing->acks[writing->ack_count++] = writing_ack(writing, start);
    }
}

void writing_leave_acks(struct writing *writing)
{
    for (size_t i = 0; i < writing->ack_count; i++)
        writing->acks[i]->outcome = STORE_BUSY;
    writing->ack_count = 0;
}

void writing_put_append_ids(const struct writing *writing, struct buffer *array)
{
    postgres_array_start(array, POSTGRES_UUID, writing->append_count);
    for (size_t i = 0; i < writing->append_count; i++)
        postgres_array_add(array, writing->appends[i]->event.id, TYPEID_BYTES);
}

void writing_put_append_times(const struct writing *writing, struct buffer *array)
{
    postgres_array_start(array, POSTGRES_TIMESTAMPTZ, writing->append_count);
    for (size_t i = 0; i < writing->append_count; i++)
        postgres_array_add_time(array, writing->appends[i]->event.created_at_us);
}

static void add_slice(struct buffer *array, struct slice slice)
{
    postgres_array_add(array, slice.data, slice.size);
}

void writing_put_contents(const struct writing *writing, struct buffer arrays[3])
{
    postgres_array_start(&arrays[0], POSTGRES_TEXT, writing->append_count);
    postgres_array_start(&arrays[1], POSTGRES_TEXT, writing->append_count);
    postgres_array_start(&arrays[2], POSTGRES_BYTEA, writing->append_count);
    for (size_t i = 0; i < writing->append_count; i++) {
        const struct store_event *event = &writing->appends[i]->event;
        add_slice(&arrays[0], event->source);
        add_slice(&arrays[1], event->type);
        add_slice(&arrays[2], event->payload);
    }
}

void writing_put_ack_ids(const struct writing *writing, struct buffer *array)
{
    postgres_array_start(array, POSTGRES_UUID, writing->ack_count);
    for (size_t i = 0; i < writing->ack_count; i++)
        postgres_array_add(array, writing->acks[i]->id, TYPEID_BYTES);
}

void writing_put_ack_times(const struct writing *writing, struct buffer *array)
{
    postgres_array_start(array, POSTGRES_TIMESTAMPTZ, writing->ack_count);
    for (size_t i = 0; i < writing->ack_count; i++)
        postgres_array_add_time(array, writing->acks[i]->acknowledged_at_us);
}
