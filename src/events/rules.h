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
#define EVENT_MAX_PAYLOAD (10u << 20)   /* the highest value of the payload limit */

/* Trims Unicode white space and lower-cases (full Unicode mapping, as the service that this one
 * replaces did); the result, which is stored, has 1 to 255 characters. `text` is valid UTF-8. `out`
 * lies in the arena. When it is false, `description` says what is accepted; NULL: there was no
 * memory, as the arena remembers. */
bool rule_name(const char *text, struct arena *arena, struct slice *out, const char **description);

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

/* An opaque page token: where a list continues, bound to its status and order. */
#define PAGE_TOKEN_SIZE 53 /* characters with the NUL */
void page_token_format(const struct store_list *list, const struct store_position *last,
                       char token[PAGE_TOKEN_SIZE]);
/* Fills has_after and after of `list`, whose status and order are set. False when the token is not
 * one of ours or belongs to a list with another status or order. */
bool page_token_parse(const char *token, struct store_list *list);

#endif
