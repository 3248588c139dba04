/* Opening and closing of clients, and the small functions of the public header. Connections are in
 * connection.c, calls in flight in flight.c, the methods in calls.c. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/typeid.h"
#include "base/wait.h"

#define DEFAULT_URL "ws://127.0.0.1:7300/rpc"
#define DEFAULT_TIMEOUT_MS 10000
#define DEFAULT_MAX_IN_FLIGHT 1024

_Static_assert(TRIGGERS_ID_SIZE == TYPEID_TEXT_SIZE, "the public size of an id");
#define SAME(name, number, http)                                                                   \
    _Static_assert((int)TRIGGERS_##name == (number), "the public header has the code");
STATUS_CODES(SAME)
#undef SAME

const char *triggers_version(void)
{
    return TRIGGERS_VERSION;
}

const char *triggers_code_name(triggers_code code)
{
    return status_code_name((enum status_code)code);
}

int triggers_code_is_retryable(triggers_code code)
{
    return code == TRIGGERS_UNAVAILABLE || code == TRIGGERS_RESOURCE_EXHAUSTED ||
           code == TRIGGERS_ABORTED || code == TRIGGERS_DEADLINE_EXCEEDED;
}

void triggers_make_event_id(char event_id[TRIGGERS_ID_SIZE])
{
    uint8_t id[TYPEID_BYTES];
    typeid_make(id);
    typeid_format(id, event_id);
}

struct client_memory {
    struct budget_share share; /* what the caller is given */
    struct budget budget;
};

triggers_memory *triggers_memory_new(size_t bytes)
{
    struct client_memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return NULL;
    memory->budget.ceiling = bytes;
    memory->share.budget = &memory->budget;
    return &memory->share;
}

void triggers_memory_free(triggers_memory *memory)
{
    free((struct client_memory *)memory);
}

static void client_free(triggers_client *client)
{
    CHECK(client->in_flight == 0 && client->standing == 0);
    pthread_cond_destroy(&client->work);
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->mutex);
    free(client->name);
    free(client->urls);
    free(client);
}

/* A client that is not connected yet; NULL without memory. */
static triggers_client *client_new(const triggers_client_options *options)
{
    triggers_client *client = calloc(1, sizeof(*client));
    if (!client)
        return NULL;
    pthread_mutex_init(&client->mutex, NULL);
    wait_init(&client->changed);
    wait_init(&client->work);
    client->timeout_ms = options->timeout_ms ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    client->max_in_flight = options->max_in_flight ? options->max_in_flight : DEFAULT_MAX_IN_FLIGHT;
    client->no_retry = options->no_retry;
    client->memory = options->memory;
    client->urls = strdup(options->url ? options->url : DEFAULT_URL);
    const char *name = options->name ? options->name : "";
    if (asprintf(&client->name, "%s%slibtriggers/" TRIGGERS_VERSION, name, *name ? " " : "") < 0)
        client->name = NULL;
    if (client->urls && client->name)
        return client;
    client_free(client);
    return NULL;
}

static triggers_client *client_open(const triggers_client_options *options, struct status *status)
{
    if (options->no_retry < 0 || options->no_retry > TRIGGERS_NO_BACKOFF) {
        status_fail(status, STATUS_INVALID_ARGUMENT, "NO_RETRY_INVALID",
                    "no_retry is %d; accepted are 0, TRIGGERS_SEND_ONCE and TRIGGERS_NO_BACKOFF",
                    options->no_retry);
        return NULL;
    }
    triggers_client *client = client_new(options);
    if (!client) {
        status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
        return NULL;
    }
    struct core_address_list addresses;
    bool opened = core_address_list_parse(client->urls, &addresses, status);
    if (opened) {
        opened = client_connect(client, &addresses, options->tls_ca_file, status);
        core_address_list_fini(&addresses);
    }
    if (opened)
        return client;
    client_free(client);
    return NULL;
}

triggers_code triggers_client_open(triggers_client **client, const triggers_client_options *options,
                                   char *error, size_t error_size)
{
    static const triggers_client_options defaults;
    struct status status = STATUS_INIT;
    *client = client_open(options ? options : &defaults, &status);
    if (error && error_size > 0)
        snprintf(error, error_size, "%s", status.message);
    return (triggers_code)status.code;
}

void triggers_client_close(triggers_client *client)
{
    if (!client)
        return;
    pthread_mutex_lock(&client->mutex);
    client->closing = true;
    pthread_mutex_unlock(&client->mutex);
    flights_stop(client);
    client_disconnect(client);
    client_free(client);
}
