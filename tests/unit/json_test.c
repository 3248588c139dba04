/* The JSON scanner: the public JSON Parsing Test Suite where it is present, and a table of our own
 * for the rules, the error positions, the iterators and the decoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* Checks an exact-size heap copy, so that the address sanitizer sees any byte read outside. */
static bool check_copy(const char *text, size_t size, enum json_type *type,
                       struct json_error *error)
{
    char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    struct json_value value = {0};
    bool valid = json_check(copy, size, &value, error);
    if (valid) {
        assert_true(value.text >= copy && value.text + value.size <= copy + size);
        *type = value.type;
    }
    free(copy);
    return valid;
}

static bool accepts(const char *text, size_t size)
{
    enum json_type type;
    struct json_error error;
    return check_copy(text, size, &type, &error);
}

static struct json_value checked(const char *text)
{
    struct json_value value;
    struct json_error error;
    if (!json_check(text, strlen(text), &value, &error))
        fail_msg("%s: %s at %zu", text, error.reason, error.offset);
    return value;
}

static void valid_texts_are_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum json_type type;
    } cases[] = {
        {"null", JSON_NULL},
        {" \t\r\n true \n", JSON_BOOLEAN},
        {"false", JSON_BOOLEAN},
        {"0", JSON_NUMBER},
        {"-0", JSON_NUMBER},
        {"-0.0", JSON_NUMBER},
        {"1e400", JSON_NUMBER},
        {"1E+07", JSON_NUMBER},
        {"123456789012345678901234567890123456789012", JSON_NUMBER},
        {"\"\"", JSON_STRING},
        {"\"\\u0000\\ud800\\\"\\\\\\/\\b\\f\\n\\r\\t\"", JSON_STRING},
        {"\"\x7f \xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\"",
         JSON_STRING},
        {"\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\"", JSON_STRING},
        {"[]", JSON_ARRAY},
        {"[ ]", JSON_ARRAY},
        {"[1,[],{},\"x\",null]", JSON_ARRAY},
        {"{}", JSON_OBJECT},
        {"{ \"a\" : 1 , \"a\" : { \"b\" : [ ] } }", JSON_OBJECT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum json_type type;
        struct json_error error;
        if (!check_copy(cases[i].text, strlen(cases[i].text), &type, &error))
            fail_msg("%s: %s at %zu", cases[i].text, error.reason, error.offset);
        assert_int_equal(type, cases[i].type);
    }
}

static void invalid_texts_are_refused_at_the_right_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
    } cases[] = {
        {"", 0},
        {"  ", 2},
        {"\xef\xbb\xbf{}", 0},
        {"nul", 0},
        {"nulls", 4},
        {"True", 0},
        {"NaN", 0},
        {"-", 1},
        {"+1", 0},
        {".5", 0},
        {"1.", 2},
        {"1.e5", 2},
        {"1e", 2},
        {"1e+", 3},
        {"01", 1},
        {"-01", 2},
        {"0x1", 1},
        {"1 2", 2},
        {"\"abcdefghijklmnopqrs", 20},
        {"\"abc\tdef\"", 4},
        {"\"abcdefgh\n\"", 9},
        {"\"\\", 1},
        {"\"\\x\"", 1},
        {"\"\\u12g4\"", 1},
        {"\"\\u12", 1},
        {"'a'", 0},
        {"[1,]", 3},
        {"[,1]", 1},
        {"[1 2]", 3},
        {"[1", 2},
        {"[1}", 2},
        {"]", 0},
        {"{", 1},
        {"{\"a\"}", 4},
        {"{\"a\":}", 5},
        {"{\"a\":1,}", 7},
        {"{\"a\":1]", 6},
        {"{a:1}", 1},
        {"{1:1}", 1},
        {"{\"a\" \"b\"}", 5},
        {"{} {}", 3},
        {"[1] // no", 4},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum json_type type;
        struct json_error error;
        if (check_copy(cases[i].text, strlen(cases[i].text), &type, &error))
            fail_msg("accepted: %s", cases[i].text);
        if (error.offset != cases[i].offset)
            fail_msg("%s: offset %zu, not %zu", cases[i].text, error.offset, cases[i].offset);
        assert_true(strlen(error.reason) > 0);
    }
}

