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

#define ADDRESS_RANGES_MAX 64

struct address_ranges {
    size_t count;
    struct address_range list[ADDRESS_RANGES_MAX];
};

/* Reads a list of ranges, separated by commas. False with what is accepted in `why`. */
bool address_ranges_parse(struct address_ranges *ranges, const char *text, char *why, size_t size);

/* Whether one of the ranges has the address. */
bool address_ranges_have(const struct address_ranges *ranges, const uint8_t bytes[16]);

/* Whether everything that is in `inner` is in `outer`. */
bool address_range_covers(const struct address_range *outer, const struct address_range *inner);

#endif
