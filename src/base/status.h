/* The outcome of an operation: a google.rpc.Code, a reason for programs and a text for people.
 *
 * Functions that can fail take a `struct status *` last and return false after filling it; on
 * success they return true and leave it alone. */
#ifndef TRIGGERS_BASE_STATUS_H
#define TRIGGERS_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* The codes of google.rpc.Code: name, number, and the matching HTTP status. */
#define STATUS_CODES(X)                                                                            \
    X(OK, 0, 200)                                                                                  \
    X(CANCELLED, 1, 500)                                                                           \
    X(UNKNOWN, 2, 500)                                                                             \
    X(INVALID_ARGUMENT, 3, 422)                                                                    \
    X(DEADLINE_EXCEEDED, 4, 504)                                                                   \
    X(NOT_FOUND, 5, 404)                                                                           \
    X(ALREADY_EXISTS, 6, 409)                                                                      \
    X(PERMISSION_DENIED, 7, 403)                                                                   \
    X(RESOURCE_EXHAUSTED, 8, 429)                                                                  \
    X(FAILED_PRECONDITION, 9, 400)                                                                 \
    X(ABORTED, 10, 409)                                                                            \
    X(OUT_OF_RANGE, 11, 500)                                                                       \
    X(UNIMPLEMENTED, 12, 501)                                                                      \
    X(INTERNAL, 13, 500)                                                                           \
    X(UNAVAILABLE, 14, 503)                                                                        \
    X(DATA_LOSS, 15, 500)                                                                          \
    X(UNAUTHENTICATED, 16, 401)

enum status_code {
#define CODE(name, number, http) STATUS_##name = (number),
    STATUS_CODES(CODE)
#undef CODE
};

#define STATUS_CODE_COUNT 17

#define STATUS_MESSAGE_SIZE 256 /* bytes, with the terminating NUL */

struct status {
    enum status_code code;
    const char *reason;      /* [A-Z0-9_]{1,63}, static storage; "" when OK */
    uint32_t retry_delay_ms; /* advice to the caller; 0: none */
    uint32_t pause_ms;       /* who is told this is not read from for so long; 0: at once */
    int64_t first_sequence;  /* of the log, for OUT_OF_RANGE; else 0 */
    char message[STATUS_MESSAGE_SIZE];
};

#define STATUS_INIT                                                                                \
    (struct status)                                                                                \
    {                                                                                              \
        .reason = ""                                                                               \
    }

/* Fills `status`; the message is cut at a character boundary when too long. Always returns false,
 * so that a failing function can end with `return status_fail(…)`. */
bool status_fail(struct status *status, enum status_code code, const char *reason,
                 const char *format, ...) PRINTF_LIKE(4, 5);

/* The code's name as google.rpc.Code spells it, such as "NOT_FOUND"; "UNKNOWN" for other numbers.
 */
const char *status_code_name(enum status_code code);

/* The HTTP status that matches the code; 500 for other numbers. */
unsigned status_code_http(enum status_code code);

#endif
