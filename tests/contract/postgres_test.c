/* What only a server can do wrong: end a session, fail over, refuse at commit, change under us. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "contract.h"
#include "store/items.h"

static enum store_result write_one(struct world *world, uint32_t number, struct status *status)
{
    struct store_item append = event_numbered(number);
    return write_items(world, &append, 1, NULL, 0, status);
}

/* Points the world at a new database with these options in the URL. */
static void use_options(struct world *world, const char *options)
{
    world->store->driver->close(world->store);
    free(world->url);
    world->url = database_new_url(options);
    world->store = store_at(world->url);
}

static void a_session_that_was_ended_is_lost(void **state)
{
    struct world *world = *state;
    const struct store_driver *driver = world->store->driver;
    append_numbers(world, 1, 1);
    database_end_sessions(world->url);

    struct status status = STATUS_INIT;
    assert_int_equal(write_one(world, 2, &status), STORE_LOST);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    assert_int_equal(write_one(world, 2, &status), STORE_LOST);
    assert_int_equal(driver->ping(world->writer, &status), STORE_LOST);
    assert_int_equal(driver->ping(world->reader, &status), STORE_LOST);
    struct store_list list = {.limit = 1, .max_bytes = SIZE_MAX, .arena = &world->arena};
    assert_int_equal(
        driver->list(world->reader, SCOPE_DEFAULT, &(struct store_list *){&list}, 1, &status),
        STORE_LOST);

    reopen(world);
    assert_int_equal(write_one(world, 2, &status), STORE_OK);
    assert_true(has_number(world, 1));
    assert_true(has_number(world, 2));
}

struct acking {
    struct world *world;
    enum store_result result;
    struct status status;
};

static void *ack_one_and_two(void *context)
{
    struct acking *acking = context;
    struct store_item acks[2] = {ack_numbered(1, NOON), ack_numbered(2, NOON)};
    acking->result = write_items(acking->world, NULL, 0, acks, 2, &acking->status);
    return NULL;
}

/* An acknowledgement by somebody else, of the event with this sequence. */
#define ACKNOWLEDGE(sequence)                                                                      \
    "insert into triggers.acknowledged (tenant_id, sequence, kind, acknowledged_at)"               \
    " select tenant_id, sequence, kind, now() from triggers.events where sequence = " sequence

static void a_deadlock_is_left_by_not_waiting(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 2);
    struct side *side =
        side_begin(world->url, "set local deadlock_timeout = '60s';" ACKNOWLEDGE("2"));
    struct acking acking = {.world = world};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ack_one_and_two, &acking), 0);
    /* Once the writer holds event 1 and waits for event 2, ask for event 1 from the other side. */
    side_execute(side, "do $$ begin for i in 1..500 loop perform pg_stat_clear_snapshot();"
                       " exit when exists (select from pg_stat_activity where"
                       " datname = current_database() and wait_event_type = 'Lock');"
                       " perform pg_sleep(0.01); end loop; end $$");
    side_execute(side, ACKNOWLEDGE("1"));
    pthread_join(thread, NULL);
    side_end(side);
    assert_int_equal(acking.result, STORE_LOCKED);
    assert_int_equal(get_number(world, 1).acknowledged_at_us, 0);

    ack_one_and_two(&acking);
    assert_int_equal(acking.result, STORE_OK);
    assert_int_equal(get_number(world, 2).acknowledged_at_us, NOON + 2 * SECOND);
}

static void passing_failures_may_be_retried(void **state)
{
    struct world *world = *state;
    database_execute(world->url,
                     "create function triggers.fail() returns trigger"
                     " language plpgsql as"
                     " $$ begin raise using errcode = encode(new.payload, 'escape'); end $$;"
                     "create trigger fail before insert on triggers.events for each row"
                     " execute function triggers.fail()");
    static const char *const codes[] = {"40001", "40P01"};
    for (size_t i = 0; i < 2; i++) {
        struct store_item append = event_numbered(1);
        append.event.payload = slice_of(codes[i]);
        struct status status = STATUS_INIT;
        assert_int_equal(write_items(world, &append, 1, NULL, 0, &status), STORE_RETRY);
        assert_int_equal(status.code, STATUS_UNAVAILABLE);
    }
}

