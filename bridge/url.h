/* Percent-decoding (RFC 3986 section 2.1), done by us because libmicrohttpd's lets an encoded
 * slash or NUL through. Pure; any thread. */
#ifndef TRIGGERS_BRIDGE_URL_H
#define TRIGGERS_BRIDGE_URL_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes to `out` of `size` bytes, with a NUL. False when a percent sign is not followed by two
 * hexadecimal digits, a byte is NUL, or the result does not fit. */
bool url_decode(const char *text, char *out, size_t size);

/* The same for a path, where an encoded slash is refused too: it is no separator. */
bool url_decode_path(const char *text, char *out, size_t size);

#endif
