/* Ranges of network addresses, such as "192.0.2.0/24" or "2001:db8::/32". IPv4 addresses and those
 * that IPv6 maps (::ffff:192.0.2.1) are the same. */
#ifndef TRIGGERS_BASE_ADDRESS_RANGE_H
#define TRIGGERS_BASE_ADDRESS_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address_range {
    uint8_t bytes[16]; /* of the address, mapped if it is IPv4; those after the prefix are 0 */
    unsigned prefix;   /* bits, 0 to 128 */
};

/* Reads an address, or a range: an address, "/" and the length of its prefix. What follows the
 * prefix must be 0. No zone, no name. */
bool address_range_parse(const char *text, size_t size, struct address_range *range);

/* Reads an address as a connection has it: "192.0.2.7", "2001:db8::7", "fe80::1%eth0". */
bool address_parse(const char *text, uint8_t bytes[16]);

bool address_range_has(const struct address_range *range, const uint8_t bytes[16]);

/* Whether everything that is in `inner` is in `outer`. */
bool address_range_covers(const struct address_range *outer, const struct address_range *inner);

#endif
