/* The table of subscriptions, their dead letters, and what they need of the log. */
#include <stdio.h>
#include <string.h>

#include "ledger_world.h"

static struct store_subscriptions subscriptions_page(struct world *world,
                                                     struct store_subscriptions list)
{
    struct status status = STATUS_INIT;
    list.arena = &world->arena;
    if (world->store->driver->subscriptions(world->writer, world->scope, &list, &status) !=
        STORE_OK)
        fail_msg("%s", status.message);
    assert_false(list.no_memory);
    return list;
}

static void remove_wholly(struct world *world, int64_t id)
{
    struct status status = STATUS_INIT;
    bool more = true;
    while (more)
        assert_int_equal(world->store->driver->subscription_remove(world->writer, world->scope, id,
                                                                   &more, &status),
                         STORE_OK);
}

/* ---- the table ---- */

static void one_is_created_and_changed(void **state)
{
    struct world *world = *state;
    struct store_put made = put_in(world, "work", "{}", 0);
    assert_int_equal(made.outcome, STORE_DONE);
    assert_true(made.id >= 1);
    assert_int_equal(made.revision, 1);
    assert_true(made.created_at_us > 0);
    assert_int_equal(put_in(world, "work", "{}", 0).outcome, STORE_STALE); /* is there */
    assert_int_equal(put_in(world, "work", "{}", 2).outcome, STORE_STALE);
    assert_int_equal(put_in(world, "nothing", "{}", 1).outcome, STORE_STALE); /* is not */
    struct store_put changed = put_in(world, "work", "", 1);
    assert_int_equal(changed.outcome, STORE_DONE);
    assert_int_equal(changed.revision, 2);
    assert_int_equal(changed.id, made.id);
    assert_int_equal(changed.created_at_us, made.created_at_us);
    assert_int_equal(put_in(world, "work", "{}", 1).outcome, STORE_STALE);

    struct store_subscriptions list =
        subscriptions_page(world, (struct store_subscriptions){.limit = 10});
    assert_int_equal(list.count, 1);
    assert_int_equal(list.subscriptions[0].id, made.id);
    assert_int_equal(list.subscriptions[0].revision, 2);
    assert_int_equal(list.subscriptions[0].created_at_us, made.created_at_us);
    assert_false(list.subscriptions[0].removed);
    assert_slice(list.subscriptions[0].name, "work", 4);
    assert_slice(list.subscriptions[0].settings, "", 0);
}

static void they_are_listed_in_pages_and_by_name(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"c", "a", "b"};
    for (size_t i = 0; i < 3; i++)
        make_subscription(world, names[i]);
    world->scope.tenant = 7;
    make_subscription(world, "a");
    struct store_subscriptions list =
        subscriptions_page(world, (struct store_subscriptions){.limit = 10});
    assert_int_equal(list.count, 1);
    world->scope = SCOPE_DEFAULT;
    list = subscriptions_page(world, (struct store_subscriptions){.limit = 2});
    assert_int_equal(list.count, 2);
    assert_true(list.more);
    assert_slice(list.subscriptions[1].name, "a", 1);
    int64_t id = list.subscriptions[1].id;
    list = subscriptions_page(world, (struct store_subscriptions){.limit = 2, .after = id});
    assert_int_equal(list.count, 1);
    assert_false(list.more);
    assert_slice(list.subscriptions[0].name, "b", 1);
    list =
        subscriptions_page(world, (struct store_subscriptions){.limit = 1, .name = slice_of("a")});
    assert_int_equal(list.count, 1);
    assert_int_equal(list.subscriptions[0].id, id);
    list =
        subscriptions_page(world, (struct store_subscriptions){.limit = 1, .name = slice_of("d")});
    assert_int_equal(list.count, 0);
}

static void a_tenant_has_so_many(void **state)
{
    struct world *world = *state;
    char name[16];
    int64_t last = 0;
    for (int i = 0; i < STORE_SUBSCRIPTIONS_MAX; i++) {
        snprintf(name, sizeof(name), "name%d", i);
        last = make_subscription(world, name).id;
    }
    assert_int_equal(put_in(world, "more", "{}", 0).outcome, STORE_CONFLICT);
    assert_int_equal(put_in(world, "name1", "{}", 0).outcome, STORE_STALE);
    assert_int_equal(put_in(world, "name1", "{}", 1).outcome, STORE_DONE);
    world->scope.tenant = 7;
    make_subscription(world, "more");
    world->scope = SCOPE_DEFAULT;
    remove_wholly(world, last);
    assert_int_equal(put_in(world, "more", "{}", 0).outcome, STORE_DONE);
}

