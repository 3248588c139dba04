/* What a subscription was told: its settings, and their form in the store. */
#ifndef TRIGGERS_SUBSCRIPTIONS_SETTINGS_H
#define TRIGGERS_SUBSCRIPTIONS_SETTINGS_H

#include "base/arena.h"
#include "base/buffer.h"
#include "subscriptions/ledger.h"

#define SUBSCRIPTION_NAME_MAX 63          /* bytes: [a-z0-9][a-z0-9._-]{0,62} */
#define SUBSCRIPTION_DESCRIPTION_MAX 1000 /* characters */
#define SUBSCRIPTION_LEASE_MAX 43200      /* seconds */
#define SUBSCRIPTION_ATTEMPTS_MAX 1000
#define SUBSCRIPTION_BACKOFF_MAX 43200 /* seconds */
#define SUBSCRIPTION_OUTSTANDING_MAX LEDGER_MAX_OUTSTANDING
#define SUBSCRIPTION_PATTERNS_MAX 100 /* sources of the filter, and types */

/* The built-in subscription, which every tenant has. It is created when it is first used, from the
 * beginning of the log, acknowledges in the inbox, and what is acknowledged there is not given out.
 * It has no filter, and cannot be removed. */
#define SUBSCRIPTION_INBOX "inbox"

struct subscription_settings {
    struct slice description;
    struct store_filter filter; /* sources and types; no times */
    uint32_t lease_seconds;     /* 1 to SUBSCRIPTION_LEASE_MAX; 30 */
    uint32_t max_attempts;      /* 0: no end; to SUBSCRIPTION_ATTEMPTS_MAX; 10 */
    uint32_t backoff_minimum;   /* seconds, 0 to SUBSCRIPTION_BACKOFF_MAX; 1 */
    uint32_t backoff_maximum;   /* seconds, at least the minimum; 600 */
    uint32_t max_outstanding;   /* 1 to SUBSCRIPTION_OUTSTANDING_MAX; 10000 */
    bool acknowledges_in_inbox;
    bool paused;
    bool by_key;         /* one event of an ordering key is out at a time; for ever */
    bool blocks_by_dead; /* by key: a dead letter blocks its key until it is revived or removed */
    uint8_t key[16];     /* of its ack ids; random, for ever */
};

/* The defaults, with a new key. */
struct subscription_settings subscription_settings_new(void);

bool subscription_name_is_valid(struct slice name);

/* Why there is none of a name that is valid. */
void subscription_name_not_found(const char *name, struct status *status);

void subscription_settings_encode(const struct subscription_settings *settings,
                                  struct buffer *bytes);
/* Texts are copied to the arena. False when they are not ours, of a newer version, or there is no
 * memory, as the arena remembers. Unknown later fields are passed over. */
bool subscription_settings_decode(struct slice bytes, struct arena *arena,
                                  struct subscription_settings *settings) MUST_CHECK;

/* How long an event waits after its attempt number `attempts` failed, in microseconds: the minimum,
 * doubled with every attempt up to the maximum, up to a fifth more or less, which depends on the
 * sequence and the attempt alone. */
int64_t subscription_backoff_us(const struct subscription_settings *settings, int64_t sequence,
                                uint32_t attempts);

/* A ledger_next: out with attempts left: due_us and the back-off; else due_us. */
int64_t subscription_next_us(const void *settings, const struct lease *lease);

#endif
