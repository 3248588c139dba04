/* Reading the connection URI: libpq parses it; the checks here keep parts of a password out of
 * places where they would be shown. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "store/drivers.h"
#include "store/postgres/uri.h"

#define PREFIX "postgresql://"

static void *refuse(struct status *status, const char *setting, const char *fault)
{
    status_fail(status, STATUS_INVALID_ARGUMENT, "DATABASE_URL_INVALID",
                "%s %s; accepted: postgresql://user:password@host:port/database?options", setting,
                fault);
    return NULL;
}

/* The user and password end at the first "@"; another one, or a "/" before it, means that one of
 * them was not percent-encoded and libpq would take the rest for a host. Nor may the first one come
 * after "/" and "?": the password before it would be read as port, database and options. */
static bool user_part_is_encoded(const char *uri)
{
    const char *rest = uri + strlen(PREFIX);
    size_t length = strcspn(rest, "?");
    const char *at = memchr(rest, '@', length);
    if (!at) {
        const char *late = strchr(rest, '@');
        bool has_slash = late && memchr(rest, '/', (size_t)(late - rest));
        return !has_slash || !memchr(rest, ':', strcspn(rest, "/?"));
    }
    size_t before = (size_t)(at - rest);
    return !memchr(rest, '/', before) && !strchr(at + 1, '@');
}

/* Whether what libpq quotes of the URI is the name of a parameter and not a part of a password. */
static bool quotes_a_name(const char *uri, const char *quoted)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    const char *query = strchr(uri, '?');
    const char *name = quoted + strlen(": \"");
    return query && !strchr(query, '@') && name[strspn(name, letters)] == '"';
}

/* Refuses with libpq's message, usually without what it quotes of the URI, which follows the last
 * colon. */
static void *refuse_as_libpq(struct status *status, const char *setting, const char *uri,
                             const char *complaint)
{
    char fault[128] = "cannot be read";
    const char *quoted = complaint ? strstr(complaint, ": \"") : NULL;
    bool parameter = quoted && strncmp(complaint, "invalid URI query parameter", 27) == 0;
    if (parameter && quotes_a_name(uri, quoted))
        snprintf(fault, sizeof(fault), "has the parameter %.40s that libpq does not know",
                 quoted + strlen(": "));
    else if (quoted)
        snprintf(fault, sizeof(fault), "cannot be read: %.*s", (int)(quoted - complaint),
                 complaint);
    fault[strcspn(fault, "\n")] = '\0';
    return refuse(status, setting, fault);
}

static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
    for (; options && options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val && options->val[0] ? options->val : NULL;
    return NULL;
}

/* Ports are numbers, hosts and databases hold no "@". */
static bool parts_are_plausible(const PQconninfoOption *options)
{
    const char *host = option_value(options, "host");
    const char *port = option_value(options, "port");
    const char *database = option_value(options, "dbname");
    if (port && strspn(port, "0123456789,") != strlen(port))
        return false;
    return !(host && strpbrk(host, "@?=&")) && !(database && strchr(database, '@'));
}

PQconninfoOption *postgres_uri_parse(const char *uri, const char *setting, struct status *status)
{
    if (!user_part_is_encoded(uri))
        return refuse(status, setting,
                      "has an @ or / in its user or password that is not written %40 or "
                      "%2F");
    char *complaint = NULL;
    PQconninfoOption *options = PQconninfoParse(uri, &complaint);
    if (!options) {
        refuse_as_libpq(status, setting, uri, complaint);
        PQfreemem(complaint);
        return NULL;
    }
    if (parts_are_plausible(options))
        return options;
    PQconninfoFree(options);
    return refuse(status, setting,
                  "has a host, port or database that is not valid (special characters in a "
                  "password are written as %40, %2F, %3A)");
}

/* ---- the parameters of SQLAlchemy's drivers ---- */

#define URI_MAX 65536

/* Their parameters that libpq has under another name (NULL: those without a meaning here). */
static const struct {
    const char *name;
    const char *keyword;
} TRANSLATIONS[] = {
    {"ssl", "sslmode"}, /* asyncpg, as are the next ones */
    {"timeout", "connect_timeout"},
    {"database", "dbname"},
    {"command_timeout", NULL},
    {"statement_cache_size", NULL},
    {"prepared_statement_cache_size", NULL},
    {"prepared_statement_name_func", NULL},
    {"max_cached_statement_lifetime", NULL},
    {"max_cacheable_statement_size", NULL},
    {"async_fallback", NULL},
    {"tcp_keepalive", NULL}, /* pg8000 */
};

/* A query string that is being parsed; its parts stay percent-encoded. */
struct translation {
    struct buffer uri;
    struct buffer hosts;
    struct buffer ports;
    bool has_port;
};

