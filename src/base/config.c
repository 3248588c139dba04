/* Flags are --name VALUE or --name=VALUE. */
#include "base/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address_range.h"
#include "base/check.h"
#include "base/log.h"
#include "base/web.h"

#define WHY_SIZE 256
#define HELP_WIDTH 96
#define HELP_INDENT 6

static const char SPACE[] = " \t\r\n\v\f";

/* The bytes of the control character at `text`, in ASCII or C1 in UTF-8; 0: it is not one. */
static size_t control_size(const char *text)
{
    unsigned char byte = (unsigned char)text[0];
    unsigned char next = byte ? (unsigned char)text[1] : 0;
    if (byte == 0xC2 && next >= 0x80 && next <= 0x9F)
        return 2;
    return byte && (byte < ' ' || byte == 0x7F) ? 1 : 0;
}

char *config_clean(const char *text, char *why, size_t size)
{
    text += strspn(text, SPACE);
    size_t length = strlen(text);
    while (length > 0 && strchr(SPACE, text[length - 1]))
        length--;
    for (size_t i = 0; i < length; i++) {
        if (control_size(text + i) > 0) {
            snprintf(why, size, "it has a control character, such as a line end");
            return NULL;
        }
    }
    char *clean = strndup(text, length);
    if (!clean)
        snprintf(why, size, "out of memory");
    return clean;
}

void config_show(FILE *out, const char *text)
{
    while (*text) {
        size_t control = control_size(text);
        if (control == 0)
            fputc(*text++, out);
        for (; control > 0; control--)
            fprintf(out, "\\x%02x", (unsigned char)*text++);
    }
}

bool config_text(const struct config_setting *setting, const char *text, char *why, size_t size)
{
    CHECK(setting->target);
    char *copy = strdup(text);
    if (!copy) {
        snprintf(why, size, "out of memory");
        return false;
    }
    free(*(char **)setting->target);
    *(char **)setting->target = copy;
    return true;
}

bool config_integer(const struct config_setting *setting, const char *text, char *why, size_t size)
{
    CHECK(setting->target && setting->min < setting->max);
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && number >= setting->min &&
        number <= setting->max) {
        *(long *)setting->target = number;
        return true;
    }
    snprintf(why, size, "a whole number from %ld to %ld is accepted", setting->min, setting->max);
    return false;
}

bool config_duration(const struct config_setting *setting, const char *text, char *why, size_t size)
{
    static const struct {
        char name;
        long seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    const long most = 36525L * 86400;
    size_t digits = strspn(text, "0123456789");
    errno = 0;
    long number = strtol(text, NULL, 10);
    CHECK(setting->target);
    bool valid = strcmp(text, "forever") == 0;
    if (valid)
        *(long *)setting->target = 0;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) && !valid; i++) {
        valid = digits > 0 && text[digits] == units[i].name && text[digits + 1] == '\0' &&
                errno == 0 && number >= 1 && number <= most / units[i].seconds;
        if (valid)
            *(long *)setting->target = number * units[i].seconds;
    }
    if (!valid)
        snprintf(
            why, size,
            "a whole number and s, m, h or d is accepted, such as 12h or 30d, up to 36525d; or "
            "forever");
    return valid;
}

bool config_choice(const struct config_setting *setting, const char *text, char *why, size_t size)
{
    CHECK(setting->target && setting->choices);
    size_t length = strlen(text);
    const char *word = setting->choices;
    for (int number = 0; word; number++) {
        if (strcspn(word, " ") == length && memcmp(word, text, length) == 0) {
            *(int *)setting->target = number;
            return true;
        }
        word = strchr(word, ' ');
        word += word != NULL;
    }
    snprintf(why, size, "one of these is accepted: %s", setting->choices);
    return false;
}

bool config_origins(const struct config_setting *setting, const char *text, char *why, size_t size)
{
    return origins_parse(setting->target, text, why, size);
}

bool config_hosts(const struct config_setting *setting, const char *text, char *why, size_t size)
{
    return hosts_parse(setting->target, text, why, size);
}

bool config_ranges(const struct config_setting *setting, const char *text, char *why, size_t size)
{
    return address_ranges_parse(setting->target, text, why, size);
}

bool config_log_level(const struct config_setting *setting, const char *text, char *why,
                      size_t size)
{
    snprintf(why, size, "debug, info, warning and error are accepted");
    return log_level_parse(text, setting->target);
}

bool config_log_format(const struct config_setting *setting, const char *text, char *why,
                       size_t size)
{
    snprintf(why, size, "auto, text and json are accepted");
    return log_format_parse(text, setting->target);
}

