/* libmicrohttpd calls on_request first with the headers, then for each piece of the body, then for
 * the answer, and again after a resume. An answer given on the first of these calls closes the
 * connection, so refusals wait for the end of the body if that is near. */
#include "http.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accept.h"
#include "base/check.h"
#include "base/clock.h"
#include "body.h"
#include "bridge_metrics.h"
#include "handlers.h"
#include "http_listen.h"
#include "pulls.h"
#include "respond.h"
#include "routes.h"

#define LISTENERS_MAX (ACCEPT_LISTENERS_MAX / 2) /* of one address */
#define LIMITED_MS 100                           /* the longest that a refusal for a limit waits */

struct http {
    struct acceptor acceptor;
    size_t loop_count;
    struct loop loops[]; /* the API's, and after them that of the port for monitoring */
};

/* Gives the answer; from now on we wait for the peer to take it. */
static enum MHD_Result give_answer(struct request *request)
{
    struct pace *pace = &request->peer->pace;
    CHECK(request->answer.status);
    request_use_reserved(request, 0);
    atomic_store(&pace->held, request->charge.held);
    bool queued = respond(request);
    pace_begin(pace, PACE_ANSWER);
    return queued ? MHD_YES : MHD_NO;
}

static enum MHD_Result note_header(void *headers, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    (void)kind;
    headers_note(headers, name, value);
    return MHD_YES;
}

static enum MHD_Result begin(struct bridge *bridge, struct MHD_Connection *connection,
                             const char *url, const char *method, const char *version,
                             void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct connection *peer = connection_cast(info->socket_context);
    CHECK(peer->http == connection);
    struct headers headers = {0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, note_header, &headers);
    struct request *request = request_new(bridge, peer, &headers, method, url);
    if (!request)
        return MHD_NO;
    bridge_metrics_note_begun();
    *context = request;
    const struct problem *refused = *method == HEAD_CUT ? request->peer->head.refused : NULL;
    const char *error = headers_framing_error(&request->headers, version);
    if (refused)
        request_fail(request, refused->status, refused->code, refused->detail);
    else if (error)
        request_fail(request, 400, "MALFORMED_REQUEST", error);
    if (request->answer.status)
        return give_answer(request);
    routes_find(request);
    if (!request->answer.status && request->route->body != BODY_UNUSED)
        body_begin(request);
    bool far = headers_content_length(&request->headers) > BODY_DISCARD_MAX;
    if (!request->answer.status && far)
        request_fail(request, 413, "BODY_TOO_LARGE", "The body is too large");
    if (request->answer.status && (far || headers_expect_continue(&request->headers)))
        return give_answer(request);
    pace_begin(&request->peer->pace, PACE_BODY);
    return MHD_YES;
}

/* Without memory an answer has no such headers. */
static void take_limits(struct answer *answer, const triggers_reply *reply)
{
    if (!reply->rate_limit[0] || answer->rate_limit)
        return;
    answer->rate_limit_policy = strdup(reply->rate_limit_policy);
    answer->rate_limit = strdup(reply->rate_limit);
}

/* How long a refusal waits: else a flood of what is refused would cost honest clients more than who
 * sends it. */
static int64_t how_late(const triggers_error *error)
{
    if (strcmp(error->reason, "TOO_MANY_WRONG_KEYS") == 0)
        return error->retry_delay_ms;
    if (strcmp(error->reason, "RATE_LIMITED") == 0)
        return error->retry_delay_ms < LIMITED_MS ? error->retry_delay_ms : LIMITED_MS;
    return 0;
}

/* Makes the answer from the reply, and releases everything else; or another call has been started.
 */
static void finish(struct request *request)
{
    CHECK(request->reply && !request->answer.status && request->route->finish);
    request_use_reserved(request, 0);
    request->route->finish(request);
    if (request->calling)
        return;
    take_limits(&request->answer, request->reply);
    request->slow_ms = how_late(&request->reply->error);
    triggers_reply_free(request->reply);
    request->reply = NULL;
    if (!request->answer.more)
        arena_fini(&request->arena);
    memory_serve(&request->bridge->memory);
}

/* Whatever ended the pause, the answer is ready. */
static void go_on(void *request, enum loop_end why)
{
    (void)request;
    (void)why;
}

/* Suspends a request whose answer is to wait. Its connection is the first to make room. False: it
 * need not wait. */
