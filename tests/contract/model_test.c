/* Random batches against a model in memory: every outcome, sequence, list and count must agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

#define IDS 1500
#define BATCHES 60
#define MOST_ITEMS 120
#define SESSIONS 2

struct model {
    unsigned seed;
    int64_t last; /* sequence */
    struct model_event {
        int64_t sequence; /* 0: not stored */
        char payload[8];
        char ordering_key[8];
        int64_t deliver_at_us;
        int64_t created_at_us;
        int64_t acknowledged_at_us;
    } events[IDS];
    uint32_t numbers[IDS + 1]; /* by sequence */
};

static const char *const SOURCES[] = {"crm", "crm.eu", "crm", "shop", "crm", "a*b"};
static const char *const TYPES[] = {"lead.created", "lead.lost", "sale", "sale"};

static uint32_t below(struct model *model, uint32_t bound)
{
    return (uint32_t)rand_r(&model->seed) % bound;
}

static const char *source_of(uint32_t number)
{
    return number % 500 == 7 ? "rare" : SOURCES[number % 6];
}

static const char *type_of(uint32_t number)
{
    return TYPES[number / 6 % 4];
}

static enum store_outcome model_append(struct model *model, struct store_item *append)
{
    uint32_t number = id_number(append->event.id);
    struct model_event *event = &model->events[number];
    const char *payload = append->event.payload.data;
    const char *ordering_key = append->event.ordering_key.data;
    if (event->sequence == 0) {
        event->sequence = ++model->last;
        model->numbers[model->last] = number;
        strcpy(event->payload, payload);
        strcpy(event->ordering_key, ordering_key);
        event->deliver_at_us = append->event.deliver_at_us;
        event->created_at_us = append->event.created_at_us;
        return STORE_DONE;
    }
    bool same =
        strcmp(event->payload, payload) == 0 && strcmp(event->ordering_key, ordering_key) == 0;
    return same ? STORE_REPEATED : STORE_CONFLICT;
}

static enum store_outcome model_ack(struct model *model, struct store_item *ack)
{
    struct model_event *event = &model->events[id_number(ack->event.id)];
    if (event->sequence == 0)
        return STORE_NOT_FOUND;
    if (event->acknowledged_at_us != 0)
        return STORE_REPEATED;
    event->acknowledged_at_us = ack->event.acknowledged_at_us > event->created_at_us
                                    ? ack->event.acknowledged_at_us
                                    : event->created_at_us;
    return STORE_DONE;
}

/* Mostly of the next ids, so that the log grows, with some of the earlier ones. */
static uint32_t some_number(struct model *model)
{
    uint32_t next = (uint32_t)model->last + 40;
    return below(model, 3) ? below(model, next < IDS ? next : IDS)
                           : (uint32_t)model->last / 2 + below(model, IDS / 4);
}

