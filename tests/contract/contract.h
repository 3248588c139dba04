/* What the contract tests share: a fresh, empty database for each test, a second way into it that
 * does not go through the store, and short forms of the operations that assert success.
 *
 * Assertions may only run on the test's own thread. */
#ifndef TRIGGERS_TESTS_CONTRACT_H
#define TRIGGERS_TESTS_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

#define SECOND INT64_C(1000000)
#define NOON (INT64_C(1767268800) * SECOND) /* 2026-01-01T12:00:00Z */

/* ---- databases (database.c) ---- */

/* Where databases are made: a PostgreSQL URL, or NULL for SQLite files in a temporary folder. */
bool database_place_open(const char *postgres_url);
void database_place_close(void);
bool database_is_postgres(void);

/* URL of a database that does not exist yet; free it. `extra` is appended to the query part on
 * PostgreSQL; NULL for none. */
char *database_new_url(const char *extra);
void database_remove(const char *url);
/* PostgreSQL only: URL of a new copy of the database of `url`; free it. Sessions in that are ended.
 */
char *database_copy(const char *url);
/* PostgreSQL only: puts a role that is no superuser in possession of the tables of `url` and runs
 * the SQL of `file`; URLs of later copies are for that role. False when the file cannot be read. */
#define WALLED_ROLE "triggers_walled"
bool database_put_up_walls(const char *url, const char *file);
bool database_has_walls(void);

/* Runs SQL on the database of `url` beside the store; asserts success. */
void database_execute(const char *url, const char *sql);
/* The same for a query of one number; tables of ours need no schema before their name. */
int64_t database_number(const char *url, const char *sql);

/* PostgreSQL only: SQL outside the tests' databases; ending sessions; URL options that put a host
 * where nothing listens in front of the real one. */
void database_server_execute(const char *sql);
void database_end_sessions(const char *url); /* of everybody in that database */
void database_put_address_behind_dead_host(char *options, size_t size);

/* A connection beside the store that holds a transaction open. */
struct side;
struct side *side_begin(const char *url, const char *sql);
void side_execute(const struct side *side, const char *sql);
void side_end(struct side *side); /* rolls back */

/* ---- the world of one test (world.c) ---- */

struct world {
    char *url;
    struct store *store;
    struct store_session *writer;
    struct store_session *reader;
    struct scope scope; /* of the operations below; the default at first */
    struct arena arena;
};

/* cmocka's setup and teardown: a world with both sessions open, on PostgreSQL in a copy of one
 * database, as to set up each takes longer than most tests; and a world with none in a database
 * that is not there yet. world_end() after the last. */
int world_set_up(void **state);
int world_set_up_closed(void **state);
int world_tear_down(void **state);
void world_end(void);
void world_use_walls(const char *file); /* before the first: for all that are open */

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down)
#define CLOSED_WORLD_TEST(test)                                                                    \
    cmocka_unit_test_setup_teardown(test, world_set_up_closed, world_tear_down)

struct store *store_at(const char *url); /* asserts that the URL is accepted */
enum store_result session_at(struct world *world, struct store_session **session,
                             struct status *status);
void reopen(struct world *world); /* closes both sessions and opens them again */

/* Event `number`: its own id, made at NOON + `number` seconds, with plain content. */
struct store_item event_numbered(uint32_t number);
struct store_item ack_numbered(uint32_t number, int64_t acknowledged_at_us);
void id_numbered(uint32_t number, uint8_t id[TYPEID_BYTES]);
uint32_t id_number(const uint8_t id[TYPEID_BYTES]);
struct slice slice_of(const char *text);

/* Writes what the arrays hold, in their order. */
enum store_result write_items(struct world *world, struct store_item *appends, size_t append_count,
                              struct store_item *acks, size_t ack_count, struct status *status);
/* Each asserts STORE_OK. */
void append_items(struct world *world, struct store_item *appends, size_t count);
void ack_items(struct world *world, struct store_item *acks, size_t count);
void append_numbers(struct world *world, uint32_t first, uint32_t count);
struct store_event get_number(struct world *world, uint32_t number); /* asserts that it is there */
bool has_number(struct world *world, uint32_t number);
/* The numbers from `first` to `last`, in several batches; of the acks each `step`th. */
void append_up_to(struct world *world, uint32_t first, uint32_t last);
void ack_up_to(struct world *world, uint32_t first, uint32_t last, uint32_t step);
struct store_list list_page(struct world *world, struct store_list list);
struct store_kinds kinds_page(struct world *world, int32_t after, uint32_t limit);
struct store_backlog backlog_of(struct world *world);

void assert_slice(struct slice slice, const void *bytes, size_t size);

/* ---- the tests, by subject ---- */

int run_append_tests(void);
int run_ack_tests(void);
int run_get_tests(void);
int run_list_tests(void);
int run_log_tests(void);
int run_filter_tests(void);
int run_kinds_tests(void);
int run_blocks_tests(void);
int run_sequence_tests(void);
int run_follow_tests(void);
int run_follow_writer(int count, char **arguments); /* a process of the follow tests */
int run_backlog_tests(void);
int run_model_tests(void);
int run_concurrency_tests(void);
int run_failure_tests(void);
int run_scope_tests(void);
int run_erase_tests(void);
int run_trim_tests(void);
int run_held_back_tests(void);
int run_ledgers_tests(void);
int run_subscription_rows_tests(void);
int run_access_tests(void);
int run_plan_tests(void);
int run_schema_tests(void);
int run_sqlite_tests(void);
int run_notices_tests(void);
int run_postgres_tests(void);
int run_subscription_tests(void);
int run_tenants_tests(void);
int run_order_tests(void);
int run_url_tests(void);
int run_usage_tests(void);
int run_walls_tests(void);

#endif
