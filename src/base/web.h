/* What a browser says of a request: the origin of the page that makes it (RFC 6454) and the host
 * that it believes to ask (RFC 9110 section 7.2); and the lists of those that settings allow.
 * Programs that are no browsers may say anything: this protects people whose browser shows a
 * foreign page, and nothing else. Pure but for host_is_bound_to_loopback; any thread. */
#ifndef TRIGGERS_BASE_WEB_H
#define TRIGGERS_BASE_WEB_H

#include <stdbool.h>
#include <stddef.h>

#define WEB_MAX_ENTRIES 64
#define WEB_MAX_ENTRY_SIZE 255 /* characters of one entry */

/* ---- origins ---- */

struct origin {
    char scheme[24];                   /* "https://", lower case */
    char host[WEB_MAX_ENTRY_SIZE + 1]; /* lower case with the port, unless that is the scheme's own;
                                          without "*." */
    bool wildcard;                     /* hosts below `host`: one or more labels in front of it */
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

/* Reads a comma list of "*" and "scheme://host[:port]", where the host may start with "*.". False
 * with what is accepted in `why`. */
bool origins_parse(struct origins *origins, const char *text, char *why, size_t size);

/* What the value of an Origin header gets; NULL: there is none. Listed ones win over "*". */
enum origin_verdict origins_judge(const struct origins *origins, const char *origin);

/* Whether the origin is that of a page which came from `host`, the value of a Host header, over
 * http or https: which one is not known after a proxy. */
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

/* Reads a comma list of "*", names and addresses without port, where a name may start with "*.".
 * False with what is accepted in `why`. */
bool hosts_parse(struct hosts *hosts, const char *text, char *why, size_t size);

/* Whether a request with this value of Host is served, so that a foreign page cannot have its own
 * name lead to this machine (DNS rebinding). `bound` is the host, with or without port, that is
 * listened on when it leads to the loopback interface alone, else NULL. Always served are what is
 * listed and the names of the loopback interface. With `bound` that name is too, and no other;
 * without it every address is, as no name was looked up, and with an empty list every name. */
bool hosts_serve(const struct hosts *hosts, const char *bound, const char *host);

/* Whether the name or address to listen on, with or without port, leads to the loopback interface
 * alone. Asks the resolver: at the start of a program only. */
bool host_is_bound_to_loopback(const char *host);

#endif