static void malformed_utf8_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "\x80",             /* a continuation byte alone */
        "\xc0\x80",         /* U+0000 overlong */
        "\xc1\xbf",         /* overlong */
        "\xc3",             /* cut short */
        "\xc3(",            /* no continuation */
        "\xe0\x9f\xbf",     /* overlong */
        "\xe2\x82",         /* cut short */
        "\xed\xa0\x80",     /* U+D800 */
        "\xed\xbf\xbf",     /* U+DFFF */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xf0\x9f\x98",     /* cut short */
        "\xf4\x90\x80\x80", /* U+110000 */
        "\xf5\x80\x80\x80", /* above */
        "\xff",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t before = 0; before < 17; before++) {
            char text[64];
            int size = snprintf(text, sizeof(text), "\"%.*s%s\"", (int)before, "abcdefghijklmnopq",
                                cases[i]);
            enum json_type type;
            struct json_error error;
            if (check_copy(text, (size_t)size, &type, &error))
                fail_msg("case %zu accepted behind %zu bytes", i, before);
            assert_int_equal(error.offset, before + 1);
        }
}

/* Every byte at every position of a word: exactly quotes, backslashes, controls and parts of other
 * characters are special. */
static void every_byte_is_told_apart_at_every_position(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++)
        for (size_t position = 0; position < 24; position++) {
            char text[26];
            memset(text, 'a', sizeof(text));
            text[0] = text[25] = '"';
            text[1 + position] = (char)byte;
            bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
            assert_int_equal(accepts(text, sizeof(text)), plain);
        }
}

static void a_nul_byte_is_never_accepted(void **state)
{
    (void)state;
    assert_false(accepts("\0", 1));
    assert_false(accepts("1\0", 2));
    assert_false(accepts("\"\0\"", 3));
    assert_false(accepts("\"\\\0\"", 4));
    assert_false(accepts("[\0]", 3));
}

static void check_nesting(const char *open, const char *middle, const char *close)
{
    size_t unit = strlen(open);
    char *text = malloc((JSON_MAX_DEPTH + 1) * (unit + strlen(close)) + strlen(middle));
    assert_non_null(text);
    for (size_t depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
        size_t size = 0;
        for (size_t i = 0; i < depth; i++, size += unit)
            memcpy(text + size, open, unit);
        memcpy(text + size, middle, strlen(middle));
        size += strlen(middle);
        for (size_t i = 0; i < depth; i++, size += strlen(close))
            memcpy(text + size, close, strlen(close));
        enum json_type type;
        struct json_error error;
        assert_int_equal(check_copy(text, size, &type, &error), depth == JSON_MAX_DEPTH);
        if (depth > JSON_MAX_DEPTH)
            assert_int_equal(error.offset, JSON_MAX_DEPTH * unit);
    }
    free(text);
}

static void depth_is_capped(void **state)
{
    (void)state;
    check_nesting("[", "", "]");
    check_nesting("[", "1", "]");
    check_nesting("{\"a\":", "1", "}");
    check_nesting("[0,", "0", ",0]");
    check_nesting("{\"b\":0,\"a\":", "1", ",\"c\":0}");
}

static void portable_texts_are_told_from_others(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool portable;
        size_t offset; /* of what is not */
    } cases[] = {
        {"{\"a\":\"\\ud83d\\ude00\"}", true, 0},
        {"{\"a\":\"\\uD83D\\uDE00x\\u0041\\\\ud800\"}", true, 0},
        {"{\"a\":\"x\\ud800\"}", false, 7},
        {"{\"\\udc00\":1}", false, 2},
        {"[\"\\ud800\\ud800\\udc00\"]", false, 2},
        {"[\"\\ude00\\ud83d\"]", false, 2},
        {"[\"\\ud800\\n\"]", false, 2},
        {"[\"\\ud800\\u00\"]", false, 2},
        {"[\"\\udbffabcdef\"]", false, 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_value value;
        struct json_error error;
        const char *text = cases[i].text;
        size_t size = strlen(text);
        assert_int_equal(json_check_portable(text, size, &value, &error), cases[i].portable);
        if (json_check(text, size, &value, &error))
            assert_int_equal(json_is_portable(text, size), cases[i].portable);
        if (!cases[i].portable)
            assert_false(json_check_portable(text, size, &value, &error));
        if (!cases[i].portable)
            assert_int_equal(error.offset, cases[i].offset);
    }
}

