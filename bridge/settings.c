/* The table of settings. */
#include "settings.h"

enum config_result settings_load(struct settings *settings, int argc, char **argv)
{
    const struct config_setting table[] = {
        {"API_HOST", "api-host", "0.0.0.0", "HOST",
         "Address to listen on, or a name for all of its addresses; 0.0.0.0 is every IPv4 address, "
         "* and :: are the IPv6 ones too.",
         config_text, &settings->host},
        {"API_PORT", "api-port", "8000", "PORT", "Port to listen on.", config_integer,
         &settings->port, 1, 65535},
        {"CORS_ORIGINS", "cors-origins", "*", "ORIGINS",
         "Origins whose pages may call, separated by commas: https://app.example.com, "
         "https://*.example.com (any host below example.com), or * for all.",
         config_origins, &settings->cors},
        {"API_COMPATIBILITY", "compatibility", "off", "WITH",
         "fastapi: errors of status 422, times and an unknown status= are answered as the old "
         "service answered them; off: as /openapi.json describes them.",
         config_choice, &settings->fastapi, .choices = "off fastapi"},
        {"TRIGGERS_HOSTS", "hosts", NULL, "HOSTS",
         "Host names that are served, separated by commas: api.example.com, *.example.com, or * "
         "for all. Plain addresses are served too, but not on the loopback interface, which always "
         "serves its own names. Without a list: all names, on the loopback interface its own "
         "alone.",
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
         "portable: a page shows a payload that common JSON readers cannot take as null, with "
         "payload_omitted, and its event alone shows it as it is; any: both show it. The same as "
         "the core's.",
         config_choice, &settings->payloads, .choices = "portable any"},
        {"TRIGGERS_CALL_TIMEOUT", "call-timeout", "10000", "MS",
         "Milliseconds that a call to the core may take; the core's own limit is 30000.",
         config_integer, &settings->call_timeout, 1, 30000},
        {"TRIGGERS_BRIDGE_THREADS", "threads", "2", "COUNT", "Threads that serve HTTP.",
         config_integer, &settings->threads, 1, 64},
        {"TRIGGERS_BRIDGE_CONNECTIONS", "max-connections", "1000", "COUNT",
         "HTTP connections open at once; one more closes the one that has waited longest.",
         config_integer, &settings->max_connections, 1, 100000},
        {"TRIGGERS_BRIDGE_CALLS", "max-calls", "1024", "COUNT",
         "Calls to the core at once; more are answered 503.", config_integer, &settings->max_calls,
         1, 100000},
        {"TRIGGERS_BRIDGE_MEMORY", "max-memory", "88080384", "BYTES",
         "Bytes of memory that the program may take, at least 33554432; what needs more waits, "
         "then is answered 503. Connections take 20 KiB each, and three quarters of it at most; "
         "beside 500 of them the largest batches and pages fit.",
         config_integer, &settings->max_memory, 33554432, 1L << 40},
        {"TRIGGERS_BRIDGE_REQUEST_TIMEOUT", "request-timeout", "10000", "MS",
         "Milliseconds for the head of a request, for its body and for the peer to take the "
         "answer, the last two with another second for each 16 KiB.",
         config_integer, &settings->request_timeout, 1000, 600000},
        {"TRIGGERS_BRIDGE_KEEP_ALIVE", "keep-alive", "65", "SECONDS",
         "Seconds after which a silent connection is closed: more than the balancer's, which is "
         "often 60, so that it never sends a request into a connection that is being closed.",
         config_integer, &settings->keep_alive, 1, 86400},
        {"TRIGGERS_BRIDGE_STOP_DELAY", "stop-delay", "0", "SECONDS",
         "Seconds from SIGTERM on in which everything is still served and /ready says 503, for "
         "balancers that learn late. Whatever kills must wait for 30 seconds more.",
         config_integer, &settings->stop_delay, 0, 3600},
        CONFIG_LOG_LEVEL(&settings->log_level),
        CONFIG_LOG_FORMAT(&settings->log_format),
        CONFIG_METRICS_LOG(&settings->metrics_log),
        CONFIG_CORE_DUMPS(&settings->core_dumps),
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
