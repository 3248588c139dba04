/* The settings of triggers-bridge, from environment and flags. */
#ifndef TRIGGERS_BRIDGE_SETTINGS_H
#define TRIGGERS_BRIDGE_SETTINGS_H

#include "base/address_range.h"
#include "base/config.h"
#include "base/log.h"
#include "base/web.h"

/* Who may see what the bridge shows besides the API; the words are in this order. */
enum guard {
    GUARD_AUTO, /* open where the bridge listens only on the loopback interface, else key */
    GUARD_OPEN, /* everybody */
    GUARD_KEY,  /* who may call the core: with TRIGGERS_AUTH=required only with a key */
    GUARD_PORT, /* who reaches the port for monitoring; it is not shown on the API's */
    GUARD_OFF,  /* nobody */
};
#define GUARD_CHOICES "auto open key port off"

/* Where the bridge listens. */
struct http_address {
    const char *setting; /* what the names of the settings of host and port begin with */
    const char *host;
    long port;         /* 0: nowhere */
    const char *bound; /* see hosts_serve */
};

struct bridge_settings {
    struct http_address api;
    struct http_address monitoring; /* plain HTTP; see routes_find for what is served there */
    const char *tls_cert;           /* PEM files, for HTTPS; NULL: plain HTTP */
    const char *tls_key;
    const char *tls_client_ca; /* NULL: clients need no certificate */
    struct origins cors;       /* whose pages may call */
    struct hosts hosts;
    struct address_ranges proxies; /* see credentials_read */
    const char *core;              /* URLs, separated by commas */
    const char *tls_ca;
    const char *core_cert; /* shown to the core; NULL: none */
    const char *core_key;
    long max_payload;     /* bytes */
    int payloads;         /* 1: any */
    int fastapi;          /* 1: answers as the old service did, see hand_made.h */
    long call_timeout;    /* milliseconds */
    long threads;         /* that serve HTTP */
    long max_connections; /* open at once */
    long max_calls;       /* with the core at once */
    long max_memory;      /* bytes, of the whole program */
    long request_timeout; /* milliseconds; see pace.h */
    long keep_alive;      /* seconds */
    long stop_delay;      /* seconds from the signal to the end of accepting */
    enum log_level log_level;
    enum log_format log_format;
    long metrics_log; /* seconds between lines of metrics in the log; 0: none */
    int metrics;      /* enum guard: who may see /metrics, /docs and openapi.json, /ready */
    int docs;
    int ready;
    int core_dumps; /* 0: off */
};

/* See config_load. The settings live as long as the process. */
enum config_result bridge_settings_load(struct bridge_settings *settings, int argc, char **argv);

#endif
