/* Opening and closing of clients, which puts their parts together, and the small functions of the
 * public header. The methods are in calls.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/check.h"
#include "base/typeid.h"
#include "invocation.h"

#define DEFAULT_URL "ws://127.0.0.1:7300/rpc"
#define DEFAULT_TIMEOUT_MS 10000
#define DEFAULT_MAX_IN_FLIGHT 1024

_Static_assert(TRIGGERS_ID_SIZE == TYPEID_TEXT_SIZE, "the public size of an id");
_Static_assert(TRIGGERS_MAX_TRY_MS == API_MAX_TIMEOUT_MS, "the public limit is the protocol's");

const char *triggers_version(void)
{
    return TRIGGERS_VERSION;
}

void triggers_make_event_id(char event_id[TRIGGERS_ID_SIZE])
{
    uint8_t id[TYPEID_BYTES];
    typeid_make(id);
    typeid_format(id, event_id);
}

struct client_memory {
    struct budget_share share; /* the part that the caller gets */
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
    CHECK(!memory || memory->held == 0); /* clients and replies must be freed before */
    free((struct client_memory *)memory);
}

static void client_free(triggers_client *client)
{
    flights_fini(&client->flights);
    api_key_fini(&client->api_key);
    free(client->name);
    free(client->urls);
    free(client);
}

static triggers_client *fail_memory(struct status *status)
{
    status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    return NULL;
}

/* A client that is not connected yet. */
static triggers_client *client_new(const triggers_client_options *options, struct status *status)
{
    triggers_client *client = calloc(1, sizeof(*client));
    if (!client)
        return fail_memory(status);
    if (!api_key_init(&client->api_key, options, status)) {
        free(client);
        return NULL;
    }
    client->timeout_ms = options->timeout_ms ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    client->no_retry = options->no_retry;
    client->peers.events = &invocation_events;
    client->peers.owner = client;
    client->peers.keeper = &client->keeper;
    client->peers.memory = options->memory;
    client->flights.peers = &client->peers;
    flights_init(&client->flights,
                 options->max_in_flight ? options->max_in_flight : DEFAULT_MAX_IN_FLIGHT);
    client->urls = strdup(options->url ? options->url : DEFAULT_URL);
    const char *name = options->name ? options->name : "";
    if (asprintf(&client->name, "%s%slibtriggers/" TRIGGERS_VERSION, name, *name ? " " : "") < 0)
        client->name = NULL;
    if (client->urls && client->name)
        return client;
    client_free(client);
    return fail_memory(status);
}

static void serve(void *owner)
{
    triggers_client *client = owner;
    invocations_serve_due(client);
    peers_free_unused(&client->peers);
}

static bool client_start(triggers_client *client, const triggers_client_options *options,
                         struct status *status)
{
    struct core_address_list addresses;
    if (!core_address_list_parse(client->urls, &addresses, status))
        return false;
    const struct link_tls_files files = {options->tls_cert_file, options->tls_key_file,
                                         options->tls_ca_file};
    bool ready = peers_init(&client->peers, &addresses, &files, status);
    core_address_list_fini(&addresses);
    if (!ready)
        return false;
    if (!keeper_start(&client->keeper, serve, client)) {
        peers_fini(&client->peers);
        return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "cannot start a thread");
    }
    peers_start(&client->peers);
    keeper_look_at(&client->keeper, 0);
    return true;
}

static triggers_client *client_open(const triggers_client_options *options, struct status *status)
{
    if (options->no_retry < 0 || options->no_retry > TRIGGERS_NO_BACKOFF) {
        status_fail(status, STATUS_INVALID_ARGUMENT, "NO_RETRY_INVALID",
                    "no_retry is %d; accepted are 0, TRIGGERS_SEND_ONCE and TRIGGERS_NO_BACKOFF",
                    options->no_retry);
        return NULL;
    }
    triggers_client *client = client_new(options, status);
    if (!client)
        return NULL;
    if (client_start(client, options, status))
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
    flights_stop(&client->flights);
    peers_stop(&client->peers);
    keeper_stop(&client->keeper);
    peers_fini(&client->peers);
    client_free(client);
}

void triggers_cancel(triggers_client *client, const void *tag)
{
    if (client && tag)
        flights_cancel(&client->flights, tag);
}
