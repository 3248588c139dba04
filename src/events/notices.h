/* What the cores that share a database tell each other: that a tenant's log has grown. One thread,
 * with a session of its own with the store, apart from all writes, gathers what is to be told. A
 * notice may be lost; whoever waits looks now and then in any case. */
#ifndef TRIGGERS_EVENTS_NOTICES_H
#define TRIGGERS_EVENTS_NOTICES_H

#include "store/store.h"

struct notices;

/* Another core has told something; NULL: perhaps, as none could be heard for a while. On the
 * notices' thread. */
typedef void notices_heard(void *context, const struct store_notice *notice);

/* Whether the store has notices. */
bool notices_are_possible(const struct store *store);

/* Connects by itself, and again whenever the session is lost. Only where notices are possible. NULL
 * without memory, descriptors or threads. */
struct notices *notices_open(struct store *store, notices_heard *heard, void *context);

/* Tells the others; never blocks. Any thread. */
void notices_tell(struct notices *notices, int64_t tenant, int64_t last);

/* Waits for the thread, which is perhaps connecting. NULL is allowed. */
void notices_close(struct notices *notices);

#endif
