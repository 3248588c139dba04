/* Two levels of rings, and a list of clients that come before them. */
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

static struct turn **find(struct turns *turns, const struct turn *connection, uint64_t key)
{
    uint64_t mixed = key + (connection ? connection->key + 1 : 0) * 0x9E3779B97F4A7C15u;
    mixed *= 0xD6E8FEB86659FD93u;
    struct turn **place = &turns->buckets[mixed >> 32 & (TURN_BUCKETS - 1)];
    while (*place && ((*place)->key != key || (*place)->connection != connection))
        place = &(*place)->chain;
    return place;
}

static struct turn *find_or_add(struct turns *turns, struct turn *connection, uint64_t key)
{
    struct turn **place = find(turns, connection, key);
    if (*place)
        return *place;
    struct turn *turn = turns->unused;
    if (turn)
        turns->unused = turn->chain;
    else
        turn = &turns->memory[turns->used++];
    CHECK(turns->used <= turns->count);
    *turn = (struct turn){.connection = connection, .key = key, .credit = TURN_LITTLE};
    turn->last = &turn->first;
    *place = turn;
    return turn;
}

/* Frees the turn if it has no operations left. */
static void drop_if_idle(struct turns *turns, struct turn *turn)
{
    if (turn->held.count > 0)
        return;
    CHECK(turn->held.bytes == 0 && !turn->first && !turn->ring && !turn->listed);
    struct turn **place = find(turns, turn->connection, turn->key);
    CHECK(*place == turn);
    *place = turn->chain;
    turn->chain = turns->unused;
    turns->unused = turn;
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
    const struct turn *connection = client->connection;
    CHECK(turns->held.count <= turns->max.count && turns->held.bytes <= turns->max.bytes);
    size_t count = share_of(turns->max.count - turns->held.count, connection->held.count);
    size_t bytes = share_of(turns->max.bytes - turns->held.bytes, connection->held.bytes);
    return share_of(count, client->held.count) >= 1 &&
           share_of(bytes, client->held.bytes) >= op->bytes;
}

/* ---- turns ---- */

static void ring_add_last(struct turn **ring, struct turn *turn)
{
    turn->next = *ring ? (*ring)->next : turn;
    if (*ring)
        (*ring)->next = turn;
    *ring = turn;
}

static void ring_add_first(struct turn **ring, struct turn *turn)
{
    struct turn *last = *ring;
    ring_add_last(ring, turn);
    if (last)
        *ring = last;
}

static void ring_remove_first(struct turn **ring)
{
    CHECK(*ring);
    struct turn *first = (*ring)->next;
    if (first == *ring)
        *ring = NULL;
    else
        (*ring)->next = first->next;
}

static void take_turns(struct turns *turns, struct turn *client,
                       void (*add)(struct turn **ring, struct turn *turn))
{
    struct turn *connection = client->connection;
    CHECK(connection && client->first);
    if (!connection->ring)
        add(&turns->ring, connection);
    add(&connection->ring, client);
    client->listed = true;
}

static struct turn *take_fresh(struct turns *turns)
{
    struct turn *client = turns->fresh;
    CHECK(client);
    turns->fresh = client->next;
    if (!turns->fresh)
        turns->fresh_last = &turns->fresh;
    return client;
}

/* The first client that can afford its operation; those before it miss their turns, and each gets
 * its credit. */
static struct turn *next_in_turns(struct turns *turns)
{
    while (turns->ring) {
        struct turn *connection = turns->ring->next;
        struct turn *client = connection->ring->next;
        size_t cost = turn_cost(client->first, client->first->items - client->first->first);
        if (client->credit < cost) {
            client->credit += TURN_LITTLE;
            connection->ring = client;
        } else if (connection->credit < cost) {
            connection->credit += TURN_LITTLE;
            turns->ring = connection;
        } else {
            return client;
        }
    }
    return NULL;
}

/* The first of those that come before the turns; a client that asks for more than little takes
 * turns. */
static struct turn *next_fresh(struct turns *turns)
{
    while (turns->fresh) {
        struct turn *client = turns->fresh;
        size_t cost = turn_cost(client->first, client->first->items - client->first->first);
        if (cost <= TURN_LITTLE && cost <= client->credit)
            return client;
        take_turns(turns, take_fresh(turns), ring_add_last);
    }
    return NULL;
}

