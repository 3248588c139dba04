/* What the tests of access share: an SQLite file, one or two processes that share it, as far as
 * access is concerned, clocks that tests move, and short forms of calls. Assertions may only run on
 * the test's own thread. */
#ifndef TRIGGERS_TESTS_ACCESS_WORLD_H
#define TRIGGERS_TESTS_ACCESS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "access/access_state.h"
#include "access/managing.h"
#include "access/operator_key.h"
#include "base/budget.h"
#include "events/tenants.h"

#define SECOND_US INT64_C(1000000)
#define HOUR_US (3600 * SECOND_US)
#define DAY_US (24 * HOUR_US)
#define CORES 2

struct access_core {
    struct store *store;
    struct asks *asks;
    struct tenants *tenants;
    struct access *access;
    struct budget *budget; /* of 64 MiB; the world's */
};

struct access_world {
    char folder[32];
    char *url;
    struct access_core cores[CORES];
    struct budget budgets[CORES];
    struct arena arena;   /* of answers, until the test ends */
    struct status status; /* of the last call that failed */
    const char *field;
    int64_t next;                           /* of the last list */
    char operator_key[KEY_TEXT_LENGTH + 1]; /* in the store before the cores began */
    struct pass *operator_pass;
};

/* The first core in this mode, with the operator's key; it has read everything. */
void world_begin(struct access_world *world, enum access_mode mode);
void world_add_core(struct access_world *world, enum access_mode mode);
void world_end(struct access_world *world);

/* Sets both clocks on. */
void world_pass(int64_t microseconds);

/* Sets the clock of this machine alone, which is the store's too, on or back. */
void world_step(int64_t microseconds);

/* What the core does when so much time has passed, and waits until that is done. */
void world_look(struct access_core *core);

/* Admits a key, or none when it is NULL, from an address. The pass is released again unless `pass`
 * is not NULL. True or false as access_admit, with world->status. */
bool world_admit(struct access_world *world, struct access_core *core, const char *key,
                 const char *address, struct pass **pass);

/* A call of management to the first core with a pass, NULL: none, and every right. The answer,
 * which is NULL when it failed, with world->status. */
const void *world_manage(struct access_world *world, const void *asked, const struct pass *pass);
/* A list's page. */
const void *world_list(struct access_world *world, const void *asked, const struct pass *pass,
                       int64_t after, uint32_t limit);

/* Makes a key, of which `asked` says all but the tenant and name, and returns its text. */
const char *world_make_key(struct access_world *world, const char *tenant,
                           const Triggers__V1__CreateKeyRequest *asked);
void world_make_tenant(struct access_world *world, const char *name);

/* The id of a key's text, with a NUL. */
const char *world_id_of(struct access_world *world, const char *text);

/* A text with the id of `key`, another secret and the right checksum. */
void world_forge(const char *key, char forged[KEY_TEXT_LENGTH + 1]);

#endif
