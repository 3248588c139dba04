/* The table of settings. */
#include "daemon/settings.h"

#include <stdio.h>

/* In the order of enum access_mode. */
#define AUTH_MODES "off optional required"

/* Refused: scripts of operators may still pass it, and would take a core that serves for a finished
 * import. */
static bool import_moved(const struct config_setting *setting, const char *text, char *why,
                         size_t size)
{
    (void)setting;
    (void)text;
    snprintf(why, size, "triggers-import does this now; it has the same flag and variable");
    return false;
}

enum config_result core_settings_load(struct core_settings *settings, int argc, char **argv)
{
    const struct config_setting table[] = {
        STORE_SETTING_DATABASE_URL(&settings->store),
        {"TRIGGERS_LISTEN", "listen", "ws://127.0.0.1:7300/rpc", "URLS",
         "URLs to serve on, separated by commas: ws, wss, tcp, tls+tcp, ipc.", config_text,
         &settings->listen},
        {"TRIGGERS_TLS_CERT", "tls-cert", NULL, "FILE",
         "PEM certificate chain, for wss and tls+tcp. The files of TLS are read again when they "
         "change, or at SIGHUP.",
         config_text, &settings->tls_cert},
        {"TRIGGERS_TLS_KEY", "tls-key", NULL, "FILE",
         "PEM private key of the certificate, unencrypted.", config_text, &settings->tls_key},
        {"TRIGGERS_TLS_CLIENT_CA", "tls-client-ca", NULL, "FILE",
         "PEM certificates of authorities; clients must show a certificate that one of them has "
         "signed. Without it they need none.",
         config_text, &settings->tls_client_ca},
        {"TRIGGERS_ORIGINS", "origins", NULL, "ORIGINS",
         "Origins whose pages may open a WebSocket, separated by commas: https://app.example.com, "
         "https://*.example.com, or * for all. Without a list: none. Programs send no origin and "
         "always may open one.",
         config_origins, &settings->access.origins},
        {"TRIGGERS_HOSTS", "hosts", NULL, "HOSTS",
         "Host names for which WebSockets are served, separated by commas: core.example.com, "
         "*.example.com, or * for all. Loopback names are always served; plain addresses are too, "
         "unless the core listens only on the loopback interface. Without a list: all names, or "
         "in that case loopback names.",
         config_hosts, &settings->access.hosts},
        {"TRIGGERS_AUTH", "auth", "off", "MODE",
         "Whether calls need a key: off, no, and everybody has every right; optional, no, but a "
         "key that is given counts, and calls without one reach events and subscriptions of the "
         "tenant default alone; required, yes.",
         config_choice, &settings->auth, .choices = AUTH_MODES},
        {"TRIGGERS_BRIDGES", "bridges", "127.0.0.0/8,::1", "RANGES",
         "Addresses of bridges, or ranges such as 10.0.0.0/8, separated by commas: they are "
         "believed where the calls come from that they pass on, for keys that may be used from "
         "some addresses alone and for audit records. Local sockets count as 127.0.0.1.",
         config_ranges, &settings->bridges},
        {"TRIGGERS_OPERATOR_KEY_FILE", "operator-key-file", NULL, "FILE",
         "File with the text of a key, as triggers keys generate makes it, which is added with "
         "every scope and of the tenant default when it is not there.",
         config_text, &settings->operator_key_file},
        {"TRIGGERS_OPERATOR_KEY", "operator-key", NULL, "KEY",
         "The text of such a key itself, where secrets are variables. A file is better: other "
         "programs of the user can read variables.",
         config_text, &settings->operator_key, .secret = true},
        {"TRIGGERS_MAX_MEMORY", "max-memory", "117440512", "BYTES",
         "Bytes of memory that the program may take, at least 88080384; more with many sessions "
         "or large payloads.",
         config_integer, &settings->max_memory, 88080384, 1L << 40},
        STORE_SETTING_MAX_PAYLOAD(&settings->store),
        STORE_SETTING_PAYLOADS(&settings->store),
        {"TRIGGERS_KEEP_ACKNOWLEDGED", "keep-acknowledged", "forever", "DURATION",
         "How long events are kept after they were created and acknowledged, such as 12h or 30d; "
         "then they are removed, in blocks of 256, from the old end of the log. The newest few "
         "hundred events always stay.",
         config_duration, &settings->keep_acknowledged},
        {"TRIGGERS_KEEP_PENDING", "keep-pending", "forever", "DURATION",
         "The same for events that nobody has acknowledged; at least as long as "
         "TRIGGERS_KEEP_ACKNOWLEDGED, which must be set.",
         config_duration, &settings->keep_pending},
        {"TRIGGERS_DB_CONNECTIONS", "db-connections", "4", "COUNT",
         "Sessions with the store, 3 to 64: one writes, one reads by id, the others list. One more "
         "is for subscriptions and, with PostgreSQL, one for notices between cores.",
         config_integer, &settings->db_connections, 3, 64},
        {"TRIGGERS_IMPORT_FROM", "import-from", NULL, "URL", NULL, import_moved, NULL,
         .secret = true},
        CONFIG_LOG_LEVEL(&settings->log_level),
        CONFIG_LOG_FORMAT(&settings->log_format),
        CONFIG_METRICS_LOG(&settings->metrics_log),
        CONFIG_CORE_DUMPS(&settings->core_dumps),
        {0},
    };
    *settings = (struct core_settings){0};
    return config_load("triggersd",
                       "triggersd is the core of triggers: it keeps events in PostgreSQL or SQLite "
                       "and serves\nthem as protobuf messages over nng sockets.",
                       table, argc, argv);
}