static void one_that_was_removed_leaves_nothing(void **state)
{
    struct world *world = *state;
    static struct store_dead_letter dead[1500];
    const struct store_driver *driver = world->store->driver;
    struct owner owner = make_subscription(world, "work");
    struct owner other = make_subscription(world, "other");
    assert_int_equal(take_next(world, &owner), STORE_DONE);
    assert_int_equal(take_next(world, &other), STORE_DONE);
    for (int i = 0; i < 1500; i++)
        dead[i] = (struct store_dead_letter){.sequence = i + 1, .first_us = NOON};
    struct store_settlement settlement = next_settlement(&owner);
    settlement.dead = dead;
    settlement.dead_count = 1500;
    assert_int_equal(settle(world, &owner, &settlement), STORE_DONE);

    struct status status = STATUS_INIT;
    bool more = false;
    assert_int_equal(
        driver->subscription_remove(world->writer, world->scope, owner.id, &more, &status),
        STORE_OK);
    assert_true(more);
    assert_int_equal(take_next(world, &owner), STORE_NOT_FOUND);
    assert_int_equal(settle_next(world, &owner), STORE_NOT_FOUND);
    assert_int_equal(read_from(world, &owner).outcome, STORE_NOT_FOUND);
    assert_int_equal(head_of(world, owner.id).revision, 0);
    assert_int_equal(put_in(world, "work", "{}", 1).outcome, STORE_STALE);
    struct store_subscriptions list =
        subscriptions_page(world, (struct store_subscriptions){.limit = 10});
    assert_int_equal(list.count, 2);
    assert_true(list.subscriptions[0].removed);
    struct owner next = make_subscription(world, "work"); /* the name is free */
    assert_true(next.id > owner.id);

    remove_wholly(world, owner.id);
    if (database_is_postgres()) { /* by somebody who began before it was hidden */
        char sql[128];
        snprintf(sql, sizeof(sql), "insert into triggers.takes values (0, %d, 9, 9, now(), '')",
                 (int)owner.id);
        database_execute(world->url, sql);
    }
    let_entries_age(world);
    remove_wholly(world, owner.id);
    list = subscriptions_page(world, (struct store_subscriptions){.limit = 10});
    assert_int_equal(list.count, 2);
    assert_int_equal(database_number(world->url, "select count(*) from dead_letters"), 0);
    assert_int_equal(database_number(world->url, "select count(*) from takes"), 1);
    assert_int_equal(database_number(world->url, "select count(*) from settlements"), 2);
    assert_int_equal(take_next(world, &other), STORE_DONE);

    remove_wholly(world, next.id); /* the highest number is not given again either */
    let_entries_age(world);
    remove_wholly(world, next.id);
    assert_true(make_subscription(world, "work").id > next.id);
    remove_wholly(world, 4711); /* none */
}

/* ---- dead letters ---- */

/* Moves one event there, in a settlement of its own. */
static int64_t bury(struct world *world, struct owner *owner, int64_t sequence, uint32_t attempts,
                    const char *reason)
{
    struct store_dead_letter dead = {.sequence = sequence,
                                     .attempts = attempts,
                                     .first_us = NOON + sequence,
                                     .reason = slice_of(reason)};
    struct store_settlement settlement = next_settlement(owner);
    settlement.dead = &dead;
    settlement.dead_count = 1;
    assert_int_equal(settle(world, owner, &settlement), STORE_DONE);
    return settlement.entry.at_us;
}

