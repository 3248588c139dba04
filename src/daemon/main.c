/* triggersd: puts the parts together, runs until a signal, and takes them apart in reverse. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/access.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/signals.h"
#include "daemon/core_metrics.h"
#include "daemon/given_key.h"
#include "daemon/settings.h"
#include "events/asks.h"
#include "events/backlog.h"
#include "events/core_count.h"
#include "events/notices.h"
#include "events/retention.h"
#include "events/tenants.h"
#include "events/waiters.h"
#include "net/server.h"
#include "service/access_service.h"
#include "service/event_service.h"
#include "service/health_service.h"
#include "service/recording.h"
#include "service/stats_service.h"
#include "service/subscription_service.h"
#include "subscriptions/subscriptions.h"

#define GRACE_SECONDS 28 /* for stopping; ECS kills after 30 */
#define DRAIN_MS 20000   /* part of it, for the calls in progress */

/* What the program takes besides its budget: code, threads, nng and the parameters of one batch of
 * writes; each session with the store, with its caches; and one part in MALLOC_SLACK of everything
 * for malloc's fragmentation. */
#define BASE_MEMORY ((size_t)24 << 20)
#define SESSION_MEMORY ((size_t)2 << 20)
#define MALLOC_SLACK 16
#define PARAMETER_COPIES                                                                           \
    3 /* of a payload, while it is written; BASE_MEMORY includes those of 8 MiB */

/* What a message has besides the largest payload. */
#define MESSAGE_SLACK 65536

/* Descriptors besides those of connections: for the program (its output, nng, listeners, refused
 * connections), and for a session with the store, including the files read while it is opened. */
#define PROGRAM_FILES ((size_t)24)
#define SESSION_FILES ((size_t)4)
#define MIN_CONNECTIONS ((size_t)8)

struct daemon {
    struct core_settings settings;
    struct given_key operator_key;
    struct server_config server_config;
    struct budget budget;
    struct store *store;
    struct tenants *tenants;
    struct writer *writer;
    struct readers *readers;
    struct waiters *waiters;
    struct notices *notices; /* NULL: the store has none */
    struct retention *retention;
    struct asks *asks;
    struct core_count cores;
    struct access *access;
    struct subscriptions *subscriptions;
    struct event_service events;
    struct health_service health;
    struct stats_service stats;
    struct subscription_service subscription_calls;
    struct access_service access_calls;
    struct metrics *metrics;
    struct backlog backlog;
    ProtobufCService *services[6];
    struct dispatcher dispatcher;
    struct server *server;
};

static int fail_with(const struct status *status, int exit_code)
{
    log_fatal(status->message);
    return exit_code;
}

/* Besides those that are counted in TRIGGERS_DB_CONNECTIONS. */
#define LEDGER_SESSIONS 1

/* One session writes, since events are stored one after the other in any case and a writer that
 * finds everything queued makes larger batches; one reads by id; the others list. */
#define WRITE_SESSIONS 1

static unsigned list_sessions(const struct daemon *daemon)
{
    unsigned others = 1 + WRITE_SESSIONS;
    CHECK((unsigned)daemon->settings.db_connections > others);
    return (unsigned)daemon->settings.db_connections - others;
}

/* Events were committed: who waits for them here, and the other cores, are told. */
static void on_committed(void *context, struct scope scope, const struct store_event *const *events,
                         size_t count)
{
    struct daemon *daemon = context;
    int64_t last = 0;
    for (size_t i = 0; i < count; i++)
        last = events[i]->sequence > last ? events[i]->sequence : last;
    waiters_note(daemon->waiters, scope, events, count);
    if (daemon->notices)
        notices_tell(daemon->notices, scope.tenant, last);
}

/* Another core has committed events, without a notice perhaps, or tells of itself. */
static void on_heard(void *context, const struct store_notice *notice)
{
    struct daemon *daemon = context;
    if (notice && notice->tenant == CORE_COUNT_TENANT)
        core_count_hear(&daemon->cores, notice->last, clock_monotonic_ms());
    else if (notice)
        waiters_hear(daemon->waiters, notice->tenant, notice->last);
    else
        waiters_look(daemon->waiters);
    if (notice && notice->tenant != CORE_COUNT_TENANT)
        caps_hear(tenants_caps(daemon->tenants), notice->tenant, notice->last);
}

