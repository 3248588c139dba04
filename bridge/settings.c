/* The table of settings. */
#include "settings.h"

enum config_result settings_load(struct settings *settings, int argc, char **argv)
{
    const struct config_setting table[] = {
        {"API_HOST", "api-host", "0.0.0.0", "HOST",
         "Address to listen on, or a name for all of its addresses; 0.0.0.0: every IPv4 address;\n"
         "      * or ::: IPv6 too.",
         config_text, &settings->host},
        {"API_PORT", "api-port", "8000", "PORT", "Port to listen on.", config_integer,
         &settings->port, 1, 65535},
        {"CORS_ORIGINS", "cors-origins", "*", "ORIGINS",
         "Origins whose pages may call, separated by commas: https://app.example.com,\n"
         "      https://*.example.com (any host below example.com), or * for all.",
         config_origins, &settings->cors},
        {"API_COMPATIBILITY", "compatibility", "off", "WITH",
         "fastapi: 422 and times as the service before answered them, and an empty page for an\n"
         "      unknown status; off: as the description of the interface has it.",
         config_choice, &settings->fastapi, .choices = "off fastapi"},
        {"TRIGGERS_HOSTS", "hosts", NULL, "HOSTS",
         "Host names that are served, separated by commas: api.example.com, *.example.com, or *\n"
         "      for all. Without: all, but localhost alone where API_HOST is of the loopback\n"
         "      interface.",
         config_hosts, &settings->hosts},
        {"TRIGGERS_CORE", "core", "ws://127.0.0.1:7300/rpc", "URLS",
         "URLs of the core; several, separated by commas, spread the load.", config_text,
         &settings->core},
        {"TRIGGERS_TLS_CA", "tls-ca", NULL, "FILE",
         "PEM certificates to trust, for wss and tls+tcp.", config_text, &settings->tls_ca},
        {"TRIGGERS_MAX_PAYLOAD", "max-payload", "262144", "BYTES",
         "Largest payload accepted, at most 10485760; the same as the core's.", config_integer,
         &settings->max_payload, 1, 10485760},
        {"TRIGGERS_PAYLOADS", "payloads", "portable", "RULE",
         "portable: pages leave out payloads that common JSON readers cannot take; any: they do\n"
         "      not; the same as the core's.",
         config_choice, &settings->payloads, .choices = "portable any"},
        {"TRIGGERS_CALL_TIMEOUT", "call-timeout", "10000", "MS",
         "Deadline of a call to the core, in milliseconds; the core's own limit is 30000.",
         config_integer, &settings->call_timeout, 1, 30000},
        {"TRIGGERS_BRIDGE_THREADS", "threads", "2", "COUNT", "Threads that serve HTTP.",
         config_integer, &settings->threads, 1, 64},
        {"TRIGGERS_BRIDGE_CONNECTIONS", "max-connections", "1000", "COUNT",
         "HTTP connections open at once; one more closes the one that has waited longest.",
         config_integer, &settings->max_connections, 1, 100000},
        {"TRIGGERS_BRIDGE_CALLS", "max-calls", "1024", "COUNT",
         "Calls with the core at once; more are answered 503.", config_integer,
         &settings->max_calls, 1, 100000},
        {"TRIGGERS_BRIDGE_MEMORY", "max-memory", "88080384", "BYTES",
         "Memory of the whole program; what needs more waits or is answered 503.", config_integer,
         &settings->max_memory, 33554432, 1L << 40},
        {"TRIGGERS_BRIDGE_REQUEST_TIMEOUT", "request-timeout", "10000", "MS",
         "Time for the head of a request, and for its body, and for the peer to take the answer,\n"
         "      each with another second for every 16 KiB.",
         config_integer, &settings->request_timeout, 1000, 600000},
        {"TRIGGERS_BRIDGE_KEEP_ALIVE", "keep-alive", "65", "SECONDS",
         "Time after which a silent connection is closed: more than the balancer's, which is 60\n"
         "      for many, so that it never sends a request into a connection that is being closed.",
         config_integer, &settings->keep_alive, 1, 86400},
        {"TRIGGERS_BRIDGE_STOP_DELAY", "stop-delay", "0", "SECONDS",
         "Time from SIGTERM on in which connections and requests are still served and /ready says\n"
         "      503, for balancers that learn late. Whatever kills must wait for 30 seconds more.",
         config_integer, &settings->stop_delay, 0, 3600},
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
    enum config_result result =
        config_load("triggers-bridge",
                    "triggers-bridge serves the REST interface of triggers and passes every "
                    "call on to\ntriggersd. `triggers-bridge --probe` asks the bridge that "
                    "these settings describe for\n/health and exits with 0 when it answers: a "
                    "health check for containers.",
                    table, argc, argv);
    if (result == CONFIG_LOADED && host_is_bound_to_loopback(settings->host))
        settings->bound = settings->host;
    return result;
}
