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

/* The numbers of google.rpc.Code. */
enum status_code {
    STATUS_OK = 0,
    STATUS_CANCELLED = 1,
    STATUS_UNKNOWN = 2,
    STATUS_INVALID_ARGUMENT = 3,
    STATUS_DEADLINE_EXCEEDED = 4,
    STATUS_NOT_FOUND = 5,
    STATUS_ALREADY_EXISTS = 6,
    STATUS_PERMISSION_DENIED = 7,
    STATUS_RESOURCE_EXHAUSTED = 8,
    STATUS_FAILED_PRECONDITION = 9,
    STATUS_ABORTED = 10,
    STATUS_OUT_OF_RANGE = 11,
    STATUS_UNIMPLEMENTED = 12,
    STATUS_INTERNAL = 13,
    STATUS_UNAVAILABLE = 14,
    STATUS_DATA_LOSS = 15,
    STATUS_UNAUTHENTICATED = 16,
};

#define STATUS_MESSAGE_SIZE 256 /* bytes, with the terminating NUL */

struct status {
    enum status_code code;
    const char *reason;      /* [A-Z0-9_]{1,63}, static storage; "" when OK */
    uint32_t retry_delay_ms; /* advice to the caller; 0: none */
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

#endif