static void a_refusal_at_commit_is_seen(void **state)
{
    struct world *world = *state;
    database_execute(world->url,
                     "create function triggers.refuse() returns trigger language plpgsql as"
                     " $$ begin raise exception 'refused at commit'; end $$;"
                     "create constraint trigger refuse after insert on triggers.events"
                     " deferrable initially deferred for each row"
                     " when (new.payload = 'bad') execute function triggers.refuse()");
    struct store_item appends[2] = {event_numbered(1), event_numbered(2)};
    appends[1].event.payload = slice_of("bad");
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, appends, 2, NULL, 0, &status), STORE_REJECTED);
    assert_false(has_number(world, 1));
    append_items(world, appends, 1);
    assert_true(has_number(world, 1));
}

static void a_session_that_dies_at_commit_is_lost(void **state)
{
    struct world *world = *state;
    database_execute(world->url,
                     "create table triggers.lethal (on_commit boolean);"
                     "create function triggers.die() returns trigger language plpgsql as"
                     " $$ begin if exists (select from triggers.lethal) then"
                     " perform pg_terminate_backend(pg_backend_pid()); end if;"
                     " return new; end $$;"
                     "create constraint trigger die after insert on triggers.events"
                     " deferrable initially deferred for each row"
                     " execute function triggers.die();"
                     "insert into triggers.lethal values (true)");
    struct status status = STATUS_INIT;
    assert_int_equal(write_one(world, 1, &status), STORE_LOST);
    assert_false(has_number(world, 1));
    database_execute(world->url, "delete from triggers.lethal");
    reopen(world);
    assert_int_equal(write_one(world, 1, &status), STORE_OK);
    assert_true(has_number(world, 1));
}

static void content_that_the_database_cannot_hold_is_rejected(void **state)
{
    struct world *world = *state;
    struct status status = STATUS_INIT;
    struct store_item append = event_numbered(1);
    append.event.source = (struct slice){"nul\0inside", 10};
    assert_int_equal(write_items(world, &append, 1, NULL, 0, &status), STORE_REJECTED);
    append.event.source = slice_of("not utf-8: \xff\xfe");
    assert_int_equal(write_items(world, &append, 1, NULL, 0, &status), STORE_REJECTED);
    append = event_numbered(1);
    static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, INT64_MIN / 2};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        append.event.created_at_us = times[i];
        assert_int_equal(write_items(world, &append, 1, NULL, 0, &status), STORE_REJECTED);
    }
    append_numbers(world, 1, 1);
}

static void a_schema_that_was_dropped_is_made_again(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    database_execute(world->url, "set client_min_messages = error; drop schema triggers cascade");
    struct status status = STATUS_INIT;
    assert_int_equal(write_one(world, 2, &status), STORE_LOST);
    reopen(world);
    assert_int_equal(write_one(world, 2, &status), STORE_OK);
    assert_false(has_number(world, 1));
}

static void statements_that_were_dropped_are_prepared_again(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    database_execute(world->url, "alter table triggers.events alter column created_at type"
                                 " timestamptz(6)"); /* other result types than were prepared */
    struct store_get get = {.arena = &world->arena};
    struct store_get *gets[] = {&get};
    struct status status = STATUS_INIT;
    id_numbered(1, get.id);
    assert_int_equal(world->store->driver->get(world->reader, SCOPE_DEFAULT, gets, 1, &status),
                     STORE_LOST);
    reopen(world);
    assert_true(has_number(world, 1));
}

static void a_database_that_takes_no_writes_is_waited_for(void **state)
{
    struct world *world = *state;
    database_execute(world->url, "do $$ begin execute format('alter database %I set"
                                 " default_transaction_read_only = on', current_database());"
                                 " end $$");
    struct store_session *session = NULL;
    struct status status = STATUS_INIT;
    assert_int_equal(session_at(world, &session, &status), STORE_UNAVAILABLE);
    assert_non_null(strstr(status.message, "read-only"));
}

