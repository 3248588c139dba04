/* The byte vectors of clients/conformance. */
#ifndef TRIGGERS_CONFORMANCE_VECTORS_H
#define TRIGGERS_CONFORMANCE_VECTORS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Checks "vectors/envelope" or "vectors/typeid" of the folder; false with what differed in
 * `detail`. */
bool vectors_check(const char *folder, const char *name, char *detail, size_t size);

#ifdef __cplusplus
}
#endif

#endif
