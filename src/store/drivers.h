/* How store.c makes a store of each kind. */
#ifndef TRIGGERS_STORE_DRIVERS_H
#define TRIGGERS_STORE_DRIVERS_H

#include "store/store.h"

/* A store in the SQLite file at `path`. Fails only without memory. */
bool sqlite_store_new(const char *path, struct store **store, struct status *status) MUST_CHECK;

/* The path in an SQLite URL as SQLAlchemy reads it, without "+driver" and query string, malloc'd;
 * NULL when it is not such a URL or names no file, or without memory. */
char *store_sqlite_path(const char *url);

/* `url` as libpq reads it, if it is a PostgreSQL URL in one of the accepted spellings, malloc'd;
 * NULL when it is not, or without memory. */
char *store_postgres_uri(const char *url);

/* The same "postgresql://…" URI with the parameters of SQLAlchemy's drivers written as libpq reads
 * them, and several `host` as one list; malloc'd, NULL without memory. */
char *postgres_uri_translate(const char *uri);

/* A store in the PostgreSQL database that `uri` ("postgresql://…") names. Fails when libpq cannot
 * read the URI or when a part of a password seems to be in the place of another part; the text
 * quotes nothing of the URI. */
bool postgres_store_new(const char *uri, struct store **store, struct status *status) MUST_CHECK;

#endif