/* Refuses events unless `condition` holds in the transaction that stores or acknowledges them. */
static void require(struct world *world, const char *condition)
{
    char sql[1024];
    snprintf(sql, sizeof(sql),
             "create or replace function triggers.require() returns trigger language plpgsql as"
             " $$ begin if not (%s) then raise exception 'not so'; end if; return new; end $$;"
             "drop trigger if exists require on triggers.events;"
             "create trigger require after insert on triggers.events for each row"
             " execute function triggers.require();"
             "drop trigger if exists require on triggers.acknowledged;"
             "create trigger require after insert on triggers.acknowledged for each row"
             " execute function triggers.require()",
             condition);
    database_execute(world->url, sql);
}

static void shorter_time_outs_in_the_url_are_kept(void **state)
{
    struct world *world = *state;
    use_options(world, "options=-c%20statement_timeout%3D7s%20-c%20lock_timeout%3D1min");
    struct status status = STATUS_INIT;
    assert_int_equal(session_at(world, &world->writer, &status), STORE_OK);
    require(world, "current_setting('statement_timeout') = '7s' and"
                   " current_setting('lock_timeout') = '100ms'");
    append_numbers(world, 1, 1);
}

static void commits_are_durable_whatever_is_set(void **state)
{
    static const char *const levels[] = {"off", "local", "remote_write", "on", "remote_apply"};
    struct world *world = *state;
    for (uint32_t i = 0; i < 5; i++) {
        char sql[256];
        snprintf(sql, sizeof(sql),
                 "do $$ begin execute format('alter database %%I set synchronous_commit = %s',"
                 " current_database()); end $$",
                 levels[i]);
        database_execute(world->url, sql);
        snprintf(sql, sizeof(sql), "current_setting('synchronous_commit') = '%s'",
                 i == 4 ? "remote_apply" : "on");
        require(world, sql);
        reopen(world);
        append_numbers(world, i, 1);
        struct store_item ack = ack_numbered(i, NOON);
        ack_items(world, &ack, 1);
        assert_int_equal(ack.outcome, STORE_DONE);
    }
}

/* Longer than a store waits for a lock, of a table too; shorter than callers wait. */
#define PATIENCE_MS 10000

/* How an operation that meets a lock ends, which must be soon. */
static void assert_locked(struct world *world, struct store_item *appends, size_t append_count,
                          struct store_item *acks, size_t ack_count)
{
    struct status status = STATUS_INIT;
    int64_t start = clock_monotonic_ms();
    assert_int_equal(write_items(world, appends, append_count, acks, ack_count, &status),
                     STORE_LOCKED);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    assert_true(clock_monotonic_ms() - start < PATIENCE_MS);
}

/* The batch is to be split to find it. */
static void an_event_that_somebody_else_acknowledges_is_locked(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 3);
    struct side *side = side_begin(world->url, ACKNOWLEDGE("1"));
    struct store_item append = event_numbered(4);
    struct store_item acks[3] = {ack_numbered(1, NOON), ack_numbered(2, NOON),
                                 ack_numbered(9, NOON)};
    assert_locked(world, &append, 1, acks, 3);
    assert_locked(world, NULL, 0, acks, 1);
    assert_false(has_number(world, 4));
    assert_int_equal(get_number(world, 2).acknowledged_at_us, 0);
    struct status status = STATUS_INIT;
    assert_int_equal(write_items(world, &append, 1, acks + 1, 2, &status), STORE_OK);
    assert_int_equal(append.event.sequence, 4);
    assert_int_equal(acks[1].outcome, STORE_DONE);
    assert_int_equal(acks[2].outcome, STORE_NOT_FOUND);
    side_end(side);
    ack_items(world, acks, 1);
    assert_int_equal(acks[0].outcome, STORE_DONE);
}

static void events_are_stored_beside_a_lock_that_no_acknowledgement_passes(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct side *side = side_begin(world->url, "lock table triggers.acknowledged");
    struct store_item append = event_numbered(2);
    struct store_item ack = ack_numbered(1, NOON);
    assert_locked(world, &append, 1, &ack, 1);
    append_items(world, &append, 1);
    assert_int_equal(append.outcome, STORE_DONE);
    assert_locked(world, NULL, 0, &ack, 1);
    side_end(side);
    ack_items(world, &ack, 1);
    assert_int_equal(ack.outcome, STORE_DONE);
}

