/* A driver that answers from the ids alone. */
#include "fake_store.h"

#include <string.h>

#include "store/items.h"

#define HUGE_PAYLOAD ((size_t)25 << 20) /* more than a call's arena takes: it is never read */

/* What the last byte of an id asks for, modulo 16; anything else is success. */
enum wish {
    WISH_REPEATED = 1,
    WISH_CONFLICT,
    WISH_NOT_FOUND,
    WISH_HUGE,
    WISH_REJECTED,
    WISH_RETRY,
    WISH_UNAVAILABLE,
    WISH_LOST,
};

static enum wish wish_of(const uint8_t id[TYPEID_BYTES])
{
    return id[TYPEID_BYTES - 1] % 16;
}

/* STORE_OK, or how the whole operation fails because of this wish. */
static enum store_result result_of(enum wish wish, struct status *status)
{
    switch (wish) {
    case WISH_REJECTED: return store_rejected(status);
    case WISH_RETRY: return store_retry(status);
    case WISH_UNAVAILABLE: return store_unavailable(status, "as wished");
    case WISH_LOST: return store_lost(status, "as wished");
    default: return STORE_OK;
    }
}

static enum store_result fake_open(struct store *store, bool read_only,
                                   struct store_session **session, struct status *status)
{
    (void)read_only;
    (void)status;
    static struct store_session shared = {&fake_store};
    (void)store;
    *session = &shared;
    return STORE_OK;
}

static void fake_close(struct store_session *session)
{
    (void)session;
}

static enum store_outcome write_outcome(enum wish wish, enum wish failure,
                                        enum store_outcome failed)
{
    return wish == WISH_REPEATED ? STORE_REPEATED : wish == failure ? failed : STORE_DONE;
}

static enum store_result fake_write(struct store_session *session, struct scope scope,
                                    struct store_write *batch, struct status *status)
{
    (void)scope;
    (void)session;
    enum store_result result = STORE_OK;
    static const struct {
        enum wish wish;
        enum store_outcome outcome;
    } failures[STORE_KIND_COUNT] = {
        [STORE_APPEND] = {WISH_CONFLICT, STORE_CONFLICT},
        [STORE_ACK] = {WISH_NOT_FOUND, STORE_NOT_FOUND},
        [STORE_ERASE] = {WISH_NOT_FOUND, STORE_NOT_FOUND},
    };
    for (size_t i = 0; i < batch->count && result == STORE_OK; i++) {
        struct store_item *item = batch->items[i];
        result = result_of(wish_of(item->event.id), status);
        item->event.sequence = (int64_t)i + 1;
        item->outcome = write_outcome(wish_of(item->event.id), failures[item->kind].wish,
                                      failures[item->kind].outcome);
    }
    return result;
}

static struct store_event make_event(const uint8_t id[TYPEID_BYTES])
{
    struct store_event event = {
        .sequence = 1,
        .source = {"fuzz", 4},
        .type = {"event", 5},
        .payload = {"{}", wish_of(id) == WISH_HUGE ? HUGE_PAYLOAD : 2},
        .created_at_us = 1000000,
        .acknowledged_at_us = wish_of(id) == WISH_REPEATED ? 2000001 : 0,
    };
    memcpy(event.id, id, TYPEID_BYTES);
    return event;
}

static enum store_result fake_get(struct store_session *session, struct scope scope,
                                  struct store_get **gets, size_t count, struct status *status)
{
    (void)scope;
    (void)session;
    enum store_result result = STORE_OK;
    for (size_t i = 0; i < count && result == STORE_OK; i++) {
        struct store_get *get = gets[i];
        result = result_of(wish_of(get->id), status);
        get->outcome = wish_of(get->id) == WISH_NOT_FOUND ? STORE_NOT_FOUND : STORE_DONE;
        get->event = make_event(get->id);
        get->no_memory = get->outcome == STORE_DONE && !store_event_copy(&get->event, get->arena);
    }
    return result;
}

/* As many events as the last byte of the position says, all with ids that end in it. */
static void fill_list(struct store_list *list)
{
    int64_t after = store_list_start(list);
    uint8_t id[TYPEID_BYTES] = {[TYPEID_BYTES - 1] = (uint8_t)after};
    size_t there = (uint8_t)after;
    list->more = there > list->limit;
    list->count = list->more ? list->limit : there;
    list->read_to = after;
    list->first = wish_of(id) == WISH_CONFLICT ? INT64_MAX : 1;
    list->events = arena_calloc(list->arena, list->count, sizeof(*list->events));
    list->no_memory = !list->events;
    for (size_t i = 0; i < list->count && !list->no_memory; i++) {
        list->events[i] = make_event(id);
        list->no_memory = !store_event_copy(&list->events[i], list->arena);
    }
}

static enum store_result fake_list(struct store_session *session, struct scope scope,
                                   struct store_list **lists, size_t count, struct status *status)
{
    (void)scope;
    (void)session;
    enum store_result result = STORE_OK;
    for (size_t i = 0; i < count && result == STORE_OK; i++) {
        result = result_of((enum wish)(store_list_start(lists[i]) % 16), status);
        fill_list(lists[i]);
    }
    return result;
}

/* As many kinds as the last byte of the position says. */
static enum store_result fake_kinds(struct store_session *session, struct scope scope,
                                    struct store_kinds *kinds, struct status *status)
{
    (void)scope;
    (void)session;
    size_t there = (uint8_t)kinds->after;
    kinds->more = there > kinds->limit;
    kinds->count = kinds->more ? kinds->limit : there;
    kinds->kinds = arena_calloc(kinds->arena, kinds->count, sizeof(*kinds->kinds));
    kinds->no_memory = !kinds->kinds;
    for (size_t i = 0; i < kinds->count && !kinds->no_memory; i++)
        kinds->kinds[i] = (struct store_named_kind){(int32_t)i + 1, {"fuzz", 4}, {"event", 5}};
    return result_of((enum wish)(kinds->after % 16), status);
}

static enum store_result fake_backlog(struct store_session *session, struct scope scope,
                                      struct store_backlog *backlog, struct status *status)
{
    (void)scope;
    (void)session;
    (void)status;
    *backlog = (struct store_backlog){0};
    return STORE_OK;
}

/* None: what looks after them in the background finds nothing to do. */
static enum store_result fake_subscriptions(struct store_session *session, struct scope scope,
                                            struct store_subscriptions *list, struct status *status)
{
    (void)session;
    (void)scope;
    (void)status;
    list->count = 0;
    list->more = false;
    return STORE_OK;
}

static enum store_result fake_ping(struct store_session *session, struct status *status)
{
    (void)session;
    (void)status;
    return STORE_OK;
}

static const struct store_driver FAKE = {
    .name = "fake",
    .session_open = fake_open,
    .session_close = fake_close,
    .write = fake_write,
    .get = fake_get,
    .list = fake_list,
    .kinds = fake_kinds,
    .backlog = fake_backlog,
    .subscriptions = fake_subscriptions,
    .ping = fake_ping,
};

struct store fake_store = {.driver = &FAKE, .description = (char *)"fake"};
