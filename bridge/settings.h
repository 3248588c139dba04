/* The settings of triggers-bridge, from environment and flags. */
#ifndef TRIGGERS_BRIDGE_SETTINGS_H
#define TRIGGERS_BRIDGE_SETTINGS_H

#include "base/config.h"
#include "base/log.h"
#include "base/web.h"

struct bridge_settings {
    const char *host;
    long port;
    const char *tls_cert; /* PEM files, for HTTPS; NULL: plain HTTP */
    const char *tls_key;
    const char *tls_client_ca; /* NULL: clients need no certificate */
    struct origins cors;       /* whose pages may call */
    struct hosts hosts;
    const char *bound; /* see hosts_serve */
    const char *core;  /* URLs, separated by commas */
    const char *tls_ca;
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
    int core_dumps;   /* 0: off */
};

/* See config_load. The settings live as long as the process. */
enum config_result bridge_settings_load(struct bridge_settings *settings, int argc, char **argv);

#endif
