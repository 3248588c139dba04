/* One line a call, built in a buffer and written at once. */
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"

#define REPEAT_MS 10000
#define LINE_CAP 8192 /* bytes; a longer line is dropped in favour of its message alone */

static struct {
    const char *program;
    enum log_level level;
    bool json;
} settings = {.program = "triggers", .level = LOG_INFO};

static const char *const LEVEL_NAMES[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"};

void log_init(const char *program, enum log_level level, enum log_format format)
{
    settings.program = program;
    settings.level = level;
    settings.json = format == LOG_JSON || (format == LOG_AUTO && !isatty(STDOUT_FILENO));
}

bool log_level_parse(const char *text, enum log_level *level)
{
    for (enum log_level i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (strcasecmp(text, LEVEL_NAMES[i]) == 0) {
            *level = i;
            return true;
        }
    }
    if (strcasecmp(text, "warn") != 0)
        return false;
    *level = LOG_WARNING;
    return true;
}

bool log_format_parse(const char *text, enum log_format *format)
{
    static const char *const names[] = {
        [LOG_AUTO] = "auto", [LOG_TEXT] = "text", [LOG_JSON] = "json"};
    for (enum log_format i = LOG_AUTO; i <= LOG_JSON; i++) {
        if (strcasecmp(text, names[i]) == 0) {
            *format = i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return level >= settings.level;
}

static void append_json(struct buffer *line, enum log_level level, const char *message,
                        const struct log_field *fields)
{
    buffer_append_text(line, "{\"time\":");
    buffer_append_json_time(line, clock_now_us());
    buffer_append_format(line,
                         ",\"level\":\"%s\",\"program\":\"%s\",\"message\":", LEVEL_NAMES[level],
                         settings.program);
    buffer_append_json_string(line, message, strlen(message));
    for (const struct log_field *field = fields; field && field->name; field++) {
        buffer_append_format(line, ",\"%s\":", field->name);
        if (field->text)
            buffer_append_json_string(line, field->text, strlen(field->text));
        else
            buffer_append_format(line, "%.15g", field->number);
    }
    buffer_append_text(line, "}\n");
}

/* Field texts may come from the network: control characters must not reach a terminal. */
static void append_printable(struct buffer *line, const char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == 0x7F)
            buffer_append_format(line, "\\x%02x", byte);
        else
            buffer_append(line, text, 1);
    }
}

static void append_text(struct buffer *line, enum log_level level, const char *message,
                        const struct log_field *fields)
{
    struct buffer time;
    buffer_init(&time, 64);
    buffer_append_json_time(&time, clock_now_us());
    if (time.size > 2)
        buffer_append(line, time.data + 1, time.size - 2); /* without the quotes */
    buffer_fini(&time);
    buffer_append_format(line, " %-7s ", LEVEL_NAMES[level]);
    append_printable(line, message);
    for (const struct log_field *field = fields; field && field->name; field++) {
        buffer_append_format(line, " %s=", field->name);
        if (field->text)
            append_printable(line, field->text);
        else
            buffer_append_format(line, "%.15g", field->number);
    }
    buffer_append_text(line, "\n");
}

bool log_repeats_due(struct log_repeats *repeats, const char *text, unsigned *left_out)
{
    int64_t now_ms = clock_monotonic_ms();
    size_t size = sizeof(repeats->text) - 1;
    if (now_ms < repeats->until_ms && strncmp(repeats->text, text, size) == 0) {
        repeats->left_out++;
        return false;
    }
    *left_out = repeats->left_out;
    *repeats = (struct log_repeats){.until_ms = now_ms + REPEAT_MS};
    strncpy(repeats->text, text, size);
    return true;
}

void log_write_line(const char *line, size_t size)
{
    /* Logging never fails the caller: a full or closed stdout loses the line. */
    ssize_t written = write(STDOUT_FILENO, line, size);
    (void)written;
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    if (!log_enabled(level))
        return;
    struct buffer line;
    buffer_init(&line, LINE_CAP);
    (settings.json ? append_json : append_text)(&line, level, message, fields);
    if (line.failed) {
        buffer_fini(&line);
        (settings.json ? append_json : append_text)(&line, level, message, NULL);
    }
    if (line.data)
        log_write_line(line.data, line.size);
    buffer_fini(&line);
}
