/* The table of routes as a whole, and how paths are matched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buffer.h"
#include "handlers.h"
#include "routes.h"
#include "transcode.h"
#include "url.h"

static void take(void *text, const char *name, size_t name_size, const char *segment,
                 size_t segment_size)
{
    buffer_append(text, name, name_size);
    buffer_append_text(text, "=");
    buffer_append(text, segment, segment_size);
    buffer_append_text(text, ";");
}

static void paths_are_matched_segment_by_segment(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *path;
        const char *taken; /* NULL: no match */
    } cases[] = {
        {"/a/{name}/pull", "/a/b/pull", "name=b;"},
        {"/a/{name}/pull", "/a/b.c:d/pull", "name=b.c:d;"},
        {"/a/{name}/{x}", "/a/b/c", "name=b;x=c;"},
        {"/a/{name}", "/a/b/c", NULL},
        {"/a/{name}", "/a/", NULL},
        {"/a/{name}/pull", "/a//pull", NULL},
        {"/a/{name}/pull", "/a/b/pul", NULL},
        {"/a/{name}/pull", "/a/b/pulls", NULL},
        {"/a/{name}/pull", "/a/b", NULL},
        {"/a", "/a", ""},
        {"/a", "/", NULL},
        {"/a", "", NULL},
        {"/a", "/ab", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer text;
        buffer_init(&text, 256);
        buffer_append_text(&text, "");
        bool matches = url_match(cases[i].pattern, cases[i].path, take, &text);
        assert_int_equal(matches, cases[i].taken != NULL);
        if (matches)
            assert_string_equal(text.data, cases[i].taken);
        buffer_fini(&text);
    }
}

/* A path leads to the first route whose pattern it matches: no pattern may hide another one. */
static void no_route_hides_another(void **state)
{
    (void)state;
    const struct route *route, *first;
    for (size_t i = 0; (route = routes_at(i)); i++) {
        assert_int_equal(routes_index(route), i);
        for (size_t j = 0; j < i; j++) {
            first = routes_at(j);
            if (strcmp(first->path, route->path) != 0)
                assert_false(url_match(first->path, route->path, NULL, NULL));
            else
                assert_string_not_equal(first->method, route->method);
        }
    }
}

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *type,
                                                const char *name, size_t size)
{
    char text[64];
    assert_true(size < sizeof(text));
    memcpy(text, name, size);
    text[size] = '\0';
    return protobuf_c_message_descriptor_get_field_by_name(type, text);
}

static void must_be_field(void *call, const char *name, size_t name_size, const char *segment,
                          size_t segment_size)
{
    (void)segment;
    (void)segment_size;
    assert_non_null(field_of(((const struct api_method *)call)->request, name, name_size));
}

/* What is called payload is passed through as a JSON object. */
static void check_fields(const ProtobufCMessageDescriptor *type, int depth)
{
    assert_true(depth <= TRANSCODE_MAX_DEPTH);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (strcmp(field->name, "payload") == 0)
            assert_true(transcode_is_payload(field));
        if (field->type == PROTOBUF_C_TYPE_MESSAGE)
            check_fields(field->descriptor, depth + 1);
    }
}

static void transcoded_routes_fit_their_messages(void **state)
{
    (void)state;
    size_t found = 0;
    const struct route *route;
    for (size_t i = 0; (route = routes_at(i)); i++) {
        const struct api_method *call = route->call;
        if (route->start != transcoded_start)
            continue;
        found++;
        bool field = route->field[0] && strcmp(route->field, "*") != 0;
        assert_int_equal(route->body != BODY_UNUSED, route->field[0] != '\0');
        if (field)
            assert_non_null(field_of(call->request, route->field, strlen(route->field)));
        url_match(route->path, route->path, must_be_field, (void *)call);
        check_fields(call->request, 1);
        check_fields(call->response, 1);
    }
    assert_true(found > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_matched_segment_by_segment),
        cmocka_unit_test(no_route_hides_another),
        cmocka_unit_test(transcoded_routes_fit_their_messages),
    };
    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
