/* Opening the listeners of a server: URL lists, limits, TLS. */
#ifndef TRIGGERS_NET_LISTEN_H
#define TRIGGERS_NET_LISTEN_H

#include <nng/nng.h>

#include "net/server.h"

/* Listens on every URL of the list. False with a text that names the URL at fault. */
bool listen_all(nng_socket socket, const struct server_config *config, struct status *status);

#endif
