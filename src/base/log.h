/* Log lines on stdout: text on a terminal, one JSON object per line otherwise. Any thread. Never
 * log a payload or a password.
 *
 * After log_start no caller ever waits for stdout: a thread writes the lines, whole and in order,
 * from a ring of 256 KiB. While that is full, lines are dropped; when there is room again, a line
 * says how many. A crash loses what is in the ring. Without log_start, callers write their lines
 * themselves. */
#ifndef TRIGGERS_BASE_LOG_H
#define TRIGGERS_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_TEXT, LOG_JSON };

/* Before other threads start. `program` is kept, not copied. */
void log_init(const char *program, enum log_level level, enum log_format format);

/* Starts the thread that writes from now on; exit waits for it as log_flush does. Call once, after
 * signals_block; false when there is no memory for a thread. */
bool log_start(void);

/* Waits until all lines are written, but at most a second, and not at all while stdout takes none.
 * exit does this by itself, _exit does not. */
void log_flush(void);

/* Lines dropped since the start. */
uint64_t log_dropped_lines(void);

/* Says on stderr why the program ends, in one line "PROGRAM: text"; waits at most a second for room
 * there. */
void log_fatal(const char *text);

/* Parses "debug", "info", "warning" (or "warn"), "error", in any case; false for others. */
bool log_level_parse(const char *text, enum log_level *level);
/* Parses "auto", "text", "json". */
bool log_format_parse(const char *text, enum log_format *format);

bool log_enabled(enum log_level level);

/* One more thing to say: a name and a text or a number. End the list with LOG_END. */
struct log_field {
    const char *name; /* snake_case; NULL ends the list */
    const char *text; /* NULL: `number` counts */
    double number;
};
#define LOG_END                                                                                    \
    (struct log_field)                                                                             \
    {                                                                                              \
        0                                                                                          \
    }

/* `message` is one short sentence without a full stop; `fields` ends with LOG_END or is NULL. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/* The same for a line that a peer or an outage can repeat. The process writes one line in ten
 * seconds for a message and `key`, such as an error code; its field `left_out` says how many were
 * left out since the previous one. 63 such kinds are told apart at a time; all others together are
 * one more. Returns false when the line was left out. */
bool log_write_limited(enum log_level level, const char *key, const char *message,
                       const struct log_field *fields);

/* The rule of log_write_limited: whether a line of this kind may be written at `now_ms`
 * (monotonic). If so, sets *left_out. */
bool log_is_due(const char *message, const char *key, int64_t now_ms, unsigned *left_out);

/* Writes a line made elsewhere, which ends with a line feed, whatever the level and format. */
void log_write_line(const char *line, size_t size);

/* log_info("listening", {"url", url}, {"contexts", NULL, 64}) */
#define LOG_WITH(level, message, ...)                                                              \
    log_write(level, message, (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ) LOG_END})
#define log_debug(message, ...) LOG_WITH(LOG_DEBUG, message __VA_OPT__(, ) __VA_ARGS__)
#define log_info(message, ...) LOG_WITH(LOG_INFO, message __VA_OPT__(, ) __VA_ARGS__)
#define log_warning(message, ...) LOG_WITH(LOG_WARNING, message __VA_OPT__(, ) __VA_ARGS__)
#define log_error(message, ...) LOG_WITH(LOG_ERROR, message __VA_OPT__(, ) __VA_ARGS__)

/* log_warning_limited(sqlstate, "postgresql refused a statement", {"sqlstate", sqlstate}) */
#define log_warning_limited(key, message, ...)                                                     \
    log_write_limited(LOG_WARNING, key, message,                                                   \
                      (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ) LOG_END})
#define log_error_limited(key, message, ...)                                                       \
    log_write_limited(LOG_ERROR, key, message,                                                     \
                      (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ) LOG_END})

#endif