static void portable_texts_are_64_levels_deep_at_most(void **state)
{
    (void)state;
    char text[4 * JSON_PORTABLE_DEPTH];
    struct json_value value;
    struct json_error error;
    for (size_t depth = JSON_PORTABLE_DEPTH; depth <= JSON_PORTABLE_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        bool portable = depth == JSON_PORTABLE_DEPTH;
        assert_int_equal(json_check_portable(text, 2 * depth, &value, &error), portable);
        assert_int_equal(json_is_portable(text, 2 * depth), portable);
        if (!portable)
            assert_int_equal(error.offset, JSON_PORTABLE_DEPTH);
    }
    size_t size = 0; /* many brackets that are not deep */
    text[size++] = '[';
    for (size_t i = 0; i < JSON_PORTABLE_DEPTH; i++, size += 3)
        memcpy(text + size, i ? ",[]" : " []", 3);
    text[size++] = ']';
    assert_true(json_is_portable(text, size));
}

static const char SAMPLE[] =
    "{\"a\":[1,-2.5e+10,true,false,null,\"x\\u00e9\\n\xc3\xa9\xf0\x9f\x98\x80\"],"
    "\"b\":{\"c\":{},\"d\":[[],[{}]]},\"e\":\"\\ud83d\\ude00\"}";

static void every_truncation_is_refused(void **state)
{
    (void)state;
    assert_true(accepts(SAMPLE, strlen(SAMPLE)));
    for (size_t size = 0; size < strlen(SAMPLE); size++)
        if (accepts(SAMPLE, size))
            fail_msg("accepted the first %zu bytes", size);
}

static void assert_slice(const struct json_value *value, enum json_type type, const char *text)
{
    assert_int_equal(value->type, type);
    assert_int_equal(value->size, strlen(text));
    assert_memory_equal(value->text, text, value->size);
}

static void an_array_yields_its_elements_as_written(void **state)
{
    (void)state;
    struct json_value array =
        checked(" [ 1e400 , \"],[\" ,[ \"]\" , {} ],{\"}\":[\"\\\"]\"]} , null,true ,-0.0] ");
    static const struct {
        enum json_type type;
        const char *text;
    } expected[] = {
        {JSON_NUMBER, "1e400"},
        {JSON_STRING, "\"],[\""},
        {JSON_ARRAY, "[ \"]\" , {} ]"},
        {JSON_OBJECT, "{\"}\":[\"\\\"]\"]}"},
        {JSON_NULL, "null"},
        {JSON_BOOLEAN, "true"},
        {JSON_NUMBER, "-0.0"},
    };
    struct json_cursor cursor = {0};
    struct json_value element;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_true(json_array_next(&array, &cursor, &element));
        assert_slice(&element, expected[i].type, expected[i].text);
    }
    assert_false(json_array_next(&array, &cursor, &element));
    assert_false(json_array_next(&array, &cursor, &element));
}

static void an_object_yields_its_members_in_order(void **state)
{
    (void)state;
    struct json_value object = checked("{ \"a\" : 1,\"a\":{\"a\":2} , \"\\u0061\":\"}\"\n}");
    struct json_cursor cursor = {0};
    struct json_value key;
    struct json_value value;
    assert_true(json_object_next(&object, &cursor, &key, &value));
    assert_slice(&key, JSON_STRING, "\"a\"");
    assert_slice(&value, JSON_NUMBER, "1");
    assert_true(json_object_next(&object, &cursor, &key, &value));
    assert_slice(&value, JSON_OBJECT, "{\"a\":2}");
    assert_true(json_object_next(&object, &cursor, &key, &value));
    assert_slice(&key, JSON_STRING, "\"\\u0061\"");
    assert_slice(&value, JSON_STRING, "\"}\"");
    assert_false(json_object_next(&object, &cursor, &key, &value));
}

static void empty_containers_yield_nothing(void **state)
{
    (void)state;
    struct json_cursor cursor = {0};
    struct json_value key;
    struct json_value value;
    struct json_value array = checked("[ \n ]");
    assert_false(json_array_next(&array, &cursor, &value));
    struct json_value object = checked("{}");
    cursor = (struct json_cursor){0};
    assert_false(json_object_next(&object, &cursor, &key, &value));
}

