/* Erasure: the payload is gone, from the file too, and nothing else is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

#define MARK "{\"secret\": \"d0a9-very-private\"}"
#define LARGE 100000 /* bytes; of several pages */

static struct store_item erase_numbered(uint32_t number)
{
    struct store_item erase = ack_numbered(number, 0);
    erase.kind = STORE_ERASE;
    return erase;
}

static struct store_item marked(uint32_t number)
{
    struct store_item append = event_numbered(number);
    append.event.payload = slice_of(MARK);
    return append;
}

static enum store_outcome erase(struct world *world, uint32_t number)
{
    struct store_item item = erase_numbered(number);
    ack_items(world, &item, 1);
    assert_int_equal(item.event.sequence, item.outcome == STORE_NOT_FOUND ? 0 : number);
    return item.outcome;
}

static void the_payload_goes_and_the_rest_stays(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 3);
    assert_int_equal(erase(world, 2), STORE_DONE);
    assert_int_equal(erase(world, 2), STORE_REPEATED);
    assert_int_equal(erase(world, 4), STORE_NOT_FOUND);
    struct store_event event = get_number(world, 2);
    assert_slice(event.payload, "", 0);
    assert_slice(event.source, "crm", 3);
    assert_slice(event.type, "lead.created", 12);
    assert_int_equal(event.sequence, 2);
    assert_int_equal(event.created_at_us, NOON + 2 * SECOND);
    assert_int_equal(event.acknowledged_at_us, 0);
    assert_true(get_number(world, 1).payload.size > 0);
    struct store_list inbox =
        list_page(world, (struct store_list){.oldest_first = true, .limit = 10});
    assert_int_equal(inbox.count, 3);
    assert_slice(inbox.events[1].payload, "", 0);
    struct store_item ack = ack_numbered(2, NOON + 9 * SECOND);
    ack_items(world, &ack, 1);
    assert_int_equal(ack.outcome, STORE_DONE);
    assert_int_equal(erase(world, 2), STORE_REPEATED);
    assert_int_equal(get_number(world, 2).acknowledged_at_us, NOON + 9 * SECOND);
}

/* Whatever its payload is: nobody can tell any more. */
static void a_create_is_repeated(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    assert_int_equal(erase(world, 1), STORE_DONE);
    struct store_item again = marked(1), other = event_numbered(1);
    append_items(world, &again, 1);
    assert_int_equal(again.outcome, STORE_REPEATED);
    assert_int_equal(again.event.sequence, 1);
    other.event.type = slice_of("lead.removed");
    append_items(world, &other, 1);
    assert_int_equal(other.outcome, STORE_CONFLICT);
    assert_slice(get_number(world, 1).payload, "", 0);
}

static void a_batch_may_erase_what_it_appends(void **state)
{
    struct world *world = *state;
    struct store_item append = marked(1);
    struct store_item rest[] = {erase_numbered(1), ack_numbered(1, NOON + 5 * SECOND),
                                erase_numbered(1), erase_numbered(2)};
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, &append, 1, rest, 4, &status), STORE_OK);
    assert_int_equal(append.outcome, STORE_DONE);
    assert_int_equal(rest[0].outcome + rest[2].outcome, STORE_DONE + STORE_REPEATED);
    assert_int_equal(rest[1].outcome, STORE_DONE);
    assert_int_equal(rest[3].outcome, STORE_NOT_FOUND);
    assert_slice(get_number(world, 1).payload, "", 0);
}

static void many_at_once(void **state)
{
    struct world *world = *state;
    struct store_item erases[300];
    append_up_to(world, 1, 300);
    for (uint32_t i = 0; i < 300; i++)
        erases[i] = erase_numbered(1 + i * 7 % 300);
    ack_items(world, erases, 300);
    for (uint32_t i = 0; i < 300; i++)
        assert_int_equal(erases[i].outcome, STORE_DONE);
    assert_int_equal(database_number(world->url, "select count(*) from events where"
                                                 " length(payload) > 0 or erased_at is null"),
                     0);
}

static bool file_has(const char *path, const char *mark)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, size, file), size);
    fclose(file);
    bool found = memmem(bytes, size, mark, strlen(mark)) != NULL;
    free(bytes);
    return found;
}

static void close_sessions(struct world *world)
{
    world->store->driver->session_close(world->reader);
    world->store->driver->session_close(world->writer);
    world->writer = world->reader = NULL;
}

static void the_file_has_it_no_more(void **state)
{
    struct world *world = *state;
    if (database_is_postgres())
        skip(); /* until the next vacuum */
    const char *path = world->url + strlen("sqlite:///");
    char *large = malloc(LARGE);
    assert_non_null(large);
    for (size_t i = 0; i < LARGE; i++)
        large[i] = "d0a9-very-large "[i % 16];
    struct store_item appends[] = {event_numbered(1), marked(2), marked(3), event_numbered(4)};
    appends[3].event.payload = (struct slice){large, LARGE};
    append_items(world, appends, 4);
    append_up_to(world, 5, 3000); /* so that pages are split */
    close_sessions(world);        /* which empties the write-ahead log */
    assert_true(file_has(path, "d0a9-very-private") && file_has(path, "d0a9-very-large"));
    reopen(world);
    for (uint32_t i = 2; i <= 4; i++)
        assert_int_equal(erase(world, i), STORE_DONE);
    close_sessions(world);
    assert_false(file_has(path, "d0a9-very-private"));
    assert_false(file_has(path, "d0a9-very-large"));
    reopen(world);
    free(large);
}

int run_erase_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(the_payload_goes_and_the_rest_stays),
        WORLD_TEST(a_create_is_repeated),
        WORLD_TEST(a_batch_may_erase_what_it_appends),
        WORLD_TEST(many_at_once),
        WORLD_TEST(the_file_has_it_no_more),
    };
    return cmocka_run_group_tests_name("erase", tests, NULL, NULL);
}
