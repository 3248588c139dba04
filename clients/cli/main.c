/* The `triggers` program: finds the command, parses its options and runs it. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static int run_help(int count, char **words);

static const struct command command_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "Print help, for all commands or for one",
    .details = "Example:\n  triggers help inbox\n",
    .run = run_help,
};

const struct command *const commands[] = {
    &command_create, &command_inbox,  &command_get,  &command_ack,        &command_health,
    &command_bench,  &command_backup, &command_help, &command_completion, NULL,
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

static void print_all_help(void)
{
    printf("triggers: send events to an inbox; list, read and acknowledge them\n\n"
           "Usage: triggers [options] COMMAND [options] [arguments]\n\nCommands:\n");
    for (size_t i = 0; commands[i]; i++)
        printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
    printf("\nOptions for every command:\n");
    options_print_help(global_options);
    printf("\nExit status:\n"
           "  0  done\n"
           "  1  the call failed, or some of its items did\n"
           "  2  wrong command line or setting\n"
           "  3  no such event\n"
           "  4  triggersd is not reachable, not ready, too busy or did not answer in time: the\n"
           "     same command may succeed later\n"
           "A failed call prints one line on stderr, with its reason in capitals.\n\n"
           "Examples:\n"
           "  triggers create crm lead.created '{\"name\":\"Ada\"}'\n"
           "  triggers inbox --limit 10\n"
           "  triggers ack evt_01h455vb4pex5vsknk084sn02q\n");
}

static void print_command_help(const struct command *command)
{
    printf("triggers %s: %s\n\nUsage: triggers %s [options]%s%s\n\n", command->name,
           command->summary, command->name, *command->arguments ? " " : "", command->arguments);
    if (command->options) {
        printf("Options:\n");
        options_print_help(command->options);
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

static int run_command(int argc, char **argv)
{
    const struct command *command = find_command(argv[0]);
    if (!command)
        return EXIT_USAGE;
    int first = options_parse(argc, argv, global_options, command->options, false);
    if (first < 0)
        return EXIT_USAGE;
    if (!cli_wants_help)
        return command->run(argc - first, argv + first);
    print_command_help(command);
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    int first = options_parse(argc, argv, global_options, NULL, true);
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
