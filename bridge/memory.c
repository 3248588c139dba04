/* How the ceiling is divided was found by measuring: see tests/fault/README.md. */
#include "memory.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "loop.h"
#include "request.h"

/* The memory of a connection: what libmicrohttpd needs for it, and the small parts of one request.
 */
#define CONNECTION_COST (CONNECTION_MEMORY + 4096)

/* The most that an ordinary create holds. */
#define ORDINARY_REQUEST 8192

#define WAIT_MS 10000
#define WAIT_BEFORE_FORCE_MS 1000

void memory_init(struct memory *memory, size_t limit)
{
    CHECK(limit > PROGRAM_MEMORY);
    *memory = (struct memory){.ceiling = limit - (size_t)PROGRAM_MEMORY};
    memory->budget.ceiling = memory->ceiling;
    memory->core.budget = memory->others.share.budget = &memory->budget;
    pthread_mutex_init(&memory->mutex, NULL);
}

void memory_fini(struct memory *memory)
{
    CHECK(!memory->first && memory->budget.held == 0);
    pthread_mutex_destroy(&memory->mutex);
}

long memory_max_connections(const struct memory *memory)
{
    return (long)(memory->ceiling / 4 * 3 / CONNECTION_COST);
}

bool memory_is_full(struct memory *memory)
{
    return atomic_load(&memory->budget.held) + ORDINARY_REQUEST >
           atomic_load(&memory->budget.ceiling);
}

/* ---- addresses ---- */

static void read_address(const struct sockaddr_storage *peer, uint8_t bytes[16])
{
    memset(bytes, 0, 16);
    if (peer->ss_family == AF_INET6) {
        const struct in6_addr *address = &((const struct sockaddr_in6 *)peer)->sin6_addr;
        memcpy(bytes, address, IN6_IS_ADDR_V4MAPPED(address) ? 16 : 8);
    } else if (peer->ss_family == AF_INET) {
        bytes[10] = bytes[11] = 0xFF;
        memcpy(bytes + 12, &((const struct sockaddr_in *)peer)->sin_addr, 4);
    }
}

/* FNV-1a, 32 bits. */
static struct peer_address **bucket(struct memory *memory, const uint8_t bytes[16])
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < 16; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return &memory->addresses[hash % (sizeof(memory->addresses) / sizeof(memory->addresses[0]))];
}

/* Called with the lock held. NULL without memory. */
static struct peer_address *find_address(struct memory *memory, const uint8_t bytes[16])
{
    struct peer_address **first = bucket(memory, bytes);
    struct peer_address *address = *first;
    while (address && memcmp(address->bytes, bytes, 16) != 0)
        address = address->next;
    if (address || !(address = calloc(1, sizeof(*address))))
        return address;
    address->share.budget = &memory->budget;
    memcpy(address->bytes, bytes, 16);
    address->next = *first;
    *first = address;
    return address;
}

struct budget_share *memory_join(struct memory *memory, const struct sockaddr_storage *peer)
{
    uint8_t bytes[16];
    read_address(peer, bytes);
    CHECK(atomic_fetch_sub(&memory->budget.ceiling, CONNECTION_COST) >= CONNECTION_COST);
    pthread_mutex_lock(&memory->mutex);
    struct peer_address *address = find_address(memory, bytes);
    if (address)
        address->connections++;
    pthread_mutex_unlock(&memory->mutex);
    return address ? &address->share : &memory->others.share;
}

void memory_leave(struct memory *memory, struct budget_share *share)
{
    CHECK(atomic_fetch_add(&memory->budget.ceiling, CONNECTION_COST) <=
          memory->ceiling - CONNECTION_COST);
    if (share == &memory->others.share)
        return;
    struct peer_address *address = (struct peer_address *)share;
    pthread_mutex_lock(&memory->mutex);
    CHECK(address->connections > 0);
    if (--address->connections == 0) {
        CHECK(address->share.held == 0);
        struct peer_address **link = bucket(memory, address->bytes);
        while (*link != address) {
            CHECK(*link);
            link = &(*link)->next;
        }
        *link = address->next;
        free(address);
    }
    pthread_mutex_unlock(&memory->mutex);
}

/* ---- those that wait; called with the lock held ---- */

/* Sorted by age, so that a long request is served in the end. */
static void insert(struct memory *memory, struct request *request, size_t size, size_t spare)
{
    struct request **link = &memory->first;
    while (*link && (*link)->started_us <= request->started_us)
        link = &(*link)->room.next;
    CHECK(request->room.state == ROOM_UNASKED);
    request->room = (struct room){.state = ROOM_WAITED_FOR,
                                  .size = size,
                                  .spare = spare,
                                  .until_ms = clock_monotonic_ms() + WAIT_MS,
                                  .next = *link};
    *link = request;
}

/* Takes the request out of the list. From then on it belongs to its loop. */
static void end_wait(struct request **link, enum room_state state)
{
    struct request *request = *link;
    CHECK(request->room.state == ROOM_WAITED_FOR && state != ROOM_WAITED_FOR);
    *link = request->room.next;
    request->room.state = state;
    loop_resume(request->peer);
}

