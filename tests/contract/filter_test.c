/* Filters of lists, each compared with a plain look at all events: on every set, in both orders, in
 * the blocks that are full, across their ends and after them, before and after acknowledgements. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

#define MOST 1400 /* events: five blocks and a part */

/* What was written: event `number` has the sequence `number`. */
struct written {
    uint32_t count;
    bool acknowledged[MOST + 1];
    char sources[MOST + 1][16];
    char types[MOST + 1][16];
    int64_t created_at_us[MOST + 1];
};

static void write_events(struct world *world, struct written *written, uint32_t count)
{
    struct store_item appends[MOST];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = written->count + i + 1;
        appends[i] = event_numbered(number);
        appends[i].event.source = slice_of(written->sources[number]);
        appends[i].event.type = slice_of(written->types[number]);
        appends[i].event.created_at_us = written->created_at_us[number];
    }
    append_items(world, appends, count);
    written->count += count;
}

static void acknowledge(struct world *world, struct written *written, uint32_t first, uint32_t step)
{
    ack_up_to(world, first, written->count, step);
    for (uint32_t number = first; number <= written->count; number += step)
        written->acknowledged[number] = true;
}

static bool name_fits(const struct slice *names, size_t count, const char *name)
{
    bool fits = count == 0;
    for (size_t i = 0; i < count; i++) {
        const char *pattern = names[i].data;
        const char *star = strchr(pattern, 0) - 1;
        fits = fits || (*star == '*' ? strncmp(name, pattern, (size_t)(star - pattern)) == 0
                                     : strcmp(name, pattern) == 0);
    }
    return fits;
}

static bool fits(const struct written *written, uint32_t number, const struct store_list *list)
{
    const struct store_filter *filter = &list->filter;
    int64_t time = written->created_at_us[number];
    if (list->set != STORE_LOG &&
        written->acknowledged[number] != (list->set == STORE_ACKNOWLEDGED))
        return false;
    if ((filter->from_us && time < filter->from_us) ||
        (filter->until_us && time >= filter->until_us))
        return false;
    return name_fits(filter->sources, filter->source_count, written->sources[number]) &&
           name_fits(filter->types, filter->type_count, written->types[number]);
}

/* The next number after `after` that fits, in the list's order; 0: none. */
static uint32_t next_fitting(const struct written *written, const struct store_list *list,
                             uint32_t after)
{
    uint32_t number = list->oldest_first ? after + 1 : (after ? after : written->count + 1) - 1;
    while (number >= 1 && number <= written->count && !fits(written, number, list))
        number += list->oldest_first ? 1 : UINT32_MAX;
    return number <= written->count ? number : 0;
}

static void check_event(const struct written *written, const struct store_event *event,
                        uint32_t number)
{
    assert_int_equal(event->sequence, number);
    assert_int_equal(id_number(event->id), number);
    assert_slice(event->source, written->sources[number], strlen(written->sources[number]));
    assert_slice(event->type, written->types[number], strlen(written->types[number]));
    assert_int_equal(event->acknowledged_at_us != 0, written->acknowledged[number]);
}

/* Reads one list to its end, in pages of up to `limit` events. */
static void check_list(struct world *world, const struct written *written, struct store_list list)
{
    uint32_t last = 0;
    for (bool on = true; on;) {
        arena_reset(&world->arena);
        struct store_list page = list_page(world, list);
        for (size_t i = 0; i < page.count; i++) {
            last = next_fitting(written, &list, last);
            check_event(written, &page.events[i], last);
        }
        uint32_t next = next_fitting(written, &list, last);
        if (list.set == STORE_LOG) {
            assert_true(page.read_to >= last && (next == 0 || page.read_to < next));
            assert_true(!next || page.more);
            on = page.read_to > list.after;
            assert_true(on || list.after >= written->count);
            list.after = page.read_to;
        } else {
            assert_int_equal(page.more, next != 0);
            assert_true(page.count > 0 || !page.more);
            on = page.more;
            list.after = last;
        }
        assert_true(on || next == 0);
    }
}

