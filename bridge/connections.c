/* A list of those that wait, from the oldest to the newest, and a hash table of addresses. */
#include "connections.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

struct connection *connection_cast(void *pointer)
{
    struct connection *connection = pointer;
    CHECK(connection->magic == CONNECTION_MAGIC);
    return connection;
}

void connections_init(struct connections *connections, struct budget *budget)
{
    *connections = (struct connections){
        .budget = budget, .others.share.budget = budget, .cost = CONNECTION_COST};
    pthread_mutex_init(&connections->mutex, NULL);
}

void connections_fini(struct connections *connections)
{
    CHECK(connections->open == 0 && !connections->oldest && !connections->newest);
    pthread_mutex_destroy(&connections->mutex);
}

/* Called with the lock held, as the next two. */
static void unlink_waiting(struct connections *connections, struct connection *connection)
{
    if (!connection->waiting)
        return;
    CHECK((connection->older ? connection->older->newer : connections->oldest) == connection);
    CHECK((connection->newer ? connection->newer->older : connections->newest) == connection);
    connection->waiting = false;
    if (connection->older)
        connection->older->newer = connection->newer;
    else
        connections->oldest = connection->newer;
    if (connection->newer)
        connection->newer->older = connection->older;
    else
        connections->newest = connection->older;
}

static void append(struct connections *connections, struct connection *connection)
{
    CHECK(!connection->waiting);
    connection->waiting = true;
    connection->older = connections->newest;
    connection->newer = NULL;
    if (connection->older)
        connection->older->newer = connection;
    else
        connections->oldest = connection;
    connections->newest = connection;
}

static void prepend(struct connections *connections, struct connection *connection)
{
    CHECK(!connection->waiting);
    connection->waiting = true;
    connection->older = NULL;
    connection->newer = connections->oldest;
    if (connection->newer)
        connection->newer->older = connection;
    else
        connections->newest = connection;
    connections->oldest = connection;
}

/* Called with the lock held, as close_excess. The connection's loop notices and closes it. Only the
 * loop can encrypt the last words for its peer (NULL: none). */