static void strings_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *text;
        size_t length;
    } cases[] = {
        {"\"\"", "", 0},
        {"\"plain\"", "plain", 5},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"a\\u0000b\"", "a\0b", 3},
        {"\"\\u007f\\u0080\\u07FF\\u0800\\uffff\"", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf",
         11},
        {"\"\\ud800\\udc00\\uDBFF\\uDFFF\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8},
        {"\"\xc3\xa9 \\u00e9\"", "\xc3\xa9 \xc3\xa9", 5},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_value value = checked(cases[i].json);
        char *out = malloc(value.size); /* exactly what the contract asks for */
        size_t length;
        assert_non_null(out);
        assert_true(json_string_decode(&value, out, &length));
        assert_int_equal(length, cases[i].length);
        assert_memory_equal(out, cases[i].text, length + 1);
        free(out);
    }
}

static void lone_surrogates_have_no_text(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "\"\\ud800\"",        "\"\\udc00\"",        "\"\\ud800x\"",       "\"\\ud800\\n\"",
        "\"\\ud800\\ud800\"", "\"\\udc00\\ud800\"", "\"\\ud800\\u0041\"",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_value value = checked(cases[i]);
        char out[32];
        size_t length;
        assert_false(json_string_decode(&value, out, &length));
        assert_false(json_string_equals(&value, ""));
    }
}

static void strings_are_compared_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *text;
        bool equal;
    } cases[] = {
        {"\"source\"", "source", true},
        {"\"sour\\u0063e\"", "source", true},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", true},
        {"\"\"", "", true},
        {"\"source\"", "sourc", false},
        {"\"sourc\"", "source", false},
        {"\"Source\"", "source", false},
        {"\"a\\u0000\"", "a", false},
        {"\"a\\n\"", "a", false},
        {"\"\\n\"", "", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_value value = checked(cases[i].json);
        assert_int_equal(json_string_equals(&value, cases[i].text), cases[i].equal);
    }
}

/* Steps through everything below a value; the sanitizers watch. */
static void walk(const struct json_value *value, size_t *values)
{
    struct json_cursor cursor = {0};
    struct json_value key;
    struct json_value inner;
    ++*values;
    if (value->type == JSON_ARRAY)
        while (json_array_next(value, &cursor, &inner))
            walk(&inner, values);
    else if (value->type == JSON_OBJECT)
        while (json_object_next(value, &cursor, &key, &inner))
            walk(&inner, values);
}

static void walk_file(const char *text, size_t size)
{
    struct json_value value;
    struct json_error error;
    size_t values = 0;
    assert_true(json_check(text, size, &value, &error));
    walk(&value, &values);
    assert_true(values > 0);
}

static void check_file(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static char text[1 << 20];
    size_t size = fread(text, 1, sizeof(text), file);
    assert_true(size < sizeof(text));
    fclose(file);
    bool valid = accepts(text, size);
    if (name[0] != 'i' && valid != (name[0] == 'y'))
        fail_msg("%s was %s", name, valid ? "accepted" : "refused");
    if (valid)
        walk_file(text, size);
}

static void the_json_parsing_test_suite_agrees(void **state)
{
    (void)state;
    const char *data = getenv("TRIGGERS_SHARED_DATA");
    char folder[2048];
    snprintf(folder, sizeof(folder), "%s/json", data ? data : SOURCE_ROOT "/../shared/data");
    DIR *directory = opendir(folder);
    if (!directory) {
        printf("skipped: the JSON Parsing Test Suite is not at %s\n", folder);
        skip();
    }
    size_t files = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strlen(entry->d_name) < 3 || entry->d_name[1] != '_')
            continue;
        check_file(folder, entry->d_name);
        files++;
    }
    closedir(directory);
    assert_true(files > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts_are_accepted),
        cmocka_unit_test(invalid_texts_are_refused_at_the_right_byte),
        cmocka_unit_test(malformed_utf8_is_refused),
        cmocka_unit_test(every_byte_is_told_apart_at_every_position),
        cmocka_unit_test(a_nul_byte_is_never_accepted),
        cmocka_unit_test(depth_is_capped),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(an_array_yields_its_elements_as_written),
        cmocka_unit_test(an_object_yields_its_members_in_order),
        cmocka_unit_test(empty_containers_yield_nothing),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(portable_texts_are_told_from_others),
        cmocka_unit_test(portable_texts_are_64_levels_deep_at_most),
        cmocka_unit_test(lone_surrogates_have_no_text),
        cmocka_unit_test(strings_are_compared_decoded),
        cmocka_unit_test(the_json_parsing_test_suite_agrees),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
