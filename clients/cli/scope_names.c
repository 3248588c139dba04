#include "scope_names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

typedef Triggers__Api__V1__Scope Scope;

/* The words of the enum are those of the scopes in capitals, with "_" for ":". */
#define PREFIX "SCOPE_"

void scope_name_write(Scope scope, char out[SCOPE_NAME_SIZE])
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&triggers__api__v1__scope__descriptor, (int)scope);
    if (!value) {
        snprintf(out, SCOPE_NAME_SIZE, "%d", (int)scope);
        return;
    }
    CHECK(strncmp(value->name, PREFIX, strlen(PREFIX)) == 0);
    snprintf(out, SCOPE_NAME_SIZE, "%s", value->name + strlen(PREFIX));
    for (char *c = out; *c; c++)
        *c = (char)(*c == '_' ? ':' : tolower((unsigned char)*c));
}

static bool is_name_of(const char *name, const char *text, size_t size)
{
    if (strlen(name) != size)
        return false;
    for (size_t i = 0; i < size; i++) {
        char given = (char)(text[i] == '_' ? ':' : tolower((unsigned char)text[i]));
        if (name[i] != given)
            return false;
    }
    return true;
}

/* What a key can have: "none" is for methods. */
static bool is_for_keys(int number)
{
    return number > (int)TRIGGERS__API__V1__SCOPE__SCOPE_NONE;
}

static bool find_scope(const char *text, size_t size, Scope *scope)
{
    const ProtobufCEnumDescriptor *type = &triggers__api__v1__scope__descriptor;
    char name[SCOPE_NAME_SIZE];
    for (unsigned i = 0; i < type->n_values; i++) {
        *scope = (Scope)type->values[i].value;
        scope_name_write(*scope, name);
        if (is_for_keys(type->values[i].value) && is_name_of(name, text, size))
            return true;
    }
    return false;
}

static void refuse_scope(const char *text, size_t size)
{
    const ProtobufCEnumDescriptor *type = &triggers__api__v1__scope__descriptor;
    char accepted[512] = "";
    char name[SCOPE_NAME_SIZE];
    for (unsigned i = 0; i < type->n_values; i++) {
        size_t used = strlen(accepted);
        scope_name_write((Scope)type->values[i].value, name);
        if (is_for_keys(type->values[i].value))
            snprintf(accepted + used, sizeof(accepted) - used, "%s%s", used > 0 ? ", " : "", name);
    }
    cli_usage("--scope does not accept '%.*s'; accepted: %s", (int)size, text, accepted);
}

static void add_scope(Scope scope, Scope scopes[SCOPES_MAX], size_t *count)
{
    for (size_t i = 0; i < *count; i++) {
        if (scopes[i] == scope)
            return;
    }
    CHECK(*count < SCOPES_MAX);
    scopes[(*count)++] = scope;
}

bool scope_names_parse(const struct word_list *list, Scope scopes[SCOPES_MAX], size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < list->count; i++) {
        const char *at = list->words[i];
        for (;;) {
            size_t size = strcspn(at, ",");
            Scope scope;
            if (!find_scope(at, size, &scope)) {
                refuse_scope(at, size);
                return false;
            }
            add_scope(scope, scopes, count);
            if (!at[size])
                break;
            at += size + 1;
        }
    }
    return true;
}