static void dead_letters_come_with_their_events(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 3);
    struct owner owner = make_subscription(world, "work");
    bury(world, &owner, 3, 1, "");
    int64_t at_us = bury(world, &owner, 1, UINT32_MAX, "broken \xc3\xa4");
    struct store_dead_letters page =
        dead_page(world, (struct store_dead_letters){.subscription = owner.id, .limit = 10});
    assert_int_equal(page.count, 2);
    assert_false(page.more);
    const struct store_listed_dead_letter *last = &page.letters[0];
    assert_int_equal(last->letter.sequence, 1);
    assert_int_equal(last->letter.attempts, UINT32_MAX);
    assert_int_equal(last->letter.first_us, NOON + 1);
    assert_int_equal(last->letter.dead_us, at_us);
    assert_slice(last->letter.reason, "broken \xc3\xa4", 9);
    assert_int_equal(last->settlement, 3);
    assert_int_equal(last->event.sequence, 1);
    assert_int_equal(id_number(last->event.id), 1);
    assert_slice(last->event.source, "crm", 3);
    assert_slice(last->event.type, "lead.created", 12);
    assert_slice(last->event.payload, "{\"a\": 1.0}", 10);
    assert_int_equal(last->event.created_at_us, NOON + SECOND);
    assert_int_equal(last->event.acknowledged_at_us, 0);
    assert_int_equal(page.letters[1].letter.sequence, 3);
    assert_int_equal(page.letters[1].letter.reason.size, 0);

    bury(world, &owner, 3, 2, "again"); /* is replaced, and the last to come */
    page = dead_page(world, (struct store_dead_letters){.subscription = owner.id, .limit = 10});
    assert_int_equal(page.count, 2);
    assert_int_equal(page.letters[0].letter.sequence, 3);
    assert_int_equal(page.letters[0].letter.attempts, 2);
    assert_slice(page.letters[0].letter.reason, "again", 5);
}

static void dead_letters_are_listed_in_pages(void **state)
{
    struct world *world = *state;
    enum { COUNT = 10 };
    append_numbers(world, 1, COUNT);
    struct owner owner = make_subscription(world, "work");
    struct store_dead_letter dead[COUNT];
    for (int i = 0; i < COUNT; i++)
        dead[i] = (struct store_dead_letter){.sequence = i + 1, .first_us = NOON};
    for (int i = 0; i < COUNT; i += 5) {
        struct store_settlement settlement = next_settlement(&owner);
        settlement.dead = &dead[i];
        settlement.dead_count = 5;
        assert_int_equal(settle(world, &owner, &settlement), STORE_DONE);
    }
    struct store_dead_letters page = {.subscription = owner.id, .limit = 3};
    int64_t expected = COUNT;
    do {
        page = dead_page(world, page);
        assert_true(page.count > 0 && page.count <= 3);
        for (size_t i = 0; i < page.count; i++)
            assert_int_equal(page.letters[i].letter.sequence, expected--);
        assert_int_equal(page.more, expected > 0);
        page.after_settlement = page.letters[page.count - 1].settlement;
        page.after_sequence = page.letters[page.count - 1].letter.sequence;
    } while (page.more);
    assert_int_equal(expected, 0);
}

/* Of payloads of 10 bytes, whoever cuts the page: the server does from 65 rows on. */
static void dead_letters_are_limited_by_bytes(void **state)
{
    struct world *world = *state;
    static const int64_t sequences[] = {1, 2, 3, 4};
    struct slice crm = slice_of("crm");
    append_numbers(world, 1, 4);
    struct owner owner = make_subscription(world, "work");
    for (int64_t sequence = 1; sequence <= 4; sequence++)
        bury(world, &owner, sequence, 1, "");
    const struct store_dead_letters kinds[] = {
        {.subscription = owner.id},
        {.subscription = owner.id, .filter = {.sources = &crm, .source_count = 1}},
        {.subscription = owner.id, .sequences = sequences, .sequence_count = 4},
    };
    static const size_t expected[][2] = {{1, 1}, {19, 1}, {20, 2}, {39, 3}, {40, 4}};
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < sizeof(expected) / sizeof(expected[0]); j++) {
            for (uint32_t limit = 4; limit <= 100; limit += 96) {
                struct store_dead_letters page = kinds[i];
                page.limit = limit;
                page.max_bytes = expected[j][0];
                page = dead_page(world, page);
                assert_int_equal(page.count, expected[j][1]);
                assert_int_equal(page.more, page.count < 4);
                assert_int_equal(page.letters[0].letter.sequence, 4);
            }
        }
    }
}

static void assert_dead(struct world *world, struct store_dead_letters list, const char *expected)
{
    char found[64] = "";
    list.limit = 10;
    list = dead_page(world, list);
    for (size_t i = 0; i < list.count; i++)
        snprintf(found + strlen(found), sizeof(found) - strlen(found), "%d ",
                 (int)list.letters[i].letter.sequence);
    assert_string_equal(found, expected);
}

