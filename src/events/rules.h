/* What makes an event acceptable: normalisation of names, checks of payloads and ids, page tokens.
 * Pure functions; any thread. */
#ifndef TRIGGERS_EVENTS_RULES_H
#define TRIGGERS_EVENTS_RULES_H

#include "base/arena.h"
#include "base/status.h"
#include "store/store.h"

#define EVENT_NAME_MAX 255 /* characters (code points) of a source, type or key */
#define EVENT_PAGE_DEFAULT 50
#define EVENT_PAGE_MAX 1000
#define EVENT_PAGE_MAX_BYTES (8u << 20) /* payload bytes of one page */
#define EVENT_MAX_DELAY_S 2678400       /* 31 days: so far ahead may a deliver_at be */
#define EVENT_MAX_PAYLOAD (10u << 20)   /* the highest value of the payload limit */

/* Trims Unicode white space and lower-cases (full Unicode mapping, as the service that this one
 * replaces did); the result, which is stored, has 1 to 255 characters. `text` is valid UTF-8. `out`
 * lies in the arena. When it is false, `description` says what is accepted; NULL: there was no
 * memory, as the arena remembers. */
bool rule_name(const char *text, struct arena *arena, struct slice *out, const char **description);

/* The same for a name in a filter, which may end in '*': then it is the beginning of a name, of at
 * most 255 characters besides the '*'. There must be no other. */
bool rule_pattern(const char *text, struct arena *arena, struct slice *out,
                  const char **description);

/* Whether an idempotency key has at most 255 characters. `key` is valid UTF-8. */
bool rule_key(const char *key);

/* What a payload may be, besides one JSON object. */
struct payload_rules {
    size_t max_size; /* bytes */
    bool any;        /* accept what not every JSON reader can take, too: see json_check_portable */
};

/* The same; `description` may lie in the arena. */
bool rule_payload(struct slice payload, const struct payload_rules *rules, struct arena *arena,
                  const char **description);

/* What the page tokens of a list are bound to: a hash of its set, order and filter. */
uint64_t page_list_of(const struct store_list *list);
#define PAGE_LIST_OF_KINDS 0
#define PAGE_LIST_OF_SUBSCRIPTIONS 1

/* An opaque page token: where the list continues, after a sequence or the number of a kind. */
#define PAGE_TOKEN_SIZE 35 /* characters with the NUL */
void page_token_format(uint64_t list, int64_t after, char token[PAGE_TOKEN_SIZE]);
/* Sets `after`, which is at least 1. False when the token is not one of ours or of another list. */
bool page_token_parse(const char *token, uint64_t list, int64_t *after) MUST_CHECK;

#endif
