/* The bridge's transcoder on a message with every kind of field. After the first byte, which says
 * which, the input is JSON, and after a line feed parameters, as lines of a name and lines of a
 * text; or it is the message as protobuf. What becomes of both is JSON that is read as the same. */
#include <string.h>

#include "fuzz.h"
#include "kinds.pb-c.h"
#include "transcode.h"

#define ARENA_CAP (16 << 20)
#define TEXT_CAP (16 << 20)
#define PARAMETERS 8

typedef Triggers__Test__V1__Kinds Kinds;

/* What a pointer as a fragment of a URI may have, RFC 3986 section 3.5. */
static bool is_pointer(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-.~%/";
    return !name[strspn(name, plain)];
}

static void check_result(enum transcode_result result, const struct transcode_errors *errors,
                         const struct arena *arena)
{
    if (result == TRANSCODE_NO_MEMORY)
        MUST(arena->exhausted);
    if (result == TRANSCODE_WRONG)
        MUST(errors->count > 0 && errors->count <= TRANSCODE_MAX_ERRORS);
    for (size_t i = 0; i < errors->count; i++)
        MUST(is_pointer(errors->fields[i].name) && errors->fields[i].detail[0]);
}

/* False when there is too little memory or nesting too deep. */
static bool write_text(const Kinds *kinds, struct buffer *text)
{
    buffer_init(text, TEXT_CAP);
    transcode_write(text, &kinds->base, false);
    return !text->failed;
}

/* Also where payloads are left out of pages. */
static void must_be_json_on_pages(const Kinds *kinds)
{
    struct buffer text;
    struct json_value value;
    struct json_error error;
    buffer_init(&text, TEXT_CAP);
    transcode_write(&text, &kinds->base, true);
    MUST(!text.failed && json_check(text.data, text.size, &value, &error));
    buffer_fini(&text);
}

static void must_be_written_as(const Kinds *kinds, const struct buffer *text)
{
    struct buffer again;
    MUST(write_text(kinds, &again));
    MUST(text->size == again.size && memcmp(text->data, again.data, again.size) == 0);
    buffer_fini(&again);
}

/* Reads what was written and writes it again. `whole`: everything in the message was read from
 * JSON, so that nothing of it can be lost, as a number that is none is, for which there is null. */
static void check_written(const Kinds *kinds, bool whole)
{
    struct transcode_errors errors = {.count = 0};
    Kinds again = TRIGGERS__TEST__V1__KINDS__INIT;
    struct json_value value;
    struct json_error error;
    struct buffer text;
    struct arena arena;
    arena_init(&arena, ARENA_CAP);
    if (write_text(kinds, &text) && json_check(text.data, text.size, &value, &error)) {
        enum transcode_result result = transcode_read(&value, "*", &again.base, &arena, &errors);
        check_result(result, &errors, &arena);
        MUST(result == TRANSCODE_OK || !whole);
        if (whole) {
            must_be_written_as(&again, &text);
            must_be_json_on_pages(&again);
        } else if (result == TRANSCODE_OK) {
            check_written(&again, true);
        }
    } else {
        MUST(!whole);
    }
    buffer_fini(&text);
    arena_fini(&arena);
}

static void try_json(struct input *input)
{
    struct transcode_errors errors = {.count = 0};
    Kinds kinds = TRIGGERS__TEST__V1__KINDS__INIT;
    struct json_value value;
    struct json_error error;
    struct arena arena;
    arena_init(&arena, ARENA_CAP);
    char *texts[1 + 2 * PARAMETERS];
    size_t count = 0;
    for (; count < 1 + 2 * PARAMETERS; count++)
        texts[count] = input_text(input);
    enum transcode_result result = TRANSCODE_OK;
    if (json_check(texts[0], strlen(texts[0]), &value, &error))
        result = transcode_read(&value, "*", &kinds.base, &arena, &errors);
    check_result(result, &errors, &arena);
    for (size_t i = 1; i < count && result == TRANSCODE_OK; i += 2) {
        result = transcode_read_parameter(texts[i], texts[i + 1], &kinds.base, &arena, &errors);
        check_result(result, &errors, &arena);
    }
    if (result == TRANSCODE_OK)
        check_written(&kinds, true);
    while (count > 0)
        free(texts[--count]);
    arena_fini(&arena);
}

static void try_message(const struct input *input)
{
    Kinds *kinds = triggers__test__v1__kinds__unpack(NULL, input->left, input->next);
    if (!kinds)
        return;
    check_written(kinds, false);
    triggers__test__v1__kinds__free_unpacked(kinds, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    if (input_byte(&input) % 4)
        try_json(&input);
    else
        try_message(&input);
    return 0;
}
