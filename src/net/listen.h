/* Opening the listeners of a server: URL lists, limits, TLS. */
#ifndef TRIGGERS_NET_LISTEN_H
#define TRIGGERS_NET_LISTEN_H

#include <nng/nng.h>

#include "net/server.h"
#include "sp/link.h"

#define LISTEN_MAX 16

struct listener {
    nng_stream_listener *streams;
    struct link_address address;
};

/* Listens on every URL of the list; what has been opened is in `listeners`, `*count` of them, and
 * the caller's to close. False with a text that names the URL at fault. */
bool listen_all(const struct server_config *config, struct listener listeners[LISTEN_MAX],
                size_t *count, struct status *status) MUST_CHECK;

/* Closes it and frees what is in it, after the links that came from it. */
void listener_close(struct listener *listener);

#endif
