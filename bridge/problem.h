/* Errors as application/problem+json (RFC 9457). */
#ifndef TRIGGERS_BRIDGE_PROBLEM_H
#define TRIGGERS_BRIDGE_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "triggers.h"

/* The statuses of errors, and their titles in RFC 9110 or 6585. Another is an internal error. */
#define PROBLEM_STATUSES(STATUS)                                                                   \
    STATUS(400, "Bad Request")                                                                     \
    STATUS(401, "Unauthorized")                                                                    \
    STATUS(403, "Forbidden")                                                                       \
    STATUS(404, "Not Found")                                                                       \
    STATUS(405, "Method Not Allowed")                                                              \
    STATUS(408, "Request Timeout")                                                                 \
    STATUS(409, "Conflict")                                                                        \
    STATUS(410, "Gone")                                                                            \
    STATUS(413, "Content Too Large")                                                               \
    STATUS(414, "URI Too Long")                                                                    \
    STATUS(415, "Unsupported Media Type")                                                          \
    STATUS(421, "Misdirected Request")                                                             \
    STATUS(422, "Unprocessable Content")                                                           \
    STATUS(429, "Too Many Requests")                                                               \
    STATUS(431, "Request Header Fields Too Large")                                                 \
    STATUS(500, "Internal Server Error")                                                           \
    STATUS(501, "Not Implemented")                                                                 \
    STATUS(503, "Service Unavailable")                                                             \
    STATUS(504, "Gateway Timeout")

/* One wrong field. */
struct problem_field {
    const char *name;   /* a member such as "source", or a path inside it as in a JSON pointer, such
                           as "filter/sources/3"; "" is the whole document or item */
    const char *detail; /* what it must be, such as "must be a string" */
};

/* All pointers are borrowed. */
struct problem {
    unsigned status;    /* HTTP */
    const char *code;   /* [A-Z0-9_]+, for programs */
    const char *detail; /* for people; NULL: made from the fields */
    const struct problem_field *fields;
    size_t field_count;
    const char *place; /* a pointer to the item in a batch, such as "/3"; NULL: the body itself */
    uint32_t retry_delay_ms;
    int64_t first_sequence; /* of a position in the log that was removed; else 0 */
    size_t at;              /* the byte at which a body stops being JSON */
};

/* Writes the problem as one JSON object; without request_id when that is NULL. */
void problem_write(struct buffer *buffer, const struct problem *problem, const char *request_id);

/* Writes the problem as a whole HTTP response, for where libmicrohttpd takes none. Initializes
 * `answer`, which the caller frees; it has failed without memory. */
void problem_write_answer(const struct problem *problem, struct buffer *answer);

/* Writes {"error": …} in place of the result of one item, which `place` points to. */
void problem_write_item(struct buffer *buffer, const struct problem *problem, const char *place);

/* How a call shows a field of its request, which the core names by a path such as
 * "events[3].source". The result may borrow both texts. */
typedef struct problem_field problem_field_of(const char *path, const char *detail,
                                              struct arena *arena);

/* As transcoded calls show it: "events/3/source"; the whole document without memory. */
problem_field_of problem_field_at;

/* An error of the core or the client library, as HTTP shows it. Allocates in `arena`; without
 * memory it leaves the fields out. */
struct problem problem_from_error(const triggers_error *error, problem_field_of *field_of,
                                  struct arena *arena);

/* Whether the error says that the bridge itself had no room for a call or its answer. */
bool problem_is_overload(const triggers_error *error);

/* The HTTP status for a code and reason of the core. */
unsigned problem_status(triggers_code code, const char *reason);

/* Retry-After: whole seconds, rounded up, at least 1. */
unsigned problem_retry_after(const struct problem *problem);

#endif