static bool slow_down(struct request *request)
{
    int64_t slow_ms = request->slow_ms;
    if (slow_ms == 0)
        return false;
    request->slow_ms = 0;
    request->calling = true;
    loop_suspend(request->peer);
    loop_watch(request->peer, go_on, request);
    loop_sleep(request->peer, slow_ms);
    connections_set_spare(request->peer->loop->connections, request->peer);
    return true;
}

/* Continues when the whole request, the reply to its call, or memory has arrived. */
static enum MHD_Result proceed(struct request *request)
{
    CHECK(request->room.state != ROOM_WAITED_FOR);
    CHECK(request->route || request->answer.status);
    loop_set_waiting(request->peer, false);
    pace_begin(&request->peer->pace, PACE_OURS);
    request->calling = false;
    if (!request->answering) {
        request->answering = true;
        bridge_enter(&request->bridge->answering);
    }
    if (request->reply) {
        memory_unfavour(&request->bridge->memory, &request->room);
        request_try_again(request);
    }
    /* When suspended, the request is not ours until we are called again. */
    if (!body_end(request))
        return MHD_YES;
    if (!request->answer.status && !request_reserve(request))
        return MHD_YES;
    if (!request->answer.status && !request->reply && !request->route->start(request))
        return MHD_YES;
    if (!request->answer.status)
        finish(request);
    if (request->calling)
        return MHD_YES;
    if (!request->answer.status)
        return MHD_NO; /* its client has hung up */
    if (slow_down(request))
        return MHD_YES;
    enum MHD_Result result = give_answer(request);
    loop_set_waiting(request->peer, true);
    return result;
}

static enum MHD_Result on_request(void *bridge, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context)
{
    if (!*context)
        return begin(bridge, connection, url, method, version, context);
    struct request *request = request_cast(*context);
    if (*upload_size == 0)
        return proceed(request);
    struct pace *pace = &request->peer->pace;
    bool waited = request->room.state != ROOM_UNASKED;
    enum body_result result = body_add(request, upload, upload_size);
    if (result == BODY_WAITS)
        return MHD_YES;
    if (waited)
        pace_begin(pace, PACE_BODY);
    atomic_store(&pace->held, request->charge.held);
    return result == BODY_CLOSES ? MHD_NO : MHD_YES;
}

/* The part of a client's text that a log line can hold. */
static const char *printable(const char *text, char *out, size_t size)
{
    size_t length = 0;
    for (; text[length] && length + 1 < size; length++)
        out[length] = text[length] >= ' ' && text[length] <= '~' ? text[length] : '?';
    out[length] = '\0';
    return out;
}

static void log_request(const struct request *request, bool answered)
{
    char method[32];
    char path[256];
    int64_t took_us = clock_monotonic_us() - request->started_us;
    log_debug("request", {"request_id", request->id}, {"trace_id", request->trace.trace_id},
              {"span_id", request->trace.span_id}, {"parent_id", request->trace.parent_id},
              {"method", printable(request->method, method, sizeof(method))},
              {"path", printable(request->path, path, sizeof(path))},
              {"status", NULL, request->answer.status}, {"ms", NULL, (double)took_us / 1000},
              {"end", answered ? "answered" : "broken off"});
}