/* Somebody else has the tenant's row, which only those need who write after others. */
static void who_writes_alone_needs_no_lock(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 2);
    struct side *side = side_begin(world->url, "select from triggers.tenants for update");
    append_numbers(world, 3, 300);
    ack_up_to(world, 1, 300, 1);
    append_numbers(world, 303, 1);
    side_end(side);
    assert_int_equal(get_number(world, 303).sequence, 303);
}

static void who_writes_after_others_is_told_of_the_lock(void **state)
{
    struct world *world = *state;
    struct store_session *first = world->writer, *second = NULL;
    struct status status = STATUS_INIT;
    append_numbers(world, 1, 1);
    assert_int_equal(session_at(world, &second, &status), STORE_OK);
    world->writer = second;
    append_numbers(world, 2, 1);
    world->writer = first;
    struct side *side = side_begin(world->url, "select from triggers.tenants for update");
    struct store_item append = event_numbered(3);
    struct store_item ack = ack_numbered(1, NOON);
    enum store_result result = write_items(world, &append, 1, NULL, 0, &status);
    assert_int_equal(result, STORE_UNAVAILABLE);
    assert_non_null(strstr(status.message, "keeps the log locked"));
    ack_items(world, &ack, 1);
    side_end(side);
    append_items(world, &append, 1);
    assert_int_equal(append.event.sequence, 3);
    world->store->driver->session_close(second);
}

/* It is to be found by splitting the batch. */
static void an_id_that_somebody_else_is_storing_is_locked(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct side *side = side_begin(
        world->url, "insert into triggers.events (tenant_id, sequence, event_id, created_at, kind,"
                    " payload) select tenant_id, 1000, '5a5a5a5a-5a5a-0000-0002-5a5a5a5a5a5a',"
                    " created_at, kind, payload from triggers.events"); /* event 2 */
    struct store_item appends[2] = {event_numbered(2), event_numbered(3)};
    assert_locked(world, appends, 2, NULL, 0);
    append_items(world, &appends[1], 1);
    assert_int_equal(appends[1].event.sequence, 2);
    side_end(side);
    append_items(world, appends, 1);
    assert_int_equal(appends[0].outcome, STORE_DONE);
    assert_int_equal(appends[0].event.sequence, 3);
}

/* The next sequence is somebody's whose transaction is open: all wait, and nothing is passed over.
 */
static void a_sequence_that_somebody_else_is_storing_is_locked(void **state)
{
    struct world *world = *state;
    append_numbers(world, 1, 1);
    struct side *side = side_begin(
        world->url, "insert into triggers.events (tenant_id, sequence, event_id, created_at, kind,"
                    " payload) select tenant_id, 2, gen_random_uuid(), created_at, kind, payload"
                    " from triggers.events");
    struct store_item append = event_numbered(2);
    struct store_item ack = ack_numbered(1, NOON);
    assert_locked(world, &append, 1, NULL, 0);
    ack_items(world, &ack, 1);
    side_execute(side, "commit");
    side_end(side);
    append_items(world, &append, 1);
    assert_int_equal(append.outcome, STORE_DONE);
    assert_int_equal(append.event.sequence, 3);
}

/* As after a failover, behind a pooler, to a standby that lacked the last commits: the session that
 * wrote them leaves no gap, wherever blocks end. */
static void the_log_goes_on_where_the_database_lost_events(void **state)
{
    struct world *world = *state;
    static const uint32_t written[] = {10, 250, 270, 520};
    int64_t last = 0;
    uint32_t number = 0;
    for (size_t i = 0; i < 4; i++, number = written[i - 1]) {
        append_up_to(world, number + 1, written[i]);
        last += written[i] - number - 7;
        char sql[512];
        snprintf(sql, sizeof(sql),
                 "delete from triggers.events where sequence > %d;"
                 "delete from triggers.blocks where block >= %d;"
                 "delete from triggers.pending where block >= %d",
                 (int)last, (int)(last + 1) / 256, (int)(last + 1) / 256);
        database_execute(world->url, sql);
        struct store_item next = event_numbered(1000 + (uint32_t)i);
        append_items(world, &next, 1);
        assert_int_equal(next.event.sequence, ++last);
    }
    struct store_list page = list_page(
        world, (struct store_list){.set = STORE_LOG, .oldest_first = true, .limit = 1000});
    assert_int_equal(page.count, last);
    for (size_t i = 0; i < page.count; i++)
        assert_int_equal(page.events[i].sequence, i + 1);
    assert_int_equal(backlog_of(world).pending, last);
    assert_int_equal(database_number(world->url, "select count(*) from blocks where kind = 0"),
                     (last + 1) / 256);
}

