/* PostgreSQL URIs as libpq reads them, and libpq's messages. */
#ifndef TRIGGERS_STORE_POSTGRES_URI_H
#define TRIGGERS_STORE_POSTGRES_URI_H

#include <libpq-fe.h>

#include "base/status.h"

/* The URI as libpq parses it, checked; NULL when it is not valid, with `status` filled, which names
 * the setting that it came from. Free with PQconninfoFree. */
PQconninfoOption *postgres_uri_parse(const char *uri, const char *setting, struct status *status);

/* "host:port/database", without user and password; malloc'd, NULL without memory. */
char *postgres_uri_describe(const PQconninfoOption *options);

/* How many hosts are named; at least 1. */
int postgres_uri_host_count(const PQconninfoOption *options);

/* Copies libpq's text to `line` without line breaks. */
void postgres_one_line(const char *text, char *line, size_t size);

#endif
