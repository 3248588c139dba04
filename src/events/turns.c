/* Three levels of lists, and in each tenant one of clients that come before the turns. */
#include "events/turns.h"

#include <stdlib.h>

#include "base/check.h"

#define SHARE 4 /* times what is left free */

size_t turn_cost(const struct op *op, size_t items)
{
    CHECK(op->items > 0 && items <= op->items);
    return items + op->bytes / op->items * items / TURN_BYTES;
}

/* ---- who holds what ---- */

static struct turn *find_or_add(struct turns *turns, struct turn *parent, uint64_t key)
{
    uint64_t mixed = (key + parent->key * 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
    struct turn **bucket = &turns->buckets[mixed >> 32 & (TURN_BUCKETS - 1)];
    for (struct turn *turn = *bucket; turn; turn = turn->chain) {
        if (turn->key == key && turn->parent == parent)
            return turn;
    }
    struct turn *turn = turns->unused;
    if (turn)
        turns->unused = turn->chain;
    else
        turn = &turns->memory[turns->used++];
    CHECK(turns->used <= turns->count);
    *turn = (struct turn){
        .parent = parent, .bucket = bucket, .chain = *bucket, .key = key, .credit = TURN_LITTLE};
    turn->last = &turn->first;
    TAILQ_INIT(&turn->ring);
    TAILQ_INIT(&turn->fresh);
    turn->fresh_at = turns->fresh_count;
    *bucket = turn;
    return turn;
}

/* Frees the client, then its connection, and then its tenant, if it has no operations left. */
static void drop_if_idle(struct turns *turns, struct turn *client)
{
    for (struct turn *turn = client; turn->parent && turn->held.count == 0; turn = turn->parent) {
        CHECK(turn->held.bytes == 0 && !turn->first);
        CHECK(TAILQ_EMPTY(&turn->ring) && TAILQ_EMPTY(&turn->fresh));
        CHECK(!turn->listed);
        if (turns->current == turn)
            turns->current = NULL;
        struct turn **place = turn->bucket;
        while (*place != turn)
            place = &(*place)->chain;
        *place = turn->chain;
        turn->chain = turns->unused;
        turns->unused = turn;
    }
}

/* How much of `room` one that already holds `held` may take. */
static size_t share_of(size_t room, size_t held)
{
    size_t share = SHARE * room > held ? SHARE * room - held : 0;
    return share < room ? share : room;
}

/* Operations and bytes are limited in the same way: a connection's share of what the lane has left,
 * and the client's share of that. */
static bool has_room(const struct turns *turns, const struct turn *client, const struct op *op)
{
    const struct held *held = &turns->all.held;
    const struct turn *connection = client->parent;
    CHECK(held->count <= turns->max.count && held->bytes <= turns->max.bytes);
    size_t count = turns->max.count - held->count, bytes = turns->max.bytes - held->bytes;
    if (turns->several && (share_of(count, connection->parent->held.count) < 1 ||
                           share_of(bytes, connection->parent->held.bytes) < op->bytes))
        return false;
    count = share_of(count, connection->held.count);
    bytes = share_of(bytes, connection->held.bytes);
    return share_of(count, client->held.count) >= 1 &&
           share_of(bytes, client->held.bytes) >= op->bytes;
}

/* ---- turns ---- */

static void insert(struct turn_list *list, struct turn *turn, bool first)
{
    if (first)
        TAILQ_INSERT_HEAD(list, turn, place);
    else
        TAILQ_INSERT_TAIL(list, turn, place);
}

/* Its turn is over: the first goes to the end. */
static void go_last(struct turn_list *list, struct turn *turn)
{
    CHECK(TAILQ_FIRST(list) == turn);
    TAILQ_REMOVE(list, turn, place);
    TAILQ_INSERT_TAIL(list, turn, place);
}

/* The tenant of a client. */
static struct turn *tenant_of(const struct turn *client)
{
    struct turn *tenant = client->parent->parent;
    CHECK(tenant && tenant->parent && !tenant->parent->parent);
    return tenant;
}

/* A client of the tenant waits; or none does, perhaps. */
static void list_tenant(struct turns *turns, struct turn *tenant)
{
    bool waits = !TAILQ_EMPTY(&tenant->ring) || !TAILQ_EMPTY(&tenant->fresh);
    if (waits && !tenant->listed)
        TAILQ_INSERT_TAIL(&turns->all.ring, tenant, place);
    else if (!waits && tenant->listed)
        TAILQ_REMOVE(&turns->all.ring, tenant, place);
    tenant->listed = waits;
}

/* Puts the client among those of its connection that take turns, and the connection among those of
 * its tenant, unless it is there: as the first, or the last. */
static void take_turns(struct turns *turns, struct turn *client, bool first)
{
    struct turn *connection = client->parent;
    CHECK(connection && client->first);
    if (TAILQ_EMPTY(&connection->ring))
        insert(&connection->parent->ring, connection, first);
    insert(&connection->ring, client, first);
    client->listed = true;
    turns->queued++;
    list_tenant(turns, tenant_of(client));
}

/* The one that had no batch for clients alone that come before the turns for longest; NULL: no such
 * client waits. */
static struct turn *next_fresh_tenant(struct turns *turns)
{
    struct turn *next = NULL, *at;
    if (turns->fresh == 0)
        return NULL;
    TAILQ_FOREACH(at, &turns->all.ring, place)
    {
        if (!TAILQ_EMPTY(&at->fresh) && (!next || at->fresh_at < next->fresh_at))
            next = at;
    }
    CHECK(next);
    next->fresh_at = ++turns->fresh_count;
    return next;
}

/* The operation of the first client that can afford it; those before it miss their turns, and each
 * gets its credit. Somebody takes turns. */
static struct op *next_in_turns(struct turn *tenant)
{
    for (;;) {
        struct turn *connection = TAILQ_FIRST(&tenant->ring);
        struct turn *client = TAILQ_FIRST(&connection->ring);
        size_t cost = turn_cost(client->first, client->first->items - client->first->first);
        if (client->credit < cost) {
            client->credit += TURN_LITTLE;
            go_last(&connection->ring, client);
        } else if (connection->credit < cost) {
            connection->credit += TURN_LITTLE;
            go_last(&tenant->ring, connection);
        } else {
            return client->first;
        }
    }
}

/* ---- the queue ---- */

bool turns_init(struct turns *turns, struct held max)
{
    /* Every operation may belong to a client, connection and tenant of its own; three more are for
     * finding out whether there is room. */
    size_t count = 3 * max.count + 3;
    *turns = (struct turns){.max = max, .count = count};
    TAILQ_INIT(&turns->all.ring);
    turns->memory = calloc(count, sizeof(*turns->memory));
    return turns->memory != NULL;
}

void turns_fini(struct turns *turns)
{
    CHECK(turns->waiting == 0 && turns->all.held.count == 0 && turns->all.held.bytes == 0);
    free(turns->memory);
}

bool turns_add(struct turns *turns, struct op *op)
{
    CHECK(op->items > 0 && op->first == 0);
    struct turn *tenant = find_or_add(turns, &turns->all, (uint64_t)op->scope.tenant);
    struct turn *connection = find_or_add(turns, tenant, op->caller.connection);
    struct turn *client = find_or_add(turns, connection, op->caller.client);
    turns->several = turns->several || op->scope.tenant != 0;
    if (!has_room(turns, client, op)) {
        drop_if_idle(turns, client);
        return false;
    }
    CHECK(client);
    for (struct turn *turn = client; turn; turn = turn->parent) {
        turn->held.count++;
        turn->held.bytes += op->bytes;
    }
    op->next = NULL;
    op->turn = client;
    *client->last = op;
    client->last = &op->next;
    turns->waiting++;
    CHECK(turns->waiting <= turns->all.held.count);
    if (client->listed)
        return true;
    TAILQ_INSERT_TAIL(&tenant->fresh, client, place);
    turns->fresh++;
    client->listed = true;
    list_tenant(turns, tenant);
    return true;
}

/* Who came during the tenant's batch has a turn before it. */
void turns_begin(struct turns *turns)
{
    struct turn *first = TAILQ_FIRST(&turns->all.ring);
    if (turns->in_turn && first && first == turns->current)
        go_last(&turns->all.ring, first);
    turns->current = NULL;
}

void turns_go_on(struct turns *turns, const struct op *op)
{
    turns->current = tenant_of(op->turn);
}

static void remove_fresh(struct turns *turns, struct turn *tenant, struct turn *client)
{
    CHECK(turns->fresh > 0 && TAILQ_FIRST(&tenant->fresh) == client);
    TAILQ_REMOVE(&tenant->fresh, client, place);
    turns->fresh--;
}

/* A fresh client that asks for more than little takes turns. */
struct op *turns_next(struct turns *turns, bool fresh_only)
{
    if (!turns->current) {
        turns->in_turn = !fresh_only;
        turns->current = fresh_only ? next_fresh_tenant(turns) : TAILQ_FIRST(&turns->all.ring);
    }
    struct turn *tenant = turns->current;
    while (tenant && !TAILQ_EMPTY(&tenant->fresh)) {
        struct turn *client = TAILQ_FIRST(&tenant->fresh);
        size_t cost = turn_cost(client->first, client->first->items - client->first->first);
        if (cost <= TURN_LITTLE && cost <= client->credit)
            return client->first;
        remove_fresh(turns, tenant, client);
        take_turns(turns, client, false);
    }
    return fresh_only || !tenant || TAILQ_EMPTY(&tenant->ring) ? NULL : next_in_turns(tenant);
}

void turns_take(struct turns *turns, struct op *op, size_t items)
{
    struct turn *client = op->turn;
    struct turn *connection = client->parent, *tenant = tenant_of(client);
    CHECK(client->first == op);
    CHECK(items > 0 && op->first + items <= op->items);
    size_t cost = turn_cost(op, items);
    for (struct turn *turn = client; turn->parent; turn = turn->parent)
        turn->credit -= cost < turn->credit ? cost : turn->credit; /* it may have come first */
    op->end = op->first + items;
    client->first = op->next;
    CHECK(turns->waiting > 0);
    turns->waiting--;
    if (client->first)
        return;
    client->last = &client->first;
    client->listed = false;
    if (TAILQ_FIRST(&tenant->fresh) == client) {
        remove_fresh(turns, tenant, client);
    } else {
        CHECK(TAILQ_FIRST(&tenant->ring) == connection && TAILQ_FIRST(&connection->ring) == client);
        TAILQ_REMOVE(&connection->ring, client, place);
        turns->queued--;
        if (TAILQ_EMPTY(&connection->ring))
            TAILQ_REMOVE(&tenant->ring, connection, place);
    }
    list_tenant(turns, tenant);
}

void turns_put_back(struct turns *turns, struct op *op)
{
    struct turn *client = op->turn;
    CHECK(op->end < op->items);
    op->first = op->end;
    op->next = client->first;
    if (!client->first)
        client->last = &op->next;
    client->first = op;
    turns->waiting++;
    CHECK(turns->waiting <= turns->all.held.count);
    if (!client->listed)
        take_turns(turns, client, true);
}

void turns_release(struct turns *turns, struct op *op)
{
    struct turn *client = op->turn;
    CHECK(client);
    for (struct turn *turn = client; turn; turn = turn->parent) {
        CHECK(turn->held.count > 0 && turn->held.bytes >= op->bytes);
        turn->held.count--;
        turn->held.bytes -= op->bytes;
    }
    drop_if_idle(turns, client);
}

struct op *turns_clear(struct turns *turns)
{
    struct op *ops = NULL;
    struct op **end = &ops;
    while (turns->waiting > 0) {
        turns_begin(turns);
        struct op *op = turns_next(turns, false);
        CHECK(op);
        turns_take(turns, op, op->items - op->first);
        turns_release(turns, op);
        *end = op;
        end = &op->next;
    }
    *end = NULL;
    CHECK(turns->fresh == 0 && turns->queued == 0 && TAILQ_EMPTY(&turns->all.ring));
    return ops;
}
