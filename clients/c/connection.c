/* The client's socket: one REQ socket with one dialer an address, which connects and reconnects by
 * itself and spreads requests over the connections that stand. */
#include "client.h"

#include <errno.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* A request is sent again by itself when its connection drops, and after this long without an
 * answer: with several addresses the next one gets it. Repeats are safe, as every create carries
 * its id; more often would only burden a core that is slow. */
#define RESEND_MS 5000

/* The largest answer is a page of 8 MiB of payloads with what belongs to them. */
#define RECEIVE_MAX_SIZE ((size_t)16 << 20)

#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 500

/* Far more than a handshake takes on a network that is near. */
#define HANDSHAKE_MS 50

/* Closing takes milliseconds. nng 1.5 can hang in it when peers died at a bad moment. */
#define CLOSE_TIMEOUT_S 5

/* ADD_PRE and REM_POST come in pairs and in this order for every pipe; ADD_POST is left out for
 * refused ones and may come late. */
static void count_pipe(nng_pipe pipe, nng_pipe_ev event, void *data)
{
    triggers_client *client = data;
    pthread_mutex_lock(&client->mutex);
    client->pipes += event == NNG_PIPE_EV_ADD_PRE ? 1 : -1;
    (event == NNG_PIPE_EV_ADD_PRE ? peers_add : peers_remove)(client, pipe);
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->mutex);
}

static int set_socket_options(triggers_client *client)
{
    nng_socket socket = client->socket;
    int result = nng_socket_set_ms(socket, NNG_OPT_REQ_RESENDTIME, RESEND_MS);
    if (result == 0)
        result = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, RECEIVE_MAX_SIZE);
    if (result == 0)
        result = nng_socket_set_ms(socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
    if (result == 0)
        result = nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
    if (result == 0)
        result = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_PRE, count_pipe, client);
    if (result == 0)
        result = nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, count_pipe, client);
    return result;
}

/* A WebSocket message may come in one frame, whose limit is 1 MiB unless set. */
static int set_websocket_options(nng_dialer dialer)
{
    return nng_dialer_set_size(dialer, NNG_OPT_WS_RECVMAXFRAME, RECEIVE_MAX_SIZE);
}

static int fill_tls_config(nng_tls_config *config, const char *server_name, const char *ca_file)
{
    int result = nng_tls_config_server_name(config, server_name);
    if (result == 0)
        result = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
    if (result == 0)
        result = nng_tls_config_ca_file(config, ca_file);
    return result;
}

static bool set_tls_options(nng_dialer dialer, const struct address *address, const char *ca_file,
                            struct status *status)
{
    if (!ca_file || !*ca_file)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_CA_MISSING",
                           "%s needs a file with the certificates to trust (PEM), such as "
                           "/etc/ssl/certs/ca-certificates.crt",
                           address->url);
    if (access(ca_file, R_OK) != 0)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_CA_INVALID", "cannot read %s: %s",
                           ca_file, strerror(errno));
    nng_tls_config *config;
    int result = nng_tls_config_alloc(&config, NNG_TLS_MODE_CLIENT);
    if (result == 0) {
        result = fill_tls_config(config, address->name, ca_file);
        if (result == 0)
            result = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
        nng_tls_config_free(config); /* the dialer holds it */
    }
    if (result == 0)
        return true;
    return status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_CA_INVALID",
                       "cannot use %s for %s: %s; accepted is a PEM file of certificates", ca_file,
                       address->url, nng_strerror(result));
}

static bool fail_address(int result, const char *url, struct status *status)
{
    if (result == NNG_ENOMEM)
        return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    return status_fail(status, STATUS_INVALID_ARGUMENT, "URL_INVALID",
                       "'%s' cannot be used as an address: %s", url, nng_strerror(result));
}

static bool create_dialer(triggers_client *client, const struct address *address,
                          const char *ca_file, nng_dialer *dialer, struct status *status)
{
    int result = nng_dialer_create(dialer, client->socket, address->url);
    if (result == 0 && address_uses_websocket(address->url))
        result = set_websocket_options(*dialer);
    if (result != 0)
        return fail_address(result, address->url, status);
    if (!address_uses_tls(address->url))
        return true;
    client->uses_tls = true;
    return set_tls_options(*dialer, address, ca_file, status);
}

/* Starts none before all are known to be good: see let_handshakes_end. */
static bool start_dialers(triggers_client *client, const struct address_list *addresses,
                          const char *ca_file, struct status *status)
{
    nng_dialer dialers[ADDRESS_MAX];
    for (size_t i = 0; i < addresses->count; i++) {
        if (!create_dialer(client, &addresses->items[i], ca_file, &dialers[i], status))
            return false;
    }
    for (size_t i = 0; i < addresses->count; i++) {
        int result = nng_dialer_start(dialers[i], NNG_FLAG_NONBLOCK);
        if (result != 0)
            return fail_address(result, addresses->items[i].url, status);
    }
    client->dialers = (int)addresses->count;
    client->opened_ms = clock_monotonic_ms();
    return true;
}

bool client_connect(triggers_client *client, const struct address_list *addresses,
                    const char *tls_ca_file, struct status *status)
{
    int result = nng_req0_open(&client->socket);
    if (result != 0)
        return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY",
                           "cannot open a socket: %s", nng_strerror(result));
    result = set_socket_options(client);
    if (result != 0)
        status_fail(status, STATUS_INTERNAL, "SOCKET_OPTIONS", "cannot set up the socket: %s",
                    nng_strerror(result));
    else if (start_dialers(client, addresses, tls_ca_file, status))
        return true;
    nng_close(client->socket);
    return false;
}

/* nng 1.5 panics when a socket is closed at the very moment at which a WebSocket handshake ends
 * (both finish the same operation). That moment comes soon after opening, so a client that was
 * opened just now waits until its connections stand. */
static void let_handshakes_end(triggers_client *client)
{
    int64_t end_ms = client->opened_ms + HANDSHAKE_MS;
    struct timespec end = {.tv_sec = end_ms / 1000, .tv_nsec = end_ms % 1000 * 1000000};
    int result = 0;
    pthread_mutex_lock(&client->mutex);
    while (client->pipes < client->dialers && result == 0)
        result = pthread_cond_clockwait(&client->changed, &client->mutex, CLOCK_MONOTONIC, &end);
    pthread_mutex_unlock(&client->mutex);
}

static void *close_socket(void *data)
{
    triggers_client *client = data;
    nng_close(client->socket);
    return NULL;
}

bool client_disconnect(triggers_client *client)
{
    let_handshakes_end(client);
    pthread_t closer;
    if (pthread_create(&closer, NULL, close_socket, client) != 0) {
        close_socket(client);
        return true;
    }
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += CLOSE_TIMEOUT_S;
    if (pthread_timedjoin_np(closer, NULL, &deadline) == 0)
        return true;
    pthread_detach(closer);
    return false;
}
