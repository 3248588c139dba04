/* Files of bridge/docs as embed.py writes them into the program. */
#ifndef TRIGGERS_BRIDGE_DOCS_H
#define TRIGGERS_BRIDGE_DOCS_H

#include <stddef.h>

extern const unsigned char docs_openapi_json[];
extern const size_t docs_openapi_json_size;
extern const unsigned char docs_page_html[];
extern const size_t docs_page_html_size;

#endif