static void dead_letters_are_filtered(void **state)
{
    struct world *world = *state;
    struct store_item appends[4];
    for (uint32_t i = 0; i < 4; i++) {
        appends[i] = event_numbered(i + 1);
        appends[i].event.source = slice_of(i % 2 ? "shop" : "crm");
        appends[i].event.type = slice_of(i < 2 ? "lead.created" : "lead.lost");
    }
    append_items(world, appends, 4);
    struct owner owner = make_subscription(world, "work");
    for (int64_t sequence = 1; sequence <= 5; sequence++) /* there is no event 5 */
        bury(world, &owner, sequence, 1, "");
    struct slice crm = slice_of("crm"), lead = slice_of("lead.*"), lost = slice_of("lead.lost");
    struct store_dead_letters all = {.subscription = owner.id};
    assert_dead(world, all, "5 4 3 2 1 ");
    struct store_dead_letters page = all;
    page.filter = (struct store_filter){.sources = &crm, .source_count = 1};
    assert_dead(world, page, "3 1 ");
    page.filter = (struct store_filter){.types = &lead, .type_count = 1};
    assert_dead(world, page, "4 3 2 1 ");
    page.filter =
        (struct store_filter){.sources = &crm, .source_count = 1, .types = &lost, .type_count = 1};
    assert_dead(world, page, "3 ");
    page.filter =
        (struct store_filter){.from_us = NOON + 2 * SECOND, .until_us = NOON + 4 * SECOND};
    assert_dead(world, page, "3 2 ");
    page.filter.sources = &crm;
    page.filter.source_count = 1;
    assert_dead(world, page, "3 ");
    page.filter = (struct store_filter){.types = &lead, .type_count = 1};
    page.after_settlement = 4; /* of event 3 */
    page.after_sequence = 3;
    assert_dead(world, page, "2 1 ");

    static const int64_t sequences[] = {1, 4, 4, 5, 99};
    all.sequences = sequences;
    all.sequence_count = 5;
    assert_dead(world, all, "5 4 1 ");
    all.filter = (struct store_filter){.sources = &crm, .source_count = 1};
    assert_dead(world, all, "1 ");
    all.sequence_count = 0;
    assert_dead(world, all, "");
    page = (struct store_dead_letters){.subscription = owner.id, .limit = 1};
    assert_true(dead_page(world, page).more);
    assert_int_equal(dead_page(world, page).letters[0].event.sequence, 0);
    assert_int_equal(dead_page(world, page).letters[0].event.source.size, 0);
}

/* However they are read. */
static void dead_letters_have_all_of_their_events(void **state)
{
    struct world *world = *state;
    struct store_item appends[2] = {event_numbered(1), event_numbered(2)};
    appends[0].event.ordering_key = slice_of("order 1");
    appends[1].event.deliver_at_us = NOON + 5;
    append_items(world, appends, 2);
    struct owner owner = make_subscription(world, "work");
    bury(world, &owner, 1, 1, "");
    bury(world, &owner, 2, 1, "");
    struct slice crm = slice_of("crm");
    static const int64_t sequences[] = {1, 2};
    static const uint32_t limits[] = {2, 100};
    for (size_t i = 0; i < 6; i++) {
        struct store_dead_letters list = {.subscription = owner.id, .limit = limits[i % 2]};
        if (i / 2 == 1)
            list.filter = (struct store_filter){.sources = &crm, .source_count = 1};
        if (i / 2 == 2) {
            list.sequences = sequences;
            list.sequence_count = 2;
        }
        list = dead_page(world, list);
        assert_int_equal(list.count, 2);
        assert_slice(list.letters[1].event.ordering_key, "order 1", 7);
        assert_int_equal(list.letters[1].event.deliver_at_us, 0);
        assert_int_equal(list.letters[0].event.ordering_key.size, 0);
        assert_int_equal(list.letters[0].event.deliver_at_us, NOON + 5);
    }
}

/* A settlement that came before is written again: what it did is not done again. */
static void revived_ones_stay_away(void **state)
{
    struct world *world = *state;
    static const int64_t revived[] = {2, 1, 99};
    append_numbers(world, 1, 3);
    struct owner owner = make_subscription(world, "work");
    struct owner other = make_subscription(world, "other");
    bury(world, &owner, 1, 1, "");
    struct store_dead_letter dead[] = {{.sequence = 2, .first_us = NOON},
                                       {.sequence = 3, .first_us = NOON}};
    struct store_settlement first = next_settlement(&owner);
    first.dead = dead;
    first.dead_count = 2;
    struct store_settlement again = first;
    assert_int_equal(settle(world, &owner, &first), STORE_DONE);
    bury(world, &other, 2, 1, "");

    struct store_settlement settlement = next_settlement(&owner);
    settlement.revived = revived;
    settlement.revived_count = 3;
    assert_int_equal(settle(world, &owner, &settlement), STORE_DONE);
    assert_dead(world, (struct store_dead_letters){.subscription = owner.id}, "3 ");
    assert_dead(world, (struct store_dead_letters){.subscription = other.id}, "2 ");
    enum store_outcome outcome;
    settle_several(world, &again, 1, &outcome);
    assert_int_equal(outcome, STORE_REPEATED);
    assert_dead(world, (struct store_dead_letters){.subscription = owner.id}, "3 ");
}

