/* For each line of input, a triggers.test.v1.Kinds as JSON, one line: "wrong" and what is, or the
 * message packed as hexadecimal digits and the JSON that is made of it again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.pb-c.h"
#include "transcode.h"

#define ARENA_CAP (64u << 20)
#define TEXT_CAP (64u << 20)

static void show_wrong(const struct transcode_errors *errors)
{
    printf("wrong");
    for (size_t i = 0; i < errors->count; i++)
        printf(" #%s: %s;", errors->fields[i].name, errors->fields[i].detail);
    printf("\n");
}

static void show(const ProtobufCMessage *message)
{
    struct buffer text;
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = malloc(size + 1);
    if (!packed)
        abort();
    protobuf_c_message_pack(message, packed);
    buffer_init(&text, TEXT_CAP);
    transcode_write(&text, message, false);
    if (text.failed)
        abort();
    for (size_t i = 0; i < size; i++)
        printf("%02x", packed[i]);
    printf(" %s\n", text.data);
    buffer_fini(&text);
    free(packed);
}

static void read_line(const char *line, size_t size)
{
    Triggers__Test__V1__Kinds kinds = TRIGGERS__TEST__V1__KINDS__INIT;
    struct transcode_errors errors = {.count = 0};
    struct json_value value;
    struct json_error error;
    struct arena arena;
    arena_init(&arena, ARENA_CAP);
    if (!json_check(line, size, &value, &error))
        printf("malformed %s\n", error.reason);
    else if (transcode_read(&value, "*", &kinds.base, &arena, &errors) == TRANSCODE_OK)
        show(&kinds.base);
    else
        show_wrong(&errors);
    arena_fini(&arena);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    while ((size = getline(&line, &room, stdin)) > 0)
        read_line(line, (size_t)size);
    free(line);
    return 0;
}
