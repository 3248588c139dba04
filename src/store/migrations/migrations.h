/* The SQL that brings a store's schema from one version to the next, embedded at build time from
 * the numbered files beside this one. A published file is never changed; each change is a new file.
 */
#ifndef TRIGGERS_STORE_MIGRATIONS_H
#define TRIGGERS_STORE_MIGRATIONS_H

#include <stddef.h>

struct migration {
    int version;     /* 1, 2, 3, … */
    const char *sql; /* several statements, run in one transaction; NULL ends the array */
};

extern const struct migration SQLITE_MIGRATIONS[];
extern const struct migration POSTGRES_MIGRATIONS[];

#endif
