/* The `triggers` program: finds the command, parses its options and runs it. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli.h"
#include "when.h"

/* The most options of one command, including the global ones. */
#define OPTIONS_MAX 32

static int run_help(int count, char **words);

static const struct command command_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "Print help, for all commands or for one",
    .details = "Example:\n  triggers help inbox\n",
    .run = run_help,
};

const struct command *const commands[] = {
    &command_create,  &command_inbox,        &command_tail,       &command_kinds,
    &command_get,     &command_ack,          &command_erase,      &command_subscriptions,
    &command_consume, &command_dead_letters, &command_seek,       &command_tenants,
    &command_keys,    &command_audit,        &command_health,     &command_bench,
    &command_backup,  &command_help,         &command_completion, NULL,
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; commands[i]; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    cli_usage("unknown command '%s'", name);
    return NULL;
}

/* ---- help ---- */

static void print_options(const struct option_spec *options)
{
    for (; options->name; options++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s %s", options->name,
                 options->value ? options->value : "");
        printf("  %-24s %s\n", left, options->help);
    }
}

static void print_all_help(void)
{
    printf("triggers: send events to an inbox; list, follow, read, acknowledge and erase them;\n"
           "work on them by subscriptions; say who may do so by keys\n\n"
           "Usage: triggers [options] COMMAND [options] [arguments]\n\nCommands:\n");
    for (size_t i = 0; commands[i]; i++)
        printf("  %-13s %s\n", commands[i]->name, commands[i]->summary);
    printf("\nOptions for every command:\n");
    print_options(global_options);
    printf("\nWhere triggersd asks who calls, set one of these in the environment:\n"
           "  TRIGGERS_API_KEY          the key\n"
           "  TRIGGERS_API_KEY_FILE     a file that has it\n"
           "  TRIGGERS_API_KEY_COMMAND  a command that prints it, run by /bin/sh\n"
           "A file is read, or a command run, once more each minute, and when the key is refused.\n"
           "\nExit status:\n"
           "  0  done\n"
           "  1  the call failed, or some of its items did\n"
           "  2  wrong command line or setting\n"
           "  3  no such event, subscription, tenant or key\n"
           "  4  triggersd is not reachable, not ready, too busy or did not answer in time: the\n"
           "     same command may succeed later\n"
           "A failed call prints one line on stderr, with its reason in capitals.\n\n"
           "Examples:\n"
           "  triggers create crm lead.created '{\"name\":\"Ada\"}'\n"
           "  triggers inbox --limit 10\n"
           "  triggers tail --since 2h\n"
           "  triggers ack evt_01h455vb4pex5vsknk084sn02q\n"
           "  triggers consume inbox --exec './handle'\n");
}

static void print_command_help(const struct command *command)
{
    printf("triggers %s: %s\n\nUsage: triggers %s [options]%s%s\n\n", command->name,
           command->summary, command->name, *command->arguments ? " " : "", command->arguments);
    if (command->options) {
        printf("Options:\n");
        print_options(command->options);
        printf("\n");
    }
    printf("%s\nOptions for every command and exit statuses: triggers --help\n", command->details);
}

static int run_help(int count, char **words)
{
    if (count > 1)
        return cli_usage("help takes one command");
    const struct command *command = count == 1 ? find_command(words[0]) : NULL;
    if (count == 1 && !command)
        return EXIT_USAGE;
    if (command)
        print_command_help(command);
    else
        print_all_help();
    return EXIT_DONE;
}

/* ---- parsing options ---- */

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
    errno = 0;
    long number = strtol(text, &end, 10);
    char accepted[80];
    snprintf(accepted, sizeof(accepted), "whole numbers from %ld to %ld", option->min, option->max);
    if (end == text || *end || errno || number < option->min || number > option->max)
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

static bool parse_delay(const struct option_spec *option, const char *text)
{
    int64_t *seconds = option->target;
    char accepted[80];
    snprintf(accepted, sizeof(accepted), "a number and s, m, h or d, up to %lds, such as 90s",
             option->max);
    if (when_parse_duration(text, seconds) && *seconds <= option->max)
        return true;
    return refuse(option, text, accepted);
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

static bool parse_word(const struct option_spec *option, const char *text)
{
    struct word_list *list = option->target;
    if (list->count < TRIGGERS_MAX_FILTER) {
        list->words[list->count++] = text;
        return true;
    }
    cli_usage("--%s is given too often; accepted: %d times", option->name, TRIGGERS_MAX_FILTER);
    return false;
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
    case OPTION_LIST: return parse_word(option, text);
    case OPTION_TIME:
        return when_parse(text, clock_now_us(), option->target) ||
               refuse(option, text, WHEN_ACCEPTED);
    case OPTION_DATE:
        return when_parse_date(text, option->target) || refuse(option, text, WHEN_DATE_ACCEPTED);
    case OPTION_AHEAD:
        return when_parse_ahead(text, clock_now_us(), option->target) ||
               refuse(option, text, WHEN_AHEAD_ACCEPTED);
    case OPTION_DELAY: return parse_delay(option, text);
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

/* Parses the options of `own` (may be NULL) and the global ones. With `stop_at_word` the first word
 * ends them, otherwise options and words may be mixed. Returns the index in argv of the first word,
 * after which all words have been moved; or -1 after saying on stderr what was wrong. */
static int parse_options(int argc, char **argv, const struct option_spec *own, bool stop_at_word)
{
    struct getopt_table table = {.count = 0};
    add_options(&table, own);
    add_options(&table, global_options);
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

/* ---- running ---- */

static int run_command(int argc, char **argv)
{
    const struct command *command = find_command(argv[0]);
    if (!command)
        return EXIT_USAGE;
    int first = parse_options(argc, argv, command->options, false);
    if (first < 0)
        return EXIT_USAGE;
    if (!cli_wants_help)
        return command->run(argc - first, argv + first);
    print_command_help(command);
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    int first = parse_options(argc, argv, NULL, true);
    if (first < 0)
        return EXIT_USAGE;
    if (cli_wants_version) {
        printf("triggers %s\n", triggers_version());
        return cli_finish(EXIT_DONE);
    }
    if (first < argc && !cli_wants_help)
        return cli_finish(run_command(argc - first, argv + first));
    if (cli_wants_help)
        return cli_finish(run_help(argc - first, argv + first));
    return cli_usage("no command is given");
}
