/* triggers completion: scripts for shells, made from the tables of commands and options. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const char *const shells[] = {"bash", "zsh", "fish", NULL};

static void print_words(const char *const *words)
{
    for (; *words; words++)
        printf("%s%s", *words, words[1] ? " " : "");
}

static void print_command_names(void)
{
    for (size_t i = 0; commands[i]; i++)
        printf("%s%s", commands[i]->name, commands[i + 1] ? " " : "");
}

static void print_option_names(const struct option_spec *options)
{
    for (; options && options->name; options++)
        printf(" --%s", options->name);
}

/* ---- bash, and zsh through bashcompinit ---- */

static void print_bash_values(const struct option_spec *options)
{
    for (; options && options->name; options++) {
        if (options->kind == OPTION_FLAG)
            continue;
        printf("    --%s) ", options->name);
        if (options->kind == OPTION_CHOICE) {
            printf("COMPREPLY=($(compgen -W '");
            print_words(options->choices);
            printf("' -- \"$word\"));");
        } else if (options->kind == OPTION_FILE) {
            printf("COMPREPLY=($(compgen -f -- \"$word\"));");
        }
        printf(" return ;;\n");
    }
}

static void print_bash(void)
{
    printf("# Completion of triggers for bash: source <(triggers completion bash)\n"
           "_triggers() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
           "    local command= i\n"
           "    COMPREPLY=()\n"
           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "        case ${COMP_WORDS[i]} in\n        ");
    for (size_t i = 0; commands[i]; i++)
        printf("%s%s", commands[i]->name, commands[i + 1] ? "|" : "");
    printf(") command=${COMP_WORDS[i]}; break ;;\n        esac\n    done\n"
           "    case $previous in\n");
    print_bash_values(global_options);
    printf("    esac\n    local options='");
    print_option_names(global_options);
    printf("' words= files=\n    case $command in\n    '') words='");
    print_command_names();
    printf("' ;;\n");
    for (size_t i = 0; commands[i]; i++) {
        printf("    %s)\n    case $previous in\n", commands[i]->name);
        print_bash_values(commands[i]->options);
        printf("    esac\n    options+='");
        print_option_names(commands[i]->options);
        printf("' words='%s'", commands[i]->words ? commands[i]->words : "");
        printf("%s ;;\n", commands[i]->completes_files ? " files=1" : "");
    }
    printf("    esac\n"
           "    if [[ $word == -* ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
           "    elif [[ $files ]]; then\n"
           "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
           "    elif [[ $command == create && $word == @* ]]; then\n"
           "        COMPREPLY=($(compgen -f -P @ -- \"${word#@}\"))\n"
           "    else\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "    fi\n"
           "}\n"
           "complete -o bashdefault -F _triggers triggers\n");
}

static void print_zsh(void)
{
    printf("#compdef triggers\n"
           "# Completion of triggers for zsh: source <(triggers completion zsh)\n"
           "autoload -U +X bashcompinit && bashcompinit\n");
    print_bash();
}

/* ---- fish ---- */

static void print_fish_options(const struct option_spec *options, const char *condition)
{
    for (; options && options->name; options++) {
        printf("complete -c triggers%s -l %s -d \"%s\"", condition, options->name, options->help);
        if (options->kind == OPTION_CHOICE) {
            printf(" -x -a '");
            print_words(options->choices);
            printf("'");
        } else if (options->kind == OPTION_FILE) {
            printf(" -r -F");
        } else if (options->kind != OPTION_FLAG) {
            printf(" -x");
        }
        printf("\n");
    }
}

static void print_fish(void)
{
    printf("# Completion of triggers for fish: triggers completion fish | source\n"
           "complete -c triggers -f\n");
    print_fish_options(global_options, "");
    for (size_t i = 0; commands[i]; i++) {
        const struct command *command = commands[i];
        char condition[80];
        snprintf(condition, sizeof(condition), " -n '__fish_seen_subcommand_from %s'",
                 command->name);
        printf("complete -c triggers -n __fish_use_subcommand -a %s -d \"%s\"\n", command->name,
               command->summary);
        print_fish_options(command->options, condition);
        if (command->completes_files)
            printf("complete -c triggers%s -F\n", condition);
        if (command->words)
            printf("complete -c triggers%s -a '%s'\n", condition, command->words);
    }
}

static int run(int count, char **words)
{
    static void (*const printers[])(void) = {print_bash, print_zsh, print_fish};
    if (count != 1)
        return cli_usage("completion takes one shell: bash, zsh or fish");
    for (size_t i = 0; shells[i]; i++) {
        if (strcmp(words[0], shells[i]) == 0) {
            printers[i]();
            return EXIT_DONE;
        }
    }
    return cli_usage("no completion for '%s'; accepted: bash, zsh and fish", words[0]);
}

const struct command command_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "Print a completion script for a shell",
    .details = "Examples:\n"
               "  source <(triggers completion bash)\n"
               "  source <(triggers completion zsh)\n"
               "  triggers completion fish | source\n",
    .words = "bash zsh fish",
    .run = run,
};
