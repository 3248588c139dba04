/* JSON values for the conformance runner: scenarios, variables and outcomes. All live in one arena;
 * a runner that has no memory left ends. */
#ifndef TRIGGERS_CONFORMANCE_VALUE_H
#define TRIGGERS_CONFORMANCE_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"

enum value_type { VALUE_NULL, VALUE_BOOLEAN, VALUE_NUMBER, VALUE_TEXT, VALUE_LIST, VALUE_OBJECT };

struct value {
    enum value_type type;
    int64_t number; /* of a boolean 0 or 1 */
    char *text;     /* with a NUL behind `size` bytes, which need not be UTF-8 */
    size_t size;
    struct value **items; /* of a list, or the members of an object */
    char **names;         /* of the members */
    size_t count, room;
};

extern const struct value value_null;

/* Parses a JSON text; ends the program when it is none. */
const struct value *value_parse(struct arena *arena, const char *text, size_t size);

/* Parses folder/name, of at most 1 MiB; ends the program when it cannot. */
const struct value *value_read_file(struct arena *arena, const char *folder, const char *name);

struct value *value_new(struct arena *arena, enum value_type type);
struct value *value_number(struct arena *arena, int64_t number);
struct value *value_text(struct arena *arena, const char *text);
struct value *value_bytes(struct arena *arena, const void *bytes, size_t size);
void value_push(struct arena *arena, struct value *list, const struct value *item);
/* Adds a member, or replaces the one of this name. */
void value_set(struct arena *arena, struct value *object, const char *name,
               const struct value *member);

/* A member of an object; value_null when there is none. */
const struct value *value_member(const struct value *object, const char *name);
/* A text member; NULL when there is none. */
const char *value_member_text(const struct value *object, const char *name);
/* A number member; `fallback` when there is none. */
int64_t value_member_number(const struct value *object, const char *name, int64_t fallback);
/* What a dotted path leads to; value_null when it is not there. */
const struct value *value_look_up(struct arena *arena, const struct value *value, const char *path);

bool value_equal(const struct value *a, const struct value *b);
/* Writes JSON; bytes that are not UTF-8 come out as they are. */
void value_write(struct buffer *out, const struct value *value);

#endif