/* As Health and the log have them. */
static const char *const AUTH_NAMES[] = {
    [ACCESS_OFF] = "off", [ACCESS_OPTIONAL] = "optional", [ACCESS_REQUIRED] = "required"};

static enum access_mode mode_of(const struct daemon *daemon)
{
    return (enum access_mode)daemon->settings.auth;
}

/* Also who is told by the writer: waiters and notices. */
static bool open_readers(struct daemon *daemon)
{
    daemon->readers = readers_open(daemon->store, list_sessions(daemon));
    daemon->waiters = daemon->readers ? waiters_open(daemon->readers) : NULL;
    if (daemon->waiters && notices_are_possible(daemon->store))
        daemon->notices = notices_open(daemon->store, on_heard, daemon);
    return daemon->waiters && (daemon->notices || !notices_are_possible(daemon->store));
}

/* Opens the lanes and waits for their first try. A store that is unavailable is waited for while
 * serving; one that a person must mend ends the start. */
static bool open_lanes(struct daemon *daemon, struct status *status)
{
    core_count_init(&daemon->cores);
    daemon->tenants = tenants_open(daemon->settings.keep_acknowledged * 1000000,
                                   daemon->settings.keep_pending * 1000000);
    if (daemon->tenants && open_readers(daemon))
        daemon->writer = writer_open(daemon->store, WRITE_SESSIONS, on_committed, daemon);
    if (daemon->writer)
        writer_count_for(daemon->writer, tenants_caps(daemon->tenants));
    if (daemon->writer)
        daemon->asks = asks_open(daemon->store, LEDGER_SESSIONS);
    if (daemon->asks)
        daemon->access = access_open(daemon->asks, daemon->tenants, &daemon->cores, &daemon->budget,
                                     mode_of(daemon));
    if (daemon->access)
        daemon->subscriptions = subscriptions_open(daemon->store, daemon->writer, daemon->waiters,
                                                   daemon->asks, daemon->tenants);
    if (!daemon->subscriptions)
        return status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY",
                           "cannot start the store's workers: out of memory or threads");
    struct lane *lanes[] = {writer_lane(daemon->writer), readers_get_lane(daemon->readers),
                            readers_list_lane(daemon->readers), asks_lane(daemon->asks)};
    for (size_t i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++) {
        if (lane_await_first_try(lanes[i], status) == STORE_FATAL)
            return false;
    }
    return true;
}

static size_t max_message(const struct core_settings *settings)
{
    size_t one_event = (size_t)settings->store.max_payload + MESSAGE_SLACK;
    return one_event > RPC_MAX_MESSAGE ? one_event : RPC_MAX_MESSAGE;
}

/* Called when the lanes are open. */
static bool open_retention(struct daemon *daemon, struct status *status)
{
    daemon->retention = retention_open(daemon->writer, daemon->asks, daemon->tenants);
    return daemon->retention ||
           status_fail(status, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY",
                       "cannot start the removal of old events: out of memory or threads");
}

static bool admit(void *context, struct call *call, const char *authorization, size_t size,
                  struct status *status)
{
    return access_admit(context, (struct slice){authorization, size}, call->address, &call->pass,
                        &call->scope, status);
}

/* What it was about is not known, as the body is not read. */
static void note_refused_call(void *context, const struct call *call)
{
    recording_note(context, call, "", STATUS_PERMISSION_DENIED);
}

static void warn_of_open_doors(const struct daemon *daemon)
{
    if (mode_of(daemon) == ACCESS_REQUIRED || listen_is_local(&daemon->server_config.listen))
        return;
    log_warning("whoever reaches the addresses that are listened on may read and change events "
                "without a key; TRIGGERS_AUTH=required asks for one",
                {"auth", AUTH_NAMES[mode_of(daemon)]});
}

