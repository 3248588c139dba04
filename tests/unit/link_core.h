/* What cores for tests of the client have in common: requests come in over links, and answers go
 * back. What they say is each core's own. Every function fails the test when it cannot do its work.
 */
#ifndef TRIGGERS_TESTS_LINK_CORE_H
#define TRIGGERS_TESTS_LINK_CORE_H

#include "sp/link.h"

struct link_core;

/* Where the answer to a request goes. */
struct link_asker {
    struct link *link;
    uint8_t route[LINK_MAX_ROUTE];
    size_t route_size;
};

/* On nng's threads; `owner` is that of link_core_start. */
struct link_core_events {
    /* One at a time of each link; the body is valid until it returns. */
    void (*received)(void *owner, const struct link_asker *asker, const uint8_t *body, size_t size);
    /* An answer has left. NULL: not told. */
    void (*answered)(void *owner, struct link *link);
};

/* Listens on the URL. Links can be used until link_core_stop. */
struct link_core *link_core_start(const char *url, const struct link_core_events *events,
                                  void *owner);

/* Closes the links and waits for their events; not on one of nng's threads. */
void link_core_stop(struct link_core *core);

/* Answers, unless the client has gone; once for each request or never. Any thread. */
void link_core_answer(const struct link_asker *asker, const void *bytes, size_t size);

#endif
