/* What only a file can do wrong: not be there, be something else, be damaged, be full. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "contract.h"
#include "store/sqlite/session.h"

static const char *path_of(const struct world *world)
{
    return world->url + strlen("sqlite:///");
}

/* Points the world at another file. */
static void use_path(struct world *world, const char *path)
{
    world->store->driver->close(world->store);
    free(world->url);
    assert_true(asprintf(&world->url, "sqlite:///%s", path) > 0);
    world->store = store_at(world->url);
}

static void assert_fatal(struct world *world, const char *expected)
{
    for (int read_only = 0; read_only < 2; read_only++) {
        struct store_session *session = NULL;
        struct status status = STATUS_INIT;
        assert_int_equal(
            world->store->driver->session_open(world->store, read_only, &session, &status),
            STORE_FATAL);
        assert_null(session);
        if (!strstr(status.message, expected))
            fail_msg("\"%s\" is not in: %s", expected, status.message);
        assert_null(strchr(status.message, '\n'));
    }
}

static void a_missing_folder_is_named(void **state)
{
    struct world *world = *state;
    char path[256];
    snprintf(path, sizeof(path), "%s.missing/x.db", path_of(world));
    use_path(world, path);
    assert_fatal(world, ".missing does not exist; create it");
}

static void a_folder_is_no_database(void **state)
{
    struct world *world = *state;
    assert_int_equal(mkdir(path_of(world), 0700), 0);
    assert_fatal(world, "is a folder");
}

static void a_folder_may_not_be_writable(void **state)
{
    struct world *world = *state;
    if (geteuid() == 0)
        skip(); /* root may write anywhere */
    char path[256];
    snprintf(path, sizeof(path), "%s.locked", path_of(world));
    assert_int_equal(mkdir(path, 0500), 0);
    strcat(path, "/x.db");
    use_path(world, path);
    assert_fatal(world, "may not be written by this user");
}

static void another_kind_of_file_is_left_alone(void **state)
{
    struct world *world = *state;
    static const char text[] = "Dear diary, this is not a database at all, but it is long enough "
                               "to be read as a header of one hundred bytes by those who try.";
    FILE *file = fopen(path_of(world), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_fatal(world, "is not an SQLite database");

    char kept[sizeof(text)] = "";
    file = fopen(path_of(world), "r");
    assert_non_null(fgets(kept, sizeof(kept), file));
    fclose(file);
    assert_string_equal(kept, text);
}

static void another_programs_database_is_left_alone(void **state)
{
    struct world *world = *state;
    database_execute(world->url, "create table events (id integer primary key, source text)");
    assert_fatal(world, "another program");
    database_execute(world->url, "insert into events (source) values ('still mine')");
}

/* Writes 1000 events of `size` bytes, numbered from 100, while no file may grow past 200 kB. */
static enum store_result write_without_room(struct world *world, size_t size, struct status *status)
{
    static char payload[30000];
    struct store_item appends[1000];
    for (uint32_t i = 0; i < 1000; i++) {
        appends[i] = event_numbered(100 + i);
        appends[i].event.payload = (struct slice){payload, size};
    }
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    struct rlimit small = {.rlim_cur = 200000, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    enum store_result result = write_items(world, appends, 1000, NULL, 0, status);
    setrlimit(RLIMIT_FSIZE, &before);
    return result;
}

static void a_file_that_cannot_grow_is_unavailable_until_it_can(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct status status = STATUS_INIT;
    /* More than the cache holds, so that the log is written before the commit. */
    assert_int_equal(write_without_room(world, 30000, &status), STORE_UNAVAILABLE);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    assert_false(has_number(world, 100));
    append_numbers(world, 2, 1);
    assert_true(has_number(world, 2));
}

static void a_commit_that_breaks_off_loses_the_session(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct status status = STATUS_INIT;
    assert_int_equal(write_without_room(world, 800, &status), STORE_LOST);

    world->store->driver->session_close(world->writer);
    assert_int_equal(session_at(world, &world->writer, &status), STORE_OK);
    assert_false(has_number(world, 100));
    append_numbers(world, 1, 200);
    assert_int_equal(list_page(world, (struct store_list){.limit = 1000}).count, 200);
}

/* Each connection says it once; SQLite has nothing by which another could take it back. */
static void commits_reach_the_disk(void **state)
{
    struct world *world = *state;
    database_execute(world->url, "pragma synchronous = off");
    append_numbers(world, 1, 1);
    sqlite3 *db = ((struct sqlite_session *)world->writer)->db;
    sqlite3_stmt *asked = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, "pragma synchronous", -1, &asked, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(asked), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(asked, 0), 2); /* full */
    sqlite3_finalize(asked);
}

static void damage_is_data_loss(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1000);
    const struct store_driver *driver = world->store->driver;
    driver->session_close(world->reader);
    driver->session_close(world->writer);
    world->reader = world->writer = NULL;

    int file = open(path_of(world), O_RDWR);
    assert_true(file >= 0);
    static const char garbage[4096] = "garbage";
    struct stat info;
    assert_int_equal(fstat(file, &info), 0);
    for (off_t offset = 4096; offset < info.st_size; offset += 4096)
        assert_int_equal(pwrite(file, garbage, 4096, offset), 4096);
    close(file);

    struct status status = STATUS_INIT;
    assert_int_equal(driver->session_open(world->store, true, &world->reader, &status), STORE_OK);
    struct store_list list = {.limit = 10, .max_bytes = SIZE_MAX, .arena = &world->arena};
    assert_int_equal(
        driver->list(world->reader, SCOPE_DEFAULT, &(struct store_list *){&list}, 1, &status),
        STORE_UNAVAILABLE);
    assert_int_equal(status.code, STATUS_DATA_LOSS);
    assert_int_equal(driver->ping(world->reader, &status), STORE_UNAVAILABLE);
}

static void a_file_of_the_first_version_is_counted_once(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 5);
    struct store_item ack = ack_numbered(3, NOON);
    ack_items(world, &ack, 1);
    const struct store_driver *driver = world->store->driver;
    driver->session_close(world->reader);
    driver->session_close(world->writer);
    world->reader = world->writer = NULL;
    database_execute(world->url, "drop table pending_count; pragma user_version = 1");

    struct status status = STATUS_INIT;
    assert_int_equal(driver->session_open(world->store, true, &world->reader, &status), STORE_OK);
    assert_int_equal(backlog_of(world).pending, 4);
    assert_int_equal(session_at(world, &world->writer, &status), STORE_OK);
    append_numbers(world, 6, 1);
    assert_int_equal(backlog_of(world).pending, 5);
}

int run_sqlite_tests(void)
{
    const struct CMUnitTest tests[] = {
        CLOSED_WORLD_TEST(a_missing_folder_is_named),
        CLOSED_WORLD_TEST(a_folder_is_no_database),
        CLOSED_WORLD_TEST(a_folder_may_not_be_writable),
        CLOSED_WORLD_TEST(another_kind_of_file_is_left_alone),
        CLOSED_WORLD_TEST(another_programs_database_is_left_alone),
        WORLD_TEST(a_file_that_cannot_grow_is_unavailable_until_it_can),
        WORLD_TEST(a_commit_that_breaks_off_loses_the_session),
        WORLD_TEST(commits_reach_the_disk),
        WORLD_TEST(damage_is_data_loss),
        WORLD_TEST(a_file_of_the_first_version_is_counted_once),
    };
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
