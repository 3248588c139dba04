/* Where a client finds its cores: a list of URLs in one text, and the dialer for each. */
#ifndef TRIGGERS_CLIENT_CORE_ADDRESS_H
#define TRIGGERS_CLIENT_CORE_ADDRESS_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "sp/link.h"
#include "sp/link_tls.h"

#define CORE_ADDRESS_MAX 64 /* addresses of one client */

struct core_address {
    char *url;  /* to dial; owned */
    char *name; /* host of the URL as it was given, for which a certificate must be valid; owned */
};

struct core_address_list {
    struct core_address items[CORE_ADDRESS_MAX];
    size_t count; /* at least one */
};

/* Splits a list at its commas and trims white space; checks its form only. "localhost" becomes two
 * addresses, IPv4 and IPv6, because nng tries only the first one of a name. False with
 * INVALID_ARGUMENT (or RESOURCE_EXHAUSTED without memory) when a scheme is not one of ws, wss, tcp,
 * tls+tcp and ipc. */
bool core_address_list_parse(const char *text, struct core_address_list *list,
                             struct status *status) MUST_CHECK;
void core_address_list_fini(struct core_address_list *list);

/* Makes the dialer of the address, including TLS, for which `files` has the certificates to trust.
 * False with INVALID_ARGUMENT or RESOURCE_EXHAUSTED. The caller frees both
 * in any case; `*dialer` and `*link_address` must be zero before. */
bool core_address_make_dialer(const struct core_address *address,
                              const struct link_tls_files *files, struct link_address *link_address,
                              nng_stream_dialer **dialer, struct status *status) MUST_CHECK;

/* Reads the files of TLS again, for the connections that are dialed from now on to `host`, the
 * address's name. False, and everything as before, when they cannot be used. Not while the dialer
 * dials. */
bool core_address_set_tls(nng_stream_dialer *dialer, const char *host,
                          const struct link_tls_files *files, struct status *status) MUST_CHECK;

#endif
