/* The files of bridge/docs, as embed.py writes them into the program. */
#ifndef TRIGGERS_BRIDGE_DOCS_H
#define TRIGGERS_BRIDGE_DOCS_H

#include <stddef.h>

struct docs_file {
    const char *content_type;
    const char *policy; /* its Content-Security-Policy; NULL: it is not a page */
    const unsigned char *bytes;
    size_t size;
};

extern const struct docs_file DOCS_OPENAPI;
extern const struct docs_file DOCS_PAGE;
extern const struct docs_file DOCS_REFERENCE;

#endif
