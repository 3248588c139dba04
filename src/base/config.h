/* Settings of a program as one table: each has an environment variable, a flag, a default and a
 * line of help. A flag wins over the environment; an empty variable counts as unset. White space
 * around a value is dropped, because files and shells add it; control characters in it are refused.
 */
#ifndef TRIGGERS_BASE_CONFIG_H
#define TRIGGERS_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct config_setting {
    const char *variable; /* such as "TRIGGERS_LISTEN" */
    const char *flag;     /* the same without dashes, such as "listen" */
    const char *fallback; /* text parsed when neither is given; NULL leaves the target alone */
    const char *value;    /* what help calls the value, such as "URLS" */
    const char *help;     /* a sentence or two; NULL: not listed, for a setting that was removed */
    /* Stores the value in `target`; false with what is accepted in `why`. The text lives until it
     * returns. One of those below or the program's own. */
    bool (*parse)(const struct config_setting *setting, const char *text, char *why, size_t size);
    void *target;
    long min; /* config_integer */
    long max;
    const char *choices; /* config_choice: words with a blank between them */
    bool secret;         /* wiped from the argument list, which other users can read */
};

enum config_result {
    CONFIG_LOADED,
    CONFIG_ANSWERED, /* --help or --version was printed: exit with 0 */
    CONFIG_WRONG,    /* one line was printed to stderr: exit with EXIT_MISCONFIGURED */
};

/* What programs end with, beside those of stdlib.h, that cannot work as they are told to. */
#define EXIT_MISCONFIGURED 2

/* Reads every setting. `settings` ends with a zeroed entry. `about` is the first paragraph of the
 * help. Call once, before threads start. */
enum config_result config_load(const char *program, const char *about,
                               const struct config_setting *settings, int argc, char **argv);

/* A copy of `text` without white space around it, malloc'd; NULL, with the reason in `why`, when it
 * has a control character or memory is exhausted. */
char *config_clean(const char *text, char *why, size_t size);

/* Prints a value as it may be shown: control characters escaped. */
void config_show(FILE *out, const char *text);

/* target: const char *, NULL at first; the text lives as long as the process */
bool config_text(const struct config_setting *setting, const char *text, char *why, size_t size);
/* target: long; from min to max */
bool config_integer(const struct config_setting *setting, const char *text, char *why, size_t size);
/* target: long, in seconds; a whole number and its unit, s, m, h or d, such as 30d; at least 1 s
 * and at most 100 years. "forever" is 0. */
bool config_duration(const struct config_setting *setting, const char *text, char *why,
                     size_t size);
/* target: int, the number of the word in `choices`, from 0 */
bool config_choice(const struct config_setting *setting, const char *text, char *why, size_t size);
/* target: struct origins */
bool config_origins(const struct config_setting *setting, const char *text, char *why, size_t size);
/* target: struct hosts */
bool config_hosts(const struct config_setting *setting, const char *text, char *why, size_t size);
/* target: struct address_ranges */
bool config_ranges(const struct config_setting *setting, const char *text, char *why, size_t size);
/* target: enum log_level */
bool config_log_level(const struct config_setting *setting, const char *text, char *why,
                      size_t size);
/* target: enum log_format */
bool config_log_format(const struct config_setting *setting, const char *text, char *why,
                       size_t size);

/* Rows that all programs share, or the two that serve; each is written once. `target` as above. */
#define CONFIG_LOG_LEVEL(target)                                                                   \
    {                                                                                              \
        "LOG_LEVEL", "log-level", "info", "LEVEL",                                                 \
            "debug, info, warning or error; debug has a line for each request.", config_log_level, \
            target                                                                                 \
    }
#define CONFIG_LOG_FORMAT(target)                                                                  \
    {                                                                                              \
        "LOG_FORMAT", "log-format", "auto", "FORMAT",                                              \
            "text, json, or auto: text on a terminal, JSON otherwise.", config_log_format, target  \
    }
#define CONFIG_METRICS_LOG(target)                                                                 \
    {                                                                                              \
        "TRIGGERS_METRICS_LOG", "metrics-log", "0", "SECONDS",                                     \
            "Seconds between logs of the metrics in CloudWatch's embedded metric format; 0: "      \
            "none.",                                                                               \
            config_integer, target, 0, 3600                                                        \
    }
#define CONFIG_CORE_DUMPS(target)                                                                  \
    {                                                                                              \
        "TRIGGERS_CORE_DUMPS", "core-dumps", "off", "WHEN",                                        \
            "on: a crash may leave a core dump, with passwords and events in it, and debuggers "   \
            "of the same user may attach; off: neither may happen.",                               \
            config_choice, target, .choices = "off on"                                             \
    }

#endif