/* Takes a client without waiting operations out of its list, of which it is the first. */
static void unlist(struct turns *turns, struct turn *client)
{
    struct turn *connection = client->connection;
    CHECK(client->listed && !client->first);
    client->listed = false;
    if (turns->fresh == client) {
        take_fresh(turns);
        return;
    }
    CHECK(connection && connection->ring && connection->ring->next == client);
    CHECK(turns->ring && turns->ring->next == connection);
    ring_remove_first(&connection->ring);
    if (!connection->ring)
        ring_remove_first(&turns->ring);
}

/* ---- the queue ---- */

bool turns_init(struct turns *turns, struct held max)
{
    /* Every operation may belong to a client and connection of its own; two more are for finding
     * out whether there is room. */
    size_t count = 2 * max.count + 2;
    *turns = (struct turns){.max = max, .count = count};
    turns->memory = calloc(count, sizeof(*turns->memory));
    turns->fresh_last = &turns->fresh;
    return turns->memory != NULL;
}

void turns_fini(struct turns *turns)
{
    CHECK(turns->waiting == 0 && turns->held.count == 0 && turns->held.bytes == 0);
    free(turns->memory);
}

static void add_fresh(struct turns *turns, struct turn *client)
{
    client->next = NULL;
    client->listed = true;
    *turns->fresh_last = client;
    turns->fresh_last = &client->next;
}

bool turns_add(struct turns *turns, struct op *op)
{
    CHECK(op->items > 0 && op->first == 0);
    struct turn *connection = find_or_add(turns, NULL, op->caller.connection);
    struct turn *client = find_or_add(turns, connection, op->caller.client);
    if (!has_room(turns, client, op)) {
        drop_if_idle(turns, client);
        drop_if_idle(turns, connection);
        return false;
    }
    CHECK(connection);
    struct held *const holders[] = {&turns->held, &connection->held, &client->held};
    for (size_t i = 0; i < 3; i++) {
        holders[i]->count++;
        holders[i]->bytes += op->bytes;
    }
    op->next = NULL;
    op->turn = client;
    *client->last = op;
    client->last = &op->next;
    turns->waiting++;
    CHECK(turns->waiting <= turns->held.count && turns->held.count <= turns->max.count);
    if (!client->listed)
        add_fresh(turns, client);
    return true;
}

struct op *turns_next(struct turns *turns, bool fresh_only)
{
    struct turn *client = next_fresh(turns);
    if (!client && !fresh_only)
        client = next_in_turns(turns);
    return client ? client->first : NULL;
}

void turns_take(struct turns *turns, struct op *op, size_t items)
{
    struct turn *client = op->turn;
    CHECK(client->first == op && items > 0 && op->first + items <= op->items);
    size_t cost = turn_cost(op, items);
    for (struct turn *turn = client; turn; turn = turn->connection)
        turn->credit -= cost < turn->credit ? cost : turn->credit; /* it may have come first */
    op->end = op->first + items;
    client->first = op->next;
    CHECK(turns->waiting > 0);
    turns->waiting--;
    if (client->first)
        return;
    client->last = &client->first;
    unlist(turns, client);
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
    CHECK(turns->waiting <= turns->held.count);
    if (!client->listed)
        take_turns(turns, client, ring_add_first);
}

void turns_release(struct turns *turns, struct op *op)
{
    struct turn *client = op->turn;
    struct turn *connection = client->connection;
    CHECK(connection);
    struct held *const holders[] = {&turns->held, &connection->held, &client->held};
    for (size_t i = 0; i < 3; i++) {
        CHECK(holders[i]->count > 0 && holders[i]->bytes >= op->bytes);
        holders[i]->count--;
        holders[i]->bytes -= op->bytes;
    }
    drop_if_idle(turns, client);
    drop_if_idle(turns, connection);
}

struct op *turns_clear(struct turns *turns)
{
    struct op *ops = NULL;
    struct op **end = &ops;
    for (struct op *op; (op = turns_next(turns, false)); end = &op->next) {
        turns_take(turns, op, op->items - op->first);
        turns_release(turns, op);
        *end = op;
    }
    *end = NULL;
    CHECK(turns->waiting == 0 && !turns->fresh && !turns->ring);
    return ops;
}
