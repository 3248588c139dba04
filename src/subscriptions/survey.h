/* How much a subscription has to do: what its ledger says, and what the store has besides. */
#ifndef TRIGGERS_SUBSCRIPTIONS_SURVEY_H
#define TRIGGERS_SUBSCRIPTIONS_SURVEY_H

#include "subscriptions/subscription.h"

struct survey {
    struct scope scope;
    const struct subscription_settings *settings;
    uint32_t max_events; /* so many are counted, of a filter; the rest is estimated */
    size_t max_bytes;    /* of payloads that are read for it */
    int64_t log_end;     /* the highest sequence; 0: it is asked for */
    /* Of the ledger. */
    bool inbox;
    int64_t scanned, oldest;
    struct ledger_figures ledger;
};

/* Takes over what the ledger says. The subscription's lock is held, unless it is nobody else's. */
void survey_begin(struct survey *survey, const struct subscription *subscription);

/* In a session that writes. */
enum store_result survey_count(const struct survey *survey, struct store_session *session,
                               struct subscription_figures *figures, struct status *status);

#endif
