/* Log lines on stdout: text on a terminal, one JSON object a line otherwise. Any thread; a line is
 * written with one call, so lines never mix. Never log a payload or a password. */
#ifndef TRIGGERS_BASE_LOG_H
#define TRIGGERS_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_TEXT, LOG_JSON };

/* Before other threads start. `program` is kept, not copied. */
void log_init(const char *program, enum log_level level, enum log_format format);

/* Parses "debug", "info", "warning" (or "warn"), "error", in any case; false for others. */
bool log_level_parse(const char *text, enum log_level *level);
/* Parses "auto", "text", "json". */
bool log_format_parse(const char *text, enum log_format *format);

bool log_enabled(enum log_level level);

/* One more thing to say: a name and a text or a number. End the list with LOG_END. */
struct log_field {
    const char *name; /* snake_case; NULL ends the list */
    const char *text; /* NULL: `number` is meant */
    double number;
};
#define LOG_END                                                                                    \
    (struct log_field)                                                                             \
    {                                                                                              \
        0                                                                                          \
    }

/* `message` is one short sentence without a full stop; `fields` ends with LOG_END or is NULL. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/* Lines of one kind that an outage may repeat without end. Starts as zeros; one thread at a time.
 */
struct log_repeats {
    char text[160]; /* of the last line written */
    int64_t until_ms;
    unsigned left_out; /* since then */
};

/* Whether to write a line about `text`: a new one, or the same for the first time in ten seconds.
 * Then *left_out is how many of the last text were not written. */
bool log_repeats_due(struct log_repeats *repeats, const char *text, unsigned *left_out);

/* A line made elsewhere, its line feed in it, whatever the level and format. */
void log_write_line(const char *line, size_t size);

/* log_info("listening", {"url", url}, {"contexts", NULL, 64}) */
#define LOG_WITH(level, message, ...)                                                              \
    log_write(level, message, (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ) LOG_END})
#define log_debug(message, ...) LOG_WITH(LOG_DEBUG, message __VA_OPT__(, ) __VA_ARGS__)
#define log_info(message, ...) LOG_WITH(LOG_INFO, message __VA_OPT__(, ) __VA_ARGS__)
#define log_warning(message, ...) LOG_WITH(LOG_WARNING, message __VA_OPT__(, ) __VA_ARGS__)
#define log_error(message, ...) LOG_WITH(LOG_ERROR, message __VA_OPT__(, ) __VA_ARGS__)

#endif
