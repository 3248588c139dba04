/* Which handler serves which path and method. */
#ifndef TRIGGERS_BRIDGE_ROUTES_H
#define TRIGGERS_BRIDGE_ROUTES_H

#include "api.h"
#include "request.h"

enum body_kind {
    BODY_UNUSED, /* a body is read and thrown away */
    BODY_OBJECT, /* one JSON object */
    BODY_LIST,   /* as a JSON array or as NDJSON */
};

struct route {
    const char *method;
    const char *path; /* {field} stands for one segment */
    enum body_kind body;
    /* Runs when the whole request has arrived: answers it, or starts a call and returns false. */
    bool (*start)(struct request *request);
    /* Runs when the call's reply is in `request->reply`: answers. */
    void (*finish)(struct request *request);
    const struct api_method *call; /* NULL: it is not a method of the protocol */
    const char *field; /* the field of the call's request that is the body; "*": all; "": none */
};

/* All routes: X(method, path, path in metrics, kind of body, start, finish, call, field), those of
 * the protocol's methods from the .proto files. A fixed path comes before a pattern that it would
 * match.
 */
#define ROUTE_LIST(X)                                                                              \
    X("GET", "/", "/", UNUSED, info_root, NULL, NULL, "")                                          \
    X("GET", "/health", "/health", UNUSED, info_health, NULL, NULL, "")                            \
    X("GET", "/ready", "/ready", UNUSED, info_ready_start, info_ready_finish, NULL, "")            \
    X("GET", "/metrics", "/metrics", UNUSED, bridge_metrics_show_start,                            \
      bridge_metrics_show_finish, NULL, "")                                                        \
    X("GET", "/openapi.json", "/openapi.json", UNUSED, docs_openapi, NULL, NULL, "")               \
    X("GET", "/docs", "/docs", UNUSED, docs_page, NULL, NULL, "")                                  \
    X("GET", "/redoc", "/redoc", UNUSED, docs_reference, NULL, NULL, "")                           \
    API_ROUTE_LIST(X)
#define ROUTE_ONE(...) +1 /* NOLINT(bugprone-macro-parentheses): a sum of them */
enum { ROUTES_COUNT = 0 ROUTE_LIST(ROUTE_ONE) };

/* The routes in their order; NULL after the last. */
const struct route *routes_at(size_t index);
size_t routes_index(const struct route *route);

/* Finds the route of a request and its event id, or answers: 421 to a host that is not served, 403
 * to a page that CORS does not let change anything, 404, 405, and OPTIONS. */
void routes_find(struct request *request);

/* Decodes the path of a request's target. False when it is too long or not well-formed. */
#define ROUTES_PATH_SIZE 128 /* longer paths lead nowhere */
bool routes_decode_path(const struct request *request, char path[ROUTES_PATH_SIZE]);

/* ---- handlers ---- */

bool info_root(struct request *request);
bool info_health(struct request *request);
bool info_ready_start(struct request *request);
void info_ready_finish(struct request *request);
bool bridge_metrics_show_start(struct request *request);
void bridge_metrics_show_finish(struct request *request);
bool docs_openapi(struct request *request);
bool docs_page(struct request *request);
bool docs_reference(struct request *request);

/* Declares create_event_start, create_event_finish and so on, and those of transcoded calls. */
#define ROUTE_HANDLERS(method, path, label, body, start, finish, ...)                              \
    bool start(struct request *request);                                                           \
    void finish(struct request *request);
API_ROUTE_LIST(ROUTE_HANDLERS)

#endif
