/* What only a file can do wrong: not be there, be something else, be damaged, be full; and how
 * those who write into it share it. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* ---- when commits reach the disk, and in which order ---- */

static void assert_synchronous(struct store_session *session, int expected)
{
    sqlite3 *db = ((struct sqlite_session *)session)->db;
    sqlite3_stmt *asked = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, "pragma synchronous", -1, &asked, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(asked), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(asked, 0), expected); /* 1: normal, 2: full */
    sqlite3_finalize(asked);
}

/* Each connection says it once; SQLite has nothing by which another could take it back. */
static void commits_reach_the_disk(void **state)
{
    struct world *world = *state;
    database_execute(world->url, "pragma synchronous = off");
    append_numbers(world, 1, 1);
    assert_synchronous(world->writer, 2);
}

static void subscribe(struct world *world)
{
    struct store_put put = {.name = slice_of("a"),
                            .settings = slice_of("settings"),
                            .checkpoint = slice_of("checkpoint")};
    struct status status = STATUS_INIT;
    assert_int_equal(
        world->store->driver->subscription_put(world->writer, world->scope, &put, &status),
        STORE_OK);
    assert_int_equal(put.outcome, STORE_DONE);
    assert_int_equal(put.id, 1);
}

/* Take number `number` of the subscription, with its number as its token. */
static bool take_number(struct store_session *session, struct scope scope, int64_t number,
                        bool durable)
{
    struct store_take take = {
        .subscription = 1,
        .revision = 1,
        .before = {number - 1, (uint64_t)number - 1},
        .entry = {.token = (uint64_t)number, .body = slice_of("take")},
        .durable = durable,
    };
    struct status status = STATUS_INIT;
    return session->store->driver->take(session, scope, &(struct store_take *){&take}, 1,
                                        &status) == STORE_OK &&
           take.outcome == STORE_DONE && take.entry.number == number;
}

static void takes_do_not_wait_for_the_disk(void **state)
{
    struct world *world = *state;
    subscribe(world);
    assert_synchronous(world->writer, 2);
    assert_true(take_number(world->writer, world->scope, 1, false));
    assert_synchronous(world->writer, 1);
    assert_true(take_number(world->writer, world->scope, 2, true));
    assert_synchronous(world->writer, 2);
    assert_true(take_number(world->writer, world->scope, 3, false));
    append_numbers(world, 1, 1);
    assert_synchronous(world->writer, 2);
}

static void a_take_outlives_its_process(void **state)
{
    struct world *world = *state;
    struct status status = STATUS_INIT;
    assert_int_equal(session_at(world, &world->writer, &status), STORE_OK);
    subscribe(world);
    world->store->driver->session_close(world->writer);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (session_at(world, &world->writer, &status) == STORE_OK &&
            take_number(world->writer, world->scope, 1, false))
            raise(SIGKILL);
        _exit(1);
    }
    int end;
    assert_int_equal(waitpid(child, &end, 0), child);
    assert_true(WIFSIGNALED(end));
    assert_int_equal(session_at(world, &world->writer, &status), STORE_OK);
    assert_int_equal(database_number(world->url, "select count(*) from takes"), 1);
    assert_true(take_number(world->writer, world->scope, 2, false));
}

/* One who writes at once, in a thread and session of his own. */
struct waiting_writer {
    struct world *world;
    struct store_session *session;
    pthread_t thread;
    struct store_item append;
    uint32_t number; /* of its event */
    enum store_result result;
};

static void *write_one(void *context)
{
    struct waiting_writer *writer = context;
    struct status status = STATUS_INIT;
    struct store_item *items[] = {&writer->append};
    struct store_write batch = {items, 1};
    writer->append = event_numbered(writer->number);
    writer->result = writer->session->store->driver->write(writer->session, writer->world->scope,
                                                           &batch, &status);
    return NULL;
}

static void await_turns_drawn(struct world *world, uint64_t count)
{
    struct sqlite_store *store = (struct sqlite_store *)world->store;
    bool drawn = false;
    while (!drawn) {
        pthread_mutex_lock(&store->lock);
        drawn = store->turns_drawn == count;
        pthread_mutex_unlock(&store->lock);
        sched_yield();
    }
}

