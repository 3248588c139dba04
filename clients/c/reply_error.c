/* Reading of codes and error details. */
#include "reply_error.h"

typedef Triggers__Rpc__V1__ErrorDetails Details;

/* Codes that this library does not know (a newer core's) are UNKNOWN, as is an error that says it
 * is none. */
static triggers_code known_code(Triggers__Rpc__V1__Code code)
{
    return code > TRIGGERS__RPC__V1__CODE__OK && code <= TRIGGERS__RPC__V1__CODE__UNAUTHENTICATED
               ? (triggers_code)code
               : TRIGGERS_UNKNOWN;
}

static bool read_violations(struct arena *arena, const Details *details, triggers_error *error)
{
    triggers_violation *violations =
        arena_calloc(arena, details->n_field_violations, sizeof(*violations));
    if (!violations)
        return false;
    for (size_t i = 0; i < details->n_field_violations; i++) {
        violations[i].field = details->field_violations[i]->field;
        violations[i].description = details->field_violations[i]->description;
    }
    error->violations = violations;
    error->violation_count = details->n_field_violations;
    return true;
}

bool reply_error_read(struct arena *arena, Triggers__Rpc__V1__Code code, const char *message,
                      const Details *details, triggers_error *error)
{
    *error = (triggers_error){.code = known_code(code), .reason = "", .message = message};
    if (!details)
        return true;
    error->reason = details->reason;
    error->retry_delay_ms = details->retry_delay_ms;
    return details->n_field_violations == 0 || read_violations(arena, details, error);
}
