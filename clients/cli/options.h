/* Options as tables, from which parsing, help and shell completion are made. */
#ifndef TRIGGERS_CLI_OPTIONS_H
#define TRIGGERS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

enum option_kind {
    OPTION_FLAG,    /* target: bool */
    OPTION_TEXT,    /* target: const char * */
    OPTION_FILE,    /* the same; completed with file names */
    OPTION_NUMBER,  /* target: long, from min to max */
    OPTION_SECONDS, /* target: long, milliseconds; given in seconds from min to max, with a point */
    OPTION_CHOICE,  /* target: int, an index into choices */
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

/* The most options of one command, including the global ones. */
#define OPTIONS_MAX 32

/* Parses the options of `own` (may be NULL) and of `global`. With `stop_at_word` the first word
 * ends them, otherwise options and words may be mixed. Returns the index in argv of the first word,
 * after which all words have been moved; or -1 after saying on stderr what was wrong. */
int options_parse(int argc, char **argv, const struct option_spec *global,
                  const struct option_spec *own, bool stop_at_word);

/* Prints the lines of the help about each option. */
void options_print_help(const struct option_spec *options);

#endif
