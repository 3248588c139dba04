/* Origins are compared as browsers send them: scheme, host and port, without a path. */
#include "cors.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADER_LIST_MAX 1024

static bool is_scheme(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr("+-.", text[i]))
            return false;
    }
    return length > 0 && isalpha((unsigned char)text[0]);
}

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits >= 1 && digits <= 5 && text[digits] == '\0';
}

/* host[:port]; the host is a name, an IPv4 address or a bracketed IPv6 address. */
static bool is_host(const char *text)
{
    size_t length;
    if (text[0] == '[') {
        length = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
        if (length < 3 || text[length++] != ']')
            return false;
    } else {
        length = strcspn(text, ":");
        for (size_t i = 0; i < length; i++) {
            if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '.' &&
                text[i] != '_')
                return false;
        }
        if (length == 0 || text[0] == '.' || text[length - 1] == '.' || strstr(text, ".."))
            return false;
    }
    return text[length] == '\0' || (text[length] == ':' && is_port(text + length + 1));
}

static void copy_lower(char *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    out[length] = '\0';
}

/* Splits scheme://[*.]host[:port]; `text` fits the members. */
static bool parse_origin(struct cors_origin *origin, const char *text)
{
    const char *colon = strstr(text, "://");
    size_t scheme = colon ? (size_t)(colon - text) : 0;
    if (!colon || !is_scheme(text, scheme) || scheme + 3 >= sizeof(origin->scheme))
        return false;
    copy_lower(origin->scheme, text, scheme + 3);
    const char *host = colon + 3;
    origin->wildcard = strncmp(host, "*.", 2) == 0;
    if (origin->wildcard)
        host += 2;
    copy_lower(origin->host, host, strlen(host));
    return is_host(host);
}

static bool add_entry(struct cors *cors, const char *text, char *why, size_t size)
{
    if (strcmp(text, "*") == 0) {
        cors->any = true;
        return true;
    }
    if (cors->count == CORS_MAX_ORIGINS) {
        snprintf(why, size, "at most %d origins are accepted", CORS_MAX_ORIGINS);
        return false;
    }
    if (parse_origin(&cors->origins[cors->count], text)) {
        cors->count++;
        return true;
    }
    snprintf(why, size,
             "\"%.60s\" is none of *, https://app.example.com, http://localhost:3000 and "
             "https://*.example.com; an origin has no path",
             text);
    return false;
}

bool cors_parse(struct cors *cors, const char *text, char *why, size_t size)
{
    *cors = (struct cors){0};
    for (;;) {
        size_t length = strcspn(text, ",");
        const char *start = text;
        const char *end = text + length;
        while (start < end && isspace((unsigned char)*start))
            start++;
        while (end > start && isspace((unsigned char)end[-1]))
            end--;
        char entry[CORS_MAX_ORIGIN_SIZE + 1];
        if ((size_t)(end - start) >= sizeof(entry)) {
            snprintf(why, size, "an origin of at most %d characters is accepted",
                     CORS_MAX_ORIGIN_SIZE);
            return false;
        }
        memcpy(entry, start, (size_t)(end - start));
        entry[end - start] = '\0';
        if (entry[0] && !add_entry(cors, entry, why, size))
            return false;
        if (text[length] == '\0')
            break;
        text += length + 1;
    }
    if (cors->any || cors->count > 0)
        return true;
    snprintf(why, size, "at least one origin or * is needed");
    return false;
}

static bool matches(const struct cors_origin *origin, const char *text)
{
    size_t scheme = strlen(origin->scheme);
    if (strncasecmp(text, origin->scheme, scheme) != 0 || !is_host(text + scheme))
        return false;
    const char *host = text + scheme;
    if (!origin->wildcard)
        return strcasecmp(host, origin->host) == 0;
    size_t length = strlen(host);
    size_t tail = strlen(origin->host);
    return length > tail + 1 && host[length - tail - 1] == '.' &&
           strcasecmp(host + length - tail, origin->host) == 0;
}

enum cors_verdict cors_judge(const struct cors *cors, const char *origin)
{
    for (size_t i = 0; i < cors->count; i++) {
        if (matches(&cors->origins[i], origin))
            return CORS_LISTED;
    }
    return cors->any ? CORS_ANY : CORS_REFUSED;
}

bool cors_header_list_valid(const char *names)
{
    size_t length = strlen(names);
    if (length == 0 || length > HEADER_LIST_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)names[i]) && !strchr("!#$%&'*+-.^_`|~, \t", names[i]))
            return false;
    }
    return true;
}