/* ---- the log ---- */

static int64_t log_end(struct world *world)
{
    int64_t last = -1;
    struct status status = STATUS_INIT;
    assert_int_equal(world->store->driver->log_end(world->writer, world->scope, &last, &status),
                     STORE_OK);
    return last;
}

static void the_end_of_the_log_is_told(void **state)
{
    struct world *world = *state;
    assert_int_equal(log_end(world), 0);
    append_numbers(world, 1, 3);
    assert_int_equal(log_end(world), 3);
    world->scope.tenant = 7;
    assert_int_equal(log_end(world), 0);
}

static void events_are_got_by_sequence(void **state)
{
    struct world *world = *state;
    append_numbers(world, 11, 2);
    struct store_item append = event_numbered(13);
    append.event.ordering_key = slice_of("order 13");
    append.event.deliver_at_us = NOON + 1;
    append_items(world, &append, 1);
    struct store_get gets[] = {
        {.sequence = 3}, {.sequence = 0}, {.sequence = 99}, {.sequence = 1}, {.sequence = 3}};
    struct store_get *list[5];
    struct status status = STATUS_INIT;
    id_numbered(12, gets[1].id);
    for (size_t i = 0; i < 5; i++) {
        gets[i].arena = &world->arena;
        list[i] = &gets[i];
    }
    assert_int_equal(world->store->driver->get(world->reader, world->scope, list, 5, &status),
                     STORE_OK);
    static const uint32_t expected[] = {13, 12, 0, 11, 13};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(gets[i].outcome, expected[i] ? STORE_DONE : STORE_NOT_FOUND);
        assert_int_equal(gets[i].outcome == STORE_DONE ? id_number(gets[i].event.id) : 0,
                         expected[i]);
    }
    assert_slice(gets[4].event.source, "crm", 3);
    assert_slice(gets[4].event.ordering_key, "order 13", 8);
    assert_int_equal(gets[4].event.deliver_at_us, NOON + 1);
}

static void a_list_of_the_pending_tells_how_far_it_has_read(void **state)
{
    struct world *world = *state;
    struct store_list list = {.oldest_first = true, .limit = 2};
    assert_int_equal(list_page(world, list).read_to, 0);
    append_numbers(world, 1, 6);
    struct store_item acks[] = {ack_numbered(2, NOON), ack_numbered(5, NOON),
                                ack_numbered(6, NOON)};
    ack_items(world, acks, 3);
    struct store_list page = list_page(world, list);
    assert_true(page.more);
    assert_int_equal(page.read_to, 3);
    list.after = 3;
    page = list_page(world, list);
    assert_int_equal(page.count, 1);
    assert_false(page.more);
    assert_int_equal(page.read_to, 6);
    list.after = 9;
    assert_int_equal(list_page(world, list).read_to, 9);
    struct slice other = slice_of("other");
    list.after = 0;
    list.filter = (struct store_filter){.sources = &other, .source_count = 1};
    assert_int_equal(list_page(world, list).read_to, 6);
}

int run_subscription_rows_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(one_is_created_and_changed),
        WORLD_TEST(they_are_listed_in_pages_and_by_name),
        WORLD_TEST(a_tenant_has_so_many),
        WORLD_TEST(one_that_was_removed_leaves_nothing),
        WORLD_TEST(dead_letters_come_with_their_events),
        WORLD_TEST(dead_letters_are_listed_in_pages),
        WORLD_TEST(dead_letters_are_limited_by_bytes),
        WORLD_TEST(dead_letters_are_filtered),
        WORLD_TEST(dead_letters_have_all_of_their_events),
        WORLD_TEST(revived_ones_stay_away),
        WORLD_TEST(the_end_of_the_log_is_told),
        WORLD_TEST(events_are_got_by_sequence),
        WORLD_TEST(a_list_of_the_pending_tells_how_far_it_has_read),
    };
    return cmocka_run_group_tests_name("subscription rows", tests, NULL, NULL);
}
