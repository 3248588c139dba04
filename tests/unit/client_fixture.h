/* What the tests of the client have in common: free addresses, a core with its client, a count of
 * replies. Every function fails the test when it cannot do its work. */
#ifndef TRIGGERS_TESTS_CLIENT_FIXTURE_H
#define TRIGGERS_TESTS_CLIENT_FIXTURE_H

#include <pthread.h>
#include <stdint.h>

#include "scripted_core.h"
#include "triggers.h"

#define PATIENCE_MS 20000 /* far more than a passing test needs, sanitizers included */

struct url {
    char text[160];
};

/* An address of this machine whose port was free a moment ago. */
struct url free_url(const char *scheme);

triggers_client *open_client(const char *url, uint32_t timeout_ms, uint32_t max_in_flight);

/* With the options as they are; fails the test when it cannot be opened. */
triggers_client *open_client_with(const triggers_client_options *options);

/* As open_client, with PATIENCE_MS and that option. */
triggers_client *open_client_that(int no_retry, const char *url);

/* A core and a client of it. */
struct pair {
    struct scripted_core *core;
    triggers_client *client;
};

struct pair pair_start(const char *scheme, uint32_t timeout_ms);
void pair_stop(struct pair *pair);

extern const triggers_new_event some_event;

/* Options that make the scripted core do as its header says. */
triggers_call_options script(const char *request_id);

/* Checks a failure and frees the reply. */
void assert_failed(triggers_reply *reply, triggers_code code, const char *reason);

/* Counts of the replies that callbacks were given. */
struct tally {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t total;
    size_t ok;
    size_t cancelled;
    size_t late;
    char reason[64];        /* of the last one */
    triggers_client *again; /* each callback starts one more call on it; or NULL */
};

#define TALLY_INIT                                                                                 \
    {                                                                                              \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER                    \
    }

/* A callback; its user data is a tally. */
void tally_reply(triggers_reply *reply, void *user_data);
void tally_wait(struct tally *tally, size_t total);

#endif