/* What is added in the turn of a session that may not be alone; or that fails. */
struct addition {
    struct world *world;
    struct store_item append;
    bool fails;
};

static enum store_result add_or_fail(struct store_write *batch, struct status *status)
{
    struct addition *addition = batch->context;
    struct store_get get = {.arena = &addition->world->arena};
    struct store_get *gets = &get;
    id_numbered(1, get.id);
    const struct store_driver *driver = addition->world->store->driver;
    if (driver->get(addition->world->writer, SCOPE_DEFAULT, &gets, 1, status) != STORE_OK)
        return STORE_LOST;
    batch->items[batch->count++] = &addition->append;
    if (!addition->fails)
        return STORE_OK;
    status_fail(status, STATUS_UNAVAILABLE, "STORE_UNAVAILABLE", "as asked");
    return STORE_UNAVAILABLE;
}

static void a_batch_grows_in_its_turn(void **state)
{
    struct world *world = *state;
    struct status status = STATUS_INIT;
    struct addition addition = {.world = world, .append = event_numbered(2), .fails = true};
    addition.append.event.source = slice_of("new");
    struct store_item first = event_numbered(1);
    struct store_item *items[2];
    for (int i = 0; i < 2; i++, addition.fails = false) {
        struct store_write batch = {
            .items = items, .count = 1, .gather = add_or_fail, .context = &addition};
        items[0] = &first;
        assert_int_equal(world->store->driver->write(world->writer, SCOPE_DEFAULT, &batch, &status),
                         addition.fails ? STORE_UNAVAILABLE : STORE_OK);
        assert_int_equal(kinds_page(world, 0, 10).count, addition.fails ? 0 : 2);
        assert_int_equal(has_number(world, 1), !addition.fails);
    }
    assert_int_equal(first.event.sequence, 1);
    assert_int_equal(addition.append.event.sequence, 2);
    assert_slice(get_number(world, 2).source, "new", 3);
    append_numbers(world, 3, 1);
    assert_int_equal(get_number(world, 3).sequence, 3);
}

static void readers_are_told_of_a_locked_table(void **state)
{
    struct world *world = *state;
    struct side *side = side_begin(world->url, "lock table triggers.events");
    for (enum store_set set = STORE_PENDING; set <= STORE_LOG; set++) {
        struct store_list list = {.set = set,
                                  .oldest_first = true,
                                  .limit = 1,
                                  .max_bytes = SIZE_MAX,
                                  .arena = &world->arena};
        struct status status = STATUS_INIT;
        assert_int_equal(world->store->driver->list(world->reader, SCOPE_DEFAULT,
                                                    &(struct store_list *){&list}, 1, &status),
                         STORE_LOCKED);
        assert_int_equal(status.code, STATUS_UNAVAILABLE);
    }
    side_end(side);
    assert_int_equal(list_page(world, (struct store_list){.limit = 1}).count, 0);
}

static void a_database_of_another_encoding_is_refused(void **state)
{
    static const char *const encodings[] = {"LATIN1", "SQL_ASCII"};
    struct world *world = *state;
    for (size_t i = 0; i < 2; i++) {
        char sql[256];
        const char *name = strrchr(world->url, '/') + 1;
        snprintf(sql, sizeof(sql),
                 "create database %.*s encoding '%s' locale 'C' template template0",
                 (int)strcspn(name, "?"), name, encodings[i]);
        database_server_execute(sql);
        struct status status = STATUS_INIT;
        assert_int_equal(session_at(world, &world->writer, &status), STORE_FATAL);
        assert_non_null(strstr(status.message, encodings[i]));
        assert_non_null(strstr(status.message, "encoding 'UTF8'"));
        database_remove(world->url);
    }
}