static void tell_to_close(struct connections *connections, struct connection *connection,
                          const char *last_words)
{
    CHECK(!connection->closing);
    unlink_waiting(connections, connection);
    connection->closing = true;
    connections->closing++;
    bool encrypted = last_words && connection->tls.gnutls;
    if (encrypted)
        atomic_store(&connection->tls.last_words, last_words);
    else if (last_words)
        (void)!send(connection->socket, last_words, strlen(last_words),
                    MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(connection->socket, encrypted ? SHUT_RD : SHUT_RDWR);
}

/* Those that no loop has taken yet cannot be closed: they are when they wait. */
static void close_excess(struct connections *connections)
{
    while (connections->oldest && connections->open - connections->closing > connections->max)
        tell_to_close(connections, connections->oldest, NULL);
}

bool connections_full(struct connections *connections)
{
    pthread_mutex_lock(&connections->mutex);
    close_excess(connections);
    bool full = connections->open >= connections->max + connections->leaving;
    pthread_mutex_unlock(&connections->mutex);
    return full;
}

void connections_close_oldest(struct connections *connections)
{
    pthread_mutex_lock(&connections->mutex);
    if (connections->oldest)
        tell_to_close(connections, connections->oldest, NULL);
    pthread_mutex_unlock(&connections->mutex);
}

/* ---- addresses; called with the lock held ---- */

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
static struct peer_address **bucket(struct connections *connections, const uint8_t bytes[16])
{
    size_t count = sizeof(connections->addresses) / sizeof(connections->addresses[0]);
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < 16; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return &connections->addresses[hash % count];
}

/* NULL without memory. */
static struct peer_address *find_address(struct connections *connections, const uint8_t bytes[16])
{
    struct peer_address **first = bucket(connections, bytes);
    struct peer_address *address = *first;
    while (address && memcmp(address->bytes, bytes, 16) != 0)
        address = address->next;
    if (address || !(address = calloc(1, sizeof(*address))))
        return address;
    address->share.budget = connections->budget;
    memcpy(address->bytes, bytes, 16);
    address->next = *first;
    *first = address;
    return address;
}

/* The share of a connection's peer, until `leave`. */
static struct budget_share *join(struct connections *connections,
                                 const struct sockaddr_storage *peer)
{
    uint8_t bytes[16];
    read_address(peer, bytes);
    size_t cost = connections->cost;
    CHECK(atomic_fetch_sub(&connections->budget->ceiling, cost) >= cost);
    struct peer_address *address = find_address(connections, bytes);
    if (!address)
        address = &connections->others;
    address->connections++;
    return &address->share;
}

static void leave(struct connections *connections, struct budget_share *share)
{
    struct peer_address *address = (struct peer_address *)share;
    atomic_fetch_add(&connections->budget->ceiling, connections->cost);
    CHECK(address->connections > 0);
    if (--address->connections > 0 || address == &connections->others)
        return;
    CHECK(share->held == 0);
    struct peer_address **link = bucket(connections, address->bytes);
    while (*link != address) {
        CHECK(*link);
        link = &(*link)->next;
    }
    *link = address->next;
    free(address);
}

/* ---- from accepting to closing ---- */

static void set_name(struct connection *connection)
{
    char port[8];
    if (getnameinfo((const struct sockaddr *)&connection->address, connection->address_size,
                    connection->host, sizeof(connection->host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(connection->name, sizeof(connection->name), "%s:%s", connection->host, port);
    else
        connection->host[0] = '\0';
}

struct connection *connections_add(struct connections *connections, int socket,
                                   const struct sockaddr_storage *address, socklen_t size)
{
    struct connection *added = calloc(1, sizeof(*added));
    if (!added)
        return NULL;
    CHECK(socket >= 0 && size <= sizeof(*address));
    added->magic = CONNECTION_MAGIC;
    added->socket = socket;
    added->address = *address;
    added->address_size = size;
    set_name(added);
    pace_init(&added->pace, clock_monotonic_ms());
    pthread_mutex_lock(&connections->mutex);
    added->share = join(connections, address);
    connections->open++;
    close_excess(connections);
    pthread_mutex_unlock(&connections->mutex);
    return added;
}

void connections_remove(struct connections *connections, struct connection *connection)
{
    pthread_mutex_lock(&connections->mutex);
    CHECK(connections->open > 0 && connection->magic == CONNECTION_MAGIC);
    connections->open--;
    connections->closing -= connection->closing;
    CHECK(connections->closing >= 0 && connections->closing <= connections->open);
    unlink_waiting(connections, connection);
    leave(connections, connection->share);
    pthread_mutex_unlock(&connections->mutex);
    connection->magic = 0;
    free(connection);
}

void connections_set_waiting(struct connections *connections, struct connection *connection,
                             bool waiting)
{
    CHECK(connection->magic == CONNECTION_MAGIC);
    pthread_mutex_lock(&connections->mutex);
    unlink_waiting(connections, connection);
    if (waiting && !connection->closing)
        append(connections, connection);
    pthread_mutex_unlock(&connections->mutex);
}

void connections_set_spare(struct connections *connections, struct connection *connection)
{
    CHECK(connection->magic == CONNECTION_MAGIC);
    pthread_mutex_lock(&connections->mutex);
    unlink_waiting(connections, connection);
    if (!connection->closing)
        prepend(connections, connection);
    pthread_mutex_unlock(&connections->mutex);
}

/* ---- slow peers ---- */

/* Called with the lock held. */
static void close_slow(struct connections *connections, struct connection *connection, bool late)
{
    tell_to_close(connections, connection, pace_last_words(&connection->pace, late));
}

void connections_check(struct connections *connections)
{
    pthread_mutex_lock(&connections->mutex);
    int64_t now_ms = clock_monotonic_ms();
    struct connection *connection = connections->oldest;
    while (connection) {
        struct connection *newer = connection->newer;
        if (pace_is_late(&connection->pace, connection->socket, now_ms, connections->patience_ms)) {
            close_slow(connections, connection, true);
            atomic_fetch_add(&connections->late, 1);
        }
        connection = newer;
    }
    pthread_mutex_unlock(&connections->mutex);
}

/* Called with the lock held. */
static struct connection *find_slowest(const struct connections *connections)
{
    struct connection *slowest = NULL;
    uint64_t lowest = PACE_UNKNOWN;
    for (struct connection *each = connections->oldest; each; each = each->newer) {
        uint64_t rate = pace_rate(&each->pace);
        if (each->pace.held > BUDGET_SMALL && rate < lowest) {
            slowest = each;
            lowest = rate;
        }
    }
    return slowest;
}

size_t connections_make_room(struct connections *connections, size_t size)
{
    struct connection *slowest;
    size_t made = 0;
    pthread_mutex_lock(&connections->mutex);
    while (made < size && (slowest = find_slowest(connections)) != NULL) {
        made += slowest->pace.held;
        close_slow(connections, slowest, false);
        atomic_fetch_add(&connections->for_room, 1);
    }
    pthread_mutex_unlock(&connections->mutex);
    return made;
}
