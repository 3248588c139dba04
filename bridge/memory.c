/* The ceiling is divided by what was measured: see tests/fault/README.md. */
#include "memory.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "loop.h"
#include "request.h"

/* Code, threads, links to the core, and what malloc keeps of what it was given back. */
#define PROGRAM_MEMORY (12u << 20)

/* Of a connection: what libmicrohttpd needs for it, and the small things of one request. */
#define CONNECTION_COST (CONNECTION_MEMORY + 4096)

/* An ordinary create holds no more. */
#define ORDINARY_REQUEST 8192

#define WAIT_MS 3000

struct address {
    struct budget_share share; /* first */
    uint8_t bytes[16];         /* IPv6, of which IPv4 is a part (RFC 4291 section 2.5.5.2) */
    long connections;
    struct address *next;
};

void memory_init(struct memory *memory, size_t limit)
{
    *memory = (struct memory){.ceiling = limit - PROGRAM_MEMORY};
    memory->budget.ceiling = memory->ceiling;
    memory->core.budget = memory->others.budget = &memory->budget;
    memory->last = &memory->first;
    pthread_mutex_init(&memory->mutex, NULL);
}

void memory_fini(struct memory *memory)
{
    pthread_mutex_destroy(&memory->mutex);
}

long memory_max_connections(const struct memory *memory)
{
    return (long)(memory->ceiling / 2 / CONNECTION_COST);
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
static struct address **bucket(struct memory *memory, const uint8_t bytes[16])
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < 16; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return &memory->addresses[hash % (sizeof(memory->addresses) / sizeof(memory->addresses[0]))];
}

/* Lock held. NULL without memory. */
static struct address *find_address(struct memory *memory, const uint8_t bytes[16])
{
    struct address **first = bucket(memory, bytes);
    struct address *address = *first;
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
    atomic_fetch_sub(&memory->budget.ceiling, CONNECTION_COST);
    pthread_mutex_lock(&memory->mutex);
    struct address *address = find_address(memory, bytes);
    if (address)
        address->connections++;
    pthread_mutex_unlock(&memory->mutex);
    return address ? &address->share : &memory->others;
}

void memory_leave(struct memory *memory, struct budget_share *share)
{
    atomic_fetch_add(&memory->budget.ceiling, CONNECTION_COST);
    if (share == &memory->others)
        return;
    struct address *address = (struct address *)share;
    pthread_mutex_lock(&memory->mutex);
    if (--address->connections == 0) {
        assert(address->share.held == 0);
        struct address **link = bucket(memory, address->bytes);
        while (*link != address)
            link = &(*link)->next;
        *link = address->next;
        free(address);
    }
    pthread_mutex_unlock(&memory->mutex);
}

/* ---- who waits ---- */

/* Lock held, as in serve. */
static void append(struct memory *memory, struct request *request, size_t size)
{
    request->room = (struct room){
        .state = ROOM_WAITED_FOR, .size = size, .until_ms = clock_monotonic_ms() + WAIT_MS};
    *memory->last = request;
    memory->last = &request->room.next;
}

/* Each that fits is served, so that one whose address has its share does not hold up the others. */
static void serve(struct memory *memory)
{
    int64_t now_ms = clock_monotonic_ms();
    struct request **link = &memory->first;
    while (*link) {
        struct request *request = *link;
        struct room *room = &request->room;
        bool given = charge_add(&request->charge, room->size);
        if (!given && now_ms < room->until_ms && !memory->closed) {
            link = &room->next;
            continue;
        }
        *link = room->next;
        room->state = given ? ROOM_GIVEN : ROOM_DENIED;
        loop_resume(request->peer);
    }
    memory->last = link;
    memory->wanted = memory->first ? memory->first->room.size : 0;
}

void memory_serve(struct memory *memory)
{
    if (memory->wanted == 0)
        return;
    pthread_mutex_lock(&memory->mutex);
    serve(memory);
    pthread_mutex_unlock(&memory->mutex);
}

static enum memory_result wait_for_room(struct request *request, size_t size)
{
    struct bridge *bridge = request->bridge; /* the request is soon another's */
    struct memory *memory = &bridge->memory;
    pthread_mutex_lock(&memory->mutex);
    bool waits = !memory->closed;
    if (waits) {
        MHD_suspend_connection(request->connection);
        append(memory, request, size);
        serve(memory);
    }
    pthread_mutex_unlock(&memory->mutex);
    if (waits)
        connections_make_room(&bridge->connections, size);
    else
        atomic_fetch_add(&memory->refused, 1);
    return waits ? MEMORY_WAITS : MEMORY_REFUSED;
}

enum memory_result memory_take(struct request *request, size_t size)
{
    struct memory *memory = &request->bridge->memory;
    struct room *room = &request->room;
    enum room_state state = room->state;
    room->state = ROOM_UNASKED;
    if (state == ROOM_GIVEN && room->size == size)
        return MEMORY_TAKEN;
    if (state == ROOM_GIVEN)
        charge_release(&request->charge, room->size);
    if (state == ROOM_DENIED) {
        atomic_fetch_add(&memory->refused, 1);
        return MEMORY_REFUSED;
    }
    bool small = request->charge.held + size <= BUDGET_SMALL;
    if ((small || memory->wanted == 0) && charge_add(&request->charge, size))
        return MEMORY_TAKEN;
    return wait_for_room(request, size);
}

void memory_close(struct memory *memory)
{
    pthread_mutex_lock(&memory->mutex);
    memory->closed = true;
    serve(memory);
    pthread_mutex_unlock(&memory->mutex);
}
