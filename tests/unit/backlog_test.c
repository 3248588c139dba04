/* When the core warns of who keeps an old snapshot, and of standbys. The store's answers are the
 * test's, and so is the lane, which carries a question out at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/log.h"
#include "events/backlog.h"

#define SECOND INT64_C(1000000)

static struct store_backlog answer;
static bool fails;
static struct backlog backlog;
static struct tenants *tenants;
static struct store_backlog others; /* of each other tenant */

/* ---- the store and the lane ---- */

static enum store_result fake_backlog(struct store_session *session, struct scope scope,
                                      struct store_backlog *found, struct status *status)
{
    (void)session;
    if (fails) {
        status_fail(status, STATUS_UNAVAILABLE, "STORE_UNAVAILABLE", "unavailable");
        return STORE_UNAVAILABLE;
    }
    *found = scope.tenant == 0 ? answer : others;
    return STORE_OK;
}

static const struct store_driver FAKE = {.name = "fake", .backlog = fake_backlog};

bool readers_submit_list(struct readers *readers, struct list_op *op, struct status *status)
{
    struct store store = {.driver = &FAKE};
    struct store_session session = {.store = &store};
    (void)readers;
    (void)status;
    op->op.status.code = STATUS_OK;
    op->ask(&session, op, &op->op.status);
    op->op.done(&op->op);
    return true;
}

/* ---- what is logged ---- */

/* Asks, and returns the lines that were logged; they live until the next time. */
static const char *ask(void)
{
    static char lines[4096];
    FILE *file = tmpfile();
    assert_non_null(file);
    int output = dup(STDOUT_FILENO);
    fflush(stdout);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
    backlog.next_time_ms = 0; /* five seconds later */
    backlog_ask(&backlog, NULL, tenants);
    assert_true(dup2(output, STDOUT_FILENO) >= 0);
    close(output);
    rewind(file);
    lines[fread(lines, 1, sizeof(lines) - 1, file)] = '\0';
    fclose(file);
    return lines;
}

static void assert_quiet(void)
{
    assert_string_equal(ask(), "");
}

static void assert_warned(const char *text, const char *more)
{
    const char *lines = ask();
    assert_ptr_equal(strchr(lines, '\n'), lines + strlen(lines) - 1);
    assert_non_null(strstr(lines, "\"level\":\"warning\""));
    assert_non_null(strstr(lines, text));
    assert_non_null(strstr(lines, more));
}

static void hold(const char *holder, int64_t seconds, int64_t transactions)
{
    snprintf(answer.snapshot_holder, sizeof(answer.snapshot_holder), "%s", holder);
    answer.oldest_snapshot_us = seconds * SECOND;
    answer.oldest_snapshot_transactions = transactions;
}

static int set_up(void **state)
{
    (void)state;
    log_init("test", LOG_INFO, LOG_JSON);
    answer = (struct store_backlog){0};
    backlog = (struct backlog){0};
    fails = false;
    tenants_close(tenants);
    tenants = tenants_open(0, 0);
    return tenants ? 0 : -1;
}

/* ---- the tests ---- */

static void an_old_transaction_is_named_after_five_minutes(void **state)
{
    (void)state;
    hold("session 7", 300, 5000000);
    assert_quiet();
    assert_int_equal(atomic_load(backlog_oldest_snapshot.cells), 300 * SECOND);
    hold("session 7", 301, 9);
    assert_warned("an old transaction or replication slot", "\"holder\":\"session 7\"");
}

static void the_warning_has_figures(void **state)
{
    (void)state;
    hold("session 7", 4000, 12);
    assert_warned("\"seconds\":4000", "\"transactions\":12");
}

static void what_has_no_time_is_named_after_a_million_transactions(void **state)
{
    (void)state;
    hold("replication slot \"x\"", 0, 1000000);
    assert_quiet();
    hold("replication slot \"x\"", 0, 1000001);
    assert_warned("keeps removed rows", "replication slot \\\"x\\\"");
}

static void each_holder_is_named_once(void **state)
{
    (void)state;
    hold("session 7", 301, 1);
    assert_warned("holder", "session 7");
    hold("session 7", 306, 2);
    assert_quiet();
    fails = true;
    assert_quiet();
    fails = false;
    hold("session 8", 305, 1); /* it was the second one */
    assert_warned("holder", "session 8");
    assert_quiet();
}

static void one_that_comes_again_is_named_again(void **state)
{
    (void)state;
    hold("session 7", 301, 1);
    assert_warned("holder", "session 7");
    hold("", 0, 0);
    assert_quiet();
    hold("session 7", 301, 1);
    assert_warned("holder", "session 7");
}

static void standbys_are_told_once(void **state)
{
    (void)state;
    answer.asynchronous_standbys = 2;
    assert_warned("no standby of the database is synchronous", "\"standbys\":2");
    assert_quiet();
    answer.asynchronous_standbys = 0;
    assert_quiet();
    answer.asynchronous_standbys = 1;
    assert_warned("no standby of the database is synchronous", "\"standbys\":1");
}

static void without_an_answer_nothing_is_shown(void **state)
{
    (void)state;
    hold("session 7", 10, 1);
    assert_quiet();
    assert_int_equal(atomic_load(backlog_oldest_snapshot.cells), 10 * SECOND);
    fails = true;
    assert_quiet();
    assert_int_equal(atomic_load(backlog_oldest_snapshot.cells), METRIC_UNKNOWN);
}

/* Of one in a second; what they have together is shown when all had their turn. */
static void other_tenants_are_shown_together(void **state)
{
    (void)state;
    ask();
    assert_int_equal(atomic_load(backlog_others_pending.cells), 0);
    for (int64_t number = 1; number < 4; number++)
        assert_true(tenants_put(tenants, &(struct tenant){.number = number}));
    others = (struct store_backlog){.pending = 5, .oldest_created_at_us = SECOND};
    for (size_t i = 0; i < 3; i++) {
        ask();
        assert_int_equal(atomic_load(backlog_others_pending.cells), 0); /* of the last round */
    }
    ask();
    assert_int_equal(atomic_load(backlog_others_pending.cells), 15);
    assert_true(atomic_load(backlog_others_oldest_age.cells) > SECOND);
    fails = true;
    ask();
    fails = false;
    for (size_t i = 0; i < 3; i++)
        ask();
    assert_int_equal(atomic_load(backlog_others_pending.cells), METRIC_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_old_transaction_is_named_after_five_minutes, set_up),
        cmocka_unit_test_setup(the_warning_has_figures, set_up),
        cmocka_unit_test_setup(what_has_no_time_is_named_after_a_million_transactions, set_up),
        cmocka_unit_test_setup(each_holder_is_named_once, set_up),
        cmocka_unit_test_setup(one_that_comes_again_is_named_again, set_up),
        cmocka_unit_test_setup(standbys_are_told_once, set_up),
        cmocka_unit_test_setup(without_an_answer_nothing_is_shown, set_up),
        cmocka_unit_test_setup(other_tenants_are_shown_together, set_up),
    };
    int failed = cmocka_run_group_tests_name("backlog", tests, NULL, NULL);
    tenants_close(tenants);
    return failed;
}