static void a_dead_host_is_passed_over(void **state)
{
    struct world *world = *state;
    char options[512];
    database_put_address_behind_dead_host(options, sizeof(options));
    use_options(world, options);
    struct status status = STATUS_INIT;
    if (session_at(world, &world->writer, &status) != STORE_OK)
        fail_msg("%s", status.message);
    assert_int_equal(write_one(world, 1, &status), STORE_OK);
}

static void a_schema_that_is_in_the_way_is_told(void **state)
{
    struct world *world = *state;
    const struct store_driver *driver = world->store->driver;
    driver->session_close(world->writer);
    driver->session_close(world->reader);
    world->writer = world->reader = NULL;
    database_execute(world->url, "set client_min_messages = error; drop schema triggers cascade;"
                                 "create schema triggers; create table triggers.events ()");
    struct store_session *session = NULL;
    struct status status = STATUS_INIT;
    assert_int_equal(session_at(world, &session, &status), STORE_UNAVAILABLE);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(status.message, "cannot be set up"));
}

static void a_role_that_may_not_create_the_database_is_told(void **state)
{
    struct world *world = *state;
    database_server_execute("drop role if exists triggers_contract_guest");
    database_server_execute("create role triggers_contract_guest login password 'Tr0ub4dor'");
    use_options(world, "user=triggers_contract_guest&password=Tr0ub4dor");
    struct store_session *session = NULL;
    struct status status = STATUS_INIT;
    assert_int_equal(session_at(world, &session, &status), STORE_UNAVAILABLE);
    assert_non_null(strstr(status.message, "\"triggers_contract_guest\" may not create it"));
    assert_null(strstr(status.message, "Tr0ub4dor"));
    database_server_execute("drop role triggers_contract_guest");
}

static void a_server_that_does_not_answer_is_given_up(void **state)
{
    struct world *world = *state;
    /* At the commit no time-out of the server's counts. */
    database_execute(world->url,
                     "create function triggers.sleep() returns trigger language plpgsql as"
                     " $$ begin perform pg_sleep(60); return new; end $$;"
                     "create constraint trigger sleep after insert on triggers.events"
                     " deferrable initially deferred for each row"
                     " execute function triggers.sleep()");
    struct status status = STATUS_INIT;
    int64_t start = clock_monotonic_ms();
    assert_int_equal(write_one(world, 1, &status), STORE_LOST);
    assert_in_range(clock_monotonic_ms() - start, 5000, 12000);
    assert_int_equal(write_one(world, 1, &status), STORE_LOST);
    assert_int_equal(world->store->driver->ping(world->writer, &status), STORE_LOST);
}

/* Their order in blocks is no promise. */
static void pages_of_a_kind_sort_its_places(void **state)
{
    struct world *world = *state;
    append_up_to(world, 1, 300);
    database_execute(world->url, "update triggers.blocks set places = "
                                 "array(select p from unnest(places) p order by -p % 100)"
                                 " where places is not null");
    struct slice crm = slice_of("crm");
    struct store_list list = {.limit = 100, .filter = {.sources = &crm, .source_count = 1}};
    list.after = 201;
    struct store_list newest = list_page(world, list);
    list.oldest_first = true;
    list.after = 0;
    struct store_list oldest = list_page(world, list);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(newest.events[i].sequence, 200 - i);
        assert_int_equal(oldest.events[i].sequence, 1 + i);
    }
}

/* Somebody who writes alone needs no lock, so he may come between a batch and its turn, and take
 * the place from which the turn would have filled no block. */
static enum store_result let_another_write(struct store_write *batch, struct status *status)
{
    struct world *world = batch->context;
    (void)status;
    append_numbers(world, 1001, 3);
    batch->gather = NULL;
    return STORE_OK;
}

