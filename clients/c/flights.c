/* The table of calls in flight, the lists in which they wait, and their moves between these. Each
 * public function is one step: it takes the lock, and sends after releasing it. */
#include "flights.h"

#include "base/check.h"
#include "base/clock.h"

/* A call that finds no connection waits this long for one if it is impatient. */
#define CONNECT_WAIT_MS 1000

/* A repeatable call is sent again after this long without an answer, if there is another peer and
 * its method does not wait. Sending more often would only burden a slow core. */
#define RESEND_MS 5000

/* A connection that is silent for this long, with a call that got no answer, is dead: a core
 * answers every call by its deadline, if only with an error. nng does not notice a peer that
 * vanished without closing, and would send it call after call. */
#define SILENCE_MS 1000

/* ---- the lists and the table; all called with the lock held ---- */

static void flight_move(struct flight *flight, enum flight_phase to)
{
    static const unsigned allowed[] = {
        [FLIGHT_OWNED] =
            1u << FLIGHT_WAITING | 1u << FLIGHT_SENT | 1u << FLIGHT_PAUSED | 1u << FLIGHT_ENDED,
        [FLIGHT_WAITING] = 1u << FLIGHT_OWNED,
        [FLIGHT_SENT] = 1u << FLIGHT_OWNED,
        [FLIGHT_PAUSED] = 1u << FLIGHT_OWNED,
        [FLIGHT_ENDED] = 0,
    };
    CHECK(flight->magic == FLIGHT_MAGIC);
    CHECK(allowed[flight->phase] & 1u << to);
    flight->phase = to;
}

static void list_append(struct flight_list *list, struct flight *flight)
{
    flight->previous = list->last;
    flight->next = NULL;
    *(list->last ? &list->last->next : &list->first) = flight;
    list->last = flight;
}

static void list_remove(struct flight_list *list, struct flight *flight)
{
    CHECK((flight->previous ? flight->previous->next : list->first) == flight);
    CHECK((flight->next ? flight->next->previous : list->last) == flight);
    *(flight->previous ? &flight->previous->next : &list->first) = flight->next;
    *(flight->next ? &flight->next->previous : &list->last) = flight->previous;
}

static struct flight **row_of(struct flights *flights, uint32_t id)
{
    return &flights->table[id % FLIGHT_TABLE_SIZE];
}

static void table_put(struct flights *flights, struct flight *flight)
{
    struct flight **row = row_of(flights, flight->id);
    CHECK(flight->id < FLIGHT_ID_END);
    flight->next_in_row = *row;
    *row = flight;
}

static void table_remove(struct flights *flights, struct flight *flight)
{
    struct flight **place = row_of(flights, flight->id);
    while (*place != flight) {
        CHECK(*place);
        place = &(*place)->next_in_row;
    }
    *place = flight->next_in_row;
}

static void begin_try(struct flights *flights, struct flight *flight)
{
    CHECK(flight->phase == FLIGHT_OWNED && !flight->message);
    table_remove(flights, flight);
    flight->id = flights_next_id(flights);
    flight->left = false;
    table_put(flights, flight);
}

/* ---- moves; all called with the lock held ---- */

