/* Records that wait for the store: in their order, each tenant's by itself, so many at most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "access/recorder.h"

static struct recorder recorder;
static struct {
    size_t written, calls;
    int64_t tenants[2 * RECORDER_MAX];
    char targets[2 * RECORDER_MAX][16];
    bool fails;
} shelf;

static enum store_result fake_add(struct store_session *session, struct scope scope,
                                  struct store_audit_record *records, size_t count,
                                  struct status *status)
{
    (void)session;
    shelf.calls++;
    if (shelf.fails) {
        status_fail(status, STATUS_UNAVAILABLE, "STORE_UNAVAILABLE", "unavailable");
        return STORE_UNAVAILABLE;
    }
    for (size_t i = 0; i < count; i++, shelf.written++) {
        Triggers__V1__AuditRecord *record = triggers__v1__audit_record__unpack(
            NULL, records[i].body.size, (const uint8_t *)records[i].body.data);
        assert_non_null(record);
        shelf.tenants[shelf.written] = scope.tenant;
        snprintf(shelf.targets[shelf.written], 16, "%s", record->target);
        triggers__v1__audit_record__free_unpacked(record, NULL);
    }
    return STORE_OK;
}

static const struct store_driver FAKE = {.name = "fake", .audit_add = fake_add};
static struct store fake_store = {.driver = &FAKE};
static struct store_session session = {.store = &fake_store};

static int begin(void **state)
{
    (void)state;
    memset(&shelf, 0, sizeof(shelf));
    recorder_init(&recorder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    recorder_fini(&recorder);
    return 0;
}

static bool add_result(int64_t tenant, size_t number, enum status_code result)
{
    char target[16];
    snprintf(target, sizeof(target), "t%zu", number);
    return recorder_add(&recorder, &(struct access_deed){.scope = {.tenant = tenant},
                                                         .action = "EraseEvent",
                                                         .target = {target, strlen(target)},
                                                         .result = result,
                                                         .request_id = "r",
                                                         .address = ""});
}

static bool add(int64_t tenant, size_t number)
{
    return add_result(tenant, number, STATUS_OK);
}

static void records_are_written_in_their_order(void **state)
{
    struct status status;
    (void)state;
    for (size_t i = 0; i < 500; i++)
        assert_true(add((int64_t)(i / 150), i));
    assert_int_equal(recorder_write(&recorder, &session, &status), STORE_OK);
    assert_int_equal(shelf.written, 500);
    assert_true(shelf.calls < 12);
    assert_false(recorder_has_more(&recorder));
    for (size_t i = 0; i < 500; i++) {
        char target[16];
        snprintf(target, sizeof(target), "t%zu", i);
        assert_string_equal(shelf.targets[i], target);
        assert_int_equal(shelf.tenants[i], i / 150);
    }
}

static void they_wait_for_the_store_but_not_without_end(void **state)
{
    struct status status;
    (void)state;
    shelf.fails = true;
    for (size_t i = 0; i < RECORDER_MAX; i++)
        assert_true(add(0, i));
    assert_int_equal(recorder_write(&recorder, &session, &status), STORE_UNAVAILABLE);
    assert_false(add(0, RECORDER_MAX));
    shelf.fails = false;
    assert_int_equal(recorder_write(&recorder, &session, &status), STORE_OK);
    assert_int_equal(shelf.written, RECORDER_MAX);
    assert_true(add(0, 0));
    assert_true(recorder_has_more(&recorder)); /* the log has this one, at the end */
}

static void what_was_refused_leaves_room_for_what_was_done(void **state)
{
    struct status status;
    size_t added = 0;
    (void)state;
    while (add_result(0, added, STATUS_PERMISSION_DENIED))
        added++;
    assert_int_equal(added, RECORDER_MAX / 2);
    assert_true(add(0, added));
    assert_int_equal(recorder_write(&recorder, &session, &status), STORE_OK);
    assert_int_equal(shelf.written, RECORDER_MAX / 2 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_are_written_in_their_order, begin, end),
        cmocka_unit_test_setup_teardown(they_wait_for_the_store_but_not_without_end, begin, end),
        cmocka_unit_test_setup_teardown(what_was_refused_leaves_room_for_what_was_done, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