static void check_all_lists(struct world *world, const struct written *written,
                            struct store_filter filter)
{
    static const uint32_t limits[] = {7, 300};
    for (enum store_set set = STORE_PENDING; set <= STORE_LOG; set++) {
        for (int i = 0; i < (set == STORE_LOG ? 2 : 4); i++)
            check_list(
                world, written,
                (struct store_list){
                    .set = set, .oldest_first = i < 2, .limit = limits[i % 2], .filter = filter});
    }
}

/* Sources: "crm" half, "crm.eu" a quarter, others; types of three; one event of a source and one of
 * a type of its own. Times rise, but jump an hour back and forth from block to block. */
static struct written *plan_events(void)
{
    struct written *written = calloc(1, sizeof(*written));
    assert_non_null(written);
    for (uint32_t i = 1; i <= MOST; i++) {
        static const char *const sources[] = {"crm", "crm.eu", "crm", "shop",
                                              "crm", "crm.us", "crm", "crm.eu"};
        static const char *const types[] = {"lead.created", "lead.lost", "sale"};
        snprintf(written->sources[i], sizeof(written->sources[i]), "%s",
                 i == 520 ? "once" : sources[i % 8]);
        snprintf(written->types[i], sizeof(written->types[i]), "%s",
                 i == 1390 ? "lead.tail" : types[i % 3]);
        written->created_at_us[i] = NOON + (i + (i / 256 % 2) * 3600) * SECOND;
    }
    return written;
}

#define NAMES(...)                                                                                 \
    (const struct slice[]){__VA_ARGS__},                                                           \
        sizeof((struct slice[]){__VA_ARGS__}) / sizeof(struct slice)
#define NAME(text) ((struct slice){text, sizeof(text) - 1})

static void check_filters(struct world *world, const struct written *written)
{
    const struct store_filter filters[] = {
        {0},
        {NAMES(NAME("shop"))},
        {NAMES(NAME("once"))},
        {NAMES(NAME("crm"))},
        {NAMES(NAME("crm*"))},
        {NAMES(NAME("crm.*"))},
        {NAMES(NAME("*"))},
        {NAMES(NAME("cr"), NAME("crm.e"), NAME("CRM"), NAME("nobody*"))},
        {NAMES(NAME("shop"), NAME("crm.*"), NAME("shop*"), NAME("none"))},
        {NULL, 0, NAMES(NAME("lead.tail"))},
        {NULL, 0, NAMES(NAME("lead.*"))},
        {NULL, 0, NAMES(NAME("sale"), NAME("lead.lost"))},
        {NAMES(NAME("crm.eu"), NAME("once")), NAMES(NAME("sale"), NAME("lead.t*"))},
        {NAMES(NAME("shop")), NAMES(NAME("lead.tail"))}, /* both there, not together */
    };
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
        check_all_lists(world, written, filters[i]);
}

static void check_times(struct world *world, const struct written *written)
{
    static const int64_t times[][2] = {
        {NOON, 0},
        {0, NOON},
        {NOON + 10 * SECOND, NOON + 10 * SECOND + 1}, /* one event */
        {NOON + 10 * SECOND + 1, NOON + 11 * SECOND}, /* none, between two */
        {NOON + 250 * SECOND, NOON + 520 * SECOND},
        {0, NOON + 3600 * SECOND},
        {NOON + 3600 * SECOND, 0},
        {NOON + 4000 * SECOND, NOON + 5000 * SECOND},
        {NOON + 100000 * SECOND, NOON + 100001 * SECOND},
    };
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct store_filter filter = {.from_us = times[i][0], .until_us = times[i][1]};
        check_all_lists(world, written, filter);
        struct slice name = NAME("crm.eu"), type = NAME("lead.*");
        filter.sources = &name;
        filter.types = &type;
        filter.source_count = filter.type_count = 1;
        check_all_lists(world, written, filter);
    }
}