static bool start(struct daemon *daemon, struct status *status)
{
    if (!open_lanes(daemon, status) || !open_retention(daemon, status) ||
        !given_key_add(&daemon->operator_key, daemon->asks, status))
        return false;
    struct payload_rules payloads = store_settings_payload_rules(&daemon->settings.store);
    event_service_init(&daemon->events, daemon->writer, daemon->readers, daemon->waiters,
                       daemon->access, &payloads);
    struct lane *const lanes[HEALTH_LANES] = {
        writer_lane(daemon->writer), readers_get_lane(daemon->readers),
        readers_list_lane(daemon->readers), asks_lane(daemon->asks)};
    health_service_init(&daemon->health, lanes, daemon->access, daemon->store->driver->name,
                        AUTH_NAMES[mode_of(daemon)]);
    daemon->services[0] = &daemon->events.base.base;
    daemon->services[1] = &daemon->health.base.base;
    daemon->metrics = core_metrics_init(daemon->store->driver->name);
    stats_service_init(&daemon->stats, daemon->metrics);
    daemon->services[2] = &daemon->stats.base.base;
    subscription_service_init(&daemon->subscription_calls, daemon->subscriptions, daemon->access);
    daemon->services[3] = &daemon->subscription_calls.base.base;
    access_service_init(&daemon->access_calls, daemon->access);
    daemon->services[4] = &daemon->access_calls.base.base;
    dispatcher_init(&daemon->dispatcher, daemon->services);
    daemon->dispatcher.max_message = max_message(&daemon->settings);
    if (mode_of(daemon) != ACCESS_OFF) {
        daemon->dispatcher.admit = admit;
        daemon->dispatcher.refused = note_refused_call;
        daemon->dispatcher.admit_context = daemon->access;
        access_look(daemon->access); /* what it reads is there when the first call comes, perhaps */
    }
    warn_of_open_doors(daemon);
    return server_start(&daemon->server_config, &daemon->dispatcher, &daemon->server, status);
}

/* Only limits need to know how many cores there are. */
static void tell_of_this_core(struct daemon *daemon)
{
    if (mode_of(daemon) != ACCESS_OFF && daemon->notices &&
        core_count_look(&daemon->cores, clock_monotonic_ms()))
        notices_tell(daemon->notices, CORE_COUNT_TENANT, daemon->cores.id);
}

/* Serves until a signal. */
static void serve(struct daemon *daemon)
{
    do {
        backlog_ask(&daemon->backlog, daemon->readers, daemon->tenants);
        waiters_look(daemon->waiters);
        access_look(daemon->access);
        tell_of_this_core(daemon);
        given_key_look(&daemon->operator_key, daemon->asks);
        server_note_memory(daemon->server);
        server_look_at_certificates(daemon->server, signals_ask_reload());
        metrics_log(daemon->metrics, daemon->settings.metrics_log);
    } while (!signals_wait(GRACE_SECONDS, 1));
}

/* Refuses new calls, answers those in progress, and takes the parts apart. */
static void stop(struct daemon *daemon)
{
    if (daemon->server) {
        atomic_store(&daemon->dispatcher.stopping, true);
        lane_stop(writer_lane(daemon->writer));
        lane_stop(readers_get_lane(daemon->readers));
        lane_stop(readers_list_lane(daemon->readers));
        lane_stop(asks_lane(daemon->asks));
        if (!server_drain(daemon->server, DRAIN_MS))
            log_warning("not every call was answered in time");
    }
    retention_close(daemon->retention);
    if (daemon->subscriptions)
        subscriptions_stop(daemon->subscriptions);
    /* The lanes answer what they hold, so they end before the server does. */
    notices_close(daemon->notices);
    if (daemon->waiters)
        waiters_stop(daemon->waiters);
    readers_close(daemon->readers);
    writer_close(daemon->writer);
    asks_close(daemon->asks);
    subscriptions_close(daemon->subscriptions);
    if (daemon->server)
        server_stop(daemon->server);
    access_close(daemon->access);
    core_count_fini(&daemon->cores);
    waiters_close(daemon->waiters);
    tenants_close(daemon->tenants);
    daemon->store->driver->close(daemon->store);
}

/* Freed memory goes back to the system at once. */
static void tune_malloc(void)
{
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
}

/* Whether there is enough left for callers. */
static bool make_budget(struct daemon *daemon, struct status *status)
{
    size_t sessions = (size_t)daemon->settings.db_connections + LEDGER_SESSIONS;
    size_t message = max_message(&daemon->settings);
    size_t besides = BASE_MEMORY + SERVER_MEMORY + sessions * SESSION_MEMORY;
    besides += PARAMETER_COPIES * (message - RPC_MAX_MESSAGE);
    size_t least = message / 4 * 15; /* one message, as received and decoded */
    size_t all = (size_t)daemon->settings.max_memory / MALLOC_SLACK * (MALLOC_SLACK - 1);
    daemon->budget.ceiling = all > besides ? all - besides : 0;
    return daemon->budget.ceiling >= least ||
           status_fail(status, STATUS_INVALID_ARGUMENT, "MEMORY_TOO_SMALL",
                       "TRIGGERS_MAX_MEMORY must be at least %2$zu with %1$zu sessions with the "
                       "store and payloads of %3$ld bytes",
                       sessions, (besides + least) / (MALLOC_SLACK - 1) * MALLOC_SLACK,
                       daemon->settings.store.max_payload);
}