/* One batch, written and compared item by item. */
static void check_batch(struct world *world, struct model *model)
{
    static const char *const payloads[] = {"{}", "[1]", "\"x\""};
    static const char *const ordering_keys[] = {"", "", "", "one", "two"};
    struct store_item appends[MOST_ITEMS];
    struct store_item acks[MOST_ITEMS];
    uint32_t append_count = below(model, MOST_ITEMS);
    uint32_t ack_count = below(model, MOST_ITEMS);
    for (uint32_t i = 0; i < append_count; i++) {
        uint32_t number = some_number(model);
        appends[i] = event_numbered(number);
        appends[i].event.source = slice_of(source_of(number));
        appends[i].event.type = slice_of(type_of(number));
        appends[i].event.payload = slice_of(payloads[below(model, 10) == 0 ? 1 + i % 2 : 0]);
        appends[i].event.created_at_us = NOON + below(model, 1000);
        appends[i].event.ordering_key =
            slice_of(ordering_keys[number % 4 + (below(model, 10) == 0 ? i % 2 : 0)]);
        if (number % 5 == 0)
            appends[i].event.deliver_at_us = NOON + 1000 + below(model, 1000);
    }
    uint32_t first = below(model, (uint32_t)model->last + 1); /* acks mostly come in runs */
    for (uint32_t i = 0; i < ack_count; i++) {
        uint32_t sequence = first + i;
        uint32_t number = sequence > 0 && sequence <= model->last && below(model, 8)
                              ? model->numbers[sequence]
                              : below(model, IDS);
        acks[i] = ack_numbered(number, NOON + 500 + below(model, 1000));
    }

    enum store_outcome append_outcomes[MOST_ITEMS];
    enum store_outcome ack_outcomes[MOST_ITEMS];
    for (uint32_t i = 0; i < append_count; i++)
        append_outcomes[i] = model_append(model, &appends[i]);
    for (uint32_t i = 0; i < ack_count; i++)
        ack_outcomes[i] = model_ack(model, &acks[i]);

    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, appends, append_count, acks, ack_count, &status), STORE_OK);
    for (uint32_t i = 0; i < append_count; i++) {
        const struct model_event *event = &model->events[id_number(appends[i].event.id)];
        assert_int_equal(appends[i].outcome, append_outcomes[i]);
        if (appends[i].outcome == STORE_CONFLICT)
            continue;
        assert_int_equal(appends[i].event.created_at_us, event->created_at_us);
        assert_int_equal(appends[i].event.sequence, event->sequence);
    }
    for (uint32_t i = 0; i < ack_count; i++) {
        const struct model_event *event = &model->events[id_number(acks[i].event.id)];
        assert_int_equal(acks[i].outcome, ack_outcomes[i]);
        if (acks[i].outcome == STORE_NOT_FOUND)
            continue;
        assert_int_equal(acks[i].event.acknowledged_at_us, event->acknowledged_at_us);
        assert_int_equal(acks[i].event.sequence, event->sequence);
    }
}

static bool fits(const char *name, const struct slice *patterns, size_t count)
{
    bool fit = count == 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = patterns[i].size;
        bool prefix = patterns[i].data[size - 1] == '*';
        fit = fit || (prefix ? strncmp(name, patterns[i].data, size - 1) == 0
                             : strcmp(name, patterns[i].data) == 0);
    }
    return fit;
}

static bool is_listed(const struct model *model, const struct store_list *list, int64_t sequence)
{
    uint32_t number = model->numbers[sequence];
    const struct model_event *event = &model->events[number];
    const struct store_filter *filter = &list->filter;
    bool acknowledged = event->acknowledged_at_us != 0;
    return (list->set == STORE_LOG || acknowledged == (list->set == STORE_ACKNOWLEDGED)) &&
           (!filter->from_us || event->created_at_us >= filter->from_us) &&
           (!filter->until_us || event->created_at_us < filter->until_us) &&
           fits(source_of(number), filter->sources, filter->source_count) &&
           fits(type_of(number), filter->types, filter->type_count);
}

static void check_event(const struct model *model, const struct store_event *event)
{
    uint32_t number = model->numbers[event->sequence];
    const struct model_event *expected = &model->events[number];
    assert_int_equal(id_number(event->id), number);
    assert_int_equal(event->created_at_us, expected->created_at_us);
    assert_int_equal(event->acknowledged_at_us, expected->acknowledged_at_us);
    assert_slice(event->source, source_of(number), strlen(source_of(number)));
    assert_slice(event->type, type_of(number), strlen(type_of(number)));
    assert_slice(event->payload, expected->payload, strlen(expected->payload));
    assert_slice(event->ordering_key, expected->ordering_key, strlen(expected->ordering_key));
    assert_int_equal(event->deliver_at_us, expected->deliver_at_us);
}

/* The list from its beginning to its end, in pages, is what the model has. */
static void check_list(struct world *world, struct model *model, struct store_list list)
{
    int64_t step = list.oldest_first ? 1 : -1;
    int64_t sequence = list.oldest_first ? 1 : model->last; /* the next that may be listed */
    for (bool on = true; on;) {
        arena_reset(&world->arena);
        list.limit = below(model, 4) ? 1 + below(model, 400) : 1 + below(model, 5);
        struct store_list page = list_page(world, list);
        for (size_t i = 0; i < page.count; i++, sequence += step) {
            while (sequence >= 1 && sequence <= model->last && !is_listed(model, &list, sequence))
                sequence += step;
            assert_int_equal(page.events[i].sequence, sequence);
            check_event(model, &page.events[i]);
        }
        on = list.set == STORE_LOG ? page.read_to > list.after : page.more;
        assert_true(!on || list.set == STORE_LOG || page.count > 0);
        list.after = list.set == STORE_LOG ? page.read_to
                     : page.count > 0      ? page.events[page.count - 1].sequence
                                           : list.after;
    }
    for (; sequence >= 1 && sequence <= model->last; sequence += step)
        assert_false(is_listed(model, &list, sequence));
    assert_true(list.set != STORE_LOG || list.after == model->last);
}

