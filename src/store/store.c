/* Reads DATABASE_URL and chooses the store. The drivers know what its parts mean. */
#include "store/store.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/drivers.h"

#define DEFAULT_PATH "triggers.db"
#define ACCEPTED                                                                                   \
    "accepted: sqlite:///relative/path, sqlite:////absolute/path, "                                \
    "postgresql://user:password@host:port/database"

static bool refuse(struct status *status, const char *fault)
{
    return status_fail(status, STATUS_INVALID_ARGUMENT, "DATABASE_URL_INVALID",
                       "DATABASE_URL %s; " ACCEPTED, fault);
}

/* The scheme's length when `url` starts with letters, digits, "+", "-", "." and "://"; else 0. */
static size_t scheme_length(const char *url)
{
    size_t length = 0;
    while (isalnum((unsigned char)url[length]) || (url[length] && strchr("+-.", url[length])))
        length++;
    return strncmp(url + length, "://", 3) == 0 ? length : 0;
}

/* Accepts "+driver" after the name, as SQLAlchemy writes it. */
static bool scheme_is(const char *url, size_t length, const char *name)
{
    const char *plus = memchr(url, '+', length);
    size_t base = plus ? (size_t)(plus - url) : length;
    return strlen(name) == base && memcmp(url, name, base) == 0;
}

static bool scheme_is_postgres(const char *url, size_t length)
{
    return scheme_is(url, length, "postgresql") || scheme_is(url, length, "postgres");
}

/* `rest` follows "sqlite://". */
static bool open_sqlite(const char *rest, struct store **store, struct status *status)
{
    if (strchr(rest, '?'))
        return refuse(status, "has a query string, which SQLite files do not take");
    if (rest[0] != '\0' && rest[0] != '/')
        return refuse(status, "has a host in front of the file (three slashes make a relative "
                              "path, four an absolute one)");
    const char *path = rest[0] ? rest + 1 : rest;
    if (path[0] == '\0' || strcmp(path, ":memory:") == 0)
        return refuse(status, "names no file, and events kept in memory would be lost");
    return sqlite_store_new(path, store, status);
}

char *store_sqlite_path(const char *url)
{
    size_t length = scheme_length(url);
    if (!scheme_is(url, length, "sqlite"))
        return NULL;
    const char *path = url + length + strlen("://");
    size_t size = strcspn(path, "?");
    if (path[0] != '/' || size == 1)
        return NULL;
    return strndup(path + 1, size - 1);
}

char *store_postgres_uri(const char *url)
{
    size_t length = scheme_length(url);
    char *uri = NULL;
    if (!scheme_is_postgres(url, length) || asprintf(&uri, "postgresql%s", url + length) < 0)
        return NULL;
    char *translated = postgres_uri_translate(uri);
    free(uri);
    return translated;
}

static bool open_postgres(const char *url, struct store **store, struct status *status)
{
    char *uri = store_postgres_uri(url);
    if (!uri)
        return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    bool ok = postgres_store_new(uri, store, status);
    free(uri);
    return ok;
}

bool store_open(const char *database_url, struct store **store, struct status *status)
{
    if (!database_url || database_url[0] == '\0')
        return sqlite_store_new(DEFAULT_PATH, store, status);
    size_t length = scheme_length(database_url);
    if (length == 0)
        return refuse(status, "is not a URL");
    if (scheme_is(database_url, length, "sqlite"))
        return open_sqlite(database_url + length + strlen("://"), store, status);
    if (scheme_is_postgres(database_url, length))
        return open_postgres(database_url, store, status);
    return refuse(status, "has a scheme that is neither sqlite nor postgresql");
}
