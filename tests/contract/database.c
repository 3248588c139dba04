/* Making, removing and entering databases beside the store. */
#include <ctype.h>
#include <ftw.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "contract.h"

#define NAME "triggers_contract_%d_%u" /* of a PostgreSQL database: process, number */

static struct {
    char folder[256]; /* of SQLite files */
    PGconn *server;   /* NULL: SQLite */
    char *server_url; /* with "%s" for the database; options follow */
    unsigned next;
    bool walls; /* see database_put_up_walls */
} place;

struct side {
    sqlite3 *sqlite;
    PGconn *postgres;
};

static void append_encoded(struct buffer *url, const char *text)
{
    for (; *text; text++)
        buffer_append_format(url, isalnum((unsigned char)*text) ? "%c" : "%%%02X",
                             (unsigned char)*text);
}

/* "keyword=value&…" of all that `options` sets but the database. */
static char *query_part(PQconninfoOption *options)
{
    struct buffer query;
    buffer_init(&query, 4096);
    for (PQconninfoOption *option = options; option->keyword; option++) {
        if (!option->val || !option->val[0] || strcmp(option->keyword, "dbname") == 0)
            continue;
        buffer_append_format(&query, "%s%s=", query.size ? "&" : "", option->keyword);
        append_encoded(&query, option->val);
    }
    return query.data;
}

