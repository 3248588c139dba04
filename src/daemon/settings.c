/* The table of settings. */
#include "daemon/settings.h"

#include "events/rules.h"

enum config_result settings_load(struct settings *settings, int argc, char **argv)
{
    const struct config_setting table[] = {
        {"DATABASE_URL", "database-url", "sqlite:///triggers.db", "URL",
         "Where events are kept: sqlite:///relative/path, sqlite:////absolute/path or "
         "postgresql://user@host/database.",
         config_text, &settings->database_url, .secret = true},
        {"TRIGGERS_LISTEN", "listen", "ws://127.0.0.1:7300/rpc", "URLS",
         "URLs to serve on, separated by commas: ws, wss, tcp, tls+tcp, ipc.", config_text,
         &settings->listen},
        {"TRIGGERS_TLS_CERT", "tls-cert", NULL, "FILE",
         "PEM certificate chain for wss and tls+tcp.", config_text, &settings->tls_cert},
        {"TRIGGERS_TLS_KEY", "tls-key", NULL, "FILE", "PEM private key of the certificate.",
         config_text, &settings->tls_key},
        {"TRIGGERS_ORIGINS", "origins", NULL, "ORIGINS",
         "Origins whose pages may connect from a browser, separated by commas:\n"
         "      https://app.example.com, https://*.example.com; without, none may.",
         config_origins, &settings->access.origins},
        {"TRIGGERS_HOSTS", "hosts", NULL, "HOSTS",
         "Host names by which WebSockets are served, separated by commas: core.example.com,\n"
         "      *.example.com, or * for all. Without: all, but localhost alone on the loopback\n"
         "      interface.",
         config_hosts, &settings->access.hosts},
        {"TRIGGERS_MAX_MEMORY", "max-memory", "117440512", "BYTES",
         "Most memory that the program may take, at least 88080384.", config_integer,
         &settings->max_memory, 88080384, 1L << 40},
        {"TRIGGERS_MAX_PAYLOAD", "max-payload", "262144", "BYTES",
         "Largest payload accepted, at most 10485760.", config_integer, &settings->max_payload, 1,
         EVENT_MAX_PAYLOAD},
        {"TRIGGERS_PAYLOADS", "payloads", "portable", "RULE",
         "portable: refuse payloads that common JSON readers cannot take, which are nested over\n"
         "      64 deep or have half of a surrogate pair; any: take them.",
         config_choice, &settings->payloads, .choices = "portable any"},
        {"TRIGGERS_DB_CONNECTIONS", "db-connections", "4", "COUNT",
         "Sessions with the store: a quarter write, one reads by id, the others list.",
         config_integer, &settings->db_connections, 3, 64},
        {"TRIGGERS_IMPORT_FROM", "import-from", NULL, "URL",
         "Import the events of the service that this one replaces, from its PostgreSQL or SQLite "
         "database, and end.",
         config_text, &settings->import_from, .secret = true},
        {"LOG_LEVEL", "log-level", "info", "LEVEL", "debug, info, warning or error.",
         config_log_level, &settings->log_level},
        {"LOG_FORMAT", "log-format", "auto", "FORMAT",
         "text, json, or auto: text on a terminal, JSON otherwise.", config_log_format,
         &settings->log_format},
        {"TRIGGERS_METRICS_LOG", "metrics-log", "0", "SECONDS",
         "Log the metrics this often, in CloudWatch's embedded metric format; 0: never.",
         config_integer, &settings->metrics_log, 0, 3600},
        {"TRIGGERS_CORE_DUMPS", "core-dumps", "off", "WHEN",
         "on: a crash may leave a core dump, with passwords and events in it, and debuggers of "
         "this "
         "user may attach; off: neither.",
         config_choice, &settings->core_dumps, .choices = "off on"},
        {0},
    };
    *settings = (struct settings){0};
    return config_load("triggersd",
                       "triggersd is the core of triggers: it keeps events in PostgreSQL or SQLite "
                       "and serves\nthem as protobuf messages over nng sockets.",
                       table, argc, argv);
}

struct payload_rules settings_payload_rules(const struct settings *settings)
{
    return (struct payload_rules){.max_size = (size_t)settings->max_payload,
                                  .any = settings->payloads == 1};
}
