/* What belongs to one tenant is not there for another. */
#include <string.h>

#include "base/siphash.h"
#include "ledger_world.h"

#define OTHER ((struct scope){.tenant = 7})

static void ids_are_each_tenants_own(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 3);
    world->scope = OTHER;
    assert_false(has_number(world, 1));
    struct store_item appends[3] = {event_numbered(1), event_numbered(2), event_numbered(1)};
    appends[0].event.source = appends[2].event.source = slice_of("other");
    append_items(world, appends, 3);
    assert_int_equal(appends[0].outcome, STORE_DONE);
    assert_int_equal(appends[1].outcome, STORE_DONE);
    assert_int_equal(appends[2].outcome, STORE_REPEATED);
    assert_slice(get_number(world, 1).source, "other", 5);

    assert_int_equal(appends[0].event.sequence, 1); /* each tenant has its own log */
    assert_int_equal(appends[1].event.sequence, 2);
    assert_int_equal(appends[2].event.sequence, 1);
    assert_int_equal(get_number(world, 2).sequence, 2);

    world->scope = SCOPE_DEFAULT;
    assert_slice(get_number(world, 1).source, "crm", 3);
    append_items(world, appends, 2); /* compared with its own */
    assert_int_equal(appends[0].outcome, STORE_CONFLICT);
    assert_int_equal(appends[1].outcome, STORE_REPEATED);
}

static void an_acknowledgement_is_of_its_tenant(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 2);
    world->scope = OTHER;
    append_numbers(world, 1, 1);
    struct store_item acks[2] = {ack_numbered(1, NOON + 9 * SECOND),
                                 ack_numbered(2, NOON + 9 * SECOND)};
    ack_items(world, acks, 2);
    assert_int_equal(acks[0].outcome, STORE_DONE);
    assert_int_equal(acks[1].outcome, STORE_NOT_FOUND);

    world->scope = SCOPE_DEFAULT;
    assert_int_equal(get_number(world, 1).acknowledged_at_us, 0);
    assert_int_equal(get_number(world, 2).acknowledged_at_us, 0);
    struct store_item again = ack_numbered(1, NOON + 10 * SECOND);
    ack_items(world, &again, 1);
    assert_int_equal(again.outcome, STORE_DONE);
    world->scope = OTHER;
    ack_items(world, &again, 1);
    assert_int_equal(again.outcome, STORE_REPEATED);
    assert_int_equal(again.event.acknowledged_at_us, NOON + 9 * SECOND);
}

static void check_lists(struct world *world, uint32_t pending, uint32_t acknowledged)
{
    for (int i = 0; i < 8; i++) {
        struct store_list list = {.set = i & 1, .oldest_first = i & 2, .limit = i & 4 ? 100 : 10};
        assert_int_equal(list_page(world, list).count, i & 1 ? acknowledged : pending);
    }
    assert_int_equal(backlog_of(world).pending, pending);
}

static void lists_hold_one_tenants_events(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 4);
    world->scope = OTHER;
    check_lists(world, 0, 0);
    append_numbers(world, 3, 5);
    struct store_item acks[2] = {ack_numbered(3, NOON), ack_numbered(4, NOON)};
    ack_items(world, acks, 2);
    check_lists(world, 3, 2);
    assert_int_equal(backlog_of(world).oldest_created_at_us, NOON + 5 * SECOND);
    world->scope = SCOPE_DEFAULT;
    check_lists(world, 4, 0);
    assert_int_equal(backlog_of(world).oldest_created_at_us, NOON + SECOND);
}

/* ---- every operation, with what is another's ---- */

/* A hash of all that can be read of a tenant. */
struct digest {
    uint8_t key[SIPHASH_KEY_SIZE]; /* its first eight bytes are the hash of what came before */
};

static void add_bytes(struct digest *digest, const void *bytes, size_t size)
{
    uint64_t hash = siphash(digest->key, bytes ? bytes : "", size);
    memcpy(digest->key, &hash, sizeof(hash));
}

static void add_slice(struct digest *digest, struct slice slice)
{
    add_bytes(digest, slice.data, slice.size);
}

static void add_event(struct digest *digest, const struct store_event *event)
{
    int64_t numbers[] = {event->sequence, event->deliver_at_us, event->created_at_us,
                         event->acknowledged_at_us};
    add_bytes(digest, numbers, sizeof(numbers));
    add_bytes(digest, event->id, sizeof(event->id));
    add_slice(digest, event->source);
    add_slice(digest, event->type);
    add_slice(digest, event->payload);
    add_slice(digest, event->ordering_key);
}

static void add_entries(struct digest *digest, const struct store_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add_bytes(digest, &entries[i].number, sizeof(entries[i].number));
        add_bytes(digest, &entries[i].token, sizeof(entries[i].token));
        add_slice(digest, entries[i].body);
    }
}

static struct store_subscriptions subscriptions_of(struct world *world)
{
    struct store_subscriptions list = {.limit = 100, .arena = &world->arena};
    struct status status;
    assert_int_equal(
        world->store->driver->subscriptions(world->writer, world->scope, &list, &status), STORE_OK);
    return list;
}

