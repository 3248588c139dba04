/* How the ceiling is divided was found by measuring: see tests/fault/README.md. */
#include "memory.h"

#include "base/check.h"
#include "base/clock.h"
#include "connections.h"
#include "loop.h"

/* The most that an ordinary create holds. */
#define ORDINARY_REQUEST 8192

#define WAIT_MS 10000
#define WAIT_BEFORE_FORCE_MS 1000

void memory_init(struct memory *memory, size_t limit, struct connections *connections)
{
    CHECK(limit > PROGRAM_MEMORY);
    *memory =
        (struct memory){.ceiling = limit - (size_t)PROGRAM_MEMORY, .connections = connections};
    memory->budget.ceiling = memory->ceiling;
    memory->core.budget = &memory->budget;
    pthread_mutex_init(&memory->mutex, NULL);
}

void memory_fini(struct memory *memory)
{
    CHECK(!memory->first && memory->budget.held == 0);
    pthread_mutex_destroy(&memory->mutex);
}

long memory_max_connections(const struct memory *memory)
{
    return (long)(memory->ceiling / 4 * 3 / memory->connections->cost);
}

bool memory_is_full(struct memory *memory)
{
    return atomic_load(&memory->budget.held) + ORDINARY_REQUEST >
           atomic_load(&memory->budget.ceiling);
}

/* ---- those that wait; called with the lock held ---- */

/* Sorted by age, so that a long request is served in the end. */
static void insert(struct memory *memory, struct room *room, size_t size, size_t spare)
{
    struct room **link = &memory->first;
    while (*link && (*link)->since_us <= room->since_us)
        link = &(*link)->next;
    CHECK(room->state == ROOM_UNASKED);
    room->state = ROOM_WAITED_FOR;
    room->size = size;
    room->spare = spare;
    room->until_ms = clock_monotonic_ms() + WAIT_MS;
    room->next = *link;
    *link = room;
}

/* Takes the request out of the list. From then on it belongs to its loop. */
static void end_wait(struct room **link, enum room_state state)
{
    struct room *room = *link;
    CHECK(room->state == ROOM_WAITED_FOR && state != ROOM_WAITED_FOR);
    *link = room->next;
    room->state = state;
    loop_resume(room->peer);
}

static bool is_small(const struct room *room, size_t size)
{
    return !room->large && room->charge->held + size <= BUDGET_SMALL;
}

static bool add(struct room *room, size_t size, size_t spare)
{
    spare = is_small(room, size) ? 0 : spare;
    if (!charge_add(room->charge, size + spare))
        return false;
    charge_release(room->charge, spare);
    return true;
}

/* What is left, in one turn, for those that go on and for those that begin. */
struct leftover {
    bool none[2];
};

/* No request gets what an older one waits for, unless the older one is to begin and this one goes
 * on: nothing while there is not enough for the older one, and nothing for its address while that
 * address has its share. Small ones have a part of their own. */
static bool give(struct memory *memory, struct room *room, struct leftover *left)
{
    struct peer_address *address = (struct peer_address *)room->charge->share;
    bool small = is_small(room, room->size);
    int begins = room->spare > 0;
    for (int stage = 0; !small && stage <= begins; stage++) {
        if (left->none[stage] || address->passed_over[stage] == memory->turns)
            return false;
    }
    if (add(room, room->size, room->spare))
        return true;
    size_t held = memory->budget.held + room->size + room->spare;
    address->passed_over[begins] = small ? 0 : memory->turns;
    left->none[begins] = !small && held > memory->budget.ceiling / 4 * 3;
    return false;
}

static void serve(struct memory *memory)
{
    int64_t now_ms = clock_monotonic_ms();
    struct room **link = &memory->first;
    struct leftover left = {.none = {memory->favoured != NULL}};
    memory->turns++;
    while (*link) {
        if (give(memory, *link, &left))
            end_wait(link, ROOM_GIVEN);
        else if (now_ms >= (*link)->until_ms || memory->closed)
            end_wait(link, ROOM_DENIED);
        else
            link = &(*link)->next;
    }
    memory->wanted = memory->first ? memory->first->size : 0;
}