static void writers_take_turns_in_the_order_in_which_they_came(void **state)
{
    enum { WRITERS = 4 };
    struct world *world = *state;
    struct sqlite_session *first = (struct sqlite_session *)world->writer;
    struct waiting_writer writers[WRITERS] = {0};
    struct status status = STATUS_INIT;
    assert_int_equal(sqlite_begin_writing(first, true), SQLITE_DONE);
    uint64_t drawn = ((struct sqlite_store *)world->store)->turns_drawn;
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct waiting_writer){.world = world, .number = WRITERS - i};
        assert_int_equal(session_at(world, &writers[i].session, &status), STORE_OK);
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_one, &writers[i]), 0);
        await_turns_drawn(world, drawn + i + 1);
    }
    assert_int_equal(sqlite_end_writing(first, SQLITE_DONE, &status), STORE_OK);
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_int_equal(writers[i].result, STORE_OK);
        assert_int_equal(writers[i].append.event.sequence, i + 1);
        world->store->driver->session_close(writers[i].session);
    }
}

/* Whoever fails, even without a transaction, leaves the turn to others. */
static void a_write_that_fails_ends_its_turn(void **state)
{
    struct world *world = *state;
    struct side *side = side_begin(world->url, "insert into blocks values (9, 9, 9, 9, 9)");
    sqlite3_busy_timeout(((struct sqlite_session *)world->writer)->db, 1);
    struct store_item append = event_numbered(1);
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, &append, 1, NULL, 0, &status), STORE_UNAVAILABLE);
    side_end(side);
    append_items(world, &append, 1);
    assert_int_equal(append.event.sequence, 1);
}

static void damage_is_data_loss(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1000);
    const struct store_driver *driver = world->store->driver;
    driver->session_close(world->reader);
    driver->session_close(world->writer);
    world->reader = world->writer = NULL;

    /* The pages that tables and indexes begin with; the schema, which has pages of its own, stays.
     */
    int file = open(path_of(world), O_RDWR);
    assert_true(file >= 0);
    static const char garbage[4096] = "garbage";
    for (int64_t page = 0;;) {
        char sql[128];
        snprintf(sql, sizeof(sql),
                 "select coalesce(min(rootpage), 0) from sqlite_schema where rootpage > %d",
                 (int)page);
        page = database_number(world->url, sql);
        if (page == 0)
            break;
        assert_int_equal(pwrite(file, garbage, 4096, (page - 1) * 4096), 4096);
    }
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

/* What version 4 keeps of full blocks is made of the events that version 3 had. */
static void the_kinds_of_version_3_are_found(void **state)
{
    struct world *world = *state;
    static struct store_item appends[3 * STORE_BLOCK];
    for (uint32_t i = 0; i < 3 * STORE_BLOCK; i++) {
        appends[i] = event_numbered(i + 1);
        appends[i].event.type = slice_of(i % 7 == 0 ? "rare" : "often");
    }
    append_items(world, appends, 3 * STORE_BLOCK);
    database_execute(world->url, "create table expected as select * from kind_blocks");
    assert_int_equal(database_number(world->url, "select count(*) from expected"), 6);
    database_execute(world->url,
                     "drop table kind_blocks;"
                     "create index events_kinds on events (tenant_id, kind, position);"
                     "drop table subscriptions; drop table subscription_numbers;"
                     "drop table takes;"
                     "drop table settlements; drop table dead_letters;"
                     "drop table access_version; drop table access_rows; drop table key_uses;"
                     "drop table audit_records; drop table audit_numbers;"
                     "alter table blocks drop column bytes;"
                     "pragma user_version = 3");
    struct store_session *session;
    struct status status = STATUS_INIT;
    assert_int_equal(session_at(world, &session, &status), STORE_OK);
    world->store->driver->session_close(session);
    assert_int_equal(
        database_number(world->url, "select count(*) from kind_blocks natural join expected"), 6);
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
        WORLD_TEST(takes_do_not_wait_for_the_disk),
        CLOSED_WORLD_TEST(a_take_outlives_its_process),
        WORLD_TEST(writers_take_turns_in_the_order_in_which_they_came),
        WORLD_TEST(a_write_that_fails_ends_its_turn),
        WORLD_TEST(damage_is_data_loss),
        WORLD_TEST(the_kinds_of_version_3_are_found),
    };
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