static void on_completed(void *bridge, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how)
{
    (void)bridge;
    (void)connection;
    if (!*context)
        return;
    struct request *request = request_cast(*context);
    *context = NULL;
    if (log_enabled(LOG_DEBUG))
        log_request(request, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    int64_t took_us = request->waits ? -1 : clock_monotonic_us() - request->started_us;
    bridge_metrics_note_ended(request->route ? routes_index(request->route) : ROUTES_COUNT,
                              request->answer.status, took_us);
    pace_begin(&request->peer->pace, PACE_IDLE);
    body_drop(request);
    pulls_end(request, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    request_free(request);
}

/* Leaves percent signs alone: see url.h. */
static size_t keep_escapes(void *user_data, struct MHD_Connection *connection, char *text)
{
    (void)user_data;
    (void)connection;
    return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void log_library(void *user_data, const char *format,
                                                              va_list args)
{
    char text[256];
    (void)user_data;
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\r\n")] = '\0';
    log_debug("libmicrohttpd", {"text", text});
}

/* Later versions let other threads add connections, and therefore add none at once. */
#if MHD_VERSION >= 0x00097707
#define ONE_THREAD MHD_USE_NO_THREAD_SAFETY
#else
#define ONE_THREAD 0
#endif

/* The connection is the context of its socket. */
static void on_connection(void *loop, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    bool opened = what == MHD_CONNECTION_NOTIFY_STARTED;
    bridge_metrics_note_connection(opened);
    if (opened)
        *context = loop_connection_opened(loop, connection);
    else
        loop_connection_closed(loop, connection_cast(*context));
}

/* Not called: each session is given its certificate before its handshake, see tls.h. */
static int refuse_certificate(struct gnutls_session_int *session, const void *names, int name_count,
                              const void *algorithms, int algorithm_count, void *chain,
                              void *chain_length, void *key)
{
    (void)session, (void)names, (void)name_count, (void)algorithms, (void)algorithm_count;
    (void)chain, (void)chain_length, (void)key;
    return -1;
}

static struct MHD_Daemon *start_daemon(struct bridge *bridge, struct loop *loop,
                                       const struct connections *connections, bool https)
{
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_CONNECTION_LIMIT, connections->max + connections->leaving, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, bridge->settings.keep_alive, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL},
#if MHD_VERSION >= 0x00097701
        /* Refuses a bare LF at the end of a line, and folded lines; for older versions see heads.h.
         */
        {MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, NULL},
#endif
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem tls_options[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (char *)TLS_PRIORITIES},
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)refuse_certificate},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(
        MHD_USE_NO_LISTEN_SOCKET | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
            ONE_THREAD | (https ? MHD_USE_TLS : 0),
        0, NULL, NULL, on_request, bridge, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, loop, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_ARRAY,
        options, https ? MHD_OPTION_ARRAY : MHD_OPTION_END, tls_options, MHD_OPTION_END);
}

static bool start_loop(struct http *http, struct bridge *bridge, struct connections *connections,
                       struct certificates *certificates)
{
    struct loop *loop = &http->loops[http->loop_count];
    struct MHD_Daemon *daemon = start_daemon(bridge, loop, connections, certificates);
    if (!daemon || !loop_start(loop, daemon, connections, certificates))
        return false;
    http->loop_count++;
    return true;
}

static bool start_loops(struct http *http, struct bridge *bridge)
{
    struct certificates *certificates = bridge->certificates.current ? &bridge->certificates : NULL;
    for (long i = 0; i < bridge->settings.threads; i++) {
        if (!start_loop(http, bridge, &bridge->connections, certificates))
            return false;
    }
    return !bridge->settings.monitoring.port || start_loop(http, bridge, &bridge->monitoring, NULL);
}

static bool listen_for(struct acceptor *acceptor, const struct http_address *address,
                       struct loop *loops, size_t loop_count, struct status *status)
{
    int sockets[LISTENERS_MAX];
    size_t count = http_listen_open(address, sockets, LISTENERS_MAX, status);
    CHECK(acceptor->listener_count + count <= ACCEPT_LISTENERS_MAX);
    for (size_t i = 0; i < count; i++)
        acceptor->listeners[acceptor->listener_count++] =
            (struct http_listener){.socket = sockets[i], .loops = loops, .loop_count = loop_count};
    return count > 0;
}

static bool listen_for_all(struct http *http, const struct bridge_settings *settings,
                           struct status *status)
{
    size_t threads = (size_t)settings->threads;
    struct acceptor *acceptor = &http->acceptor;
    return listen_for(acceptor, &settings->api, http->loops, threads, status) &&
           (!settings->monitoring.port ||
            listen_for(acceptor, &settings->monitoring, &http->loops[threads], 1, status));
}

struct http *http_start(struct bridge *bridge, struct status *status)
{
    size_t most = (size_t)bridge->settings.threads + 1;
    struct http *http = calloc(1, sizeof(*http) + most * sizeof(http->loops[0]));
    status_fail(status, STATUS_UNAVAILABLE, "START_FAILED", "cannot start the HTTP server");
    if (!http)
        return NULL;
    if (start_loops(http, bridge) && listen_for_all(http, &bridge->settings, status) &&
        acceptor_start(&http->acceptor))
        return http;
    for (size_t i = 0; i < http->acceptor.listener_count; i++)
        close(http->acceptor.listeners[i].socket);
    http_stop(http);
    return NULL;
}

void http_stop_accepting(struct http *http)
{
    acceptor_stop(&http->acceptor);
}

void http_end_waits(struct http *http)
{
    for (size_t i = 0; i < http->loop_count; i++)
        loop_end_waits(&http->loops[i]);
}

void http_stop(struct http *http)
{
    for (size_t i = 0; i < http->loop_count; i++)
        loop_stop(&http->loops[i]);
    free(http);
}
