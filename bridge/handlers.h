/* The routes, and the handlers that serve them: see struct route. */
#ifndef TRIGGERS_BRIDGE_HANDLERS_H
#define TRIGGERS_BRIDGE_HANDLERS_H

#include "api.h"
#include "request.h"

/* All routes: X(method, path, path in metrics, kind of body, start, finish, call, field), those of
 * the protocol's methods from the .proto files. A fixed path comes before a pattern that it would
 * match.
 */
#define ROUTE_LIST(X)                                                                              \
    X("GET", "/", "/", UNUSED, info_root, NULL, NULL, "")                                          \
    X("GET", "/health", "/health", UNUSED, info_health, NULL, NULL, "")                            \
    X("GET", "/ready", "/ready", UNUSED, info_ready_start, info_ready_finish,                      \
      &api_methods[API_CHECK], "")                                                                 \
    X("GET", "/metrics", "/metrics", UNUSED, bridge_metrics_show_start,                            \
      bridge_metrics_show_finish, &api_methods[API_GET_STATS], "")                                 \
    X("GET", "/openapi.json", "/openapi.json", UNUSED, info_openapi_start, info_openapi_finish,    \
      &api_methods[API_CHECK], "")                                                                 \
    X("GET", "/docs", "/docs", UNUSED, info_docs, NULL, NULL, "")                                  \
    X("GET", "/redoc", "/redoc", UNUSED, info_redoc, NULL, NULL, "")                               \
    X("GET", "/api/v1/events/stream", "/api/v1/events/stream", UNUSED, stream_events_start,        \
      stream_events_finish, &api_methods[API_LIST_EVENTS], "")                                     \
    API_ROUTE_LIST(X)
#define ROUTE_ONE(...) +1 /* NOLINT(bugprone-macro-parentheses): a sum of them */
enum { ROUTES_COUNT = 0 ROUTE_LIST(ROUTE_ONE) };

bool info_root(struct request *request);
bool info_health(struct request *request);
bool info_ready_start(struct request *request);
void info_ready_finish(struct request *request);
bool bridge_metrics_show_start(struct request *request);
void bridge_metrics_show_finish(struct request *request);
bool info_openapi_start(struct request *request);
void info_openapi_finish(struct request *request);
bool info_docs(struct request *request);
bool info_redoc(struct request *request);
bool stream_events_start(struct request *request);
void stream_events_finish(struct request *request);

/* Declares create_event_start, create_event_finish and so on, and those of transcoded calls. */
#define ROUTE_HANDLERS(method, path, label, body, start, finish, ...)                              \
    bool start(struct request *request);                                                           \
    void finish(struct request *request);
API_ROUTE_LIST(ROUTE_HANDLERS)

#endif
