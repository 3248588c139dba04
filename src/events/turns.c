/* Two levels of rings, and one of clients that come before them. */
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
    *bucket = turn;
    return turn;
}

/* Frees the client, and then its connection, if it has no operations left. */
static void drop_if_idle(struct turns *turns, struct turn *client)
{
    for (struct turn *turn = client; turn->parent && turn->held.count == 0; turn = turn->parent) {
        CHECK(turn->held.bytes == 0 && !turn->first && !turn->ring && !turn->listed);
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
    size_t count = share_of(turns->max.count - held->count, connection->held.count);
    size_t bytes = share_of(turns->max.bytes - held->bytes, connection->held.bytes);
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

/* Takes out the first, which is `turn`. */
static void ring_remove_first(struct turn **ring, const struct turn *turn)
{
    CHECK(*ring && (*ring)->next == turn);
    if (turn == *ring)
        *ring = NULL;
    else
        (*ring)->next = turn->next;
}

/* Puts the client into its connection's ring, and the connection into that of all, unless it is
 * there. */
static void take_turns(struct turn *client, void (*add)(struct turn **ring, struct turn *turn))
{
    struct turn *connection = client->parent;
    CHECK(connection && client->first);
    if (!connection->ring)
        add(&connection->parent->ring, connection);
    add(&connection->ring, client);
    client->listed = true;
}

/* The operation of the first client that can afford it; those before it miss their turns, and each
 * gets its credit. Somebody takes turns. */
static struct op *next_in_turns(struct turns *turns)
{
    for (;;) {
        struct turn *connection = turns->all.ring->next;
        struct turn *client = connection->ring->next;
        size_t cost = turn_cost(client->first, client->first->items - client->first->first);
        if (client->credit < cost) {
            client->credit += TURN_LITTLE;
            connection->ring = client;
        } else if (connection->credit < cost) {
            connection->credit += TURN_LITTLE;
            turns->all.ring = connection;
        } else {
            return client->first;
        }
    }
}

/* ---- the queue ---- */

bool turns_init(struct turns *turns, struct held max)
{
    /* Every operation may belong to a client and connection of its own; two more are for finding
     * out whether there is room. */
    size_t count = 2 * max.count + 2;
    *turns = (struct turns){.max = max, .count = count};
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
    struct turn *connection = find_or_add(turns, &turns->all, op->caller.connection);
    struct turn *client = find_or_add(turns, connection, op->caller.client);
    if (!has_room(turns, client, op)) {
        drop_if_idle(turns, client);
        return false;
    }
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
    if (!client->listed)
        ring_add_last(&turns->fresh, client);
    client->listed = true;
    return true;
}

/* A fresh client that asks for more than little takes turns. */
struct op *turns_next(struct turns *turns, bool fresh_only)
{
    while (turns->fresh) {
        struct turn *client = turns->fresh->next;
        size_t cost = turn_cost(client->first, client->first->items - client->first->first);
        if (cost <= TURN_LITTLE && cost <= client->credit)
            return client->first;
        ring_remove_first(&turns->fresh, client);
        take_turns(client, ring_add_last);
    }
    return fresh_only || !turns->all.ring ? NULL : next_in_turns(turns);
}

void turns_take(struct turns *turns, struct op *op, size_t items)
{
    struct turn *client = op->turn;
    struct turn *connection = client->parent;
    CHECK(connection && client->first == op);
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
    if (turns->fresh && turns->fresh->next == client) {
        ring_remove_first(&turns->fresh, client);
        return;
    }
    ring_remove_first(&connection->ring, client);
    if (!connection->ring)
        ring_remove_first(&turns->all.ring, connection);
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
        take_turns(client, ring_add_first);
}

void turns_release(struct turns *turns, struct op *op)
{
    struct turn *client = op->turn;
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
    for (struct op *op; (op = turns_next(turns, false)); end = &op->next) {
        turns_take(turns, op, op->items - op->first);
        turns_release(turns, op);
        *end = op;
    }
    *end = NULL;
    CHECK(turns->waiting == 0 && !turns->fresh && !turns->all.ring);
    return ops;
}
