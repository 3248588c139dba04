/* Events and problems as JSON: what is read, what is wrong with it, what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "hand_made.h"

static enum hand_made_result read_text(const char *text, struct arena *arena,
                                       triggers_new_event *event, struct hand_made_errors *errors)
{
    struct json_value value;
    struct json_error error;
    assert_true(json_check(text, strlen(text), &value, &error));
    return hand_made_read_event(&value, arena, false, event, errors);
}

static void an_event_is_read(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 65536);
    triggers_new_event event;
    struct hand_made_errors errors;
    assert_int_equal(
        read_text("{\"payload\":{},\"x\":[1],\"source\":\"a\",\"event_type\":\"\\u0074\","
                  "\"sourc\\u0065\":\" B\\n\",\"payload\": {\"k\" : 1e400} }",
                  &arena, &event, &errors),
        HAND_MADE_OK);
    assert_string_equal(event.source, " B\n");
    assert_string_equal(event.event_type, "t");
    assert_int_equal(event.payload_size, strlen("{\"k\" : 1e400}"));
    assert_memory_equal(event.payload, "{\"k\" : 1e400}", event.payload_size);
    assert_null(event.event_id);
    arena_fini(&arena);
}

static void all_that_is_wrong_is_told_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *summary;
    } cases[] = {
        {"[]", "the event must be a JSON object"},
        {"{}", "source must be given; event_type must be given; payload must be given"},
        {"{\"source\":1,\"event_type\":null,\"payload\":[]}",
         "source must be a string; event_type must be a string; payload must be a JSON object"},
        {"{\"source\":\"\\ud800\",\"event_type\":\"a\\u0000\",\"payload\":\"{}\"}",
         "source must not have half of a surrogate pair; event_type must not have the character "
         "U+0000; payload must be a JSON object"},
        {"{\"source\":\"a\",\"event_type\":\"b\",\"payload\":{},\"payload\":null}",
         "payload must be a JSON object"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena arena;
        arena_init(&arena, 65536);
        triggers_new_event event;
        struct hand_made_errors errors;
        assert_int_equal(read_text(cases[i].text, &arena, &event, &errors), HAND_MADE_WRONG);
        struct buffer out;
        buffer_init(&out, 4096);
        problem_write(
            &out,
            &(struct problem){
                .status = 422, .code = "C", .fields = errors.fields, .field_count = errors.count},
            NULL);
        assert_false(out.failed);
        assert_non_null(strstr(out.data, cases[i].summary));
        buffer_fini(&out);
        arena_fini(&arena);
    }
}

static void reading_without_memory_is_told(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1);
    triggers_new_event event;
    struct hand_made_errors errors;
    assert_int_equal(
        read_text("{\"source\":\"abcdefghijklmnopqrstuvwxyz\"}", &arena, &event, &errors),
        HAND_MADE_NO_MEMORY);
    arena_fini(&arena);
}

static void an_event_is_written(void **state)
{
    (void)state;
    static const struct bridge_settings settings;
    triggers_event event = {
        .event_id = "evt_1",
        .source = "a\"b",
        .event_type = "\xc3\xa9",
        .payload = "{ \"n\": -0.0 }",
        .payload_size = 13,
        .status = TRIGGERS_STATUS_PENDING,
        .created_at_us = 1,
        .sequence = INT64_MAX,
        .ordering_key = "",
    };
    struct buffer out;
    buffer_init(&out, 4096);
    hand_made_write_event(&out, &event, true, &settings);
    assert_string_equal(
        out.data, "{\"event_id\":\"evt_1\",\"source\":\"a\\\"b\",\"event_type\":\"\xc3\xa9\","
                  "\"payload\":{ \"n\": -0.0 },\"status\":\"pending\",\"created_at\":"
                  "\"1970-01-01T00:00:00.000001Z\",\"acknowledged_at\":null,"
                  "\"sequence\":9223372036854775807,\"ordering_key\":null,\"deliver_at\":null}");
    buffer_fini(&out);
    event.status = TRIGGERS_STATUS_ACKNOWLEDGED;
    event.acknowledged_at_us = 1000000;
    hand_made_write_event(&out, &event, true, &settings);
    assert_non_null(strstr(out.data, "\"status\":\"acknowledged\""));
    assert_non_null(strstr(out.data, "\"acknowledged_at\":\"1970-01-01T00:00:01.000000Z\","));
    buffer_fini(&out);
}

static void a_part_of_the_log_is_written(void **state)
{
    (void)state;
    static const struct bridge_settings settings;
    const triggers_item items[] = {
        {.event = {.event_id = "evt_1",
                   .source = "a",
                   .event_type = "b",
                   .payload = "{}",
                   .payload_size = 2,
                   .sequence = 7,
                   .ordering_key = "k"}},
        {.event = {.event_id = "evt_2",
                   .source = "a",
                   .event_type = "b",
                   .payload = "{}",
                   .payload_size = 2,
                   .sequence = 9,
                   .ordering_key = "",
                   .deliver_at_us = 1}},
    };
    triggers_reply reply = {.items = items, .item_count = 2, .next_after = 12, .first_sequence = 1};
    struct buffer out;
    buffer_init(&out, 4096);
    hand_made_write_log(&out, &reply, &settings);
    assert_non_null(strstr(out.data, "{\"events\":[{\"event_id\":\"evt_1\","));
    assert_non_null(strstr(out.data, ",\"sequence\":7,\"ordering_key\":\"k\","
                                     "\"deliver_at\":null},{\"event_id\":\"evt_2\","));
    assert_non_null(strstr(out.data, ",\"sequence\":9,\"ordering_key\":null,"
                                     "\"deliver_at\":\"1970-01-01T00:00:00.000001Z\"}],"
                                     "\"next_after\":12,\"first_sequence\":1}"));
    buffer_fini(&out);
    reply.item_count = 0;
    hand_made_write_log(&out, &reply, &settings);
    assert_string_equal(out.data, "{\"events\":[],\"next_after\":12,\"first_sequence\":1}");
    buffer_fini(&out);
}

static void codes_become_statuses(void **state)
{
    (void)state;
    static const unsigned expected[] = {
        [TRIGGERS_OK] = 200,
        [TRIGGERS_CANCELLED] = 500,
        [TRIGGERS_UNKNOWN] = 500,
        [TRIGGERS_INVALID_ARGUMENT] = 422,
        [TRIGGERS_DEADLINE_EXCEEDED] = 504,
        [TRIGGERS_NOT_FOUND] = 404,
        [TRIGGERS_ALREADY_EXISTS] = 409,
        [TRIGGERS_PERMISSION_DENIED] = 403,
        [TRIGGERS_RESOURCE_EXHAUSTED] = 429,
        [TRIGGERS_FAILED_PRECONDITION] = 400,
        [TRIGGERS_ABORTED] = 409,
        [TRIGGERS_OUT_OF_RANGE] = 500,
        [TRIGGERS_UNIMPLEMENTED] = 501,
        [TRIGGERS_INTERNAL] = 500,
        [TRIGGERS_UNAVAILABLE] = 503,
        [TRIGGERS_DATA_LOSS] = 500,
        [TRIGGERS_UNAUTHENTICATED] = 401,
    };
    for (unsigned code = 0; code < sizeof(expected) / sizeof(expected[0]); code++)
        assert_int_equal(problem_status((triggers_code)code, "X"), expected[code]);
    assert_int_equal(problem_status((triggers_code)99, ""), 500);
    assert_int_equal(problem_status(TRIGGERS_INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE"), 413);
    assert_int_equal(problem_status(TRIGGERS_OUT_OF_RANGE, "POSITION_REMOVED"), 410);
    assert_int_equal(problem_status(TRIGGERS_RESOURCE_EXHAUSTED, "TOO_MANY_WAITERS"), 503);
}

#define CURSOR_RULE "must be the next_cursor of a page with the same status, order and filter"

static void a_removed_position_says_where_the_log_begins(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 65536);
    triggers_error error = {.code = TRIGGERS_OUT_OF_RANGE,
                            .reason = "POSITION_REMOVED",
                            .message = "gone",
                            .first_sequence = 5000000000};
    struct problem problem = problem_from_error(&error, hand_made_field, &arena);
    struct buffer out;
    buffer_init(&out, 4096);
    problem_write(&out, &problem, "id");
    assert_string_equal(out.data, "{\"type\":\"about:blank\",\"title\":\"Gone\",\"status\":410,"
                                  "\"detail\":\"gone\",\"code\":\"POSITION_REMOVED\","
                                  "\"request_id\":\"id\",\"first_sequence\":5000000000}");
    buffer_fini(&out);
    arena_fini(&arena);
}

static void fields_are_called_as_their_parameters(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"filter.sources[3]", "source"},
        {"filter.event_types[0]", "event_type"},
        {"filter.sources", "source"},
        {"filter.from_time", "from"},
        {"filter.until_time", "until"},
        {"after_sequence", "after"},
        {"wait_ms", "wait"},
        {"page_size", "limit"},
        {"events[3].source", "source"},
        {"event_ids[3]", ""},
        {"events", ""},
        {"filter.source", "filter.source"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_string_equal(hand_made_field(names[i][0], "", NULL).name, names[i][1]);
}

static void errors_of_the_core_become_problems(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 65536);
    triggers_violation violations[] = {
        {"events[3].source", "must be short"}, {"events[3]", "is odd"}, {"page_token", "is stale"}};
    triggers_error error = {
        TRIGGERS_INVALID_ARGUMENT, "SOURCE_INVALID", "events[3].source bad", 0, violations, 3};
    struct problem problem = problem_from_error(&error, hand_made_field, &arena);
    problem.place = "/7";
    struct buffer out;
    buffer_init(&out, 4096);
    problem_write(&out, &problem, "id");
    assert_string_equal(
        out.data, "{\"type\":\"about:blank\",\"title\":\"Unprocessable Content\",\"status\":422,"
                  "\"detail\":\"source must be short; the event is odd; cursor " CURSOR_RULE "\","
                  "\"code\":\"SOURCE_INVALID\",\"request_id\":\"id\",\"errors\":["
                  "{\"detail\":\"must be short\",\"pointer\":\"#/7/source\"},"
                  "{\"detail\":\"is odd\",\"pointer\":\"#/7\"},"
                  "{\"detail\":\"" CURSOR_RULE "\",\"pointer\":\"#/7/cursor\"}]}");
    buffer_fini(&out);
    arena_fini(&arena);
}

static void retry_after_is_in_whole_seconds(void **state)
{
    (void)state;
    static const struct {
        uint32_t ms;
        unsigned seconds;
    } cases[] = {{0, 1}, {1, 1}, {1000, 1}, {1001, 2}, {4294967295u, 4294968}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct problem problem = {.retry_delay_ms = cases[i].ms};
        assert_int_equal(problem_retry_after(&problem), cases[i].seconds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_read),
        cmocka_unit_test(all_that_is_wrong_is_told_at_once),
        cmocka_unit_test(reading_without_memory_is_told),
        cmocka_unit_test(an_event_is_written),
        cmocka_unit_test(codes_become_statuses),
        cmocka_unit_test(errors_of_the_core_become_problems),
        cmocka_unit_test(a_part_of_the_log_is_written),
        cmocka_unit_test(a_removed_position_says_where_the_log_begins),
        cmocka_unit_test(fields_are_called_as_their_parameters),
        cmocka_unit_test(retry_after_is_in_whole_seconds),
    };
    return cmocka_run_group_tests_name("bridge_json", tests, NULL, NULL);
}
