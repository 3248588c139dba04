/* What the commands of the `triggers` program share. */
#ifndef TRIGGERS_CLI_CLI_H
#define TRIGGERS_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "complain.h"
#include "triggers.h"

/* Scripts rely on these; the help lists them. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_CALL_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_TRY_LATER = 4, /* not reachable, not ready, or no answer in time */
};

/* Options as tables, from which parsing, help and shell completion are made. */
enum option_kind {
    OPTION_FLAG,    /* target: bool */
    OPTION_TEXT,    /* target: const char * */
    OPTION_FILE,    /* the same; completed with file names */
    OPTION_NUMBER,  /* target: long, from min to max */
    OPTION_SECONDS, /* target: long, milliseconds; given in seconds from min to max, with a point */
    OPTION_CHOICE,  /* target: int, an index into choices */
    OPTION_LIST,    /* target: struct word_list; may be repeated */
    OPTION_TIME,    /* target: int64_t, microseconds since 1970; see when_parse */
    OPTION_DATE,    /* the same; see when_parse_date */
    OPTION_AHEAD,   /* the same; see when_parse_ahead */
    OPTION_DELAY,   /* target: int64_t, seconds up to max; see when_parse_duration */
};

/* Zero-initialise. The most that a filter takes. */
struct word_list {
    const char *words[TRIGGERS_MAX_FILTER];
    size_t count;
};

struct option_spec {
    const char *name; /* without dashes; NULL ends a table */
    enum option_kind kind;
    void *target;
    const char *value; /* what help calls its value; NULL for flags */
    const char *help;
    long min, max;
    const char *const *choices; /* ends with NULL */
};

struct command {
    const char *name;
    const char *arguments; /* in the usage line; "" for none */
    const char *summary;   /* one line */
    const char *details;   /* further paragraphs and examples */
    const struct option_spec *options;
    const char *words;    /* first words that a shell may complete, split by spaces; or NULL */
    bool completes_files; /* words are names of files */
    int (*run)(int count, char **words);
};

/* All commands, ending with NULL (main.c). */
extern const struct command *const commands[];

/* The options that every command has, including --help and --version. */
extern const struct option_spec global_options[];
extern bool cli_wants_help;
extern bool cli_wants_version;

extern const struct command command_create, command_inbox, command_tail, command_kinds, command_get,
    command_ack, command_erase, command_subscriptions, command_consume, command_dead_letters,
    command_seek, command_tenants, command_keys, command_audit, command_health, command_bench,
    command_backup, command_completion;

/* Whether the output is one JSON object per line; else tables. */
bool cli_output_is_json(void);
/* Whether --output json is given, whatever stdout is. */
bool cli_json_is_asked_for(void);

/* Says on stderr what was wrong with the command line. Returns EXIT_USAGE. */
int cli_usage(const char *format, ...) PRINTF_LIKE(1, 2);

/* Says on stderr why a call failed; `what`, unless NULL, is put before it. Returns the exit code.
 */
int cli_fail(const triggers_error *error, const char *what);
/* The same for one item of a batch, without the index in the batch that the core's message has. */
int cli_fail_item(const triggers_error *error, const char *what);
enum exit_code cli_exit_code(triggers_code code);
/* The graver of two exit codes: anything except "no such event" comes first. */
int cli_worse(int a, int b);

/* A client as the global options describe it, for `max_in_flight` calls at once. NULL after saying
 * why on stderr; the exit code is EXIT_USAGE then. */
triggers_client *cli_open(long max_in_flight);

/* Flushes stdout. Returns `code`, or an exit code after saying on stderr that something could not
 * be written. */
int cli_finish(int code);

#endif