bool database_place_open(const char *postgres_url)
{
    if (!postgres_url) {
        const char *parent = getenv("TMPDIR");
        snprintf(place.folder, sizeof(place.folder), "%s/triggers-contract-XXXXXX",
                 parent && parent[0] ? parent : "/tmp");
        return mkdtemp(place.folder) != NULL;
    }
    place.server = PQconnectdb(postgres_url);
    if (PQstatus(place.server) != CONNECTION_OK) {
        fprintf(stderr, "%s", PQerrorMessage(place.server));
        return false;
    }
    PQconninfoOption *options = PQconninfoParse(postgres_url, NULL);
    place.server_url = options ? query_part(options) : NULL;
    PQconninfoFree(options);
    return place.server_url != NULL;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

void database_place_close(void)
{
    if (place.server)
        PQfinish(place.server);
    else
        nftw(place.folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(place.server_url);
}

bool database_is_postgres(void)
{
    return place.server != NULL;
}

char *database_new_url(const char *extra)
{
    char *url = NULL;
    unsigned number = place.next++;
    int made = place.server ? asprintf(&url, "postgresql:///" NAME "?%s%s%s", getpid(), number,
                                       place.server_url, extra ? "&" : "", extra ? extra : "")
                            : asprintf(&url, "sqlite:///%s/%u.db", place.folder, number);
    assert_true(made > 0);
    return url;
}

/* The name of the database in a URL, in `name`. */
static void name_in(const char *url, char *name, size_t size)
{
    const char *start = strrchr(url, '/') + 1;
    snprintf(name, size, "%.*s", (int)strcspn(start, "?"), start);
}

void database_remove(const char *url)
{
    if (!place.server)
        return; /* the folder goes as a whole */
    char name[64], sql[256];
    name_in(url, name, sizeof(name));
    snprintf(sql, sizeof(sql), "drop database if exists %s with (force)", name);
    PQclear(PQexec(place.server, "set client_min_messages = error"));
    PQclear(PQexec(place.server, sql));
}

char *database_copy(const char *url)
{
    char from[64], to[64], sql[256];
    name_in(url, from, sizeof(from));
    snprintf(to, sizeof(to), NAME, getpid(), place.next);
    char *copy = database_new_url(place.walls ? "options=-c%20role%3D" WALLED_ROLE : NULL);
    snprintf(sql, sizeof(sql),
             "select pg_terminate_backend(pid) from pg_stat_activity where datname = '%s'", from);
    database_server_execute(sql); /* a pooler's */
    /* The other strategy, with less on the disk and more in the log, takes three times as long. */
    const char *strategy = PQserverVersion(place.server) >= 150000 ? "strategy file_copy" : "";
    snprintf(sql, sizeof(sql), "create database %s template %s %s", to, from, strategy);
    database_server_execute(sql);
    return copy;
}

static char *read_file(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "r");
    if (file && getdelim(&text, &size, 0, file) < 0) {
        free(text);
        text = NULL;
    }
    if (file)
        fclose(file);
    return text;
}

bool database_put_up_walls(const char *url, const char *file)
{
    char *sql = read_file(file);
    if (!sql)
        return false;
    database_execute(
        url,
        "do $$ declare name text; begin"
        "  if not exists (select from pg_roles where rolname = '" WALLED_ROLE "') then"
        "    create role " WALLED_ROLE "; end if;"
        "  grant pg_monitor, pg_signal_backend to " WALLED_ROLE ";"
        "  execute format('grant create on database %I to " WALLED_ROLE "', current_database());"
        "  alter schema triggers owner to " WALLED_ROLE ";"
        "  for name in select tablename from pg_tables where schemaname = 'triggers' loop"
        "    execute format('alter table triggers.%I owner to " WALLED_ROLE "', name); end loop;"
        "end $$");
    database_execute(url, sql);
    free(sql);
    place.walls = true;
    return true;
}

bool database_has_walls(void)
{
    return place.walls;
}

void side_execute(const struct side *side, const char *sql)
{
    if (side->postgres) {
        PGresult *result = PQexec(side->postgres, sql);
        ExecStatusType status = PQresultStatus(result);
        PQclear(result);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
            fail_msg("%s", PQerrorMessage(side->postgres));
    } else if (sqlite3_exec(side->sqlite, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fail_msg("%s", sqlite3_errmsg(side->sqlite));
    }
}

static struct side *side_open(const char *url)
{
    struct side *side = calloc(1, sizeof(*side));
    assert_non_null(side);
    if (place.server) {
        side->postgres = PQconnectdb(url);
        assert_int_equal(PQstatus(side->postgres), CONNECTION_OK);
        side_execute(side, "set role none"); /* it is the superuser, whatever the URL says */
    } else {
        assert_int_equal(sqlite3_open(url + strlen("sqlite:///"), &side->sqlite), SQLITE_OK);
    }
    return side;
}

void side_end(struct side *side)
{
    PQfinish(side->postgres);
    sqlite3_close(side->sqlite);
    free(side);
}

struct side *side_begin(const char *url, const char *sql)
{
    struct side *side = side_open(url);
    side_execute(side, "begin");
    side_execute(side, sql);
    return side;
}

void database_execute(const char *url, const char *sql)
{
    struct side *side = side_open(url);
    side_execute(side, sql);
    side_end(side);
}

int64_t database_number(const char *url, const char *sql)
{
    struct side *side = side_open(url);
    int64_t number = 0;
    if (side->postgres) {
        side_execute(side, "set search_path to triggers");
        PGresult *result = PQexec(side->postgres, sql);
        if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
            fail_msg("%s", PQerrorMessage(side->postgres));
        number = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        PQclear(result);
    } else {
        sqlite3_stmt *query = NULL;
        if (sqlite3_prepare_v2(side->sqlite, sql, -1, &query, NULL) != SQLITE_OK ||
            sqlite3_step(query) != SQLITE_ROW)
            fail_msg("%s", sqlite3_errmsg(side->sqlite));
        number = sqlite3_column_int64(query, 0);
        sqlite3_finalize(query);
    }
    side_end(side);
    return number;
}

void database_end_sessions(const char *url)
{
    database_execute(url, "select pg_terminate_backend(pid) from pg_stat_activity"
                          " where datname = current_database() and pid <> pg_backend_pid()");
}

void database_server_execute(const char *sql)
{
    side_execute(&(struct side){.postgres = place.server}, sql);
}

void database_put_address_behind_dead_host(char *options, size_t size)
{
    struct buffer host;
    buffer_init(&host, 1024);
    append_encoded(&host, PQhost(place.server));
    snprintf(options, size, "host=127.0.0.1,%s&port=1,%s", host.data, PQport(place.server));
    buffer_fini(&host);
}
