/* triggers-bridge: puts the parts together, runs until a signal, and takes them apart in reverse.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/process.h"
#include "base/signals.h"
#include "base/status.h"
#include "bridge.h"
#include "bridge_metrics.h"
#include "http.h"
#include "http_listen.h"

/* How long stopping may take, of the 30 seconds after which ECS kills: for requests that are still
 * arriving, for those that have arrived, and for the answers to those that were cut off. */
#define GRACE_SECONDS 28
#define RECEIVE_MS 3000
#define DRAIN_MS 20000
#define LAST_ANSWERS_MS 2000
#define SPARE_CALLS 64 /* so that the client library's limit is never reached */

/* Connections told to make room and not yet closed: at most so many, and at most a share of all. */
#define LEAVING_CONNECTIONS 64
#define LEAVING_SHARE 8

/* Descriptors besides those of connections: for the program (its output, nng, listeners, the core's
 * connections, with the files read while one is opened), and for a thread. */
#define PROGRAM_FILES 32
#define THREAD_FILES 3
#define MIN_CONNECTIONS 8

/* Of the port for monitoring: connections, and those told to make room. */
#define MONITORING_CONNECTIONS 28
#define MONITORING_LEAVING 4

#define PAYLOAD_COPIES 8

/* Free memory that each thread keeps. */
#define KEPT_MEMORY (2 << 20)

static int fail_with(const char *text, int exit_code)
{
    log_fatal(text);
    return exit_code;
}

/* Takes --probe out of the arguments; settings may come with it. */
static bool take_probe_flag(int *argc, char **argv)
{
    bool found = false;
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--probe") == 0)
            found = true;
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    *argc = kept;
    return found;
}

static int probe(const struct bridge_settings *settings)
{
    struct status status = STATUS_INIT;
    enum probe_kind kind = !settings->tls_cert       ? PROBE_HTTP
                           : settings->tls_client_ca ? PROBE_TLS
                                                     : PROBE_HTTPS;
    if (kind != PROBE_HTTP && !tls_init())
        return fail_with("there is no GnuTLS", EXIT_FAILURE);
    if (http_listen_probe(&settings->api, kind, &status))
        return EXIT_SUCCESS;
    return fail_with(status.message, EXIT_FAILURE);
}

static long limit_by_memory(const struct bridge *bridge)
{
    long asked = bridge->settings.max_connections;
    long most = memory_max_connections(&bridge->memory);
    if (asked <= most)
        return asked;
    log_warning("TRIGGERS_BRIDGE_MEMORY allows fewer connections than TRIGGERS_BRIDGE_CONNECTIONS",
                {"connections", NULL, (double)most});
    return most;
}

/* Allows as many connections as were asked for, as far as memory and descriptors suffice. */
static bool count_connections(struct bridge *bridge, struct status *status)
{
    const struct bridge_settings *settings = &bridge->settings;
    long wanted = limit_by_memory(bridge);
    struct connections *connections = &bridge->connections;
    long besides = PROGRAM_FILES + settings->threads * THREAD_FILES;
    if (settings->monitoring.port)
        besides += THREAD_FILES + MONITORING_CONNECTIONS + MONITORING_LEAVING;
    bridge->monitoring.max = MONITORING_CONNECTIONS;
    bridge->monitoring.leaving = MONITORING_LEAVING;
    long files = (long)process_raise_files((size_t)(wanted + LEAVING_CONNECTIONS + besides));
    if (!heads_init((size_t)files))
        return status_fail(status, STATUS_UNAVAILABLE, "NO_MEMORY", "out of memory");
    long left = files - besides;
    if (left < MIN_CONNECTIONS)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "TOO_FEW_FILES",
                           "%ld file descriptors (ulimit -n, LimitNOFILE) are too few: with %ld "
                           "threads there must be at least %ld",
                           files, settings->threads, besides + MIN_CONNECTIONS);
    connections->leaving =
        left / LEAVING_SHARE < LEAVING_CONNECTIONS ? left / LEAVING_SHARE : LEAVING_CONNECTIONS;
    connections->max = left - connections->leaving;
    CHECK(connections->max > 0 && wanted > 0);
    if (connections->max < wanted)
        log_warning("there are fewer file descriptors than connections may need",
                    {"limit", NULL, (double)files},
                    {"connections", NULL, (double)connections->max});
    else
        connections->max = wanted;
    return true;
}

/* Whether one payload of the largest size, as it comes and on its way to the core, leaves room. */
static bool check_memory(const struct bridge_settings *settings, struct status *status)
{
    long least = PROGRAM_MEMORY + PAYLOAD_COPIES * settings->max_payload;
    return settings->max_memory >= least ||
           status_fail(status, STATUS_INVALID_ARGUMENT, "MEMORY_TOO_SMALL",
                       "TRIGGERS_BRIDGE_MEMORY must be at least %ld with payloads of %ld bytes",
                       least, settings->max_payload);
}

static bool check_guards(const struct bridge_settings *settings, struct status *status)
{
    const char *asks = settings->metrics == GUARD_PORT ? "TRIGGERS_BRIDGE_METRICS"
                       : settings->docs == GUARD_PORT  ? "TRIGGERS_BRIDGE_DOCS"
                       : settings->ready == GUARD_PORT ? "TRIGGERS_BRIDGE_READY"
                                                       : NULL;
    return !asks || settings->monitoring.port ||
           status_fail(status, STATUS_INVALID_ARGUMENT, "NO_MONITORING_PORT",
                       "%s=port needs a port: set TRIGGERS_BRIDGE_MONITORING_PORT", asks);
}