static void add_subscription(struct world *world, struct digest *digest,
                             const struct store_subscription *subscription)
{
    add_bytes(digest, &subscription->id, sizeof(subscription->id));
    add_bytes(digest, &subscription->revision, sizeof(subscription->revision));
    add_slice(digest, subscription->name);
    add_slice(digest, subscription->settings);
    struct store_ledger ledger = read_whole(world, subscription->id);
    add_entries(digest, ledger.new_takes, ledger.new_take_count);
    add_entries(digest, ledger.new_settlements, ledger.new_settlement_count);
    struct store_dead_letters letters = dead_page(
        world, (struct store_dead_letters){.subscription = subscription->id, .limit = 100});
    for (size_t i = 0; i < letters.count; i++) {
        add_bytes(digest, &letters.letters[i].letter.sequence, sizeof(int64_t));
        add_event(digest, &letters.letters[i].event);
    }
}

static struct digest digest_of(struct world *world, struct scope scope)
{
    struct digest digest = {{0}};
    struct scope before = world->scope;
    world->scope = scope;
    struct store_list log = list_page(
        world, (struct store_list){.set = STORE_LOG, .oldest_first = true, .limit = 1000});
    for (size_t i = 0; i < log.count; i++)
        add_event(&digest, &log.events[i]);
    struct store_kinds kinds = kinds_page(world, 0, 100);
    for (size_t i = 0; i < kinds.count; i++) {
        add_slice(&digest, kinds.kinds[i].source);
        add_slice(&digest, kinds.kinds[i].type);
    }
    int64_t pending = backlog_of(world).pending;
    add_bytes(&digest, &pending, sizeof(pending));
    struct store_subscriptions list = subscriptions_of(world);
    for (size_t i = 0; i < list.count; i++)
        add_subscription(world, &digest, &list.subscriptions[i]);
    world->scope = before;
    return digest;
}

#define MINE ((struct scope){.tenant = 6})

/* Two blocks and more: kinds with the source's name, an ordering key, a deliver_at,
 * acknowledgements; and `subscriptions` subscriptions, of which the last, which is returned, has
 * entries and dead letters. */
static struct owner fill(struct world *world, struct scope scope, const char *source,
                         uint32_t first, int subscriptions)
{
    static const char *const names[] = {"one", "two", "three"};
    struct owner owner = {0};
    world->scope = scope;
    append_up_to(world, first, first + 599);
    struct store_item special[2] = {event_numbered(first + 600), event_numbered(first + 601)};
    special[0].event.ordering_key = slice_of("key");
    special[1].event.deliver_at_us = NOON;
    special[0].event.source = special[1].event.source = slice_of(source);
    append_items(world, special, 2);
    ack_up_to(world, first, first + 599, 2);
    for (int i = 0; i < subscriptions; i++)
        owner = make_subscription(world, names[i]);
    for (int i = 0; i < 4; i++)
        assert_int_equal(take_next(world, &owner), STORE_DONE);
    struct store_settlement settlement = next_settlement(&owner);
    const struct store_dead_letter dead = {.sequence = 2, .attempts = 1};
    settlement.dead = &dead;
    settlement.dead_count = 1;
    assert_int_equal(settle(world, &owner, &settlement), STORE_DONE);
    return owner;
}

/* Tries the events and the subscription of another as its own. */
static void try_events(struct world *world, uint32_t theirs)
{
    struct store_item acks[2] = {ack_numbered(theirs + 1, NOON), ack_numbered(theirs + 601, NOON)};
    ack_items(world, acks, 2);
    struct store_item erase = ack_numbered(theirs + 3, NOON);
    erase.kind = STORE_ERASE;
    ack_items(world, &erase, 1);
    assert_int_equal(acks[0].outcome, STORE_NOT_FOUND);
    assert_int_equal(acks[1].outcome, STORE_NOT_FOUND);
    assert_int_equal(erase.outcome, STORE_NOT_FOUND);
    assert_false(has_number(world, theirs + 1));
    /* Numbers that would be places of other tenants, if tenants and sequences were added up. */
    for (int64_t tenant = -8; tenant <= 8; tenant++) {
        struct store_get get = {.arena = &world->arena,
                                .sequence = tenant * (INT64_C(1) << 40) + 5};
        struct store_get *list[] = {&get};
        struct status status;
        if (tenant == 0)
            continue;
        assert_int_equal(world->store->driver->get(world->reader, world->scope, list, 1, &status),
                         STORE_OK);
        assert_int_equal(get.outcome, STORE_NOT_FOUND);
        for (int set = 0; set < 3 && tenant > 0; set++)
            for (int oldest_first = set == STORE_LOG; oldest_first < 2; oldest_first++) {
                struct store_list page =
                    list_page(world, (struct store_list){.set = (enum store_set)set,
                                                         .oldest_first = oldest_first,
                                                         .after = get.sequence,
                                                         .limit = 1000});
                for (size_t i = 0; i < page.count; i++)
                    assert_true(page.events[i].sequence <= 602);
            }
    }
}

