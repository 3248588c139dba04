/* Ids, page tokens and names: whatever is accepted comes back the same. The first byte says which
 * of them the rest is. */
#include <string.h>
#include <unistr.h>

#include "base/typeid.h"
#include "events/rules.h"
#include "fuzz.h"

static void try_id(const char *text)
{
    uint8_t id[TYPEID_BYTES];
    char again[TYPEID_TEXT_SIZE];
    if (!typeid_parse(text, strlen(text), id))
        return;
    typeid_format(id, again);
    MUST(strcmp(again, text) == 0);
}

/* Any 16 bytes have a text, which is read as these bytes. */
static void try_id_bytes(const char *text)
{
    uint8_t id[TYPEID_BYTES] = {0};
    uint8_t again[TYPEID_BYTES];
    char formatted[TYPEID_TEXT_SIZE];
    memcpy(id, text, strnlen(text, sizeof(id)));
    typeid_format(id, formatted);
    MUST(strlen(formatted) <= TYPEID_TEXT_LENGTH);
    MUST(typeid_parse(formatted, strlen(formatted), again));
    MUST(memcmp(id, again, sizeof(id)) == 0);
}

static void try_token(const char *text)
{
    const struct slice name = {"crm", 3};
    const struct store_list lists[] = {
        {0},
        {.oldest_first = true},
        {.set = STORE_ACKNOWLEDGED},
        {.set = STORE_ACKNOWLEDGED, .filter = {.sources = &name, .source_count = 1}},
    };
    int64_t after;
    unsigned accepted = page_token_parse(text, PAGE_LIST_OF_KINDS, &after);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        char again[PAGE_TOKEN_SIZE];
        if (!page_token_parse(text, page_list_of(&lists[i]), &after))
            continue;
        accepted++;
        page_token_format(page_list_of(&lists[i]), after, again);
        MUST(strcmp(again, text) == 0);
    }
    MUST(accepted <= 1); /* a token belongs to one list */
}

static void check_name(struct slice name, const char *text, struct arena *arena)
{
    MUST(name.size > 0);
    MUST(u8_check((const uint8_t *)name.data, name.size) == NULL);
    MUST(!memchr(name.data, 0, name.size));
    /* What was stored once is stored the same again, unless lower case made it too long. */
    struct slice again;
    const char *why;
    char *copy = arena_copy(arena, name.data, name.size);
    MUST(copy);
    if (rule_name(copy, arena, &again, &why))
        MUST(again.size == name.size && memcmp(again.data, name.data, name.size) == 0);
    else
        MUST(strlen(text) >= EVENT_NAME_MAX);
}

static void try_name(const char *text)
{
    if (u8_check((const uint8_t *)text, strlen(text)))
        return; /* the dispatcher lets only UTF-8 through */
    struct arena arena;
    struct slice name;
    const char *why = NULL;
    arena_init(&arena, 1 << 20);
    if (rule_name(text, &arena, &name, &why))
        check_name(name, text, &arena);
    else
        MUST(why ? why[0] : arena.exhausted);
    arena_fini(&arena);
}

static void try_pattern(const char *text)
{
    if (u8_check((const uint8_t *)text, strlen(text)))
        return;
    struct arena arena;
    struct slice pattern;
    const char *why = NULL;
    arena_init(&arena, 1 << 20);
    if (rule_pattern(text, &arena, &pattern, &why)) {
        const char *star = memchr(pattern.data, '*', pattern.size);
        MUST(pattern.size > 0 && (!star || star == pattern.data + pattern.size - 1));
    } else {
        MUST(why ? why[0] : arena.exhausted);
    }
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(const char *text) = {try_id, try_id_bytes, try_token, try_name,
                                                      try_pattern};
    struct input input = {data, size};
    uint8_t which = input_byte(&input) % (sizeof(tries) / sizeof(tries[0]));
    char *text = input_text(&input);
    tries[which](text);
    free(text);
    return 0;
}
