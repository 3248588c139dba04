/* Nothing here asks whether a key is good. */
#include "credentials.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"

#define INVALID "invalid"
#define SCHEME "Bearer "

/* ---- the key ---- */

static bool is_visible(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return true;
}

static void read_authorization(const struct headers *headers,
                               char out[HEADERS_AUTHORIZATION_MAX + 1])
{
    const char *text = headers->authorization;
    out[0] = '\0';
    if (headers->authorizations == 0)
        return;
    CHECK(text);
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    bool passes = headers->authorizations == 1 && length <= HEADERS_AUTHORIZATION_MAX &&
                  strncasecmp(text, SCHEME, strlen(SCHEME)) == 0 && is_visible(text, length);
    snprintf(out, HEADERS_AUTHORIZATION_MAX + 1, "%.*s",
             passes ? (int)length : (int)strlen(INVALID), passes ? text : INVALID);
}

/* ---- the address ---- */

/* Copies an element of X-Forwarded-For without its port: "192.0.2.7", "192.0.2.7:80",
 * "2001:db8::7", "[2001:db8::7]:80". False when it is too long. */
static bool copy_element(const char *text, size_t length, char out[CREDENTIALS_ADDRESS_SIZE])
{
    const char *colon = memchr(text, ':', length);
    const char *bracket = memchr(text, ']', length);
    if (text[0] == '[' && bracket) {
        text++;
        length = (size_t)(bracket - text);
    } else if (colon && !memchr(colon + 1, ':', length - (size_t)(colon + 1 - text))) {
        length = (size_t)(colon - text);
    }
    if (length >= CREDENTIALS_ADDRESS_SIZE)
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

/* Takes the last element off the first *length bytes of a list. False when there is none. */
static bool take_last(const char *list, size_t *length, char out[CREDENTIALS_ADDRESS_SIZE])
{
    while (*length > 0 && strchr(", \t", list[*length - 1]))
        --*length;
    size_t start = *length;
    while (start > 0 && !strchr(", \t", list[start - 1]))
        start--;
    size_t size = *length - start;
    *length = start;
    return size > 0 && copy_element(list + start, size, out);
}

/* "::ffff:192.0.2.7" is an IPv4 peer of an IPv6 socket. */
static const char *unmap(const char *address)
{
    bool mapped = strncasecmp(address, "::ffff:", 7) == 0 && strchr(address, '.');
    return mapped ? address + 7 : address;
}

static void read_address(const struct headers *headers, const char *peer,
                         const struct address_ranges *proxies, char out[CREDENTIALS_ADDRESS_SIZE])
{
    const char *list = headers->forwarded_for ? headers->forwarded_for : "";
    size_t length = strlen(list);
    char next[CREDENTIALS_ADDRESS_SIZE];
    uint8_t bytes[16];
    snprintf(out, CREDENTIALS_ADDRESS_SIZE, "%s", unmap(peer));
    bool known = address_parse(out, bytes);
    while (known && address_ranges_have(proxies, bytes) && take_last(list, &length, next)) {
        known = address_parse(next, bytes);
        if (known)
            snprintf(out, CREDENTIALS_ADDRESS_SIZE, "%s", unmap(next));
    }
}

void credentials_read(struct credentials *credentials, const struct headers *headers,
                      const char *peer, const struct address_ranges *proxies)
{
    read_authorization(headers, credentials->authorization);
    read_address(headers, peer, proxies, credentials->address);
}
