/* JSON and messages: what is read, what is wrong with it and where, what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.pb-c.h"
#include "transcode.h"
#include "triggers/v1/events.pb-c.h"

typedef Triggers__Test__V1__Kinds Kinds;

struct fixture {
    struct arena arena;
    struct transcode_errors errors;
    Kinds kinds;
    struct buffer text;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    arena_init(&fixture.arena, 1 << 20);
    buffer_init(&fixture.text, 1 << 20);
    fixture.errors.count = 0;
    fixture.kinds = (Kinds)TRIGGERS__TEST__V1__KINDS__INIT;
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    arena_fini(&fixture->arena);
    buffer_fini(&fixture->text);
    return 0;
}

static enum transcode_result read_body(struct fixture *fixture, const char *body, const char *json)
{
    struct json_value value;
    struct json_error error;
    assert_true(json_check(json, strlen(json), &value, &error));
    return transcode_read(&value, body, &fixture->kinds.base, &fixture->arena, &fixture->errors);
}

static enum transcode_result read_json(struct fixture *fixture, const char *json)
{
    return read_body(fixture, "*", json);
}

/* From a fresh state. */
static void must_be_wrong(struct fixture *fixture, const char *json, const char *name,
                          const char *detail)
{
    fixture->errors.count = 0;
    fixture->kinds = (Kinds)TRIGGERS__TEST__V1__KINDS__INIT;
    assert_int_equal(read_json(fixture, json), TRANSCODE_WRONG);
    assert_int_equal(fixture->errors.count, 1);
    assert_string_equal(fixture->errors.fields[0].name, name);
    assert_string_equal(fixture->errors.fields[0].detail, detail);
}

static void must_be_fine(struct fixture *fixture, const char *json)
{
    fixture->kinds = (Kinds)TRIGGERS__TEST__V1__KINDS__INIT;
    assert_int_equal(read_json(fixture, json), TRANSCODE_OK);
}

static const char *written(struct fixture *fixture)
{
    fixture->text.size = 0;
    transcode_write(&fixture->text, &fixture->kinds.base, false);
    assert_false(fixture->text.failed);
    return fixture->text.data;
}

/* Whether the JSON of the message has this member. */
static void must_show(struct fixture *fixture, const char *member)
{
    if (!strstr(written(fixture), member))
        fail_msg("no %s in %s", member, fixture->text.data);
}

static const char ALL[] =
    "{\"i32\":-2147483648,\"s32\":2147483647,\"sf32\":-1,\"u32\":4294967295,\"f32\":7,"
    "\"i64\":-9223372036854775808,\"s64\":9223372036854775807,\"sf64\":0,"
    "\"u64\":18446744073709551615,\"f64\":9007199254740993,\"single\":0.1,\"twice\":-1.5e+300,"
    "\"truth\":true,\"text\":\"a\\\"b\\n\xc3\xa9\",\"payload\":{ \"n\" : -0.0, \"n\":1E400 },"
    "\"colour\":\"light_blue\",\"state\":\"negative\",\"at\":\"2026-01-31T23:59:59.500000Z\","
    "\"inner\":null,"
    "\"part\":{\"name\":\"p\",\"labels\":[\"x\",\"\"],\"deep\":{\"depth\":3},\"payload\":{}},"
    "\"numbers\":[1,-2,3],\"large\":[18446744073709551615],\"reals\":[0.5,1],"
    "\"truths\":[true,false],\"texts\":[\"\",\"b\"],\"colours\":[\"red\",\"unspecified\"],"
    "\"times\":[\"1970-01-01T00:00:00.000000Z\"],"
    "\"parts\":[{\"name\":\"\",\"labels\":[],\"deep\":null,\"payload\":null}],"
    "\"attributes\":{\"a.b\":\"c\",\"\":\"\"},\"counts\":{\"n\":-5},"
    "\"named\":{\"k\":{\"name\":\"v\",\"labels\":[],\"deep\":null,\"payload\":null}},"
    "\"chosen_number\":null,\"chosen_text\":\"t\",\"chosen_part\":null,\"chosen_time\":null,"
    "\"optional_count\":0,\"raws\":[\"\",\"/w==\"],\"entries\":[{\"key\":\"k\",\"count\":1}],"
    "\"raw\":\"AAEC\",\"blobs\":{\"b\":\"+/"
    "A=\"},\"wait\":\"1.500s\",\"waits\":[\"0s\",\"-0.000000001s\"],"
    "\"delays\":{\"d\":\"315576000000s\"},\"chosen_wait\":null,\"chosen_raw\":null}";

