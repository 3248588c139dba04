/* One listener of nng's streams for each URL; everything is set before it starts. */
#include "net/listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/web.h"
#include "sp/link_tls.h"

#define MAX_URL 1024

/* Copies the next URL of a comma list, without blanks around it; false at the end. */
static bool next_url(const char **list, char url[MAX_URL], bool *fits)
{
    *list += strspn(*list, ", \t");
    size_t length = strcspn(*list, ", \t");
    *fits = length < MAX_URL;
    if (length == 0)
        return false;
    memcpy(url, *list, *fits ? length : 0);
    url[*fits ? length : 0] = '\0';
    *list += length;
    return true;
}

/* Whether it has a scheme that we serve, something after it, and a number where a port must be. */
static bool is_url(const char *url)
{
    const struct link_scheme *scheme = link_scheme_of(url);
    nng_url *parsed;
    if (!scheme || url[strlen(scheme->prefix)] == '\0' || nng_url_parse(&parsed, url) != 0)
        return false;
    char *end = NULL;
    unsigned long port = parsed->u_port ? strtoul(parsed->u_port, &end, 10) : 0;
    bool valid = scheme->framing == LINK_IPC || (end && *end == '\0' && port <= UINT16_MAX);
    nng_url_free(parsed);
    return valid;
}

static bool check_url(const struct listen_config *config, const char *url, struct status *status)
{
    if (!is_url(url))
        return status_fail(status, STATUS_INVALID_ARGUMENT, "URL_INVALID",
                           "cannot listen on \"%s\": accepted are " LINK_SCHEMES
                           " URLs, such as ws://127.0.0.1:7300/rpc",
                           url);
    if (link_scheme_of(url)->tls && !(config->tls_cert && config->tls_key))
        return status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_MISSING",
                           "listening on %s needs a certificate: set TRIGGERS_TLS_CERT and "
                           "TRIGGERS_TLS_KEY to PEM files",
                           url);
    return true;
}

bool listen_load_tls(const struct listen_config *config, nng_tls_config **tls,
                     struct status *status)
{
    const struct link_tls_files files = {config->tls_cert, config->tls_key, config->tls_client_ca};
    return link_tls_make_server(&files, tls, status);
}

/* Finds out before anything is started whether the files can be used. */
static bool check_certificate(const struct listen_config *config, struct status *status)
{
    nng_tls_config *tls;
    if (!listen_load_tls(config, &tls, status))
        return false;
    nng_tls_config_free(tls);
    return true;
}

bool listen_check(const struct listen_config *config, struct status *status)
{
    const char *rest = config->urls;
    char url[MAX_URL];
    bool fits = true;
    bool tls = false;
    size_t count = 0;
    for (; next_url(&rest, url, &fits); count++) {
        if (!fits)
            return status_fail(status, STATUS_INVALID_ARGUMENT, "URL_INVALID",
                               "a URL to listen on is over %d bytes long", MAX_URL - 1);
        if (!check_url(config, url, status))
            return false;
        tls = tls || link_scheme_of(url)->tls;
    }
    if (count > LISTEN_MAX)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "URL_INVALID",
                           "TRIGGERS_LISTEN has more than %d URLs", LISTEN_MAX);
    if (count == 0)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "URL_MISSING",
                           "TRIGGERS_LISTEN has no URL; such as ws://127.0.0.1:7300/rpc");
    return !tls || check_certificate(config, status);
}

static bool is_local(const char *url)
{
    nng_url *parsed;
    if (link_scheme_of(url)->framing == LINK_IPC)
        return true;
    bool local = nng_url_parse(&parsed, url) == 0;
    if (!local)
        return false;
    local = host_is_bound_to_loopback(parsed->u_host);
    nng_url_free(parsed);
    return local;
}

bool listen_is_local(const struct listen_config *config)
{
    const char *rest = config->urls;
    char url[MAX_URL];
    bool fits;
    bool local = true;
    while (local && next_url(&rest, url, &fits))
        local = is_local(url);
    return local;
}

int listener_set_tls(struct listener *listener, nng_tls_config *tls)
{
    nng_tls_config_hold(tls);
    int error = nng_stream_listener_set_ptr(listener->streams, NNG_OPT_TLS_CONFIG, tls);
    nng_tls_config *unused = error == 0 ? listener->former_tls : tls;
    if (error == 0) {
        listener->former_tls = listener->tls;
        listener->tls = tls;
    }
    if (unused)
        nng_tls_config_free(unused);
    return error;
}

static bool set_tls(struct listener *listener, const struct listen_config *config,
                    struct status *status)
{
    nng_tls_config *tls;
    if (!listen_load_tls(config, &tls, status))
        return false;
    int error = listener_set_tls(listener, tls);
    nng_tls_config_free(tls);
    return error == 0 || status_fail(status, STATUS_INTERNAL, "TLS", "cannot set up TLS: %s",
                                     nng_strerror(error));
}

static bool fail_listen(int error, const char *url, struct status *status)
{
    if (error == NNG_EADDRINUSE)
        return status_fail(status, STATUS_FAILED_PRECONDITION, "ADDRESS_IN_USE",
                           "cannot listen on %s: another program has this address; stop it or set "
                           "TRIGGERS_LISTEN to another",
                           url);
    return status_fail(status, STATUS_FAILED_PRECONDITION, "LISTEN_FAILED",
                       "cannot listen on %s: %s", url, nng_strerror(error));
}

void listener_close(struct listener *listener)
{
    nng_stream_listener_free(listener->streams);
    if (listener->tls)
        nng_tls_config_free(listener->tls);
    if (listener->former_tls)
        nng_tls_config_free(listener->former_tls);
    link_address_fini(&listener->address);
}

static bool listen_on(const char *url, const struct listen_config *config,
                      struct listener *listener, struct status *status)
{
    int error = link_address_init(&listener->address, url);
    if (error == 0)
        error = link_make_listener(&listener->address, &listener->streams);
    if (error != 0)
        return fail_listen(error, url, status);
    listener->address.access = config->access;
    listener->address.loopback =
        listener->address.authority && host_is_bound_to_loopback(listener->address.authority);
    if (link_scheme_of(url)->tls && !set_tls(listener, config, status))
        return false;
    error = nng_stream_listener_listen(listener->streams);
    if (error != 0)
        return fail_listen(error, url, status);
    log_info("listening", {"url", url});
    return true;
}

bool listen_all(const struct listen_config *config, struct listener listeners[LISTEN_MAX],
                size_t *count, struct status *status)
{
    const char *rest = config->urls;
    char url[MAX_URL];
    bool fits;
    *count = 0;
    while (next_url(&rest, url, &fits)) {
        CHECK(fits && *count < LISTEN_MAX); /* see listen_check */
        struct listener *listener = &listeners[*count];
        *listener = (struct listener){0};
        if (!listen_on(url, config, listener, status)) {
            listener_close(listener);
            return false;
        }
        (*count)++;
    }
    return true;
}
