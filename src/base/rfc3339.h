/* Times as texts: RFC 3339, section 5.6. */
#ifndef TRIGGERS_BASE_RFC3339_H
#define TRIGGERS_BASE_RFC3339_H

#include <stdbool.h>
#include <stdint.h>

/* Reads a time with its date and offset, of the years 1 to 9999, as seconds since 1970 and the
 * nanoseconds after them. The T and the Z may be lower-case; there are no leap seconds. False, with
 * anything in both, for other texts. */
bool rfc3339_read(const char *text, int64_t *seconds, int32_t *nanos);

/* Reads a point and one to nine digits, or nothing, and moves *at after them. False: a point alone.
 */
bool rfc3339_take_fraction(const char **at, int32_t *nanos);

#endif