/* A request that will be large does not count as small at first. */
static bool is_small(const struct request *request, size_t size)
{
    return request->charge.held + size <= BUDGET_SMALL &&
           headers_content_length(&request->headers) <= BUDGET_SMALL;
}

static bool add(struct request *request, size_t size, size_t spare)
{
    spare = is_small(request, size) ? 0 : spare;
    if (!charge_add(&request->charge, size + spare))
        return false;
    charge_release(&request->charge, spare);
    return true;
}

/* What is left, in one turn, for those that go on and for those that begin. */
struct leftover {
    bool none[2];
};

/* No request gets what an older one waits for, unless the older one is to begin and this one goes
 * on: nothing while there is not enough for the older one, and nothing for its address while that
 * address has its share. Small ones have a part of their own. */
static bool give(struct memory *memory, struct request *request, struct leftover *left)
{
    struct peer_address *address = (struct peer_address *)request->charge.share;
    const struct room *room = &request->room;
    bool small = is_small(request, room->size);
    int begins = room->spare > 0;
    for (int stage = 0; !small && stage <= begins; stage++) {
        if (left->none[stage] || address->passed_over[stage] == memory->turns)
            return false;
    }
    if (add(request, room->size, room->spare))
        return true;
    size_t held = memory->budget.held + room->size + room->spare;
    address->passed_over[begins] = small ? 0 : memory->turns;
    left->none[begins] = !small && held > memory->budget.ceiling / 4 * 3;
    return false;
}

static void serve(struct memory *memory)
{
    int64_t now_ms = clock_monotonic_ms();
    struct request **link = &memory->first;
    struct leftover left = {.none = {memory->favoured != NULL}};
    memory->turns++;
    while (*link) {
        if (give(memory, *link, &left))
            end_wait(link, ROOM_GIVEN);
        else if (now_ms >= (*link)->room.until_ms || memory->closed)
            end_wait(link, ROOM_DENIED);
        else
            link = &(*link)->room.next;
    }
    memory->wanted = memory->first ? memory->first->room.size : 0;
}

/* What would be free without it: what it holds, and the reply that it wants to turn into a text. */
static size_t kept_by(const struct request *request)
{
    CHECK(request->room.state == ROOM_WAITED_FOR);
    return request->charge.held + (request->reply ? request->room.size : 0);
}

/* The youngest, except the first, of those that hold more than a small amount. */
static struct request **find_youngest(struct memory *memory)
{
    struct request **found = NULL;
    CHECK(memory->first);
    struct request **link = &memory->first->room.next;
    for (; *link; link = &(*link)->room.next) {
        if (kept_by(*link) > BUDGET_SMALL)
            found = link;
    }
    return found;
}

static void send_youngest_away(struct memory *memory, size_t size)
{
    struct request **youngest;
    int64_t since_ms = memory->first->room.until_ms - WAIT_MS;
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

void memory_check(struct bridge *bridge)
{
    struct memory *memory = &bridge->memory;
    memory_serve(memory);
    size_t wanted = memory->wanted;
    size_t made = connections_make_room(&bridge->connections, wanted);
    pthread_mutex_lock(&memory->mutex);
    if (memory->first && made < wanted)
        send_youngest_away(memory, wanted - made);
    pthread_mutex_unlock(&memory->mutex);
}

static enum memory_result wait_for_room(struct request *request, size_t size, size_t spare)
{
    struct bridge *bridge = request->bridge; /* the request may soon belong to another thread */
    struct memory *memory = &bridge->memory;
    pthread_mutex_lock(&memory->mutex);
    bool waits = !memory->closed;
    if (waits) {
        loop_suspend(request->peer);
        insert(memory, request, size, spare);
        serve(memory);
    }
    pthread_mutex_unlock(&memory->mutex);
    if (waits)
        connections_make_room(&bridge->connections, size);
    else
        atomic_fetch_add(&memory->refused, 1);
    return waits ? MEMORY_WAITS : MEMORY_REFUSED;
}

enum memory_result memory_take(struct request *request, size_t size, size_t spare)
{
    struct memory *memory = &request->bridge->memory;
    struct room *room = &request->room;
    enum room_state state = room->state;
    CHECK(state != ROOM_WAITED_FOR && size > 0);
    room->state = ROOM_UNASKED;
    if (state == ROOM_GIVEN && room->size == size)
        return MEMORY_TAKEN;
    if (state == ROOM_GIVEN)
        charge_release(&request->charge, room->size);
    if (state == ROOM_DENIED) {
        atomic_fetch_add(&memory->refused, 1);
        return MEMORY_REFUSED;
    }
    bool queue = memory->wanted > 0 || memory->favoured;
    if ((is_small(request, size) || !queue) && add(request, size, spare))
        return MEMORY_TAKEN;
    return wait_for_room(request, size, spare);
}

void memory_favour(struct request *request)
{
    request->bridge->memory.favoured = request;
}

void memory_unfavour(struct request *request)
{
    const struct request *favoured = request;
    if (atomic_compare_exchange_strong(&request->bridge->memory.favoured, &favoured, NULL))
        memory_serve(&request->bridge->memory);
}

void memory_close(struct memory *memory)
{
    pthread_mutex_lock(&memory->mutex);
    memory->closed = true;
    serve(memory);
    pthread_mutex_unlock(&memory->mutex);
}
