/* Targets of requests and their paths. Percent-decoding (RFC 3986 section 2.1) is done by us
 * because libmicrohttpd's lets an encoded slash or NUL through. Pure; any thread. */
#ifndef TRIGGERS_BRIDGE_URL_H
#define TRIGGERS_BRIDGE_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/web.h"

/* Decodes to `out` of `size` bytes, with a NUL. False when a percent sign is not followed by two
 * hexadecimal digits, a byte is NUL, or the result does not fit. */
bool url_decode(const char *text, char *out, size_t size);

/* The same for a path, where an encoded slash is refused too: it is not a separator. */
bool url_decode_path(const char *text, char *out, size_t size);

/* Whether the target of a request has the absolute form, whose host replaces that of the header
 * (RFC 9112 section 3.2.2). `host` is "" when it is too long; `path` is what follows it, or the
 * target. */
#define URL_HOST_SIZE (WEB_MAX_ENTRY_SIZE + 8) /* with a port and a NUL */
bool url_split(const char *target, char host[URL_HOST_SIZE], const char **path);

/* The decoded path of the target of a request, without slashes at its end: no path here has them,
 * but the service that this one replaces accepted one. False when it is too long for any path here,
 * or not well-formed. */
#define URL_PATH_SIZE 128
bool url_target_path(const char *target, char path[URL_PATH_SIZE]);

/* Whether a path has the form of `pattern`, in which {field} stands for a segment that is not
 * empty. `take`, unless it is NULL, gets each field's name and segment, up to where they differ. */
typedef void url_take(void *user_data, const char *name, size_t name_size, const char *segment,
                      size_t segment_size);
bool url_match(const char *pattern, const char *path, url_take *take, void *user_data);

#endif
