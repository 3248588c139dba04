/* Reading the connection URI: libpq takes it apart; here is what must hold so that no part of a
 * password can end up where it would be shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/postgres/session.h"

#define PREFIX "postgresql://"

static void *refuse(struct status *status, const char *setting, const char *fault)
{
    status_fail(status, STATUS_INVALID_ARGUMENT, "DATABASE_URL_INVALID",
                "%s %s; accepted: postgresql://user:password@host:port/database?options", setting,
                fault);
    return NULL;
}

/* The user and password end at the first "@"; another one, or a "/" before it, means that one of
 * them was not percent-encoded and libpq would take the rest for a host. Nor may the first come
 * behind "/" and "?": the password before it would be read as port, database and options. */
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

/* Libpq's complaint without what it quotes of the URI, which follows the last colon. */
static void *refuse_as_libpq(struct status *status, const char *setting, const char *complaint)
{
    char fault[128] = "cannot be read";
    const char *quoted = complaint ? strstr(complaint, ": \"") : NULL;
    if (quoted)
        snprintf(fault, sizeof(fault), "cannot be read: %.*s", (int)(quoted - complaint),
                 complaint);
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
        refuse_as_libpq(status, setting, complaint);
        PQfreemem(complaint);
        return NULL;
    }
    if (parts_are_plausible(options))
        return options;
    PQconninfoFree(options);
    return refuse(status, setting,
                  "has a host, port or database that cannot be one (special characters in "
                  "a password are written as %40, %2F, %3A)");
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
