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

/* Listens on every URL of the list. `listeners` gets `*count` open listeners, also on failure; the
 * caller closes them. False with a text that names the URL at fault. */
bool listen_all(const struct server_config *config, struct listener listeners[LISTEN_MAX],
                size_t *count, struct status *status) MUST_CHECK;

/* Closes it and frees what is in it; call after the links that came from it are freed. */
void listener_close(struct listener *listener);

#endif
