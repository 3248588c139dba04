/* Scopes of keys as people write them, such as "events:write". */
#ifndef TRIGGERS_CLI_SCOPE_NAMES_H
#define TRIGGERS_CLI_SCOPE_NAMES_H

#include "cli.h"
#include "triggers/api/v1/options.pb-c.h"

#define SCOPES_MAX 32 /* of one key */

/* Reads the words of an option, each of which may be several scopes with commas between them; "_"
 * stands for ":", too, and case does not matter. What is given twice is taken once. False after
 * saying what is accepted. */
bool scope_names_parse(const struct word_list *list, Triggers__Api__V1__Scope scopes[SCOPES_MAX],
                       size_t *count);

#define SCOPE_NAME_SIZE 48

/* Writes a scope, one of a newer core as its number. */
void scope_name_write(Triggers__Api__V1__Scope scope, char out[SCOPE_NAME_SIZE]);

#endif