/* What would be free without it: what it holds, and the reply that it wants to turn into a text. */
static size_t kept_by(const struct room *room)
{
    CHECK(room->state == ROOM_WAITED_FOR);
    return room->charge->held + (room->has_reply ? room->size : 0);
}

/* The youngest, except the first, of those that hold more than a small amount. */
static struct room **find_youngest(struct memory *memory)
{
    struct room **found = NULL;
    CHECK(memory->first);
    struct room **link = &memory->first->next;
    for (; *link; link = &(*link)->next) {
        if (kept_by(*link) > BUDGET_SMALL)
            found = link;
    }
    return found;
}

static void send_youngest_away(struct memory *memory, size_t size)
{
    struct room **youngest;
    int64_t since_ms = memory->first->until_ms - WAIT_MS;
    if (clock_monotonic_ms() - since_ms < WAIT_BEFORE_FORCE_MS)
        return;
    for (size_t made = 0; made < size && (youngest = find_youngest(memory)) != NULL;) {
        made += kept_by(*youngest);
        end_wait(youngest, ROOM_DENIED);
    }
}

/* ---- the interface; any thread ---- */

void memory_serve(struct memory *memory)
{
    if (memory->wanted == 0)
        return;
    pthread_mutex_lock(&memory->mutex);
    serve(memory);
    pthread_mutex_unlock(&memory->mutex);
}

void memory_check(struct memory *memory)
{
    memory_serve(memory);
    size_t wanted = memory->wanted;
    size_t made = connections_make_room(memory->connections, wanted);
    pthread_mutex_lock(&memory->mutex);
    if (memory->first && made < wanted)
        send_youngest_away(memory, wanted - made);
    pthread_mutex_unlock(&memory->mutex);
}

/* Once it is in the list, the room may belong to another thread. */
static enum memory_result wait_for_room(struct memory *memory, struct room *room, size_t size,
                                        size_t spare)
{
    pthread_mutex_lock(&memory->mutex);
    bool waits = !memory->closed;
    if (waits) {
        loop_suspend(room->peer);
        insert(memory, room, size, spare);
        serve(memory);
    }
    pthread_mutex_unlock(&memory->mutex);
    if (waits)
        connections_make_room(memory->connections, size);
    else
        atomic_fetch_add(&memory->refused, 1);
    return waits ? MEMORY_WAITS : MEMORY_REFUSED;
}

enum memory_result memory_take(struct memory *memory, struct room *room, size_t size, size_t spare)
{
    enum room_state state = room->state;
    CHECK(state != ROOM_WAITED_FOR && size > 0);
    room->state = ROOM_UNASKED;
    if (state == ROOM_GIVEN && room->size == size)
        return MEMORY_TAKEN;
    if (state == ROOM_GIVEN)
        charge_release(room->charge, room->size);
    if (state == ROOM_DENIED) {
        atomic_fetch_add(&memory->refused, 1);
        return MEMORY_REFUSED;
    }
    bool queue = memory->wanted > 0 || memory->favoured;
    if ((is_small(room, size) || !queue) && add(room, size, spare))
        return MEMORY_TAKEN;
    return wait_for_room(memory, room, size, spare);
}

void memory_favour(struct memory *memory, const struct room *room)
{
    memory->favoured = room;
}

void memory_unfavour(struct memory *memory, const struct room *room)
{
    const struct room *favoured = room;
    if (atomic_compare_exchange_strong(&memory->favoured, &favoured, NULL))
        memory_serve(memory);
}

void memory_close(struct memory *memory)
{
    pthread_mutex_lock(&memory->mutex);
    memory->closed = true;
    serve(memory);
    pthread_mutex_unlock(&memory->mutex);
}
