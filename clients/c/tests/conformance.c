/* Executes clients/conformance with libtriggers: scenarios from files, lines of JSON to the harness
 * and back. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "rules.h"
#include "triggers.h"
#include "value.h"
#include "vectors.h"

#define ARENA_CAP ((size_t)2 << 30)
#define MAX_SHOWN 300

/* One scenario while it runs. */
struct scenario {
    struct arena arena;
    const struct value *data;
    struct value *variables;
    triggers_client *client; /* NULL until the first call */
    triggers_client_options how;
    const struct value *keys; /* that its client gives in turn */
    size_t next_key;
    char urls[1024];
    char detail[2048]; /* what differed; "" while nothing has */
};

static void say(const struct value *line)
{
    struct buffer text;
    buffer_init(&text, ARENA_CAP);
    value_write(&text, line);
    puts(text.data);
    fflush(stdout);
    buffer_fini(&text);
}

static void report(const char *name, const char *detail)
{
    struct arena arena;
    arena_init(&arena, ARENA_CAP);
    struct value *passed = value_new(&arena, VALUE_BOOLEAN);
    struct value *line = value_new(&arena, VALUE_OBJECT);
    passed->number = detail[0] == '\0';
    value_set(&arena, line, "scenario", value_text(&arena, name));
    value_set(&arena, line, "passed", passed);
    value_set(&arena, line, "detail", value_text(&arena, detail));
    say(line);
    arena_fini(&arena);
}

/* ---- steps ---- */

static void make_ids(struct scenario *scenario, const struct value *names)
{
    for (size_t i = 0; i < names->count; i++) {
        char event_id[TRIGGERS_ID_SIZE];
        triggers_make_event_id(event_id);
        value_set(&scenario->arena, scenario->variables, names->items[i]->text,
                  value_text(&scenario->arena, event_id));
    }
}

static void ask_harness(struct scenario *scenario, const struct value *wish)
{
    struct value *line = value_new(&scenario->arena, VALUE_OBJECT);
    value_set(&scenario->arena, line, "harness",
              rules_expand(&scenario->arena, wish, scenario->variables));
    say(line);
    char *text = NULL;
    size_t room = 0;
    ssize_t size = getline(&text, &room, stdin);
    if (size < 0)
        exit(1); /* the harness has gone */
    const struct value *answer = value_parse(&scenario->arena, text, (size_t)size);
    if (!value_member(answer, "ok")->number)
        snprintf(scenario->detail, sizeof(scenario->detail), "%s",
                 value_member_text(answer, "detail"));
    free(text);
}

static void join_urls(const struct value *urls, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < urls->count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", i > 0 ? "," : "", urls->items[i]->text);
    }
}

/* Gives a scenario's keys, the last one again and again. */
static int give_in_turn(char key[TRIGGERS_KEY_SIZE], void *user_data)
{
    struct scenario *scenario = user_data;
    const struct value *keys = scenario->keys;
    snprintf(key, TRIGGERS_KEY_SIZE, "%s", keys->items[scenario->next_key]->text);
    if (scenario->next_key < keys->count - 1)
        scenario->next_key++;
    return 1;
}

static int give_of_file(char key[TRIGGERS_KEY_SIZE], void *user_data)
{
    FILE *file = fopen(user_data, "re");
    int given = file && fscanf(file, "%255s", key) == 1;
    if (file)
        (void)fclose(file);
    return given;
}

static void set_key_source(struct scenario *scenario, const struct value *given)
{
    scenario->keys = value_member(given, "api_keys");
    char *path = (char *)value_member_text(given, "api_key_file");
    if (scenario->keys->count > 0) {
        scenario->how.api_key_source = give_in_turn;
        scenario->how.api_key_data = scenario;
    } else if (path) {
        scenario->how.api_key_source = give_of_file;
        scenario->how.api_key_data = path;
    }
}

static void open_client(struct scenario *scenario)
{
    struct arena *arena = &scenario->arena;
    const struct value *given =
        rules_expand(arena, value_member(scenario->data, "client"), scenario->variables);
    char *urls = scenario->urls;
    join_urls(value_member(given, "urls"), urls, sizeof(scenario->urls));
    if (!urls[0])
        snprintf(urls, sizeof(scenario->urls), "%s", value_member_text(scenario->variables, "url"));
    scenario->how = (triggers_client_options){
        .url = urls,
        .tls_ca_file = value_member_text(given, "ca_file"),
        .timeout_ms = (uint32_t)value_member_number(given, "timeout_ms", 0),
        .api_key = value_member_text(given, "api_key"),
    };
    set_key_source(scenario, given);
    triggers_client_open(&scenario->client, &scenario->how, scenario->detail,
                         sizeof(scenario->detail));
}

static void describe(struct scenario *scenario, const char *path, const struct value *found,
                     const struct value *pattern, const struct value *outcome)
{
    struct buffer texts[3];
    const struct value *values[] = {found, pattern, outcome};
    for (int i = 0; i < 3; i++) {
        buffer_init(&texts[i], ARENA_CAP);
        value_write(&texts[i], values[i]);
    }
    snprintf(scenario->detail, sizeof(scenario->detail), "%s is %.*s instead of %.*s in %.*s", path,
             MAX_SHOWN, texts[0].data, MAX_SHOWN, texts[1].data, MAX_SHOWN, texts[2].data);
    for (int i = 0; i < 3; i++)
        buffer_fini(&texts[i]);
}

static void check_outcome(struct scenario *scenario, const struct value *expected,
                          const struct value *outcome)
{
    for (size_t i = 0; i < expected->count && !scenario->detail[0]; i++) {
        const char *path = expected->names[i];
        const struct value *found = value_look_up(&scenario->arena, outcome, path);
        if (!rules_fit(expected->items[i], found))
            describe(scenario, path, found, expected->items[i], outcome);
    }
}

