/* The table of settings. */
#include "settings.h"

#include "triggers.h"

#define TEXT(number) #number
#define TEXT_OF(macro) TEXT(macro)

static void find_bound(struct http_address *address)
{
    address->bound = host_is_bound_to_loopback(address->host) ? address->host : NULL;
}

enum config_result bridge_settings_load(struct bridge_settings *settings, int argc, char **argv)
{
    const struct config_setting table[] = {
        {"API_HOST", "api-host", "0.0.0.0", "HOST",
         "Address to listen on, or a name, with all its addresses; 0.0.0.0 is every IPv4 address, "
         "* and :: include IPv6.",
         config_text, &settings->api.host},
        {"API_PORT", "api-port", "8000", "PORT", "Port to listen on.", config_integer,
         &settings->api.port, 1, 65535},
        {"API_TLS_CERT", "api-tls-cert", NULL, "FILE",
         "PEM certificate chain; the bridge then serves HTTPS instead of HTTP, TLS 1.2 or 1.3. The "
         "files of HTTPS are read again when they change, or at SIGHUP.",
         config_text, &settings->tls_cert},
        {"API_TLS_KEY", "api-tls-key", NULL, "FILE",
         "PEM private key of the certificate, unencrypted.", config_text, &settings->tls_key},
        {"API_TLS_CLIENT_CA", "api-tls-client-ca", NULL, "FILE",
         "PEM certificates of authorities; clients must show a certificate that one of them has "
         "signed. Without it they need none.",
         config_text, &settings->tls_client_ca},
        {"CORS_ORIGINS", "cors-origins", "*", "ORIGINS",
         "Origins whose pages may call the API, separated by commas: https://app.example.com, "
         "https://*.example.com (any host below example.com), or * for all.",
         config_origins, &settings->cors},
        {"API_COMPATIBILITY", "compatibility", "off", "WITH",
         "fastapi: errors of status 422, times and an unknown status= look as in the old service; "
         "off: as /openapi.json describes them.",
         config_choice, &settings->fastapi, .choices = "off fastapi"},
        {"TRIGGERS_HOSTS", "hosts", NULL, "HOSTS",
         "Host names that are served, separated by commas: api.example.com, *.example.com, or * "
         "for all. Loopback names are always served; plain addresses are too, unless the bridge "
         "listens only on the loopback interface. Without a list: all names, or in that case "
         "loopback names.",
         config_hosts, &settings->hosts},
        {"TRIGGERS_PROXIES", "proxies", NULL, "RANGES",
         "Addresses of the proxies before the bridge, separated by commas, such as 10.0.0.0/8: "
         "from "
         "these X-Forwarded-For says where a request comes from, which keys may be restricted to. "
         "Without a list it is not read.",
         config_ranges, &settings->proxies},
        {"TRIGGERS_CORE", "core", "ws://127.0.0.1:7300/rpc", "URLS",
         "URLs of the core; several, separated by commas, share the load.", config_text,
         &settings->core},
        {"TRIGGERS_TLS_CA", "tls-ca", NULL, "FILE",
         "PEM certificates to trust, for wss and tls+tcp.", config_text, &settings->tls_ca},
        {"TRIGGERS_TLS_CERT", "tls-cert", NULL, "FILE",
         "PEM certificate to show to a core that asks for one (TRIGGERS_TLS_CLIENT_CA).",
         config_text, &settings->core_cert},
        {"TRIGGERS_TLS_KEY", "tls-key", NULL, "FILE", "PEM private key of that, unencrypted.",
         config_text, &settings->core_key},
        {"TRIGGERS_MAX_PAYLOAD", "max-payload", "262144", "BYTES",
         "Largest payload accepted, at most 10485760; the core's value must be the same.",
         config_integer, &settings->max_payload, 1, 10485760},
        {"TRIGGERS_PAYLOADS", "payloads", "portable", "RULE",
         "portable: where common JSON readers cannot take a payload, a list shows null and "
         "payload_omitted instead, and only a call for that event shows it; any: lists show it "
         "too. The core's value must be the same.",
         config_choice, &settings->payloads, .choices = "portable any"},
        {"TRIGGERS_CALL_TIMEOUT", "call-timeout", "10000", "MS",
         "Milliseconds that a call to the core may take; the core's own limit "
         "is " TEXT_OF(TRIGGERS_MAX_TRY_MS) ".",
         config_integer, &settings->call_timeout, 1, TRIGGERS_MAX_TRY_MS},
        {"TRIGGERS_BRIDGE_THREADS", "threads", "2", "COUNT", "Threads that serve HTTP.",
         config_integer, &settings->threads, 1, 64},
        {"TRIGGERS_BRIDGE_CONNECTIONS", "max-connections", "1000", "COUNT",
         "HTTP connections open at once; one more closes the one that has waited for its peer "
         "longest. At most three quarters may wait for events.",
         config_integer, &settings->max_connections, 1, 100000},
        {"TRIGGERS_BRIDGE_CALLS", "max-calls", "1024", "COUNT",
         "Calls to the core at once; further ones are answered 503.", config_integer,
         &settings->max_calls, 1, 100000},
        {"TRIGGERS_BRIDGE_MEMORY", "max-memory", "88080384", "BYTES",
         "Bytes of memory that the program may take, at least 33554432; a request that needs more "
         "waits, then is answered 503. Connections take 20 KiB each and at most three quarters in "
         "all; the default has room for 500 of them and the largest batches and pages.",
         config_integer, &settings->max_memory, 33554432, 1L << 40},
        {"TRIGGERS_BRIDGE_REQUEST_TIMEOUT", "request-timeout", "10000", "MS",
         "Milliseconds for the head of a request, for its body, and for the peer to take the "
         "answer; each 16 KiB of a body or an answer adds a second.",
         config_integer, &settings->request_timeout, 1000, 600000},
        {"TRIGGERS_BRIDGE_KEEP_ALIVE", "keep-alive", "65", "SECONDS",
         "Seconds after which an idle connection is closed. It must be more than the balancer's, "
         "often 60, so that no request meets a connection that is being closed.",
         config_integer, &settings->keep_alive, 1, 86400},
        {"TRIGGERS_BRIDGE_STOP_DELAY", "stop-delay", "0", "SECONDS",
         "Seconds after SIGTERM in which everything is still served and /ready says 503, for "
         "balancers that notice late. SIGKILL must come no earlier than 30 seconds after that.",
         config_integer, &settings->stop_delay, 0, 3600},
        {"TRIGGERS_BRIDGE_METRICS", "metrics", "auto", "WHO",
         "Who may see /metrics. open: everybody; key: who may read the metrics of the core, with "
         "its TRIGGERS_AUTH=required only with a key that has metrics:read; port: who reaches "
         "TRIGGERS_BRIDGE_MONITORING_PORT, and it is shown there alone; off: nobody; auto: open on "
         "a port of the loopback interface, else key.",
         config_choice, &settings->metrics, .choices = GUARD_CHOICES},
        {"TRIGGERS_BRIDGE_DOCS", "docs", "auto", "WHO",
         "The same for /docs, /redoc and /openapi.json, with any key. The pages themselves ask for "
         "it.",
         config_choice, &settings->docs, .choices = GUARD_CHOICES},
        {"TRIGGERS_BRIDGE_READY", "ready", "auto", "WHO",
         "The same for what /ready says of core and store; its status is for everybody unless this "
         "is off or port.",
         config_choice, &settings->ready, .choices = GUARD_CHOICES},
        {"TRIGGERS_BRIDGE_MONITORING_PORT", "monitoring-port", "0", "PORT",
         "Second port, for those three and /health alone, over HTTP also where the API has HTTPS; "
         "0: none.",
         config_integer, &settings->monitoring.port, 0, 65535},
        {"TRIGGERS_BRIDGE_MONITORING_HOST", "monitoring-host", "127.0.0.1", "HOST",
         "Address to listen on with that port, as API_HOST.", config_text,
         &settings->monitoring.host},
        CONFIG_LOG_LEVEL(&settings->log_level),
        CONFIG_LOG_FORMAT(&settings->log_format),
        CONFIG_METRICS_LOG(&settings->metrics_log),
        CONFIG_CORE_DUMPS(&settings->core_dumps),
        {0},
    };
    *settings = (struct bridge_settings){.api.setting = "API",
                                         .monitoring.setting = "TRIGGERS_BRIDGE_MONITORING"};
    enum config_result result =
        config_load("triggers-bridge",
                    "triggers-bridge serves the REST interface of triggers and passes every "
                    "call on to\ntriggersd. `triggers-bridge --probe`, a health check for "
                    "containers, asks the bridge with\nthese settings for /health and exits with "
                    "0 when it answers.",
                    table, argc, argv);
    if (result == CONFIG_LOADED) {
        find_bound(&settings->api);
        find_bound(&settings->monitoring);
    }
    return result;
}
