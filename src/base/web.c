/* Both lists are of entries between commas; hosts are compared in lower case. */
#include "base/web.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

/* ---- hosts ---- */

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits >= 1 && digits <= 5 && text[digits] == '\0';
}

/* A name of letters, digits, '-', '.' and '_' without empty labels, or an IPv4 address. */
static bool is_name(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool after_dot = i == 0 || text[i - 1] == '.';
        if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '_' &&
            (text[i] != '.' || after_dot))
            return false;
    }
    return length > 0 && text[length - 1] != '.';
}

/* host[:port]; the host is a name, an IPv4 address or a bracketed IPv6 address. */
static bool is_authority(const char *text)
{
    size_t length;
    if (text[0] == '[') {
        length = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
        if (length < 3 || text[length++] != ']')
            return false;
    } else {
        length = strcspn(text, ":");
        if (!is_name(text, length))
            return false;
    }
    return text[length] == '\0' || (text[length] == ':' && is_port(text + length + 1));
}

static void copy_lower(char *out, const char *text, size_t length)
{
    CHECK(length <= WEB_MAX_ENTRY_SIZE);
    for (size_t i = 0; i < length; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    out[length] = '\0';
}

/* Copies the host of host[:port] in lower case, without brackets and the dot of a full name; false
 * when there is none or it is too long. */
static bool get_name(const char *authority, char name[WEB_MAX_ENTRY_SIZE + 1])
{
    bool bracket = authority[0] == '[';
    const char *start = authority + bracket;
    size_t length = strcspn(start, bracket ? "]" : ":");
    const char *port = start + length + bracket;
    if (bracket && start[length] != ']')
        return false;
    if (*port && (*port != ':' || port[1 + strspn(port + 1, "0123456789")]))
        return false;
    if (length > 1 && start[length - 1] == '.')
        length--;
    if (length == 0 || length > WEB_MAX_ENTRY_SIZE)
        return false;
    copy_lower(name, start, length);
    return true;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t tail = strlen(end);
    return length > tail && strcmp(text + length - tail, end) == 0;
}

static bool is_loopback_v6(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}

static bool is_address(const char *name, bool *loopback)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, name, &v4) == 1) {
        *loopback = ntohl(v4.s_addr) >> 24 == 127;
        return true;
    }
    bool valid = inet_pton(AF_INET6, name, &v6) == 1;
    *loopback = valid && is_loopback_v6(&v6);
    return valid;
}

/* RFC 6761 section 6.3: every name below localhost is the loopback interface's too. */
static bool is_localhost(const char *name)
{
    return strcmp(name, "localhost") == 0 || ends_with(name, ".localhost");
}

/* Whether `name` is the entry's, or below it. */
static bool is_host_of(const char *name, const char *entry, bool wildcard)
{
    if (!wildcard)
        return strcmp(name, entry) == 0;
    return ends_with(name, entry) && name[strlen(name) - strlen(entry) - 1] == '.' &&
           strlen(name) > strlen(entry) + 1;
}

static bool is_listed(const struct hosts *hosts, const char *name)
{
    for (size_t i = 0; i < hosts->count; i++) {
        if (is_host_of(name, hosts->list[i].name, hosts->list[i].wildcard))
            return true;
    }
    return hosts->any;
}

bool hosts_serve(const struct hosts *hosts, const char *bound, const char *host)
{
    char name[WEB_MAX_ENTRY_SIZE + 1];
    char own[WEB_MAX_ENTRY_SIZE + 1];
    bool loopback;
    if (hosts->any || (!bound && hosts->count == 0))
        return true;
    if (!get_name(host, name))
        return false;
    bool address = is_address(name, &loopback);
    if (loopback || is_localhost(name) || is_listed(hosts, name))
        return true;
    return bound ? get_name(bound, own) && strcmp(name, own) == 0 : address;
}

bool host_is_loopback(const char *host)
{
    char name[WEB_MAX_ENTRY_SIZE + 1];
    bool loopback = false;
    return get_name(host, name) && (is_address(name, &loopback) ? loopback : is_localhost(name));
}

static bool is_loopback_socket(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET6)
        return is_loopback_v6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    return address->sa_family == AF_INET &&
           ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
}

bool host_is_bound_to_loopback(const char *host)
{
    char name[WEB_MAX_ENTRY_SIZE + 1];
    struct in6_addr v6;
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    bool bare_v6 = inet_pton(AF_INET6, host, &v6) == 1;
    if (bare_v6)
        return is_loopback_v6(&v6);
    if (!get_name(host, name) || getaddrinfo(name, NULL, &hints, &found) != 0)
        return false;
    bool loopback = true;
    for (const struct addrinfo *at = found; at; at = at->ai_next)
        loopback = loopback && is_loopback_socket(at->ai_addr);
    freeaddrinfo(found);
    return loopback;
}

/* ---- origins ---- */

static bool is_scheme(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr("+-.", text[i]))
            return false;
    }
    return length > 0 && isalpha((unsigned char)text[0]);
}

/* Copies host[:port] in lower case; without a port that is the scheme's own, as browsers do. */
static void copy_authority(char *out, const char *authority, const char *scheme)
{
    copy_lower(out, authority, strlen(authority));
    const char *port = strcmp(scheme, "https://") == 0  ? ":443"
                       : strcmp(scheme, "http://") == 0 ? ":80"
                                                        : NULL;
    if (port && ends_with(out, port))
        out[strlen(out) - strlen(port)] = '\0';
}

