/* Global options, messages on stderr, and the client that the commands use. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "print.h"

#define MESSAGE_SIZE 1024

enum output { OUTPUT_JSON, OUTPUT_TABLE };

bool cli_wants_help;
bool cli_wants_version;

static const char *core_url;
static const char *ca_file;
static long timeout_ms;
static int output = -1; /* negative: depends on whether stdout is a terminal */
static const char *const outputs[] = {"json", "table", NULL};

const struct option_spec global_options[] = {
    {"core", OPTION_TEXT, &core_url, "URL",
     "Address of triggersd, or several, separated by commas (TRIGGERS_CORE); default "
     "ws://127.0.0.1:7300/rpc"},
    {"ca", OPTION_FILE, &ca_file, "FILE",
     "Certificates to trust (PEM), for wss and tls+tcp (TRIGGERS_TLS_CA)"},
    {"timeout", OPTION_SECONDS, &timeout_ms, "SECONDS", "Longest wait for an answer; default 10",
     .min = 0, .max = TRIGGERS_MAX_TRY_MS / 1000},
    {"output", OPTION_CHOICE, &output, "FORMAT",
     "json (one object per line) or table; default table on a terminal, else json",
     .choices = outputs},
    {"help", OPTION_FLAG, &cli_wants_help, NULL,
     "Print help; after the name of a command, for that command"},
    {"version", OPTION_FLAG, &cli_wants_version, NULL, "Print the version"},
    {0},
};

bool cli_output_is_json(void)
{
    if (output >= 0)
        return output == OUTPUT_JSON;
    return !isatty(STDOUT_FILENO);
}

static void complain(const char *format, va_list args, const char *hint) PRINTF_LIKE(1, 0);

static void complain(const char *format, va_list args, const char *hint)
{
    char message[MESSAGE_SIZE];
    vsnprintf(message, sizeof(message), format, args);
    flockfile(stderr);
    fputs("triggers: ", stderr);
    print_clean(stderr, message, strlen(message));
    fprintf(stderr, "%s\n", hint);
    funlockfile(stderr);
}

int cli_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args, "; see triggers --help");
    va_end(args);
    return EXIT_USAGE;
}

void cli_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args, "");
    va_end(args);
}

enum exit_code cli_exit_code(triggers_code code)
{
    if (code == TRIGGERS_OK)
        return EXIT_DONE;
    if (code == TRIGGERS_NOT_FOUND)
        return EXIT_NOT_FOUND;
    return triggers_code_is_retryable(code) ? EXIT_TRY_LATER : EXIT_CALL_FAILED;
}

int cli_worse(int a, int b)
{
    if (a == EXIT_DONE || (a == EXIT_NOT_FOUND && b != EXIT_DONE))
        return b;
    return a;
}

int cli_fail(const triggers_error *error, const char *what)
{
    enum exit_code code = cli_exit_code(error->code);
    const char *reason = *error->reason ? error->reason : triggers_code_name(error->code);
    const char *hint = code == EXIT_TRY_LATER && strcmp(reason, "CORE_UNREACHABLE") != 0
                           ? "; try again later"
                           : "";
    cli_complain("%s%s%s (%s)%s", what ? what : "", what ? ": " : "", error->message, reason, hint);
    return (int)code;
}

int cli_fail_item(const triggers_error *error, const char *what)
{
    triggers_error shown = *error;
    size_t name = strcspn(shown.message, "[ ");
    const char *index_end = shown.message[name] == '[' ? strchr(shown.message, ']') : NULL;
    if (index_end && (index_end[1] == '.' || index_end[1] == ' '))
        shown.message = index_end + 2;
    return cli_fail(&shown, what);
}

/* The value of an option, or else of the environment, malloc'd; an empty variable counts as unset.
 * False after saying what is wrong with it. */
static bool read_setting(const char *option, const char *variable, char **value)
{
    char why[128];
    const char *text = option ? option : getenv(variable);
    *value = text ? config_clean(text, why, sizeof(why)) : NULL;
    if (text && !*value) {
        cli_complain("bad value of %s \"%s\": %s", variable, text, why);
        return false;
    }
    if (*value && !**value) {
        free(*value);
        *value = NULL;
    }
    return true;
}

static triggers_client *open_client(const char *url, const char *ca, long max_in_flight)
{
    triggers_client_options options = {
        .url = url,
        .tls_ca_file = ca,
        .name = "triggers-cli/" TRIGGERS_VERSION,
        .timeout_ms = (uint32_t)timeout_ms,
        .max_in_flight = (uint32_t)max_in_flight,
        .no_retry = TRIGGERS_NO_BACKOFF, /* people and scripts are told at once */
    };
    triggers_client *client;
    char error[STATUS_MESSAGE_SIZE];
    if (triggers_client_open(&client, &options, error, sizeof(error)) != TRIGGERS_OK)
        cli_complain("%s; see --core and --ca", error);
    return client;
}

triggers_client *cli_open(long max_in_flight)
{
    char *url = NULL;
    char *ca = NULL;
    triggers_client *client = NULL;
    if (read_setting(core_url, "TRIGGERS_CORE", &url) &&
        read_setting(ca_file, "TRIGGERS_TLS_CA", &ca))
        client = open_client(url, ca, max_in_flight);
    free(url);
    free(ca);
    return client;
}

int cli_finish(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    cli_complain("cannot write the output: %s", strerror(errno));
    return EXIT_CALL_FAILED;
}