static const struct value *expectation(struct scenario *scenario, const struct value *step)
{
    struct arena *arena = &scenario->arena;
    struct value *expected = value_new(arena, VALUE_OBJECT);
    const struct value *given =
        rules_expand(arena, value_member(step, "expect"), scenario->variables);
    value_set(arena, expected, "code", value_text(arena, "OK"));
    for (size_t i = 0; i < given->count; i++)
        value_set(arena, expected, given->names[i], given->items[i]);
    return expected;
}

static void save(struct scenario *scenario, const struct value *step, const struct value *outcomes)
{
    struct arena *arena = &scenario->arena;
    const struct value *wanted = value_member(step, "save");
    bool many = value_member_number(step, "times", 0) > 0;
    for (size_t i = 0; i < wanted->count; i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s.%s", many ? "*" : "0", wanted->items[i]->text);
        value_set(arena, scenario->variables, wanted->names[i],
                  value_look_up(arena, outcomes, path));
    }
}

static void make_call(struct scenario *scenario, const struct value *step)
{
    if (!scenario->client)
        open_client(scenario);
    if (!scenario->client)
        return;
    struct arena *arena = &scenario->arena;
    const struct value *request =
        rules_expand(arena, value_member(step, "request"), scenario->variables);
    const struct value *outcomes = calls_make(
        arena, scenario->client, &scenario->how, value_member_text(step, "call"), request,
        (uint32_t)value_member_number(step, "timeout_ms", 0),
        (size_t)value_member_number(step, "times", 1), value_member(step, "parallel")->number != 0);
    const struct value *expected = expectation(scenario, step);
    for (size_t i = 0; i < outcomes->count; i++)
        check_outcome(scenario, expected, outcomes->items[i]);
    save(scenario, step, outcomes);
}

/* Of the scenarios' nonsense C's types let in NULL alone, which is what a variable that is not set
 * gives; bytes that are not UTF-8 are the core's to refuse. */
static void make_nonsense_calls(struct scenario *scenario, const struct value *step,
                                const struct value *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i]->text, "null") == 0)
            make_call(scenario, step);
    }
}

static void run_step(struct scenario *scenario, const struct value *step)
{
    const struct value *nonsense = value_member(step, "nonsense");
    const struct value *names = value_member(step, "new_ids");
    const struct value *wish = value_member(step, "harness");
    if (names->type != VALUE_NULL)
        make_ids(scenario, names);
    else if (wish->type != VALUE_NULL)
        ask_harness(scenario, wish);
    else if (nonsense->type != VALUE_NULL)
        make_nonsense_calls(scenario, step, nonsense);
    else
        make_call(scenario, step);
}

static void run_scenario(const struct value *data, const struct value *variables)
{
    struct scenario scenario = {.data = data};
    arena_init(&scenario.arena, ARENA_CAP);
    scenario.variables = value_new(&scenario.arena, VALUE_OBJECT);
    for (size_t i = 0; i < variables->count; i++)
        value_set(&scenario.arena, scenario.variables, variables->names[i], variables->items[i]);
    const struct value *steps = value_member(data, "steps");
    size_t step = 0;
    while (step < steps->count && !scenario.detail[0])
        run_step(&scenario, steps->items[step++]);
    triggers_client_close(scenario.client);
    char text[sizeof(scenario.detail) + 32] = "";
    if (scenario.detail[0])
        snprintf(text, sizeof(text), "step %zu: %s", step, scenario.detail);
    report(value_member_text(data, "name"), text);
    arena_fini(&scenario.arena);
}

/* ---- files ---- */

static bool is_wanted(const char *name)
{
    const char *only = getenv("TRIGGERS_CONFORMANCE_ONLY");
    char wanted[1024], listed[1024];
    if (!only || !*only)
        return true;
    snprintf(listed, sizeof(listed), ",%s,", only);
    snprintf(wanted, sizeof(wanted), ",%s,", name);
    return strstr(listed, wanted) != NULL;
}

static void run_file(const char *folder, const char *name, const struct value *variables)
{
    struct arena arena;
    arena_init(&arena, ARENA_CAP);
    const struct value *scenarios = value_read_file(&arena, folder, name);
    for (size_t i = 0; i < scenarios->count; i++) {
        if (is_wanted(value_member_text(scenarios->items[i], "name")))
            run_scenario(scenarios->items[i], variables);
    }
    arena_fini(&arena);
}

static void run_vectors(const char *folder, const char *name)
{
    char detail[512] = "";
    if (is_wanted(name)) {
        vectors_check(folder, name, detail, sizeof(detail));
        report(name, detail);
    }
}

static int is_json(const struct dirent *entry)
{
    return strstr(entry->d_name, ".json") != NULL;
}

int main(void)
{
    const char *folder = getenv("TRIGGERS_CONFORMANCE");
    const char *text = getenv("TRIGGERS_CONFORMANCE_VARIABLES");
    if (!folder || !text) {
        fputs("run by the harness of clients/conformance; see its README\n", stderr);
        return 2;
    }
    struct arena arena;
    arena_init(&arena, ARENA_CAP);
    const struct value *variables = value_parse(&arena, text, strlen(text));
    char path[1024];
    struct dirent **entries;
    snprintf(path, sizeof(path), "%s/scenarios", folder);
    int count = scandir(path, &entries, is_json, alphasort);
    for (int i = 0; i < count; i++) {
        run_file(path, entries[i]->d_name, variables);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    run_vectors(folder, "vectors/envelope");
    run_vectors(folder, "vectors/typeid");
    arena_fini(&arena);
    return count > 0 ? 0 : 1;
}