static void try_subscription(struct world *world, struct owner theirs, const char *source)
{
    const struct store_driver *driver = world->store->driver;
    struct status status;
    struct owner owner = theirs;
    assert_int_equal(take_next(world, &owner), STORE_NOT_FOUND);
    struct store_settlement settlement = next_settlement(&owner);
    const int64_t sequences[] = {1, 2, (INT64_C(1) << 40) + 2};
    settlement.acknowledged = settlement.revived = sequences;
    settlement.acknowledged_count = settlement.revived_count = 3;
    assert_int_equal(settle(world, &owner, &settlement), STORE_NOT_FOUND);
    assert_int_equal(read_whole(world, theirs.id).outcome, STORE_NOT_FOUND);
    assert_int_equal(read_from(world, &theirs).outcome, STORE_NOT_FOUND);
    struct store_ledger_head head = head_of(world, theirs.id), from = {0};
    assert_int_equal(head.revision + head.take + head.settlement, 0);
    assert_int_equal(driver->ledger_trim(world->writer, world->scope, theirs.id, &from,
                                         (struct store_ledger_head){0, 3, 2}, &status),
                     STORE_OK);
    bool more = true;
    for (int i = 0; more; i++) {
        assert_true(i < 3);
        assert_int_equal(
            driver->subscription_remove(world->writer, world->scope, theirs.id, &more, &status),
            STORE_OK);
    }
    const int64_t letters[] = {2};
    for (int some = 0; some < 2; some++)
        assert_int_equal(
            dead_page(world, (struct store_dead_letters){.subscription = theirs.id,
                                                         .sequences = some ? letters : NULL,
                                                         .sequence_count = (size_t)some,
                                                         .limit = 10})
                .count,
            0);
    assert_int_equal(put_in(world, "three", "{}", theirs.revision).outcome, STORE_STALE);

    struct slice sources[] = {slice_of(source)};
    struct store_delayed delayed = {.until_us = INT64_MAX - 1,
                                    .to_sequence = INT64_MAX,
                                    .limit = 10,
                                    .max_bytes = SIZE_MAX,
                                    .arena = &world->arena,
                                    .filter = {.sources = sources, .source_count = 1}};
    assert_int_equal(driver->delayed(world->writer, world->scope, &delayed, &status), STORE_OK);
    assert_int_equal(delayed.count, 0);
    struct store_key_next key = {.key = store_key_of(slice_of("key"))};
    struct store_key_walk walk = {
        .keys = &key, .count = 1, .to = INT64_MAX, .filter = delayed.filter};
    assert_int_equal(driver->key_next(world->writer, world->scope, &walk, &status), STORE_OK);
    assert_int_equal(key.next, 0);
    assert_int_equal(list_page(world, (struct store_list){.set = STORE_LOG,
                                                          .oldest_first = true,
                                                          .limit = 10,
                                                          .filter = delayed.filter})
                         .count,
                     0);
    int64_t last = -1;
    assert_int_equal(driver->log_end(world->writer, world->scope, &last, &status), STORE_OK);
    assert_int_equal(last, 602);
}

static void nothing_of_another_tenant_is_seen_or_changed(void **state)
{
    struct world *world = *state;
    struct owner theirs[2] = {fill(world, SCOPE_DEFAULT, "theirs", 1, 3),
                              fill(world, OTHER, "theirs", 1, 3)};
    fill(world, MINE, "mine", 5001, 2);
    struct digest digests[2] = {digest_of(world, SCOPE_DEFAULT), digest_of(world, OTHER)};
    struct digest mine = digest_of(world, MINE);
    assert_memory_not_equal(&mine, &digests[0], sizeof(mine));
    world->scope = MINE;
    for (int i = 0; i < 2; i++) {
        try_events(world, 1);
        try_subscription(world, theirs[i], "theirs");
    }
    struct digest after = digest_of(world, MINE);
    assert_memory_equal(&after, &mine, sizeof(mine));

    /* Removing all that is acknowledged and pending, of one. */
    struct store_trim trim = {
        .acknowledged_before_us = INT64_MAX, .pending_before_us = INT64_MAX, .blocks = 10};
    struct status status;
    assert_int_equal(world->store->driver->trim(world->writer, MINE, &trim, &status), STORE_OK);
    assert_int_equal(trim.acknowledged + trim.pending, 255);
    for (int i = 0; i < 2; i++) {
        after = digest_of(world, i == 0 ? SCOPE_DEFAULT : OTHER);
        assert_memory_equal(&after, &digests[i], sizeof(after));
    }
}

int run_scope_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(ids_are_each_tenants_own),
        WORLD_TEST(an_acknowledgement_is_of_its_tenant),
        WORLD_TEST(lists_hold_one_tenants_events),
        WORLD_TEST(nothing_of_another_tenant_is_seen_or_changed),
    };
    return cmocka_run_group_tests_name("scope", tests, NULL, NULL);
}