static void in_the_tail(void **state)
{
    struct written *written = plan_events();
    check_filters(*state, written); /* of an empty log */
    write_events(*state, written, 200);
    check_filters(*state, written);
    check_times(*state, written);
    acknowledge(*state, written, 3, 4);
    check_filters(*state, written);
    check_times(*state, written);
    free(written);
}

static void over_the_ends_of_blocks(void **state)
{
    static const uint32_t steps[] = {254, 1, 1, 1, 254, 1, 3};
    struct written *written = plan_events();
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        write_events(*state, written, steps[i]);
        check_filters(*state, written);
    }
    free(written);
}

static void in_full_blocks(void **state)
{
    struct written *written = plan_events();
    write_events(*state, written, 700);
    write_events(*state, written, 700);
    check_filters(*state, written);
    check_times(*state, written);
    free(written);
}

static void after_acknowledgements(void **state)
{
    struct written *written = plan_events();
    write_events(*state, written, 300);
    acknowledge(*state, written, 2, 2); /* before a block is full, too */
    write_events(*state, written, 1000);
    check_filters(*state, written);
    acknowledge(*state, written, 1, 3);
    check_filters(*state, written);
    acknowledge(*state, written, 1, 1);
    check_filters(*state, written);
    write_events(*state, written, 100);
    check_filters(*state, written);
    check_times(*state, written);
    free(written);
}

/* What means something to SQL or in patterns means nothing here. */
static void names_are_taken_as_they_are(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"a%b", "a_b",  "axb", "a\\b", "a'b",      "A%B",      "a",
                                        "a?b", "a[b]", "a*b", "",     "\xc3\xa4", "\xc3\xa4x"};
    enum { COUNT = sizeof(names) / sizeof(names[0]) };
    struct written *written = calloc(1, sizeof(*written));
    assert_non_null(written);
    for (uint32_t i = 1; i <= 30 * COUNT; i++) {
        snprintf(written->sources[i], sizeof(written->sources[i]), "%s", names[i % COUNT]);
        snprintf(written->types[i], sizeof(written->types[i]), "%s", names[i / COUNT % COUNT]);
        written->created_at_us[i] = NOON;
    }
    write_events(world, written, 30 * COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        char prefix[16];
        snprintf(prefix, sizeof(prefix), "%s*", names[i]);
        struct slice patterns[2] = {slice_of(names[i]), slice_of(prefix)};
        for (size_t j = 0; j < 2; j++) {
            if (patterns[j].size == 0)
                continue; /* the tests' model has no empty pattern */
            check_all_lists(world, written, (struct store_filter){&patterns[j], 1, NULL, 0});
            check_all_lists(world, written, (struct store_filter){NULL, 0, &patterns[j], 1});
        }
    }
    free(written);
}

/* The other tenant's kinds have numbers too. */
static void fit_one_tenants_kinds(void **state)
{
    struct world *world = *state;
    struct written *written = plan_events();
    write_events(world, written, 600);
    world->scope = (struct scope){.tenant = 7};
    append_up_to(world, 1, 400); /* all of one kind */
    struct slice shop = NAME("shop"), lead = NAME("crm");
    struct store_list asked = {.set = STORE_LOG, .oldest_first = true, .limit = 1000};
    asked.filter = (struct store_filter){&shop, 1, NULL, 0};
    assert_int_equal(list_page(world, asked).count, 0);
    asked.filter = (struct store_filter){&lead, 1, NULL, 0};
    assert_int_equal(list_page(world, asked).count, 400);
    world->scope = SCOPE_DEFAULT;
    check_filters(world, written);
    free(written);
}

int run_filter_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(in_the_tail),
        WORLD_TEST(over_the_ends_of_blocks),
        WORLD_TEST(in_full_blocks),
        WORLD_TEST(after_acknowledgements),
        WORLD_TEST(names_are_taken_as_they_are),
        WORLD_TEST(fit_one_tenants_kinds),
    };
    return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
