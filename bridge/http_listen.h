/* The listening sockets, and the probe that connects to one. */
#ifndef TRIGGERS_BRIDGE_HTTP_LISTEN_H
#define TRIGGERS_BRIDGE_HTTP_LISTEN_H

#include <stddef.h>

#include "base/status.h"
#include "settings.h"

/* Connections that may wait to be accepted. */
#define HTTP_LISTEN_BACKLOG 1024

/* Opens listening, non-blocking TCP sockets on each address of the host, at most `max`. Returns
 * their number, or 0 with none left open. "*" and "" are every address of the machine, IPv4 and
 * IPv6, as far as it has both; so is "::". An IPv6 address may be in brackets. */
size_t http_listen_open(const struct http_address *address, int *listeners, size_t max,
                        struct status *status);

enum probe_kind {
    PROBE_HTTP,
    PROBE_HTTPS,
    PROBE_TLS, /* the bridge wants to see a certificate, which the probe has not: a handshake must
                * do
                */
};

/* Asks the bridge that listens on `address` for /health; true when one of the addresses
 * answers 200 within two seconds. For an "any" address it asks on the loopback interface. */
bool http_listen_probe(const struct http_address *address, enum probe_kind kind,
                       struct status *status);

#endif