/* Up to two names each and some time; often nothing. */
static struct store_filter some_filter(struct model *model, struct slice names[4])
{
    static const char *const patterns[] = {"crm",  "crm*", "rare",  "shop", "*",      "none",
                                           "sale", "le*",  "lead.", "a*b",  "lead.*", "r*"};
    for (size_t i = 0; i < 4; i++)
        names[i] = slice_of(patterns[below(model, 12)]);
    struct store_filter filter = {.sources = names, .types = names + 2};
    if (below(model, 2))
        filter.source_count = below(model, 3);
    if (below(model, 2))
        filter.type_count = below(model, 3);
    if (below(model, 3) == 0)
        filter.from_us = NOON + below(model, 900);
    if (below(model, 3) == 0)
        filter.until_us = NOON + below(model, 1200);
    return filter;
}

static void check_lists(struct world *world, struct model *model)
{
    for (int i = 0; i < 10; i++) {
        struct slice names[4];
        struct store_list list = {.set = i % 5 / 2, .oldest_first = i % 5 == 4 || i % 2};
        if (i >= 5)
            list.filter = some_filter(model, names);
        check_list(world, model, list);
    }
}

static void check_backlog(struct world *world, const struct model *model)
{
    int64_t expected = 0;
    for (int64_t i = 1; i <= model->last; i++)
        expected += model->events[model->numbers[i]].acknowledged_at_us == 0;
    assert_int_equal(backlog_of(world).pending, expected);
}

static void check_kinds(struct world *world, const struct model *model)
{
    struct store_kinds page = kinds_page(world, 0, 100);
    for (int64_t i = 1; i <= model->last; i++) {
        const char *source = source_of(model->numbers[i]), *type = type_of(model->numbers[i]);
        size_t found = 0;
        for (size_t j = 0; j < page.count; j++)
            found += page.kinds[j].source.size == strlen(source) &&
                     page.kinds[j].type.size == strlen(type) &&
                     memcmp(page.kinds[j].source.data, source, strlen(source)) == 0 &&
                     memcmp(page.kinds[j].type.data, type, strlen(type)) == 0;
        assert_int_equal(found, 1);
    }
}

/* One of the sessions, which now and then is another than before. */
static void choose_session(struct world *world, struct model *model,
                           struct store_session *sessions[SESSIONS])
{
    const struct store_driver *driver = world->store->driver;
    uint32_t chosen = below(model, SESSIONS);
    struct status status = STATUS_INIT;
    if (below(model, 10) == 0) {
        driver->session_close(sessions[chosen]);
        assert_int_equal(session_at(world, &sessions[chosen], &status), STORE_OK);
    }
    world->writer = sessions[chosen];
}

static void random_batches_agree_with_the_model(void **state)
{
    struct world *world = *state;
    const char *chosen = getenv("TRIGGERS_TEST_SEED");
    struct model *model = calloc(1, sizeof(*model));
    assert_non_null(model);
    model->seed = chosen ? (unsigned)atoi(chosen) : 20260101;
    printf("seed %u\n", model->seed);
    struct store_session *sessions[SESSIONS] = {world->writer};
    struct status status = STATUS_INIT;
    assert_int_equal(session_at(world, &sessions[1], &status), STORE_OK);
    for (int i = 0; i < BATCHES; i++) {
        choose_session(world, model, sessions);
        check_batch(world, model);
        check_lists(world, model);
        check_backlog(world, model);
    }
    check_kinds(world, model);
    world->writer = sessions[0];
    world->store->driver->session_close(sessions[1]);
    free(model);
}

int run_model_tests(void)
{
    const struct CMUnitTest tests[] = {WORLD_TEST(random_batches_agree_with_the_model)};
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