static void every_kind_of_field_comes_back(void **state)
{
    struct fixture *fixture = *state;
    must_be_fine(fixture, ALL);
    const Kinds *kinds = &fixture->kinds;
    assert_int_equal(kinds->i32, INT32_MIN);
    assert_int_equal(kinds->u64, UINT64_MAX);
    assert_int_equal(kinds->colour, TRIGGERS__TEST__V1__COLOUR__COLOUR_LIGHT_BLUE);
    assert_int_equal(kinds->at->nanos, 500000000);
    assert_int_equal(kinds->n_numbers, 3);
    assert_int_equal(kinds->numbers[1], -2);
    assert_int_equal(kinds->choice_case, TRIGGERS__TEST__V1__KINDS__CHOICE_CHOSEN_TEXT);
    assert_int_equal(kinds->maybe_case, TRIGGERS__TEST__V1__KINDS__MAYBE_OPTIONAL_COUNT);
    assert_string_equal(written(fixture), ALL);
}

static void what_is_absent_is_null_or_the_default(void **state)
{
    struct fixture *fixture = *state;
    must_be_fine(fixture, "{}");
    const char *text = written(fixture);
    assert_non_null(strstr(text, "\"text\":\"\",\"payload\":null,\"colour\":\"unspecified\","
                                 "\"state\":\"unknown\",\"at\":null,\"inner\":null,"));
    assert_non_null(strstr(text, "\"parts\":[],\"attributes\":{},"));
    assert_non_null(strstr(text, "\"chosen_text\":null,"));
    assert_non_null(strstr(text, "\"optional_count\":null"));
}

static void null_takes_back_what_came_before(void **state)
{
    struct fixture *fixture = *state;
    must_be_fine(fixture, "{\"text\":\"a\",\"numbers\":[1],\"part\":{},\"chosen_number\":1,"
                          "\"attributes\":{\"a\":\"b\"},\"text\":null,\"numbers\":null,"
                          "\"part\":null,\"chosen_number\":null,\"attributes\":null}");
    assert_int_equal(protobuf_c_message_get_packed_size(&fixture->kinds.base), 0);
    /* What another member of the oneof says is no matter of the null. */
    must_be_fine(fixture, "{\"chosen_text\":\"a\",\"chosen_number\":null}");
    must_show(fixture, "\"chosen_text\":\"a\"");
}

static void the_last_of_repeated_members_counts(void **state)
{
    struct fixture *fixture = *state;
    must_be_fine(fixture, "{\"i32\":1,\"i32\":2,\"numbers\":[1,2],\"numbers\":[3],"
                          "\"attributes\":{\"a\":\"b\",\"c\":\"d\",\"a\":\"e\"}}");
    must_show(fixture, "\"i32\":2");
    must_show(fixture, "\"numbers\":[3]");
    must_show(fixture, "\"attributes\":{\"a\":\"e\",\"c\":\"d\"}");
}

