/* The rules of clients/conformance about values: what is put in for "$name" and the like, and
 * whether an outcome fits what is expected. */
#ifndef TRIGGERS_CONFORMANCE_RULES_H
#define TRIGGERS_CONFORMANCE_RULES_H

#include "value.h"

/* Puts variables and generated values into `value`. */
const struct value *rules_expand(struct arena *arena, const struct value *value,
                                 const struct value *variables);

bool rules_fit(const struct value *pattern, const struct value *value);

/* Decodes base64 with padding. */
struct value *rules_decode_base64(struct arena *arena, const char *text);

#endif