/* Splits scheme://[*.]host[:port]. */
static bool parse_origin(struct origin *origin, const char *text)
{
    const char *colon = strstr(text, "://");
    size_t scheme = colon ? (size_t)(colon - text) : 0;
    if (!colon || strlen(text) > WEB_MAX_ENTRY_SIZE || !is_scheme(text, scheme) ||
        scheme + 3 >= sizeof(origin->scheme))
        return false;
    copy_lower(origin->scheme, text, scheme + 3);
    const char *host = colon + 3;
    origin->wildcard = strncmp(host, "*.", 2) == 0;
    if (origin->wildcard)
        host += 2;
    copy_authority(origin->host, host, origin->scheme);
    return is_authority(host);
}

enum origin_verdict origins_judge(const struct origins *origins, const char *text)
{
    struct origin origin;
    if (text && parse_origin(&origin, text) && !origin.wildcard) {
        for (size_t i = 0; i < origins->count; i++) {
            const struct origin *entry = &origins->list[i];
            if (strcmp(origin.scheme, entry->scheme) == 0 &&
                is_host_of(origin.host, entry->host, entry->wildcard))
                return ORIGIN_LISTED;
        }
    }
    return origins->any ? ORIGIN_ANY : ORIGIN_UNLISTED;
}

bool origin_is_of_host(const char *text, const char *host)
{
    struct origin origin;
    char authority[WEB_MAX_ENTRY_SIZE + 1];
    if (!parse_origin(&origin, text) || strlen(host) > WEB_MAX_ENTRY_SIZE)
        return false;
    copy_authority(authority, host, origin.scheme);
    return strncmp(origin.scheme, "http", 4) == 0 && strcmp(origin.host, authority) == 0;
}

/* ---- lists ---- */

/* Copies the next entry of a comma list, without blanks around it; "" when it is too long. False
 * after the last. */
static bool next_entry(const char **rest, char entry[WEB_MAX_ENTRY_SIZE + 1], bool *fits)
{
    const char *start = *rest + strspn(*rest, ", \t");
    size_t length = strcspn(start, ",");
    *rest = start + length;
    while (length > 0 && isblank((unsigned char)start[length - 1]))
        length--;
    *fits = length <= WEB_MAX_ENTRY_SIZE;
    memcpy(entry, start, *fits ? length : 0);
    entry[*fits ? length : 0] = '\0';
    return length > 0;
}

static bool refuse_size(const char *what, char *why, size_t size)
{
    snprintf(why, size, "at most %d %s of at most %d characters are accepted", WEB_MAX_ENTRIES,
             what, WEB_MAX_ENTRY_SIZE);
    return false;
}

bool origins_parse(struct origins *origins, const char *text, char *why, size_t size)
{
    char entry[WEB_MAX_ENTRY_SIZE + 1];
    bool fits;
    *origins = (struct origins){0};
    while (next_entry(&text, entry, &fits)) {
        if (!fits || origins->count == WEB_MAX_ENTRIES)
            return refuse_size("origins", why, size);
        if (strcmp(entry, "*") == 0) {
            origins->any = true;
        } else if (parse_origin(&origins->list[origins->count], entry)) {
            origins->count++;
        } else {
            snprintf(why, size,
                     "\"%.60s\" is neither * nor an origin such as https://app.example.com, "
                     "http://localhost:3000 or https://*.example.com; an origin has no path",
                     entry);
            return false;
        }
    }
    if (origins->any || origins->count > 0)
        return true;
    snprintf(why, size, "at least one origin or * is needed");
    return false;
}

/* A name, perhaps with "*." before it, or an address, an IPv6 one with or without brackets. */
static bool parse_host(struct host *host, const char *text)
{
    struct in6_addr v6;
    host->wildcard = strncmp(text, "*.", 2) == 0;
    if (host->wildcard)
        text += 2;
    if (inet_pton(AF_INET6, text, &v6) == 1) {
        copy_lower(host->name, text, strlen(text));
        return !host->wildcard;
    }
    const char *bracket = strchr(text, ']');
    bool has_port = strchr(bracket ? bracket : text, ':');
    return !has_port && is_authority(text) && get_name(text, host->name);
}

bool hosts_parse(struct hosts *hosts, const char *text, char *why, size_t size)
{
    char entry[WEB_MAX_ENTRY_SIZE + 1];
    bool fits;
    *hosts = (struct hosts){0};
    while (next_entry(&text, entry, &fits)) {
        if (!fits || hosts->count == WEB_MAX_ENTRIES)
            return refuse_size("hosts", why, size);
        if (strcmp(entry, "*") == 0) {
            hosts->any = true;
        } else if (parse_host(&hosts->list[hosts->count], entry)) {
            hosts->count++;
        } else {
            snprintf(why, size,
                     "\"%.60s\" is neither * nor a host such as api.example.com, *.example.com or "
                     "10.0.0.7; a host has no scheme, port or path here",
                     entry);
            return false;
        }
    }
    if (hosts->any || hosts->count > 0)
        return true;
    snprintf(why, size, "at least one host or * is needed");
    return false;
}