static void a_turn_fills_the_block_that_somebody_else_began(void **state)
{
    struct world *world = *state;
    enum { BEFORE = STORE_BLOCK - 6, COUNT = 4 };
    struct store_session *other;
    struct status status = STATUS_INIT;
    append_up_to(world, 1, BEFORE); /* now `writer` writes alone */
    assert_int_equal(session_at(world, &other, &status), STORE_OK);
    struct store_item appends[COUNT], *items[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        appends[i] = event_numbered(2001 + i);
        items[i] = &appends[i];
    }
    enum store_result result = STORE_RETRY;
    struct store_write batch = {
        .items = items, .count = COUNT, .gather = let_another_write, .context = world};
    for (int tries = 0; result == STORE_RETRY && tries < 3; tries++)
        result = world->store->driver->write(other, SCOPE_DEFAULT, &batch, &status);
    assert_int_equal(result, STORE_OK);
    world->store->driver->session_close(other);
    struct store_list page = list_page(
        world, (struct store_list){
                   .set = STORE_LOG, .oldest_first = true, .after = STORE_BLOCK - 1, .limit = 10});
    assert_int_equal(page.count, BEFORE + 3 + COUNT - (STORE_BLOCK - 1));
    assert_int_equal(page.events[0].sequence, STORE_BLOCK);
}

/* A session that writes for several tenants in turn knows the end of each log: it needs the lock of
 * none, which another session keeps. One that it has forgotten it learns again. */
static void the_ends_of_several_logs_are_remembered(void **state)
{
    struct world *world = *state;
    for (int tenant = 1; tenant <= 16; tenant++) {
        world->scope = (struct scope){.tenant = tenant};
        append_numbers(world, 1, 3);
    }
    struct side *side = side_begin(world->url, "select from triggers.tenants for update");
    for (uint32_t round = 0; round < 2; round++)
        for (int tenant = 1; tenant <= 16; tenant++) {
            world->scope = (struct scope){.tenant = tenant};
            append_numbers(world, 10 + round * 10, 5);
        }
    assert_int_equal(get_number(world, 24).sequence, 13);
    side_end(side);
    world->scope = (struct scope){.tenant = 17};
    append_numbers(world, 1, 1);
    world->scope = (struct scope){.tenant = 1}; /* is forgotten */
    append_numbers(world, 30, 1);
    assert_int_equal(get_number(world, 30).sequence, 14);
}

int run_postgres_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(the_ends_of_several_logs_are_remembered),
        WORLD_TEST(a_session_that_was_ended_is_lost),
        WORLD_TEST(a_turn_fills_the_block_that_somebody_else_began),
        WORLD_TEST(a_deadlock_is_left_by_not_waiting),
        WORLD_TEST(passing_failures_may_be_retried),
        WORLD_TEST(a_refusal_at_commit_is_seen),
        WORLD_TEST(a_session_that_dies_at_commit_is_lost),
        WORLD_TEST(content_that_the_database_cannot_hold_is_rejected),
        WORLD_TEST(a_schema_that_was_dropped_is_made_again),
        WORLD_TEST(statements_that_were_dropped_are_prepared_again),
        WORLD_TEST(a_database_that_takes_no_writes_is_waited_for),
        WORLD_TEST(a_schema_that_is_in_the_way_is_told),
        CLOSED_WORLD_TEST(shorter_time_outs_in_the_url_are_kept),
        WORLD_TEST(commits_are_durable_whatever_is_set),
        WORLD_TEST(an_event_that_somebody_else_acknowledges_is_locked),
        WORLD_TEST(events_are_stored_beside_a_lock_that_no_acknowledgement_passes),
        WORLD_TEST(who_writes_alone_needs_no_lock),
        WORLD_TEST(who_writes_after_others_is_told_of_the_lock),
        WORLD_TEST(an_id_that_somebody_else_is_storing_is_locked),
        WORLD_TEST(a_sequence_that_somebody_else_is_storing_is_locked),
        WORLD_TEST(the_log_goes_on_where_the_database_lost_events),
        WORLD_TEST(a_batch_grows_in_its_turn),
        WORLD_TEST(readers_are_told_of_a_locked_table),
        CLOSED_WORLD_TEST(a_database_of_another_encoding_is_refused),
        CLOSED_WORLD_TEST(a_dead_host_is_passed_over),
        CLOSED_WORLD_TEST(a_role_that_may_not_create_the_database_is_told),
        WORLD_TEST(a_server_that_does_not_answer_is_given_up),
        WORLD_TEST(pages_of_a_kind_sort_its_places),
    };
    return cmocka_run_group_tests_name("postgres", tests, NULL, NULL);
}
