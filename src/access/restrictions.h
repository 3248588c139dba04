/* Names that a key is restricted to: exact or, with '*' at the end, the beginning of one; none:
 * every name. Pure functions; any thread. */
#ifndef TRIGGERS_ACCESS_RESTRICTIONS_H
#define TRIGGERS_ACCESS_RESTRICTIONS_H

#include "access/access.h"

/* Whether each name that fits `inner`, one pattern, fits one of `names`, or there are none. */
bool names_cover(const struct slice *names, size_t count, struct slice inner);

/* What fits both, in the arena. *count is 0 when nothing does. NULL without memory. */
const struct slice *names_intersect(const struct slice *left, size_t left_count,
                                    const struct slice *right, size_t right_count,
                                    struct arena *arena, size_t *count);

#endif
