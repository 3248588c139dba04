/* Settings of the programs that open the store themselves, each written once. */
#ifndef TRIGGERS_EVENTS_STORE_SETTINGS_H
#define TRIGGERS_EVENTS_STORE_SETTINGS_H

#include "base/config.h"
#include "events/rules.h"

struct store_settings {
    const char *database_url;
    long max_payload; /* bytes */
    int payloads;     /* 1: any */
};

/* Rows of a program's table, see config_load; `store` is a pointer to its struct store_settings. */
#define STORE_SETTING_DATABASE_URL(store)                                                          \
    {                                                                                              \
        "DATABASE_URL", "database-url", "sqlite:///triggers.db", "URL",                            \
            "Where events are kept: sqlite:///relative/path, sqlite:////absolute/path or "         \
            "postgresql://user@host/database, with several hosts too; also postgres:// and "       \
            "postgresql+driver:// with the options of that SQLAlchemy driver, such as "            \
            "?ssl=require.",                                                                       \
            config_text, &(store)->database_url, .secret = true                                    \
    }
#define STORE_SETTING_MAX_PAYLOAD(store)                                                           \
    {                                                                                              \
        "TRIGGERS_MAX_PAYLOAD", "max-payload", "262144", "BYTES",                                  \
            "Largest payload accepted, at most 10485760.", config_integer, &(store)->max_payload,  \
            1, EVENT_MAX_PAYLOAD                                                                   \
    }
#define STORE_SETTING_PAYLOADS(store)                                                              \
    {                                                                                              \
        "TRIGGERS_PAYLOADS", "payloads", "portable", "RULE",                                       \
            "portable: refuse payloads that common JSON readers cannot take: nested over 64 deep " \
            "or with half of a surrogate pair (a single \\ud800); any: accept them.",              \
            config_choice, &(store)->payloads, .choices = "portable any"                           \
    }

/* The rules for payloads that these settings give. */
static inline struct payload_rules store_settings_payload_rules(const struct store_settings *store)
{
    return (struct payload_rules){.max_size = (size_t)store->max_payload,
                                  .any = store->payloads == 1};
}

#endif
