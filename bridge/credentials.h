/* What the core is told of who makes a request: the key that it sent, and the address that it comes
 * from. The core decides what the key allows; nothing else that a client sends says who it is. */
#ifndef TRIGGERS_BRIDGE_CREDENTIALS_H
#define TRIGGERS_BRIDGE_CREDENTIALS_H

#include "base/address_range.h"
#include "headers.h"

#define CREDENTIALS_ADDRESS_SIZE 64

struct credentials {
    char authorization[HEADERS_AUTHORIZATION_MAX + 1]; /* "Bearer …" as sent; "": none was sent */
    char address[CREDENTIALS_ADDRESS_SIZE];            /* "192.0.2.7"; "": it is not known */
};

/* Reads both. An Authorization that is sent twice, is longer than HEADERS_AUTHORIZATION_MAX, has
 * other than visible ASCII characters and blanks, or another scheme than Bearer (RFC 6750 section
 * 2.1) becomes "invalid", which the core takes for a wrong key. `peer` is the address of the
 * connection; when it is one of `proxies`, what X-Forwarded-For says counts: its last address that
 * is not one of them. */
void credentials_read(struct credentials *credentials, const struct headers *headers,
                      const char *peer, const struct address_ranges *proxies);

#endif
