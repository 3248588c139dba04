/* What a browser says of a request: the origin of the page that makes it (RFC 6454) and the host
 * that it means to ask (RFC 9110 section 7.2); and the lists of those that settings allow. Other
 * programs may say anything: this only protects people whose browser shows a foreign page. Pure
 * except for host_is_bound_to_loopback; any thread. */
#ifndef TRIGGERS_BASE_WEB_H
#define TRIGGERS_BASE_WEB_H

#include <stdbool.h>
#include <stddef.h>

#define WEB_MAX_ENTRIES 64
#define WEB_MAX_ENTRY_SIZE 255 /* characters of one entry */

/* ---- origins ---- */

struct origin {
    char scheme[24]; /* "https://", lower case */
    char host[WEB_MAX_ENTRY_SIZE +
              1];  /* lower case, with the port unless that is the scheme's default; without "*." */
    bool wildcard; /* hosts below `host`: one or more labels in front of it */
};

struct origins {
    bool any; /* "*": every origin, without credentials */
    size_t count;
    struct origin list[WEB_MAX_ENTRIES];
};

enum origin_verdict {
    ORIGIN_UNLISTED, /* or none at all */
    ORIGIN_ANY,      /* "*" */
    ORIGIN_LISTED,   /* named */
};

/* Reads a list, separated by commas, of "*" and "scheme://host[:port]", where the host may start
 * with "*.". False with what is accepted in `why`. */
bool origins_parse(struct origins *origins, const char *text, char *why, size_t size);

/* The verdict on the value of an Origin header; NULL: there is none. A listed origin wins over "*".
 */
enum origin_verdict origins_judge(const struct origins *origins, const char *origin);

/* Whether the origin is that of a page from `host`, the value of a Host header, over http or https:
 * after a proxy it is not known which. */
bool origin_is_of_host(const char *origin, const char *host);

/* ---- hosts ---- */

struct host {
    char name[WEB_MAX_ENTRY_SIZE + 1]; /* lower case, without port, brackets and "*." */
    bool wildcard;
};

struct hosts {
    bool any; /* "*" */
    size_t count;
    struct host list[WEB_MAX_ENTRIES];
};

/* Reads a list, separated by commas, of "*", names and addresses without port, where a name may
 * start with "*.". False with what is accepted in `why`. */
bool hosts_parse(struct hosts *hosts, const char *text, char *why, size_t size);

/* Whether a request with this value of Host is served, so that a foreign page cannot point its own
 * name at this machine (DNS rebinding). `bound` is the host, with or without port, that is listened
 * on, if it leads only to the loopback interface, else NULL. Listed hosts and loopback names are
 * always served. With `bound`, that name is too, and no other. Without it, every address is,
 * because no name was looked up, and with an empty list every name. */
bool hosts_serve(const struct hosts *hosts, const char *bound, const char *host);

/* Whether a value of Host is a loopback address or name. */
bool host_is_loopback(const char *host);

/* Whether the name or address to listen on, with or without port, leads only to the loopback
 * interface. Asks the resolver: call only at the start of a program. */
bool host_is_bound_to_loopback(const char *host);

#endif