static void append_parameter(struct buffer *uri, const char *name, size_t name_size,
                             const char *rest, size_t rest_size)
{
    buffer_append_text(uri, strchr(uri->data, '?') ? "&" : "?");
    buffer_append(uri, name, name_size);
    buffer_append(uri, rest, rest_size);
}

/* SQLAlchemy writes several hosts as several parameters, each with its port: host=a:5432&host=b.
 * The colon may be written %3A. A list, as libpq writes them, replaces what came before it. */
static void add_host(struct translation *to, const char *host, size_t size)
{
    size_t rest = size;
    if (memchr(host, ',', size)) {
        to->hosts.size = to->ports.size = 0;
        to->has_port = false;
    }
    while (rest > 0 && isdigit((unsigned char)host[rest - 1]))
        rest--;
    size_t colon = rest >= 1 && host[rest - 1] == ':' ? 1 : 0;
    if (rest >= 3 && strncasecmp(host + rest - 3, "%3a", 3) == 0)
        colon = 3;
    bool has_port = colon > 0 && rest < size && !memchr(host, ':', rest - colon);
    const char *comma = to->hosts.size > 0 ? "," : "";
    buffer_append_format(&to->hosts, "%s%.*s", comma, (int)(has_port ? rest - colon : size), host);
    buffer_append_format(&to->ports, "%s%.*s", comma, (int)(has_port ? size - rest : 0),
                         host + rest);
    to->has_port = to->has_port || has_port;
}

static bool is_named(const char *parameter, size_t size, const char *name)
{
    return strlen(name) == size && memcmp(name, parameter, size) == 0;
}

/* `name` has `size` bytes; `rest` is its "=" and what follows. */
static void add_parameter(struct translation *to, const char *name, size_t size, const char *rest,
                          size_t rest_size)
{
    if (is_named(name, size, "host") && rest_size > 1) {
        add_host(to, rest + 1, rest_size - 1);
        return;
    }
    for (size_t i = 0; i < sizeof(TRANSLATIONS) / sizeof(TRANSLATIONS[0]); i++) {
        if (!is_named(name, size, TRANSLATIONS[i].name))
            continue;
        name = TRANSLATIONS[i].keyword;
        size = name ? strlen(name) : 0;
        break;
    }
    if (name)
        append_parameter(&to->uri, name, size, rest, rest_size);
}

char *postgres_uri_translate(const char *uri)
{
    const char *query = strchr(uri, '?');
    if (!query || strchr(query, '@'))
        return strdup(uri); /* the password may be split: see user_part_is_encoded */
    struct translation to = {0};
    buffer_init(&to.uri, URI_MAX);
    buffer_init(&to.hosts, URI_MAX);
    buffer_init(&to.ports, URI_MAX);
    buffer_append(&to.uri, uri, (size_t)(query - uri));
    do {
        query++;
        size_t size = strcspn(query, "&");
        size_t name = strcspn(query, "=&");
        add_parameter(&to, query, name, query + name, size - name);
        query += size;
    } while (*query == '&');
    if (to.hosts.size > 0)
        append_parameter(&to.uri, "host=", 5, to.hosts.data, to.hosts.size);
    if (to.has_port)
        append_parameter(&to.uri, "port=", 5, to.ports.data, to.ports.size);
    bool ok = !to.uri.failed && !to.hosts.failed && !to.ports.failed;
    buffer_fini(&to.hosts);
    buffer_fini(&to.ports);
    if (ok)
        return to.uri.data;
    buffer_fini(&to.uri);
    return NULL;
}

char *postgres_uri_describe(const PQconninfoOption *options)
{
    PQconninfoOption *defaults = PQconndefaults();
    const char *host = option_value(options, "host");
    const char *port = option_value(options, "port");
    const char *database = option_value(options, "dbname");
    if (!host)
        host = option_value(options, "hostaddr");
    if (!host)
        host = option_value(defaults, "host");
    if (!port)
        port = option_value(defaults, "port");
    if (!database)
        database = option_value(defaults, "dbname");
    char *description = NULL;
    if (asprintf(&description, "%s:%s/%s", host ? host : "localhost", port ? port : "5432",
                 database ? database : "") < 0)
        description = NULL;
    PQconninfoFree(defaults);
    return description;
}

int postgres_uri_host_count(const PQconninfoOption *options)
{
    const char *hosts = option_value(options, "host");
    if (!hosts)
        hosts = option_value(options, "hostaddr");
    int count = 1;
    for (; hosts && *hosts; hosts++)
        count += *hosts == ',';
    return count;
}

void postgres_one_line(const char *text, char *line, size_t size)
{
    size_t length = 0;
    bool space = false;
    for (; *text && length + 2 < size; text++) {
        if (isspace((unsigned char)*text)) {
            space = length > 0;
            continue;
        }
        if (space)
            line[length++] = ' ';
        space = false;
        line[length++] = *text;
    }
    line[length] = '\0';
}
