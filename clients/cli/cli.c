/* Global options, messages on stderr, and the client that the commands use. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "key_source.h"
#include "print.h"

enum output { OUTPUT_JSON, OUTPUT_TABLE, OUTPUT_TEXT }; /* the last two are one */

bool cli_wants_help;
bool cli_wants_version;

static const char *core_url;
static const char *ca_file;
static const char *cert_file;
static const char *cert_key_file;
static long timeout_ms;
static int output = -1; /* negative: depends on whether stdout is a terminal */
static const char *const outputs[] = {"json", "table", "text", NULL};

const struct option_spec global_options[] = {
    {"core", OPTION_TEXT, &core_url, "URL",
     "Address of triggersd, or several, separated by commas (TRIGGERS_CORE); default "
     "ws://127.0.0.1:7300/rpc"},
    {"ca", OPTION_FILE, &ca_file, "FILE",
     "Certificates to trust (PEM), for wss and tls+tcp (TRIGGERS_TLS_CA)"},
    {"cert", OPTION_FILE, &cert_file, "FILE",
     "Certificate (PEM) to show to a core that asks for one (TRIGGERS_TLS_CERT)"},
    {"cert-key", OPTION_FILE, &cert_key_file, "FILE",
     "Its private key (PEM, unencrypted) (TRIGGERS_TLS_KEY)"},
    {"timeout", OPTION_SECONDS, &timeout_ms, "SECONDS", "Longest wait for an answer; default 10",
     .min = 0, .max = TRIGGERS_MAX_TRY_MS / 1000},
    {"output", OPTION_CHOICE, &output, "FORMAT",
     "json (one object per line), or table or text, which are one; default table on a terminal, "
     "else json",
     .choices = outputs},
    {"help", OPTION_FLAG, &cli_wants_help, NULL,
     "Print help; after the name of a command, for that command"},
    {"version", OPTION_FLAG, &cli_wants_version, NULL, "Print the version"},
    {0},
};

bool cli_json_is_asked_for(void)
{
    return output == OUTPUT_JSON;
}

bool cli_output_is_json(void)
{
    if (output >= 0)
        return output == OUTPUT_JSON;
    return !isatty(STDOUT_FILENO);
}

int cli_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain_with_hint(format, args, "; see triggers --help");
    va_end(args);
    return EXIT_USAGE;
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

/* What to do about a failed call, when that is not in its message. */
static const char *advice_on(triggers_code code, const char *reason)
{
    static const struct {
        const char *reason;
        const char *advice;
    } table[] = {
        {"CORE_UNREACHABLE", ""},
        {"KEY_MISSING", "; set " KEY_SOURCE_SETTINGS},
        {"KEY_RESTRICTED", "; use another key: triggers keys list shows what each is for"},
        {"SCOPE_MISSING", "; use a key that has it, or have one made: triggers keys create"},
        {"TENANT_SUSPENDED", "; an operator can end that: triggers tenants resume"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(table[i].reason, reason) == 0)
            return table[i].advice;
    }
    return cli_exit_code(code) == EXIT_TRY_LATER ? "; try again later" : "";
}

int cli_fail(const triggers_error *error, const char *what)
{
    const char *reason = *error->reason ? error->reason : triggers_code_name(error->code);
    const char *setting = key_source_setting();
    const char *before = what ? what : "";
    const char *colon = what ? ": " : "";
    if (strcmp(reason, "KEY_INVALID") == 0 && setting)
        cli_complain("%s%s%s (%s); see that %s has the right one, and that it has not expired",
                     before, colon, error->message, reason, setting);
    else
        cli_complain("%s%s%s (%s)%s", before, colon, error->message, reason,
                     advice_on(error->code, reason));
    return (int)cli_exit_code(error->code);
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

static triggers_client *open_client(const char *url, const char *ca, const char *cert,
                                    const char *key, long max_in_flight)
{
    triggers_client_options options = {
        .url = url,
        .tls_ca_file = ca,
        .tls_cert_file = cert,
        .tls_key_file = key,
        .name = "triggers-cli/" TRIGGERS_VERSION,
        .timeout_ms = (uint32_t)timeout_ms,
        .max_in_flight = (uint32_t)max_in_flight,
        .no_retry = TRIGGERS_NO_BACKOFF, /* people and scripts are told at once */
    };
    triggers_client *client = NULL;
    char error[STATUS_MESSAGE_SIZE];
    if (!key_source_fill(&options))
        return NULL;
    triggers_code code = triggers_client_open(&client, &options, error, sizeof(error));
    if (code != TRIGGERS_OK && code != TRIGGERS_UNAUTHENTICATED) /* the source of keys said why */
        cli_complain("%s; see --core and --ca", error);
    return client;
}

triggers_client *cli_open(long max_in_flight)
{
    char *url = NULL;
    char *ca = NULL;
    char *cert = NULL;
    char *key = NULL;
    triggers_client *client = NULL;
    if (read_setting(core_url, "TRIGGERS_CORE", &url) &&
        read_setting(ca_file, "TRIGGERS_TLS_CA", &ca) &&
        read_setting(cert_file, "TRIGGERS_TLS_CERT", &cert) &&
        read_setting(cert_key_file, "TRIGGERS_TLS_KEY", &key))
        client = open_client(url, ca, cert, key, max_in_flight);
    free(url);
    free(ca);
    free(cert);
    free(key);
    return client;
}

int cli_finish(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    cli_complain("cannot write the output: %s", strerror(errno));
    return EXIT_CALL_FAILED;
}
