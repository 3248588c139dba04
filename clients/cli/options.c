/* Tables of options over getopt_long. */
#include "options.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void print_choices(char *out, size_t size, const char *const *choices)
{
    out[0] = '\0';
    for (size_t used = 0; *choices && used < size; choices++) {
        const char *separator = used == 0 ? "" : choices[1] ? ", " : " and ";
        used += (size_t)snprintf(out + used, size - used, "%s%s", separator, *choices);
    }
}

static bool refuse(const struct option_spec *option, const char *text, const char *accepted)
{
    cli_usage("--%s does not accept '%s'; accepted: %s", option->name, text, accepted);
    return false;
}

static bool parse_number(const struct option_spec *option, const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);
    char accepted[80];
    snprintf(accepted, sizeof(accepted), "whole numbers from %ld to %ld", option->min, option->max);
    if (end == text || *end || number < option->min || number > option->max)
        return refuse(option, text, accepted);
    *(long *)option->target = number;
    return true;
}

static bool parse_seconds(const struct option_spec *option, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    char accepted[80];
    snprintf(accepted, sizeof(accepted), "seconds, more than %ld and up to %ld, such as 2.5",
             option->min, option->max);
    if (end == text || *end || !(seconds > (double)option->min) || seconds > (double)option->max)
        return refuse(option, text, accepted);
    long ms = lround(seconds * 1000);
    *(long *)option->target = ms > 0 ? ms : 1;
    return true;
}

static bool parse_choice(const struct option_spec *option, const char *text)
{
    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *(int *)option->target = i;
            return true;
        }
    }
    char accepted[160];
    print_choices(accepted, sizeof(accepted), option->choices);
    return refuse(option, text, accepted);
}

static bool parse_value(const struct option_spec *option, const char *text)
{
    switch (option->kind) {
    case OPTION_FLAG: *(bool *)option->target = true; return true;
    case OPTION_TEXT:
    case OPTION_FILE: *(const char **)option->target = text; return true;
    case OPTION_NUMBER: return parse_number(option, text);
    case OPTION_SECONDS: return parse_seconds(option, text);
    case OPTION_CHOICE: return parse_choice(option, text);
    }
    return false;
}

/* getopt's view of the tables; `all` gets the specs in the same order. */
struct getopt_table {
    struct option options[OPTIONS_MAX + 1];
    const struct option_spec *all[OPTIONS_MAX];
    int count;
};

static void add_options(struct getopt_table *table, const struct option_spec *specs)
{
    for (; specs && specs->name && table->count < OPTIONS_MAX; specs++) {
        int argument = specs->kind == OPTION_FLAG ? no_argument : required_argument;
        table->options[table->count] = (struct option){specs->name, argument, NULL, 0};
        table->all[table->count++] = specs;
    }
}

int options_parse(int argc, char **argv, const struct option_spec *global,
                  const struct option_spec *own, bool stop_at_word)
{
    struct getopt_table table = {.count = 0};
    add_options(&table, own);
    add_options(&table, global);
    optind = 0; /* getopt starts anew */
    opterr = 0;
    for (;;) {
        int index = -1;
        int result = getopt_long(argc, argv, stop_at_word ? "+:" : ":", table.options, &index);
        if (result == -1)
            return optind;
        if (result == ':') {
            cli_usage("%s needs a value", argv[optind - 1]);
            return -1;
        }
        const struct option_spec *option = result == 0 ? table.all[index] : NULL;
        if (!option) {
            cli_usage("unknown option %s", argv[optind - 1]);
            return -1;
        }
        if (!parse_value(option, optarg))
            return -1;
    }
}

void options_print_help(const struct option_spec *options)
{
    for (; options->name; options++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s %s", options->name,
                 options->value ? options->value : "");
        printf("  %-24s %s\n", left, options->help);
    }
}
