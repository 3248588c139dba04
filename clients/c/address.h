/* The addresses of a client: a list of URLs in one text, checked for form only. */
#ifndef TRIGGERS_CLIENT_ADDRESS_H
#define TRIGGERS_CLIENT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#define ADDRESS_MAX 64 /* addresses of one client */

struct address {
    char *url;  /* to dial; owned */
    char *name; /* host of the URL as it was given, which a certificate must bear; owned */
};

struct address_list {
    struct address items[ADDRESS_MAX];
    size_t count; /* at least one */
};

/* Splits a list at its commas and trims white space. "localhost" becomes two addresses, of IPv4 and
 * of IPv6, since nng tries only the first that the name has. False with INVALID_ARGUMENT (or
 * RESOURCE_EXHAUSTED without memory) when a scheme is not one of ws, wss, tcp, tls+tcp and ipc. */
bool address_list_parse(const char *text, struct address_list *list,
                        struct status *status) MUST_CHECK;
void address_list_fini(struct address_list *list);

#endif