static int64_t min_time(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A call that was cancelled while it was owned is due at once. */
static void set_due(struct flights *flights, struct flight *flight, int64_t due_ms)
{
    bool unwanted = flight->cancelled || flights->closing;
    flight->due_ms = unwanted ? 0 : min_time(due_ms, flight->deadline_ms);
    keeper_look_at(flights->peers->keeper, flight->due_ms);
}

static int64_t resend_time(const struct flights *flights, const struct flight *flight,
                           int64_t now_ms)
{
    bool elsewhere = flights->peers->count > 1 && flight->repeatable;
    return elsewhere && !flight->method.api->waits ? now_ms + RESEND_MS : INT64_MAX;
}

/* A message, and the peer that will send it, held; NULL: none. */
struct departure {
    struct peer *peer;
    struct link_message *message;
};

static struct departure place_on_peer(struct flights *flights, struct flight *flight,
                                      struct peer *peer)
{
    struct departure departure = {peer, flight->message};
    CHECK(peer->number < flights->peers->count);
    int64_t now_ms = clock_monotonic_ms();
    CHECK(flight->message);
    bool late = flight->method.api->waits && flight->deadline_ms > now_ms + SILENCE_MS;
    peer_expect_answer(peer, late ? flight->deadline_ms : now_ms + SILENCE_MS);
    flight->message = NULL;
    flight->left = true;
    flight->peer = peer;
    flight_move(flight, FLIGHT_SENT);
    list_append(&flights->sent[peer->number], flight);
    set_due(flights, flight, resend_time(flights, flight, now_ms));
    return departure;
}

static struct departure place(struct flights *flights, struct flight *flight)
{
    struct peer *peer = peers_hold_next(flights->peers, flight->peer);
    if (peer)
        return place_on_peer(flights, flight, peer);
    bool gives_up = flight->impatient && !flight->left;
    CHECK(flight->message);
    flight_move(flight, FLIGHT_WAITING);
    list_append(&flights->waiting, flight);
    set_due(flights, flight, gives_up ? clock_monotonic_ms() + CONNECT_WAIT_MS : INT64_MAX);
    return (struct departure){NULL, NULL};
}

/* Takes the call from the list of its phase. */
static void take(struct flights *flights, struct flight *flight)
{
    if (flight->phase == FLIGHT_WAITING)
        list_remove(&flights->waiting, flight);
    if (flight->phase == FLIGHT_SENT)
        list_remove(&flights->sent[flight->peer->number], flight);
    flight_move(flight, FLIGHT_OWNED);
}

/* Called after the lock has been released. */
static void depart(const struct departure *departure)
{
    if (departure->peer)
        peer_send(departure->peer, departure->message);
}

/* ---- beginning and ending ---- */

void flights_init(struct flights *flights, uint32_t max)
{
    CHECK(flights->peers && max > 0);
    flights->max = max;
    pthread_mutex_init(&flights->mutex, NULL);
    pthread_cond_init(&flights->ended, NULL);
}

void flights_fini(struct flights *flights)
{
    for (size_t i = 0; i < flights->peers->count; i++)
        CHECK(!flights->sent[i].first);
    CHECK(flights->count == 0 && !flights->waiting.first && !flights->waiting.last);
    pthread_cond_destroy(&flights->ended);
    pthread_mutex_destroy(&flights->mutex);
}

void flights_stop(struct flights *flights)
{
    pthread_mutex_lock(&flights->mutex);
    CHECK(!flights->closing);
    flights->closing = true;
    keeper_look_at(flights->peers->keeper, 0);
    while (flights->count > 0)
        pthread_cond_wait(&flights->ended, &flights->mutex);
    pthread_mutex_unlock(&flights->mutex);
}

bool flights_have_room(const struct flights *flights)
{
    return flights->count < flights->max && !flights->closing;
}

uint32_t flights_next_id(struct flights *flights)
{
    return flights->next_id++ % FLIGHT_ID_END;
}

bool flights_begin(struct flights *flights, struct flight *flight)
{
    struct departure departure = {NULL, NULL};
    pthread_mutex_lock(&flights->mutex);
    bool admitted = flights_have_room(flights);
    if (admitted) {
        CHECK(flight->phase == FLIGHT_OWNED);
        CHECK(flight->message && flight->magic == FLIGHT_MAGIC);
        flights->count++;
        table_put(flights, flight);
        departure = place(flights, flight);
    }
    pthread_mutex_unlock(&flights->mutex);
    depart(&departure);
    return admitted;
}

void flights_end(struct flights *flights, struct flight *flight)
{
    pthread_mutex_lock(&flights->mutex);
    flight_move(flight, FLIGHT_ENDED);
    table_remove(flights, flight);
    CHECK(flights->count > 0);
    flights->count--;
    if (flights->closing && flights->count == 0)
        pthread_cond_broadcast(&flights->ended);
    pthread_mutex_unlock(&flights->mutex);
}

/* ---- placing ---- */

void flights_place(struct flights *flights, struct flight *flight)
{
    pthread_mutex_lock(&flights->mutex);
    struct departure departure = place(flights, flight);
    pthread_mutex_unlock(&flights->mutex);
    depart(&departure);
}

void flights_renew(struct flights *flights, struct flight *flight)
{
    pthread_mutex_lock(&flights->mutex);
    begin_try(flights, flight);
    pthread_mutex_unlock(&flights->mutex);
}

void flights_pause(struct flights *flights, struct flight *flight, int64_t until_ms)
{
    pthread_mutex_lock(&flights->mutex);
    begin_try(flights, flight);
    flight_move(flight, FLIGHT_PAUSED);
    set_due(flights, flight, until_ms);
    pthread_mutex_unlock(&flights->mutex);
}

void flights_send_waiting(struct flights *flights)
{
    struct departure departure;
    do {
        pthread_mutex_lock(&flights->mutex);
        struct flight *flight = flights->waiting.first;
        struct peer *peer = flight ? peers_hold_next(flights->peers, flight->peer) : NULL;
        departure.peer = NULL;
        if (peer) {
            take(flights, flight);
            departure = place_on_peer(flights, flight, peer);
        }
        pthread_mutex_unlock(&flights->mutex);
        depart(&departure);
    } while (departure.peer);
}

/* ---- taking ---- */

struct flight *flights_take_answered(struct flights *flights, uint32_t id)
{
    pthread_mutex_lock(&flights->mutex);
    struct flight *flight = *row_of(flights, id);
    while (flight && flight->id != id)
        flight = flight->next_in_row;
    if (flight && flight->phase == FLIGHT_SENT)
        take(flights, flight);
    else
        flight = NULL;
    pthread_mutex_unlock(&flights->mutex);
    return flight;
}

struct flight *flights_take_lost(struct flights *flights, struct peer *peer)
{
    struct flight_list *list = &flights->sent[peer->number];
    pthread_mutex_lock(&flights->mutex);
    struct flight *taken = list->first;
    for (struct flight *flight = taken; flight; flight = flight->next)
        flight_move(flight, FLIGHT_OWNED);
    CHECK(!list->first == !list->last);
    *list = (struct flight_list){NULL, NULL};
    pthread_mutex_unlock(&flights->mutex);
    return taken;
}

struct flight *flights_take_due(struct flights *flights)
{
    struct flight *due = NULL;
    int64_t next_ms = INT64_MAX;
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&flights->mutex);
    for (size_t i = 0; i < FLIGHT_TABLE_SIZE; i++) {
        for (struct flight *flight = flights->table[i]; flight; flight = flight->next_in_row) {
            if (flight->phase == FLIGHT_OWNED)
                continue;
            /* A call that is due to be sent elsewhere keeps waiting when there is no other peer. */
            if (flight->due_ms <= now_ms && flight->phase == FLIGHT_SENT &&
                flights->peers->open == 1)
                set_due(flights, flight, resend_time(flights, flight, now_ms));
            if (flight->due_ms > now_ms && !flights->closing) {
                next_ms = min_time(next_ms, flight->due_ms);
                continue;
            }
            take(flights, flight);
            flight->next = due;
            due = flight;
        }
    }
    keeper_look_at(flights->peers->keeper, next_ms);
    pthread_mutex_unlock(&flights->mutex);
    return due;
}

void flights_cancel(struct flights *flights, const void *tag)
{
    pthread_mutex_lock(&flights->mutex);
    for (size_t i = 0; i < FLIGHT_TABLE_SIZE; i++) {
        for (struct flight *flight = flights->table[i]; flight; flight = flight->next_in_row) {
            if (flight->tag != tag)
                continue;
            flight->cancelled = true;
            set_due(flights, flight, 0);
        }
    }
    pthread_mutex_unlock(&flights->mutex);
}
