/* Runs the store's contract against one kind of store.
 *
 *   contract_test            SQLite files in a temporary folder
 *   contract_test postgres   the server of TRIGGERS_TEST_POSTGRES_URL, whose role is a superuser;
 *                            skipped (exit code 77) when that is not set
 *   contract_test walled FILE
 *                            the same as postgres, with what the SQL of FILE adds to the tables, as
 * a role that owns them and is no superuser contract_test pooled     the same through the pooler of
 * TRIGGERS_TEST_POOLED_URL, without what a pooler keeps from its clients With
 * TRIGGERS_TEST_FILTER=pattern only the tests whose names match.
 *
 *   contract_test follow …   a process that a test of follow_test.c starts */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "contract.h"

#define SKIPPED 77

static int run_all(bool pooled)
{
    int failed = run_append_tests() + run_ack_tests() + run_get_tests() + run_list_tests() +
                 run_backlog_tests() + run_usage_tests() + run_sequence_tests() + run_log_tests() +
                 run_filter_tests() + run_kinds_tests() + run_blocks_tests() + run_follow_tests() +
                 run_concurrency_tests() + run_failure_tests() + run_schema_tests() +
                 run_scope_tests() + run_model_tests() + run_erase_tests() + run_trim_tests() +
                 run_ledgers_tests() + run_subscription_rows_tests() + run_held_back_tests() +
                 run_access_tests();
    if (pooled)
        return failed;
    failed += run_plan_tests();
    failed +=
        database_is_postgres() ? run_postgres_tests() + run_notices_tests() : run_sqlite_tests();
    return failed + run_subscription_tests() + run_tenants_tests() + run_order_tests() +
           run_url_tests();
}

/* What names tenants in its statements, once more with walls between these. */
static int run_walled(void)
{
    return run_walls_tests() + run_append_tests() + run_ack_tests() + run_get_tests() +
           run_list_tests() + run_backlog_tests() + run_usage_tests() + run_log_tests() +
           run_filter_tests() + run_kinds_tests() + run_scope_tests() + run_erase_tests() +
           run_trim_tests() + run_ledgers_tests() + run_subscription_rows_tests() +
           run_held_back_tests() + run_access_tests() + run_plan_tests();
}

int main(int count, char **arguments)
{
    log_init("contract_test", LOG_ERROR, LOG_TEXT);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    cmocka_set_test_filter(getenv("TRIGGERS_TEST_FILTER"));
    if (count > 1 && strcmp(arguments[1], "follow") == 0)
        return run_follow_writer(count, arguments);
    const char *url = NULL;
    bool walled = count > 2 && strcmp(arguments[1], "walled") == 0;
    if (walled)
        world_use_walls(arguments[2]);
    bool pooled = count > 1 && strcmp(arguments[1], "pooled") == 0;
    if (count > 1) {
        const char *name = pooled ? "TRIGGERS_TEST_POOLED_URL" : "TRIGGERS_TEST_POSTGRES_URL";
        url = getenv(name);
        if (!url || !url[0]) {
            printf("%s is not set\n", name);
            return SKIPPED;
        }
    }
    if (!database_place_open(url))
        return EXIT_FAILURE;
    int failed = walled ? run_walled() : run_all(pooled);
    world_end();
    database_place_close();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