/* Allows as many connections as there are descriptors left. */
static bool count_connections(struct daemon *daemon, struct status *status)
{
    size_t files = process_raise_files(SIZE_MAX);
    size_t sessions = (size_t)daemon->settings.db_connections + LEDGER_SESSIONS;
    size_t besides = PROGRAM_FILES + (sessions + 1) * SESSION_FILES; /* one for notices */
    daemon->server_config.max_connections = files > besides ? files - besides : 0;
    return daemon->server_config.max_connections >= MIN_CONNECTIONS ||
           status_fail(status, STATUS_INVALID_ARGUMENT, "TOO_FEW_FILES",
                       "%zu file descriptors (ulimit -n, LimitNOFILE) are too few: with %zu "
                       "sessions with the store there must be at least %zu",
                       files, sessions, besides + MIN_CONNECTIONS);
}

/* Blocks go from the log when what is acknowledged in them is old enough, and only then what is
 * pending, too. */
static bool check_retention(const struct core_settings *settings, struct status *status)
{
    return settings->keep_pending == 0 ||
           (settings->keep_acknowledged > 0 &&
            settings->keep_pending >= settings->keep_acknowledged) ||
           status_fail(
               status, STATUS_INVALID_ARGUMENT, "RETENTION_INVALID",
               "TRIGGERS_KEEP_PENDING needs TRIGGERS_KEEP_ACKNOWLEDGED and must be at least "
               "as long");
}

/* Its text does not stay in the settings. */
static bool take_operator_key(struct daemon *daemon, struct status *status)
{
    char *text = (char *)daemon->settings.operator_key;
    bool taken =
        given_key_read(&daemon->operator_key, text, daemon->settings.operator_key_file, status);
    if (text)
        explicit_bzero(text, strlen(text));
    return taken;
}

/* Whether a connection from there is of a bridge. */
static bool is_bridge(void *context, const char *address)
{
    uint8_t bytes[16];
    const struct daemon *daemon = context;
    return address_parse(address, bytes) && address_ranges_have(&daemon->settings.bridges, bytes);
}

static bool check(struct daemon *daemon, struct status *status)
{
    daemon->server_config = (struct server_config){
        .listen = {.urls = daemon->settings.listen,
                   .tls_cert = daemon->settings.tls_cert,
                   .tls_key = daemon->settings.tls_key,
                   .tls_client_ca = daemon->settings.tls_client_ca,
                   .access = &daemon->settings.access},
        .budget = &daemon->budget,
        .is_bridge = is_bridge,
        .bridge_context = daemon,
    };
    return check_retention(&daemon->settings, status) && take_operator_key(daemon, status) &&
           make_budget(daemon, status) && count_connections(daemon, status) &&
           listen_check(&daemon->server_config.listen, status) &&
           store_open(daemon->settings.store.database_url, &daemon->store, status);
}

int main(int argc, char **argv)
{
    static struct daemon daemon;
    struct status status = STATUS_INIT;
    switch (core_settings_load(&daemon.settings, argc, argv)) {
    case CONFIG_LOADED: break;
    case CONFIG_ANSWERED: return EXIT_SUCCESS;
    case CONFIG_WRONG: return EXIT_MISCONFIGURED;
    }
    log_init("triggersd", daemon.settings.log_level, daemon.settings.log_format);
    if (!daemon.settings.core_dumps)
        process_hide_memory();
    signals_block();
    tune_malloc();
    if (!log_start()) {
        log_fatal("cannot start the thread of the log: out of memory or threads");
        return EXIT_FAILURE;
    }
    if (!check(&daemon, &status))
        return fail_with(&status, EXIT_MISCONFIGURED);
    log_info("starting", {"version", TRIGGERS_VERSION}, {"store", daemon.store->description},
             {"pid", NULL, (double)getpid()});
    bool started = start(&daemon, &status);
    if (started) {
        log_info("ready");
        serve(&daemon);
        log_info("stopping");
    }
    stop(&daemon);
    if (!started)
        return fail_with(&status, EXIT_FAILURE);
    log_info("stopped");
    return EXIT_SUCCESS;
}
