/* The listening socket, and the probe that connects to it. */
#ifndef TRIGGERS_BRIDGE_LISTEN_H
#define TRIGGERS_BRIDGE_LISTEN_H

#include "base/status.h"

/* Connections that may wait to be accepted. */
#define LISTEN_BACKLOG 1024

/* A listening, non-blocking TCP socket, or -1. */
int listen_open(const char *host, long port, struct status *status);

/* Asks the bridge that listens on `host` and `port` for /health; true when it answers 200 within
 * two seconds. "Any" addresses are asked on the loopback interface. */
bool listen_probe(const char *host, long port, struct status *status);

#endif