static void unknown_members_are_ignored(void **state)
{
    struct fixture *fixture = *state;
    must_be_fine(fixture, "{\"x\":[1e999,{}],\"I32\":\"\",\"sf\":1,\"sf3\\u0032\":5,"
                          "\"chosenText\":1,\"\":0,\"choice\":3}");
    assert_int_equal(fixture->kinds.sf32, 5);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
    struct fixture *fixture = *state;
    static const char int32_rule[] = "must be a whole number from -2147483648 to 2147483647";
    static const char time_rule[] =
        "must be a time as in RFC 3339, such as \"2026-01-31T23:59:59.5Z\"";
    static const char base64_rule[] = "must be a string of base64 (RFC 4648)";
    static const char duration_rule[] =
        "must be a duration in seconds, such as \"1.5s\", of at most 315576000000s";
    static const struct {
        const char *json;
        const char *name;
        const char *detail;
    } cases[] = {
        {"[]", "", "must be a JSON object"},
        {"{\"i32\":2147483648}", "i32", int32_rule},
        {"{\"i32\":-2147483649}", "i32", int32_rule},
        {"{\"i32\":1.0}", "i32", int32_rule},
        {"{\"i32\":\"1\"}", "i32", int32_rule},
        {"{\"i32\":true}", "i32", int32_rule},
        {"{\"u32\":-1}", "u32", "must be a whole number from 0 to 4294967295"},
        {"{\"u64\":18446744073709551616}", "u64",
         "must be a whole number from 0 to 18446744073709551615"},
        {"{\"i64\":9223372036854775808}", "i64",
         "must be a whole number from -9223372036854775808 to 9223372036854775807"},
        {"{\"single\":1e39}", "single", "must be a number of up to 3.4e38"},
        {"{\"twice\":-1e309}", "twice", "must be a number of up to 1.7e308"},
        {"{\"twice\":\"NaN\"}", "twice", "must be a number of up to 1.7e308"},
        {"{\"truth\":0}", "truth", "must be true or false"},
        {"{\"text\":1}", "text", "must be a string"},
        {"{\"text\":\"\\ud800\"}", "text", "must not have half of a surrogate pair"},
        {"{\"text\":\"\\u0000\"}", "text", "must not have the character U+0000"},
        {"{\"payload\":[]}", "payload", "must be a JSON object"},
        {"{\"raw\":{}}", "raw", base64_rule},
        {"{\"raws\":[\"\",\"a\"]}", "raws/1", base64_rule},
        {"{\"wait\":1}", "wait", duration_rule},
        {"{\"chosen_wait\":\"1s\",\"chosen_raw\":\"\"}", "chosen_raw",
         "must not be given together with chosen_wait"},
        {"{\"colour\":\"RED\"}", "colour",
         "must be one of unspecified, red, light_blue, other_green"},
        {"{\"colour\":\"colour_red\"}", "colour",
         "must be one of unspecified, red, light_blue, other_green"},
        {"{\"state\":1}", "state", "must be one of negative, unknown, on"},
        {"{\"at\":5}", "at", time_rule},
        {"{\"part\":\"\"}", "part", "must be a JSON object"},
        {"{\"part\":{\"deep\":{\"depth\":\"\"}}}", "part/deep/depth", int32_rule},
        {"{\"parts\":{}}", "parts", "must be an array"},
        {"{\"parts\":[{},null]}", "parts/1", "must be a JSON object"},
        {"{\"parts\":[{},{\"labels\":[\"\",\"\",0]}]}", "parts/1/labels/2", "must be a string"},
        {"{\"attributes\":[]}", "attributes", "must be a JSON object"},
        {"{\"attributes\":{\"a/b~ \xc3\xa9\":null}}", "attributes/a~1b~0%20%C3%A9",
         "must be a string"},
        {"{\"attributes\":{\"\\ud800\":\"\"}}", "attributes",
         "must not have half of a surrogate pair"},
        {"{\"named\":{\"k\":{\"deep\":1}}}", "named/k/deep", "must be a JSON object"},
        {"{\"chosen_number\":1,\"chosen_text\":\"a\"}", "chosen_text",
         "must not be given together with chosen_number"},
        {"{\"chosen_part\":{\"name\":3}}", "chosen_part/name", "must be a string"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        must_be_wrong(fixture, cases[i].json, cases[i].name, cases[i].detail);
}

static void all_that_is_wrong_is_told_at_once_up_to_a_limit(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_json(fixture, "{\"text\":1,\"parts\":[3,{\"name\":4}],\"i32\":\"\"}"),
                     TRANSCODE_WRONG);
    assert_int_equal(fixture->errors.count, 4);
    assert_int_equal(read_json(fixture, "{\"texts\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}"),
                     TRANSCODE_WRONG);
    assert_int_equal(fixture->errors.count, TRANSCODE_MAX_ERRORS);
    assert_int_equal(read_json(fixture, "{\"text\":1}"), TRANSCODE_WRONG);
}

struct text_case {
    const char *given;
    const char *written; /* NULL: refused */
};

static void check_text(struct fixture *fixture, const char *name, const struct text_case *text)
{
    char json[128], member[128];
    snprintf(json, sizeof(json), "{\"%s\":\"%s\"}", name, text->given);
    fixture->errors.count = 0;
    fixture->kinds = (Kinds)TRIGGERS__TEST__V1__KINDS__INIT;
    if (read_json(fixture, json) != (text->written ? TRANSCODE_OK : TRANSCODE_WRONG))
        fail_msg("%s", json);
    if (!text->written)
        return;
    snprintf(member, sizeof(member), "\"%s\":\"%s\"", name, text->written);
    must_show(fixture, member);
}

static void times_are_those_of_rfc_3339(void **state)
{
    static const struct text_case cases[] = {
        {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"},
        {"9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"},
        {"1969-12-31T23:59:59.000001z", "1969-12-31T23:59:59.000001Z"},
        {"2024-02-29t12:00:00.1+02:30", "2024-02-29T09:30:00.100000Z"},
        {"2024-02-29T12:00:00-00:00", "2024-02-29T12:00:00.000000Z"},
        {"2023-02-29T12:00:00Z", NULL},
        {"2023-13-01T12:00:00Z", NULL},
        {"2023-00-01T12:00:00Z", NULL},
        {"2023-01-00T12:00:00Z", NULL},
        {"2023-01-01T24:00:00Z", NULL},
        {"2023-01-01T12:60:00Z", NULL},
        {"2023-01-01T12:00:60Z", NULL},
        {"2023-01-01T12:00:00", NULL},
        {"2023-01-01T12:00:00.Z", NULL},
        {"2023-01-01T12:00:00.1234567890Z", NULL},
        {"2023-01-01T12:00:00ZZ", NULL},
        {"2023-01-01T12:00:00+24:00", NULL},
        {"2023-01-01T12:00:00+0100", NULL},
        {"2023-01-01 12:00:00Z", NULL},
        {"2023\\r01-01T12:00:00Z", NULL},
        {"0000-12-31T00:00:00Z", NULL},
        {"0001-01-01T00:00:00+00:01", NULL},
        {"9999-12-31T23:59:59-00:01", NULL},
        {"", NULL},
        {"2023-1-1T12:00:00Z", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_text(*state, "at", &cases[i]);
}

static void durations_are_those_of_protobuf(void **state)
{
    static const struct text_case cases[] = {
        {"0s", "0s"},
        {"-0s", "0s"},
        {"1.5s", "1.500s"},
        {"-1.5s", "-1.500s"},
        {"0.000001s", "0.000001s"},
        {"-0.123456789s", "-0.123456789s"},
        {"007.1s", "7.100s"},
        {"315576000000s", "315576000000s"},
        {"-315576000000.0s", "-315576000000s"},
        {"315576000000.000000001s", NULL},
        {"-315576000001s", NULL},
        {"0000000000001s", NULL},
        {"1", NULL},
        {"s", NULL},
        {"-s", NULL},
        {".5s", NULL},
        {"1.s", NULL},
        {"+1s", NULL},
        {"1s ", NULL},
        {"1S", NULL},
        {"1ms", NULL},
        {"1e3s", NULL},
        {"1.1234567890s", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_text(*state, "wait", &cases[i]);
}

/* In either alphabet, padded or not (RFC 4648 sections 4, 5 and 10). */
static void bytes_are_base64(void **state)
{
    static const struct text_case cases[] = {
        {"", ""},           {"Zg==", "Zg=="},         {"Zg", "Zg=="},   {"Zm8=", "Zm8="},
        {"Zm8", "Zm8="},    {"Zm9vYmFy", "Zm9vYmFy"}, {"-_-_", "+/+/"}, {"+/-_AA", "+/+/AA=="},
        {"Z", NULL},        {"Zm9vY", NULL},          {"Zg=", NULL},    {"Zg===", NULL},
        {"Zm8==", NULL},    {"Zm9v====", NULL},       {"=", NULL},      {"====", NULL},
        {"Zg==Zg==", NULL}, {"Zm 8", NULL},           {"Zm8\\n", NULL}, {"Zm8\xc3\xa9", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_text(*state, "raw", &cases[i]);
}

static void payloads_that_not_all_can_read_are_left_out_of_pages(void **state)
{
    struct fixture *fixture = *state;
    static const char omitted[] = "\"payload\":null,\"payload_omitted\":true";
    must_be_fine(fixture,
                 "{\"payload\":{\"a\":\"\\ud800\"},\"part\":{\"payload\":{\"b\":\"\\udfff\"}},"
                 "\"parts\":[{\"payload\":{\"c\":1}},{\"payload\":{\"d\":\"\\ud800\"}}],"
                 "\"named\":{\"k\":{\"payload\":{\"e\":\"\\ud800\"}}}}");
    assert_null(strstr(written(fixture), "payload_omitted"));
    must_show(fixture, "{\"e\":\"\\ud800\"}");
    fixture->text.size = 0;
    transcode_write(&fixture->text, &fixture->kinds.base, true);
    const char *text = fixture->text.data;
    assert_non_null(strstr(text, "\"payload\":{\"a\":\"\\ud800\"}"));
    assert_non_null(strstr(text, "\"payload\":{\"b\":\"\\udfff\"}}"));
    assert_non_null(strstr(text, "\"payload\":{\"c\":1}}"));
    const char *first = strstr(text, omitted);
    assert_non_null(first);
    assert_non_null(strstr(first + 1, omitted));
    assert_null(strstr(text, "{\"d\""));
    assert_null(strstr(text, "{\"e\""));
}

static void what_is_not_so_of_a_payload_is_left_out(void **state)
{
    struct fixture *fixture = *state;
    must_be_fine(fixture, "{}");
    assert_null(strstr(written(fixture), "payload_lost"));
    must_be_fine(fixture, "{\"payload_lost\":true}");
    must_show(fixture, ",\"payload_lost\":true");
}

static void the_error_of_an_item_is_a_problem(void **state)
{
    struct fixture *fixture = *state;
    Triggers__Rpc__V1__ErrorDetails details = TRIGGERS__RPC__V1__ERROR_DETAILS__INIT;
    Triggers__V1__ItemError error = TRIGGERS__V1__ITEM_ERROR__INIT;
    Triggers__V1__AckEventResult result = TRIGGERS__V1__ACK_EVENT_RESULT__INIT;
    details.reason = "LEASE_LOST";
    error.code = TRIGGERS__RPC__V1__CODE__ABORTED;
    error.message = "somebody else has it";
    error.details = &details;
    result.outcome_case = TRIGGERS__V1__ACK_EVENT_RESULT__OUTCOME_ERROR;
    result.error = &error;
    transcode_write(&fixture->text, &result.base, false);
    assert_string_equal(fixture->text.data,
                        "{\"acknowledged\":null,\"error\":{\"type\":\"about:blank\","
                        "\"title\":\"Conflict\",\"status\":409,"
                        "\"detail\":\"somebody else has it\",\"code\":\"LEASE_LOST\"}}");
    /* Nothing that a core sends is taken on trust. */
    error = (Triggers__V1__ItemError)TRIGGERS__V1__ITEM_ERROR__INIT;
    fixture->text.size = 0;
    transcode_write(&fixture->text, &result.base, false);
    assert_false(fixture->text.failed);
    assert_non_null(strstr(fixture->text.data, "\"status\":500"));
}

/* `count` times `open`, then `inside`, then `count` times `close`. */
static char *nest(int count, const char *open, const char *inside, const char *close)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    for (int i = 0; i < count; i++)
        buffer_append_text(&text, open);
    buffer_append_text(&text, inside);
    for (int i = 0; i < count; i++)
        buffer_append_text(&text, close);
    return text.data;
}

static void nesting_is_limited_both_ways(void **state)
{
    struct fixture *fixture = *state;
    char *deepest = nest(TRANSCODE_MAX_DEPTH - 1, "{\"inner\":", "{}", "}");
    char *deeper = nest(TRANSCODE_MAX_DEPTH, "{\"inner\":", "{}", "}");
    must_be_fine(fixture, deepest);
    written(fixture);
    Kinds outer = TRIGGERS__TEST__V1__KINDS__INIT;
    Kinds inner = fixture->kinds;
    outer.inner = &inner;
    transcode_write(&fixture->text, &outer.base, false);
    assert_true(fixture->text.failed);
    fixture->kinds = (Kinds)TRIGGERS__TEST__V1__KINDS__INIT;
    assert_int_equal(read_json(fixture, deeper), TRANSCODE_WRONG);
    assert_string_equal(fixture->errors.fields[0].detail, "must not be nested more than 16 deep");
    free(deepest);
    free(deeper);
}

/* {"numbers":[1,1,…]} */
static char *many(const char *open, int count, const char *element, const char *close)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    buffer_append_text(&text, open);
    for (int i = 0; i < count; i++) {
        buffer_append_format(&text, i > 0 ? "," : "");
        if (strchr(element, '%'))
            buffer_append_format(&text, "\"k%d\":1", i);
        else
            buffer_append_text(&text, element);
    }
    buffer_append_text(&text, close);
    return text.data;
}

static void arrays_and_maps_have_a_most(void **state)
{
    struct fixture *fixture = *state;
    char *array = many("{\"numbers\":[", TRANSCODE_MAX_ELEMENTS, "1", "]}");
    char *long_array = many("{\"numbers\":[", TRANSCODE_MAX_ELEMENTS + 1, "1", "]}");
    char *map = many("{\"counts\":{", TRANSCODE_MAX_ELEMENTS, "%", "}}");
    char *large_map = many("{\"counts\":{", TRANSCODE_MAX_ELEMENTS + 1, "%", "}}");
    must_be_fine(fixture, array);
    assert_int_equal(fixture->kinds.n_numbers, TRANSCODE_MAX_ELEMENTS);
    must_be_fine(fixture, map);
    assert_int_equal(fixture->kinds.n_counts, TRANSCODE_MAX_ELEMENTS);
    must_be_wrong(fixture, long_array, "numbers", "must have at most 1000 elements");
    must_be_wrong(fixture, large_map, "counts", "must have at most 1000 elements");
    free(array);
    free(long_array);
    free(map);
    free(large_map);
}

static void of_equal_keys_the_last_is_written(void **state)
{
    struct fixture *fixture = *state;
    Triggers__Test__V1__Kinds__CountsEntry entries[] = {
        TRIGGERS__TEST__V1__KINDS__COUNTS_ENTRY__INIT,
        TRIGGERS__TEST__V1__KINDS__COUNTS_ENTRY__INIT,
        TRIGGERS__TEST__V1__KINDS__COUNTS_ENTRY__INIT,
    };
    Triggers__Test__V1__Kinds__CountsEntry *counts[] = {&entries[0], &entries[1], &entries[2]};
    entries[0].key = entries[2].key = "a";
    entries[1].key = "b";
    entries[2].value = 2;
    fixture->kinds.n_counts = 3;
    fixture->kinds.counts = counts;
    assert_non_null(strstr(written(fixture), "\"counts\":{\"b\":0,\"a\":2}"));
}

/* Whatever allocation is the one that fails. */
static void reading_without_memory_is_told(void **state)
{
    struct fixture *fixture = *state;
    size_t cap = 1;
    enum transcode_result result;
    do {
        arena_fini(&fixture->arena);
        arena_init(&fixture->arena, cap);
        fixture->kinds = (Kinds)TRIGGERS__TEST__V1__KINDS__INIT;
        result = read_json(fixture, ALL);
        assert_true(result == TRANSCODE_NO_MEMORY || result == TRANSCODE_OK);
        assert_true(result == TRANSCODE_OK || fixture->arena.exhausted);
        cap += 8;
    } while (result != TRANSCODE_OK);
    arena_fini(&fixture->arena);
    arena_init(&fixture->arena, 1);
    assert_int_equal(read_json(fixture, "{\"truth\":1}"), TRANSCODE_NO_MEMORY);
}

static void a_field_can_be_the_body(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_body(fixture, "parts", "[{\"name\":\"a\"}]"), TRANSCODE_OK);
    assert_string_equal(fixture->kinds.parts[0]->name, "a");
    assert_int_equal(read_body(fixture, "parts", "[{},{\"name\":1}]"), TRANSCODE_WRONG);
    assert_string_equal(fixture->errors.fields[0].name, "1/name");
    assert_int_equal(read_body(fixture, "parts", "{}"), TRANSCODE_WRONG);
    assert_string_equal(fixture->errors.fields[1].name, "");
}

static enum transcode_result give(struct fixture *fixture, const char *name, const char *text)
{
    return transcode_read_parameter(name, text, &fixture->kinds.base, &fixture->arena,
                                    &fixture->errors);
}

static void parameters_are_fields(void **state)
{
    struct fixture *fixture = *state;
    static const char *const given[][2] = {
        {"i32", "-5"},
        {"u64", "18446744073709551615"},
        {"truth", "true"},
        {"text", "\"a\" \n"},
        {"colour", "light_blue"},
        {"at", "2026-01-01T00:00:00Z"},
        {"numbers", "1"},
        {"numbers", "2"},
        {"texts", "a"},
        {"texts", "null"},
        {"texts", ""},
        {"part.name", "p"},
        {"part.labels", "l"},
        {"part.deep.depth", "4"},
        {"part.labels", "m"},
        {"optional_count", "0"},
        {"chosen_part.name", "c"},
        {"payload", "{\"a\": 1}"},
        {"raw", "1234"},
        {"raws", "null"},
        {"wait", "2s"},
        {"wait.seconds", "1"},
        {"unknown", "1"},
        {"part.unknown", "1"},
        {"text.x", "1"},
        {"parts.name", "1"},
        {"at.seconds", "1"},
        {"", ""},
        {".", "1"},
        {"twice", "0.25"},
        {"chosen_part.labels", "d"},
    };
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
        assert_int_equal(give(fixture, given[i][0], given[i][1]), TRANSCODE_OK);
    must_show(fixture, "\"i32\":-5");
    must_show(fixture, "\"u64\":18446744073709551615");
    must_show(fixture, "\"text\":\"\\\"a\\\" \\n\",\"payload\":{\"a\": 1},"
                       "\"colour\":\"light_blue\"");
    must_show(fixture, "\"at\":\"2026-01-01T00:00:00.000000Z\"");
    must_show(fixture, "\"raws\":[\"null\"]");
    must_show(fixture, "\"raw\":\"1234\"");
    must_show(fixture, "\"wait\":\"2s\"");
    must_show(fixture, "\"numbers\":[1,2]");
    must_show(fixture, "\"texts\":[\"a\",\"null\",\"\"]");
    must_show(fixture, "\"part\":{\"name\":\"p\",\"labels\":[\"l\",\"m\"],\"deep\":{\"depth\":4},"
                       "\"payload\":null}");
    must_show(fixture,
              "\"chosen_part\":{\"name\":\"c\",\"labels\":[\"d\"],\"deep\":null,\"payload\":null}");
    must_show(fixture, "\"optional_count\":0");
}

static void parameters_that_are_wrong_are_told(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *name;
        const char *text;
        const char *field;
        const char *detail;
    } cases[] = {
        {"u32", "a", "u32", "must be a whole number from 0 to 4294967295"},
        {"u32", "", "u32", "must be a whole number from 0 to 4294967295"},
        {"u32", "null", "u32", "must be a whole number from 0 to 4294967295"},
        {"u32", "1 2", "u32", "must be a whole number from 0 to 4294967295"},
        {"text", "\xff", "text", "must be valid UTF-8"},
        {"part.deep.depth", "x", "part/deep/depth",
         "must be a whole number from -2147483648 to 2147483647"},
        {"truths", "1", "truths/0", "must be true or false"},
        {"part", "x", "part", "must be a JSON object"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fixture->errors.count = 0;
        assert_int_equal(give(fixture, cases[i].name, cases[i].text), TRANSCODE_WRONG);
        assert_string_equal(fixture->errors.fields[0].name, cases[i].field);
        assert_string_equal(fixture->errors.fields[0].detail, cases[i].detail);
    }
    fixture->errors.count = 0;
    char *name = nest(TRANSCODE_MAX_DEPTH, "inner.", "i32", "");
    assert_int_equal(give(fixture, name, "1"), TRANSCODE_WRONG);
    free(name);
    fixture->kinds = (Kinds)TRIGGERS__TEST__V1__KINDS__INIT;
    assert_int_equal(give(fixture, "chosen_text", "a"), TRANSCODE_OK);
    assert_int_equal(give(fixture, "chosen_part.name", "a"), TRANSCODE_WRONG);
}

static void what_json_cannot_say_is_null_or_a_number(void **state)
{
    struct fixture *fixture = *state;
    Google__Protobuf__Timestamp late = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    late.seconds = INT64_MAX;
    fixture->kinds.at = &late;
    Google__Protobuf__Duration odd = GOOGLE__PROTOBUF__DURATION__INIT;
    odd.seconds = 1;
    odd.nanos = -1;
    fixture->kinds.wait = &odd;
    fixture->kinds.twice = (double)INFINITY;
    fixture->kinds.single = NAN;
    fixture->kinds.colour = (Triggers__Test__V1__Colour)77;
    must_show(fixture, "\"single\":null,\"twice\":null");
    must_show(fixture, "\"colour\":77");
    must_show(fixture, "\"at\":null");
    must_show(fixture, "\"wait\":null");
    odd.seconds = INT64_MIN;
    must_show(fixture, "\"wait\":null");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_kind_of_field_comes_back),
        TEST(what_is_absent_is_null_or_the_default),
        TEST(null_takes_back_what_came_before),
        TEST(the_last_of_repeated_members_counts),
        TEST(unknown_members_are_ignored),
        TEST(what_is_wrong_is_told_with_its_place),
        TEST(all_that_is_wrong_is_told_at_once_up_to_a_limit),
        TEST(times_are_those_of_rfc_3339),
        TEST(durations_are_those_of_protobuf),
        TEST(bytes_are_base64),
        TEST(payloads_that_not_all_can_read_are_left_out_of_pages),
        TEST(what_is_not_so_of_a_payload_is_left_out),
        TEST(the_error_of_an_item_is_a_problem),
        TEST(nesting_is_limited_both_ways),
        TEST(arrays_and_maps_have_a_most),
        TEST(of_equal_keys_the_last_is_written),
        TEST(reading_without_memory_is_told),
        TEST(a_field_can_be_the_body),
        TEST(parameters_are_fields),
        TEST(parameters_that_are_wrong_are_told),
        TEST(what_json_cannot_say_is_null_or_a_number),
    };
    return cmocka_run_group_tests_name("transcode", tests, NULL, NULL);
}