/* Begins a new line before a word that would pass HELP_WIDTH. */
static void print_wrapped(const char *text)
{
    size_t column = HELP_WIDTH;
    while (*text) {
        size_t size = strcspn(text, " ");
        bool fits = column + 1 + size <= HELP_WIDTH;
        column = fits ? column + 1 + size : HELP_INDENT + size;
        printf("%s%.*s", fits ? " " : "\n      ", (int)size, text);
        text += size + strspn(text + size, " ");
    }
    putchar('\n');
}

static void print_help(const char *program, const char *about,
                       const struct config_setting *settings)
{
    printf("%s\n\nUsage: %s [flags]\n\n", about, program);
    printf("Each setting is a flag or an environment variable; the flag wins.\n\n");
    for (const struct config_setting *setting = settings; setting->flag; setting++) {
        if (!setting->help)
            continue;
        printf("  --%s %s   (%s)", setting->flag, setting->value, setting->variable);
        print_wrapped(setting->help);
        if (setting->fallback)
            printf("      Default: %s\n", setting->fallback);
    }
    printf("  --version\n      Print the version.\n  --help\n      Print this.\n");
}

static bool apply(const char *program, const struct config_setting *setting, const char *origin,
                  const char *text)
{
    char why[WHY_SIZE] = "";
    CHECK(setting->parse);
    char *clean = config_clean(text, why, sizeof(why));
    bool valid = clean && setting->parse(setting, clean, why, sizeof(why));
    free(clean);
    if (valid)
        return true;
    fprintf(stderr, "%s: bad value of %s", program, origin);
    if (!setting->secret) {
        fputs(" \"", stderr);
        config_show(stderr, text);
        fputs("\"", stderr);
    }
    fprintf(stderr, ": %s\n", why);
    return false;
}

static bool apply_environment(const char *program, const struct config_setting *setting)
{
    const char *text = getenv(setting->variable);
    if (text && text[strspn(text, SPACE)])
        return apply(program, setting, setting->variable, text);
    return !setting->fallback || apply(program, setting, setting->variable, setting->fallback);
}

/* The setting that an argument names, and its value when that follows an equals sign. */
static const struct config_setting *find_flag(const struct config_setting *settings, char *argument,
                                              char **value)
{
    if (strncmp(argument, "--", 2) != 0)
        return NULL;
    size_t length = strcspn(argument + 2, "=");
    *value = argument[2 + length] == '=' ? argument + 2 + length + 1 : NULL;
    for (const struct config_setting *setting = settings; setting->flag; setting++) {
        if (strlen(setting->flag) == length && memcmp(setting->flag, argument + 2, length) == 0)
            return setting;
    }
    return NULL;
}

/* Copies the value and wipes it where `ps` would show it. */
static char *hide(char *value)
{
    char *copy = strdup(value);
    if (copy)
        memset(value, 'x', strlen(value));
    return copy;
}

/* Applies the flag at argv[*index]; moves past a value of its own. */
static bool apply_flag(const char *program, const struct config_setting *settings, char **argv,
                       int *index)
{
    char *value = NULL;
    char *argument = argv[*index];
    const struct config_setting *setting = find_flag(settings, argument, &value);
    if (!setting) {
        fprintf(stderr, "%s: unknown argument \"", program);
        config_show(stderr, argument);
        fprintf(stderr, "\"; %s --help lists the flags\n", program);
        return false;
    }
    if (!value)
        value = argv[++*index];
    if (!value) {
        fprintf(stderr, "%s: --%s needs a value: %s\n", program, setting->flag, setting->value);
        return false;
    }
    char origin[64];
    snprintf(origin, sizeof(origin), "--%s", setting->flag);
    char *copy = setting->secret ? hide(value) : NULL;
    bool kept = !setting->secret || copy;
    bool valid = kept && apply(program, setting, origin, copy ? copy : value);
    free(copy);
    return valid;
}

enum config_result config_load(const char *program, const char *about,
                               const struct config_setting *settings, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(program, about, settings);
            return CONFIG_ANSWERED;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s\n", program, TRIGGERS_VERSION);
            return CONFIG_ANSWERED;
        }
    }
    for (const struct config_setting *setting = settings; setting->flag; setting++) {
        if (!apply_environment(program, setting))
            return CONFIG_WRONG;
    }
    for (int i = 1; i < argc; i++) {
        if (!apply_flag(program, settings, argv, &i))
            return CONFIG_WRONG;
    }
    return CONFIG_LOADED;
}
