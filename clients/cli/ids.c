#include "ids.h"

#include <ctype.h>
#include <string.h>

#include "cli.h"
#include "lines.h"

struct ids {
    ids_take *take;
    void *data;
    int code;
};

static bool refuse_id(struct ids *ids, const char *text)
{
    cli_complain("'%.*s...' is not an event id (EVENT_ID_INVALID)", ID_MAX_SIZE, text);
    ids->code = EXIT_CALL_FAILED;
    return true;
}

static bool take_id(struct ids *ids, const char *text, size_t size)
{
    char id[ID_MAX_SIZE];
    if (size >= ID_MAX_SIZE || memchr(text, 0, size))
        return refuse_id(ids, text);
    memcpy(id, text, size);
    id[size] = '\0';
    return ids->take(ids->data, id);
}

static bool take_line(struct ids *ids, const char *line, size_t size)
{
    while (size > 0 && isspace((unsigned char)*line)) {
        line++;
        size--;
    }
    while (size > 0 && isspace((unsigned char)line[size - 1]))
        size--;
    return size == 0 || take_id(ids, line, size);
}

static void take_stdin(struct ids *ids)
{
    struct lines lines;
    const char *line;
    size_t size;
    if (!lines_open(&lines, "-")) {
        ids->code = EXIT_CALL_FAILED;
        return;
    }
    enum line_result result = LINE_READ;
    bool more = true;
    while (more && (result = lines_next(&lines, &line, &size)) <= LINE_TOO_LONG)
        more = result == LINE_READ ? take_line(ids, line, size) : refuse_id(ids, "");
    if (result == LINES_FAILED)
        ids->code = EXIT_CALL_FAILED;
    lines_close(&lines);
}

int ids_read(int count, char **words, ids_take *take, void *data)
{
    struct ids ids = {take, data, EXIT_DONE};
    if (count == 0 || (count == 1 && strcmp(words[0], "-") == 0)) {
        take_stdin(&ids);
        return ids.code;
    }
    bool more = true;
    for (int i = 0; more && i < count; i++)
        more = take_id(&ids, words[i], strlen(words[i]));
    return ids.code;
}
