/* The settings of triggersd, from environment and flags. */
#ifndef TRIGGERS_DAEMON_SETTINGS_H
#define TRIGGERS_DAEMON_SETTINGS_H

#include "base/address_range.h"
#include "base/config.h"
#include "base/log.h"
#include "events/store_settings.h"
#include "sp/handshake.h"

struct core_settings {
    struct store_settings store;
    const char *listen;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_client_ca;
    struct handshake_access access; /* to WebSockets */
    int auth;                       /* enum access_mode */
    struct address_ranges bridges;
    const char *operator_key, *operator_key_file;
    long keep_acknowledged; /* seconds; 0: for ever */
    long keep_pending;      /* the same */
    long max_memory;        /* bytes that the program may take */
    long db_connections;    /* sessions with the store, all lanes together */
    enum log_level log_level;
    enum log_format log_format;
    long metrics_log; /* seconds between lines of metrics in the log; 0: none */
    int core_dumps;   /* 0: off */
};

/* See config_load. */
enum config_result core_settings_load(struct core_settings *settings, int argc, char **argv);

#endif