static bool open_certificates(struct bridge *bridge, struct status *status)
{
    const struct bridge_settings *settings = &bridge->settings;
    if (settings->tls_cert && !tls_init())
        return status_fail(status, STATUS_INTERNAL, "TLS", "there is no GnuTLS");
    return certificates_open(&bridge->certificates, settings->tls_cert, settings->tls_key,
                             settings->tls_client_ca, status);
}

static bool open_client(struct bridge *bridge, char *error, size_t size)
{
    const struct bridge_settings *settings = &bridge->settings;
    triggers_client_options options = {
        .url = settings->core,
        .tls_ca_file = settings->tls_ca,
        .tls_cert_file = settings->core_cert,
        .tls_key_file = settings->core_key,
        .name = "triggers-bridge/" TRIGGERS_VERSION,
        .timeout_ms = (uint32_t)settings->call_timeout,
        .max_in_flight = (uint32_t)(settings->max_calls + settings->max_connections) + SPARE_CALLS,
        .no_retry = TRIGGERS_NO_BACKOFF, /* HTTP clients are told at once, with Retry-After */
        .memory = &bridge->memory.core,
    };
    return triggers_client_open(&bridge->client, &options, error, size) == TRIGGERS_OK;
}

/* Refuses connections, answers the requests in progress, and closes the client before
 * libmicrohttpd, which must not be stopped while a call still holds a connection. */
static void stop(struct bridge *bridge, struct http *http)
{
    CHECK(bridge->client && !atomic_load(&bridge->draining));
    http_stop_accepting(http);
    memory_close(&bridge->memory);
    atomic_store(&bridge->draining, true); /* before the answers to those that waited */
    http_end_waits(http);
    bool done = bridge_drain(bridge, &bridge->requests, RECEIVE_MS) ||
                bridge_drain(bridge, &bridge->answering, DRAIN_MS);
    if (!done)
        log_warning("not every request was answered in time");
    bridge_close_client(bridge);
    bridge_drain(bridge, &bridge->answering, LAST_ANSWERS_MS);
    http_stop(http);
}

/* Once a second. */
static void look_after(struct bridge *bridge)
{
    bridge_metrics_log(bridge);
    certificates_look(&bridge->certificates, signals_ask_reload());
    bridge_check(bridge);
}

static int serve_until_signal(struct bridge *bridge)
{
    const struct bridge_settings *settings = &bridge->settings;
    char error[256];
    struct status status = STATUS_INIT;
    if (!open_client(bridge, error, sizeof(error)))
        return fail_with(error, EXIT_MISCONFIGURED);
    struct http *http = http_start(bridge, &status);
    if (!http) {
        triggers_client_close(bridge->client);
        return fail_with(status.message, status.code == STATUS_INVALID_ARGUMENT ? EXIT_MISCONFIGURED
                                                                                : EXIT_FAILURE);
    }
    if (settings->monitoring.port)
        log_info("listening for monitoring", {"host", settings->monitoring.host},
                 {"port", NULL, (double)settings->monitoring.port});
    log_info("listening", {"host", settings->api.host}, {"port", NULL, (double)settings->api.port},
             {"core", settings->core}, {"version", TRIGGERS_VERSION},
             {"pid", NULL, (double)getpid()});
    unsigned delay = (unsigned)settings->stop_delay;
    do
        look_after(bridge);
    while (!signals_wait(delay + GRACE_SECONDS, 1));
    log_info("stopping", {"delay_s", NULL, (double)delay});
    atomic_store(&bridge->stopping, true);
    for (unsigned passed = 0; passed < delay; passed++) {
        sleep(1);
        look_after(bridge);
    }
    stop(bridge, http);
    log_info("stopped");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct bridge bridge;
    bool only_probe = take_probe_flag(&argc, argv);
    switch (bridge_settings_load(&bridge.settings, argc, argv)) {
    case CONFIG_LOADED: break;
    case CONFIG_ANSWERED: return EXIT_SUCCESS;
    case CONFIG_WRONG: return EXIT_MISCONFIGURED;
    }
    log_init("triggers-bridge", bridge.settings.log_level, bridge.settings.log_format);
    if (!bridge.settings.core_dumps)
        process_hide_memory();
    if (only_probe)
        return probe(&bridge.settings);
    signals_block();
    if (!log_start())
        return fail_with("cannot start the thread of the log: out of memory or threads",
                         EXIT_FAILURE);
    /* glibc gives memory back whenever 128 KiB are free, and takes it again for the next page. */
    mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
    bridge_init(&bridge);
    bridge_metrics_init();
    struct status status = STATUS_INIT;
    int exit_code =
        open_certificates(&bridge, &status) && check_memory(&bridge.settings, &status) &&
                check_guards(&bridge.settings, &status) && count_connections(&bridge, &status)
            ? serve_until_signal(&bridge)
            : fail_with(status.message, EXIT_MISCONFIGURED);
    bridge_fini(&bridge);
    certificates_close(&bridge.certificates);
    heads_fini();
    return exit_code;
}
