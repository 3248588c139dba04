/* A listener and its links. These are held, and freed at the end: an answer may be late. */
#include "link_core.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "scripted_answers.h"

struct link_core {
    const struct link_core_events *events;
    void *owner;
    struct link_address address;
    nng_stream_listener *listener;
    nng_aio *accept; /* its callback alone adds links */
    atomic_bool stopping;
    struct link **links;
    size_t link_count;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t unused; /* of the links */
};

/* ---- events of links ---- */

static bool on_received(void *owner, struct link *link, const struct link_received *received)
{
    struct link_core *core = owner;
    struct link_asker asker = {.link = link, .route_size = received->route_size};
    memcpy(asker.route, received->route, received->route_size);
    must(received->body != NULL);
    core->events->received(core->owner, &asker, received->body, received->size);
    return true;
}

static void on_sent(void *owner, struct link *link, struct link_message *message, bool left)
{
    struct link_core *core = owner;
    free(message);
    if (left && core->events->answered)
        core->events->answered(core->owner, link);
}

static void on_closed(void *owner, struct link *link, const char *why)
{
    (void)owner;
    (void)link;
    must(why == NULL); /* the client always behaves */
}

static void on_unused(void *owner, struct link *link)
{
    (void)link;
    struct link_core *core = owner;
    pthread_mutex_lock(&core->mutex);
    core->unused++;
    pthread_cond_signal(&core->changed);
    pthread_mutex_unlock(&core->mutex);
}

static const struct link_events link_events = {
    .received = on_received,
    .sent = on_sent,
    .closed = on_closed,
    .unused = on_unused,
    .max_body = LINK_MAX_MESSAGE,
};

/* ---- */

/* Answers do not wait for the acknowledgement of earlier ones. */
static bool is_without_delay(nng_stream *stream)
{
    bool nodelay = false;
    int result = nng_stream_get_bool(stream, NNG_OPT_TCP_NODELAY, &nodelay);
    return nodelay || result == NNG_ENOTSUP; /* ipc */
}

static void add_link(struct link_core *core, nng_stream *stream)
{
    must(is_without_delay(stream));
    struct link *link = link_new(stream, &core->address, LINK_REPLIER, &link_events, core);
    must(link != NULL);
    core->links = realloc(core->links, (core->link_count + 1) * sizeof(struct link *));
    must(core->links != NULL);
    core->links[core->link_count++] = link;
    link_hold(link);
    link_start(link);
}

static void on_accepted(void *data)
{
    struct link_core *core = data;
    if (nng_aio_result(core->accept) == 0)
        add_link(core, nng_aio_get_output(core->accept, 0));
    if (!core->stopping)
        nng_stream_listener_accept(core->listener, core->accept);
}

struct link_core *link_core_start(const char *url, const struct link_core_events *events,
                                  void *owner)
{
    struct link_core *core = calloc(1, sizeof(*core));
    must(core != NULL);
    core->events = events;
    core->owner = owner;
    pthread_mutex_init(&core->mutex, NULL);
    pthread_cond_init(&core->changed, NULL);
    must(link_address_init(&core->address, url) == 0);
    must(link_make_listener(&core->address, &core->listener) == 0);
    must(nng_stream_listener_listen(core->listener) == 0);
    must(nng_aio_alloc(&core->accept, on_accepted, core) == 0);
    nng_stream_listener_accept(core->listener, core->accept);
    return core;
}

static void end_links(struct link_core *core)
{
    for (size_t i = 0; i < core->link_count; i++) {
        link_close(core->links[i]);
        link_release(core->links[i]);
    }
    pthread_mutex_lock(&core->mutex);
    while (core->unused < core->link_count)
        pthread_cond_wait(&core->changed, &core->mutex);
    pthread_mutex_unlock(&core->mutex);
    for (size_t i = 0; i < core->link_count; i++)
        link_free(core->links[i]);
    free(core->links);
}

void link_core_stop(struct link_core *core)
{
    core->stopping = true;
    nng_stream_listener_close(core->listener);
    nng_aio_stop(core->accept);
    end_links(core);
    nng_aio_free(core->accept);
    nng_stream_listener_free(core->listener);
    link_address_fini(&core->address);
    pthread_cond_destroy(&core->changed);
    pthread_mutex_destroy(&core->mutex);
    free(core);
}

void link_core_answer(const struct link_asker *asker, const void *bytes, size_t size)
{
    struct link_message *message = calloc(1, sizeof(*message));
    must(message != NULL);
    uint8_t *body = link_reserve(message, asker->route, asker->route_size, size);
    must(body != NULL);
    memcpy(body, bytes, size);
    link_send(asker->link, message);
}
