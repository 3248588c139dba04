/* Which origins may read our answers in a browser (the Fetch standard's CORS protocol). Pure; any
 * thread once parsed. */
#ifndef TRIGGERS_BRIDGE_CORS_H
#define TRIGGERS_BRIDGE_CORS_H

#include <stdbool.h>
#include <stddef.h>

#define CORS_MAX_ORIGINS 64
#define CORS_MAX_ORIGIN_SIZE 255 /* characters of one origin */

struct cors_origin {
    char scheme[16];                     /* "https://", lower case */
    char host[CORS_MAX_ORIGIN_SIZE + 1]; /* lower case with the port, without "*." */
    bool wildcard;                       /* hosts below `host`: one or more labels in front of it */
};

struct cors {
    bool any; /* "*": every origin, without credentials */
    size_t count;
    struct cors_origin origins[CORS_MAX_ORIGINS];
};

enum cors_verdict {
    CORS_REFUSED, /* no header: the browser keeps the answer from the page */
    CORS_ANY,     /* "*" */
    CORS_LISTED,  /* the origin is named, credentials are allowed */
};

/* Reads a comma list of "*" and "scheme://host[:port]", where the host may start with "*.". False
 * with what is accepted in `why`. */
bool cors_parse(struct cors *cors, const char *text, char *why, size_t size);

/* What an Origin header gets. Listed origins win over "*". */
enum cors_verdict cors_judge(const struct cors *cors, const char *origin);

/* Whether a list of header names asked for by a preflight can be echoed: token characters, commas
 * and blanks, at most 1024 of them. */
bool cors_header_list_valid(const char *names);

#endif
