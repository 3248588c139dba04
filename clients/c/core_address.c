/* Splitting and checking of URL lists, and dialers with their TLS. */
#include "core_address.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

/* Cuts white space off both ends, in place. */
static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

static bool fail_memory(struct status *status)
{
    return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
}

/* The place of the host in a URL. */
struct url_host {
    const char *text;
    size_t size;
};

/* An ipc URL, whose rest is a path, has none. */
static struct url_host find_host(const char *url)
{
    const char *text = strstr(url, "://") + 3;
    CHECK(link_scheme_of(url));
    if (link_scheme_of(url)->framing == LINK_IPC)
        return (struct url_host){text, 0};
    size_t bracketed = *text == '[' ? strcspn(text, "]") : 0;
    return (struct url_host){text, bracketed + strcspn(text + bracketed, ":/")};
}

static bool is_localhost(struct url_host host)
{
    static const char name[] = "localhost";
    return host.size == sizeof(name) - 1 && strncasecmp(host.text, name, host.size) == 0;
}

/* Adds the URL with `dialed` in place of its host. */
static bool add(struct core_address_list *list, const char *url, struct url_host host,
                struct url_host dialed, struct status *status)
{
    if (list->count == CORE_ADDRESS_MAX)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "URL_INVALID",
                           "more than %d addresses are given", CORE_ADDRESS_MAX);
    char *name = strndup(host.text, host.size);
    char *dial = NULL;
    if (!name || asprintf(&dial, "%.*s%.*s%s", (int)(host.text - url), url, (int)dialed.size,
                          dialed.text, host.text + host.size) < 0) {
        free(name);
        return fail_memory(status);
    }
    list->items[list->count++] = (struct core_address){.url = dial, .name = name};
    return true;
}

/* nng accepts any port and fails only when it dials. The URL goes into error texts, so it must hold
 * no password; triggersd has none. */
static bool check_authority(const char *url, struct url_host host, struct status *status)
{
    const char *rest = host.text + host.size;
    if (host.size > 0 && memchr(host.text, '@', strcspn(host.text, "/")))
        return status_fail(status, STATUS_INVALID_ARGUMENT, "URL_INVALID",
                           "an address has a user name, which triggersd does not accept");
    if (*rest != ':')
        return true;
    char *end;
    long port = isdigit((unsigned char)rest[1]) ? strtol(rest + 1, &end, 10) : 0;
    return (port >= 1 && port <= 65535 && (*end == '/' || *end == '\0')) ||
           status_fail(status, STATUS_INVALID_ARGUMENT, "URL_INVALID",
                       "the port of '%s' is not accepted; it must be 1 to 65535", url);
}

static bool add_url(struct core_address_list *list, const char *url, struct status *status)
{
    if (*url == '\0')
        return status_fail(status, STATUS_INVALID_ARGUMENT, "URL_INVALID",
                           "an address is empty; accepted are URLs with " LINK_SCHEMES
                           ", separated by commas");
    const struct link_scheme *scheme = link_scheme_of(url);
    if (!scheme || url[strlen(scheme->prefix)] == '\0')
        return status_fail(
            status, STATUS_INVALID_ARGUMENT, "URL_INVALID",
            "'%s' is not an address of triggersd; accepted are URLs with " LINK_SCHEMES, url);
    struct url_host host = find_host(url);
    if (!check_authority(url, host, status))
        return false;
    if (!is_localhost(host))
        return add(list, url, host, host, status);
    return add(list, url, host, (struct url_host){"127.0.0.1", 9}, status) &&
           add(list, url, host, (struct url_host){"[::1]", 5}, status);
}

static bool add_urls(struct core_address_list *list, char *text, struct status *status)
{
    char *url;
    while ((url = strsep(&text, ","))) {
        if (!add_url(list, trim(url), status))
            return false;
    }
    return true;
}

bool core_address_list_parse(const char *text, struct core_address_list *list,
                             struct status *status)
{
    list->count = 0;
    char *copy = strdup(text);
    if (!copy)
        return fail_memory(status);
    bool parsed = add_urls(list, copy, status);
    free(copy);
    if (!parsed)
        core_address_list_fini(list);
    return parsed;
}

void core_address_list_fini(struct core_address_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].url);
        free(list->items[i].name);
    }
    list->count = 0;
}

/* ---- dialers ---- */

static bool check_tls_files(const struct link_tls_files *files, const char *url,
                            struct status *status)
{
    if (!files->ca)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_CA_MISSING",
                           "%s needs a file with the certificates to trust (PEM), such as "
                           "/etc/ssl/certs/ca-certificates.crt",
                           url);
    if (access(files->ca, R_OK) != 0)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_CA_INVALID", "cannot read %s: %s",
                           files->ca, strerror(errno));
    return !files->cert == !files->key ||
           status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_CERT_INVALID",
                       "a certificate to show to %s needs its key, and a key its certificate", url);
}

bool core_address_set_tls(nng_stream_dialer *dialer, const char *host,
                          const struct link_tls_files *files, struct status *status)
{
    nng_tls_config *config;
    if (!link_tls_make_client(files, host, &config, status))
        return false;
    int error = nng_stream_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config); /* the dialer holds it */
    return error == 0 || status_fail(status, STATUS_INTERNAL, "TLS", "cannot set up TLS: %s",
                                     nng_strerror(error));
}

static bool begin_tls(nng_stream_dialer *dialer, const struct core_address *address,
                      const struct link_tls_files *files, struct status *status)
{
    struct status why = STATUS_INIT;
    if (!check_tls_files(files, address->url, status))
        return false;
    return core_address_set_tls(dialer, address->name, files, &why) ||
           status_fail(status, why.code, files->cert ? "TLS_CERT_INVALID" : "TLS_CA_INVALID",
                       "cannot use TLS for %s: %s", address->url, why.message);
}

static bool fail_address(int result, const char *url, struct status *status)
{
    if (result == NNG_ENOMEM)
        return fail_memory(status);
    return status_fail(status, STATUS_INVALID_ARGUMENT, "URL_INVALID",
                       "'%s' cannot be used as an address: %s", url, nng_strerror(result));
}

bool core_address_make_dialer(const struct core_address *address,
                              const struct link_tls_files *files, struct link_address *link_address,
                              nng_stream_dialer **dialer, struct status *status)
{
    int result = link_address_init(link_address, address->url);
    if (result == 0)
        result = link_make_dialer(link_address, dialer);
    if (result != 0)
        return fail_address(result, address->url, status);
    return !link_address->tls || begin_tls(*dialer, address, files, status);
}
