/* Random batches against a model in memory: every outcome, list and count must agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

#define IDS 40
#define BATCHES 60
#define MOST_ITEMS 30

struct model {
    unsigned seed;
    struct {
        bool stored;
        char payload[8];
        int64_t created_at_us;
        int64_t acknowledged_at_us;
    } events[IDS];
};

static uint32_t below(struct model *model, uint32_t bound)
{
    return (uint32_t)rand_r(&model->seed) % bound;
}

static enum store_outcome model_append(struct model *model, struct store_item *append)
{
    uint32_t number = id_number(append->event.id);
    const char *payload = append->event.payload.data;
    if (!model->events[number].stored) {
        model->events[number].stored = true;
        strcpy(model->events[number].payload, payload);
        model->events[number].created_at_us = append->event.created_at_us;
        return STORE_DONE;
    }
    bool same = strcmp(model->events[number].payload, payload) == 0;
    return same ? STORE_REPEATED : STORE_CONFLICT;
}

static enum store_outcome model_ack(struct model *model, struct store_item *ack)
{
    uint32_t number = id_number(ack->event.id);
    if (!model->events[number].stored)
        return STORE_NOT_FOUND;
    if (model->events[number].acknowledged_at_us != 0)
        return STORE_REPEATED;
    int64_t created_at_us = model->events[number].created_at_us;
    model->events[number].acknowledged_at_us = ack->event.acknowledged_at_us > created_at_us
                                                   ? ack->event.acknowledged_at_us
                                                   : created_at_us;
    return STORE_DONE;
}

/* One batch, written and compared item by item. */
static void check_batch(struct world *world, struct model *model)
{
    static const char *const payloads[] = {"{}", "[1]", "\"x\""};
    struct store_item appends[MOST_ITEMS];
    struct store_item acks[MOST_ITEMS];
    uint32_t append_count = below(model, MOST_ITEMS);
    uint32_t ack_count = below(model, MOST_ITEMS);
    for (uint32_t i = 0; i < append_count; i++) {
        appends[i] = event_numbered(below(model, IDS));
        appends[i].event.payload = slice_of(payloads[below(model, 10) == 0 ? 1 + i % 2 : 0]);
        appends[i].event.created_at_us = NOON + below(model, 5);
    }
    for (uint32_t i = 0; i < ack_count; i++)
        acks[i] = ack_numbered(below(model, IDS), NOON + 10 + below(model, 1000));

    enum store_outcome append_outcomes[MOST_ITEMS];
    enum store_outcome ack_outcomes[MOST_ITEMS];
    for (uint32_t i = 0; i < append_count; i++)
        append_outcomes[i] = model_append(model, &appends[i]);
    for (uint32_t i = 0; i < ack_count; i++)
        ack_outcomes[i] = model_ack(model, &acks[i]);

    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, appends, append_count, acks, ack_count, &status), STORE_OK);
    for (uint32_t i = 0; i < append_count; i++) {
        uint32_t number = id_number(appends[i].event.id);
        assert_int_equal(appends[i].outcome, append_outcomes[i]);
        if (appends[i].outcome != STORE_CONFLICT)
            assert_int_equal(appends[i].event.created_at_us, model->events[number].created_at_us);
    }
    for (uint32_t i = 0; i < ack_count; i++) {
        uint32_t number = id_number(acks[i].event.id);
        assert_int_equal(acks[i].outcome, ack_outcomes[i]);
        if (acks[i].outcome != STORE_NOT_FOUND)
            assert_int_equal(acks[i].event.acknowledged_at_us,
                             model->events[number].acknowledged_at_us);
    }
}

/* Every event is in the list of its state, as the model has it, and in order. */
static void check_list(struct world *world, const struct model *model, bool acknowledged)
{
    struct store_list list = list_page(
        world,
        (struct store_list){.acknowledged = acknowledged, .oldest_first = true, .limit = IDS});
    size_t expected = 0;
    for (uint32_t i = 0; i < IDS; i++)
        expected +=
            model->events[i].stored && (model->events[i].acknowledged_at_us != 0) == acknowledged;
    assert_int_equal(list.count, expected);
    for (size_t i = 0; i < list.count; i++) {
        const struct store_event *event = &list.events[i];
        uint32_t number = id_number(event->id);
        assert_int_equal(event->created_at_us, model->events[number].created_at_us);
        assert_int_equal(event->acknowledged_at_us, model->events[number].acknowledged_at_us);
        assert_slice(event->payload, model->events[number].payload,
                     strlen(model->events[number].payload));
        if (i > 0)
            assert_true(event[-1].created_at_us < event->created_at_us ||
                        (event[-1].created_at_us == event->created_at_us &&
                         memcmp(event[-1].id, event->id, TYPEID_BYTES) < 0));
    }
}

static void check_backlog(struct world *world, const struct model *model)
{
    int64_t expected = 0;
    for (uint32_t i = 0; i < IDS; i++)
        expected += model->events[i].stored && model->events[i].acknowledged_at_us == 0;
    assert_int_equal(backlog_of(world).pending, expected);
}

static void random_batches_agree_with_the_model(void **state)
{
    struct world *world = *state;
    const char *chosen = getenv("TRIGGERS_TEST_SEED");
    struct model model = {.seed = chosen ? (unsigned)atoi(chosen) : 20260101};
    printf("seed %u\n", model.seed);
    for (int i = 0; i < BATCHES; i++) {
        check_batch(world, &model);
        check_list(world, &model, false);
        check_list(world, &model, true);
        check_backlog(world, &model);
        if (i % 20 == 19) { /* soon every id is in use: start over */
            database_execute(world->url, database_is_postgres()
                                             ? "truncate triggers.events, triggers.pending,"
                                               " triggers.acknowledged"
                                             : "delete from events; delete from pending;"
                                               " delete from acknowledged;"
                                               " delete from pending_count");
            memset(model.events, 0, sizeof(model.events));
        }
    }
}

int run_model_tests(void)
{
    const struct CMUnitTest tests[] = {WORLD_TEST(random_batches_agree_with_the_model)};
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
