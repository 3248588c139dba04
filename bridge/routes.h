/* Which handler serves which path and method. */
#ifndef TRIGGERS_BRIDGE_ROUTES_H
#define TRIGGERS_BRIDGE_ROUTES_H

#include "request.h"
#include "transcode.h"

enum body_kind {
    BODY_UNUSED, /* a body is read and thrown away */
    BODY_EVENT,  /* one JSON object: an event, or ids of some */
    BODY_BATCH,  /* events as a JSON array or as NDJSON */
};

struct route {
    const char *method;
    const char *path; /* {field} stands for one segment */
    enum body_kind body;
    /* Runs when the whole request has come: answers it, or starts a call and returns false. */
    bool (*start)(struct request *request);
    /* Runs when the call's reply is there, which `request->reply` holds: answers. */
    void (*finish)(struct request *request);
    struct transcoding call; /* of a transcoded route; else empty */
};

/* Those that are transcoded. */
extern const struct route TRANSCODED_ROUTES[];
extern const size_t TRANSCODED_ROUTE_COUNT;

/* The routes in their order; NULL after the last. */
const struct route *routes_at(size_t index);
size_t routes_index(const struct route *route);

/* Finds the route of a request and its event id, or answers: a host that is not served with 421, a
 * page that CORS does not let change anything with 403, 404, 405, OPTIONS. */
void routes_find(struct request *request);

/* Decodes the path of a request's target. False when it is too long or not well-formed. */
#define ROUTES_PATH_SIZE 128 /* longer paths lead nowhere */
bool routes_decode_path(const struct request *request, char path[ROUTES_PATH_SIZE]);

/* ---- handlers ---- */

bool transcoded_start(struct request *request);
void transcoded_finish(struct request *request);

bool info_root(struct request *request);
bool info_health(struct request *request);
bool info_ready_start(struct request *request);
void info_ready_finish(struct request *request);
bool figures_show_start(struct request *request);
void figures_show_finish(struct request *request);
bool docs_openapi(struct request *request);
bool docs_page(struct request *request);
bool docs_reference(struct request *request);

bool events_create_start(struct request *request);
void events_create_finish(struct request *request);
bool events_get_start(struct request *request);
void events_get_finish(struct request *request);
bool events_ack_start(struct request *request);
void events_ack_finish(struct request *request);
bool acks_start(struct request *request);
void acks_finish(struct request *request);
bool batch_start(struct request *request);
void batch_finish(struct request *request);
bool inbox_start(struct request *request);
void inbox_finish(struct request *request);

#endif
