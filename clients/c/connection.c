/* Setting up of the peers: one dialer an address, with its TLS. */
#include "client.h"

#include <errno.h>
#include <nng/supplemental/tls/tls.h>
#include <string.h>
#include <unistd.h>

static int fill_tls_config(nng_tls_config *config, const char *server_name, const char *ca_file)
{
    int result = nng_tls_config_server_name(config, server_name);
    if (result == 0)
        result = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
    if (result == 0)
        result = nng_tls_config_ca_file(config, ca_file);
    return result;
}

static bool set_tls_options(nng_stream_dialer *dialer, const struct core_address *address,
                            const char *ca_file, struct status *status)
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
            result = nng_stream_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
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

static bool create_peer(struct peer *peer, const struct core_address *address, const char *ca_file,
                        struct status *status)
{
    int result = link_address_init(&peer->address, address->url);
    if (result == 0)
        result = link_make_dialer(&peer->address, &peer->dialer);
    if (result == 0)
        result = peer_init(peer);
    if (result != 0)
        return fail_address(result, address->url, status);
    if (!peer->address.tls)
        return true;
    peer->client->uses_tls = true;
    return set_tls_options(peer->dialer, address, ca_file, status);
}

static bool create_peers(triggers_client *client, const struct core_address_list *addresses,
                         const char *ca_file, struct status *status)
{
    for (size_t i = 0; i < addresses->count; i++) {
        struct peer *peer = &client->peers[client->peer_count++];
        peer->magic = PEER_MAGIC;
        peer->client = client;
        if (!create_peer(peer, &addresses->items[i], ca_file, status))
            return false;
    }
    return true;
}

static void free_peers(triggers_client *client)
{
    for (size_t i = 0; i < client->peer_count; i++)
        peer_fini(&client->peers[i]);
}

/* None is dialed before all are known to be good. */
bool client_connect(triggers_client *client, const struct core_address_list *addresses,
                    const char *tls_ca_file, struct status *status)
{
    bool ready = create_peers(client, addresses, tls_ca_file, status);
    if (ready && !keeper_start(client))
        ready =
            status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "cannot start a thread");
    if (!ready) {
        free_peers(client);
        return false;
    }
    for (size_t i = 0; i < client->peer_count; i++)
        peer_dial(&client->peers[i]);
    return true;
}

void client_disconnect(triggers_client *client)
{
    for (size_t i = 0; i < client->peer_count; i++)
        peer_stop(&client->peers[i]);
    keeper_stop(client);
    free_peers(client);
}
