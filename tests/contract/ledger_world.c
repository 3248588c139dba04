/* Short forms of the operations on ledgers; see ledger_world.h. */
#include "ledger_world.h"

#include <string.h>

#define MAX_ENTRIES 100

struct store_put put_in(struct world *world, const char *name, const char *settings,
                        int64_t revision)
{
    struct store_put put = {
        .name = slice_of(name),
        .settings = slice_of(settings),
        .revision = revision,
        .checkpoint = slice_of("beginning"),
    };
    struct status status = STATUS_INIT;
    if (world->store->driver->subscription_put(world->writer, world->scope, &put, &status) !=
        STORE_OK)
        fail_msg("%s", status.message);
    return put;
}

struct owner make_subscription(struct world *world, const char *name)
{
    struct store_put put = put_in(world, name, "{}", 0);
    assert_int_equal(put.outcome, STORE_DONE);
    return (struct owner){
        .id = put.id, .revision = put.revision, .salt = 1000, .settlement = {.number = 1}};
}

/* In memory of its own for each entry that is under way. */
static struct slice make_body(uint64_t token, uint64_t before)
{
    static _Thread_local struct ledger_body bodies[MAX_ENTRIES];
    static _Thread_local size_t next;
    struct ledger_body *body = &bodies[next++ % MAX_ENTRIES];
    *body = (struct ledger_body){token, before};
    return (struct slice){(const char *)body, sizeof(*body)};
}

static struct store_entry next_entry(const struct owner *owner, struct store_entry_before before)
{
    uint64_t token = owner->salt << 32 | (uint64_t)(before.number + 1);
    return (struct store_entry){.token = token, .body = make_body(token, before.token)};
}

struct store_take next_take(const struct owner *owner)
{
    return (struct store_take){
        .subscription = owner->id,
        .revision = owner->revision,
        .before = owner->take,
        .entry = next_entry(owner, owner->take),
        .outcome = STORE_CONFLICT, /* none that a take may have */
    };
}

struct store_settlement next_settlement(const struct owner *owner)
{
    return (struct store_settlement){
        .subscription = owner->id,
        .revision = owner->revision,
        .before = owner->settlement,
        .entry = next_entry(owner, owner->settlement),
        .takes = -1,
    };
}

void take_several(struct world *world, struct store_take *takes, size_t count)
{
    struct store_take *list[MAX_ENTRIES];
    struct status status = STATUS_INIT;
    for (size_t i = 0; i < count; i++)
        list[i] = &takes[i];
    if (world->store->driver->take(world->writer, world->scope, list, count, &status) != STORE_OK)
        fail_msg("%s", status.message);
}

enum store_outcome take_next(struct world *world, struct owner *owner)
{
    struct store_take take = next_take(owner);
    take_several(world, &take, 1);
    if (take.outcome == STORE_DONE) {
        assert_int_equal(take.entry.number, owner->take.number + 1);
        owner->take = (struct store_entry_before){take.entry.number, take.entry.token};
    }
    return take.outcome;
}

void settle_several(struct world *world, struct store_settlement *settlements, size_t count,
                    enum store_outcome *outcomes)
{
    struct store_item items[MAX_ENTRIES];
    struct store_item *list[MAX_ENTRIES];
    struct store_write batch = {list, count};
    struct status status = STATUS_INIT;
    for (size_t i = 0; i < count; i++) {
        items[i] = (struct store_item){.kind = STORE_SETTLE, .settlement = &settlements[i]};
        store_settlement_id(&settlements[i], items[i].event.id);
        list[i] = &items[i];
    }
    if (world->store->driver->write(world->writer, world->scope, &batch, &status) != STORE_OK)
        fail_msg("%s", status.message);
    for (size_t i = 0; i < count; i++)
        outcomes[i] = items[i].outcome;
}

enum store_outcome settle(struct world *world, struct owner *owner,
                          struct store_settlement *settlement)
{
    enum store_outcome outcome;
    settle_several(world, settlement, 1, &outcome);
    if (outcome == STORE_DONE) {
        assert_int_equal(settlement->entry.number, owner->settlement.number + 1);
        owner->settlement =
            (struct store_entry_before){settlement->entry.number, settlement->entry.token};
    }
    return outcome;
}

enum store_outcome settle_next(struct world *world, struct owner *owner)
{
    struct store_settlement settlement = next_settlement(owner);
    return settle(world, owner, &settlement);
}

struct store_ledger read_from(struct world *world, const struct owner *owner)
{
    struct store_ledger ledger = {.subscription = owner->id,
                                  .takes = owner->take,
                                  .settlements = owner->settlement,
                                  .arena = &world->arena};
    struct status status = STATUS_INIT;
    if (world->store->driver->ledger(world->writer, world->scope, &ledger, &status) != STORE_OK)
        fail_msg("%s", status.message);
    assert_false(ledger.no_memory);
    return ledger;
}

struct store_ledger read_whole(struct world *world, int64_t subscription)
{
    return read_from(world, &(struct owner){.id = subscription});
}

struct store_ledger_head head_of(struct world *world, int64_t subscription)
{
    struct store_ledger_head head = {-1, -1, -1};
    struct store_ledger_heads heads = {&subscription, 1, &head};
    struct status status = STATUS_INIT;
    if (world->store->driver->ledger_heads(world->writer, world->scope, &heads, &status) !=
        STORE_OK)
        fail_msg("%s", status.message);
    return head;
}

struct store_dead_letters dead_page(struct world *world, struct store_dead_letters list)
{
    struct status status = STATUS_INIT;
    list.arena = list.arena ? list.arena : &world->arena;
    list.max_bytes = list.max_bytes ? list.max_bytes : SIZE_MAX;
    if (world->store->driver->dead_letters(world->writer, world->scope, &list, &status) != STORE_OK)
        fail_msg("%s", status.message);
    return list;
}

void let_entries_age(struct world *world)
{
    if (!database_is_postgres())
        return; /* one process writes at a time: nothing is kept */
    database_execute(world->url,
                     "update triggers.takes set written_at = written_at - interval '2 minutes';"
                     "update triggers.settlements"
                     "  set written_at = written_at - interval '2 minutes';"
                     "update triggers.subscriptions"
                     "  set removed_at = removed_at - interval '2 minutes'");
}
