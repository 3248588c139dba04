/* The addresses of a client: a list of URLs in one text, checked for form only. */
#ifndef TRIGGERS_CLIENT_CORE_ADDRESS_H
#define TRIGGERS_CLIENT_CORE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#define CORE_ADDRESS_MAX 64 /* addresses of one client */

struct core_address {
    char *url;  /* to dial; owned */
    char *name; /* host of the URL as it was given, for which a certificate must be valid; owned */
};

struct core_address_list {
    struct core_address items[CORE_ADDRESS_MAX];
    size_t count; /* at least one */
};

/* Splits a list at its commas and trims white space. "localhost" becomes two addresses, IPv4 and
 * IPv6, because nng tries only the first one of a name. False with INVALID_ARGUMENT (or
 * RESOURCE_EXHAUSTED without memory) when a scheme is not one of ws, wss, tcp, tls+tcp and ipc. */
bool core_address_list_parse(const char *text, struct core_address_list *list,
                             struct status *status) MUST_CHECK;
void core_address_list_fini(struct core_address_list *list);

#endif
