/* The table of routes, and what happens beside it. */
#include "routes.h"

#include <stdio.h>
#include <string.h>

#include "url.h"

#define PATH_MAX_SIZE 128 /* longer paths lead nowhere */
#define ALLOW_SIZE 64

/* A fixed path comes before a pattern that it would match. */
static const struct route ROUTES[] = {
    {"GET", "/", BODY_UNUSED, info_root, NULL},
    {"GET", "/health", BODY_UNUSED, info_health, NULL},
    {"GET", "/ready", BODY_UNUSED, info_ready_start, info_ready_finish},
    {"GET", "/metrics", BODY_UNUSED, figures_show_start, figures_show_finish},
    {"GET", "/openapi.json", BODY_UNUSED, docs_openapi, NULL},
    {"GET", "/docs", BODY_UNUSED, docs_page, NULL},
    {"GET", "/redoc", BODY_UNUSED, docs_page, NULL},
    {"GET", "/api/v1/inbox", BODY_UNUSED, inbox_start, inbox_finish},
    {"POST", "/api/v1/events", BODY_EVENT, events_create_start, events_create_finish},
    {"POST", "/api/v1/events/batch", BODY_BATCH, batch_start, batch_finish},
    {"GET", "/api/v1/events/{id}", BODY_UNUSED, events_get_start, events_get_finish},
    {"DELETE", "/api/v1/events/{id}", BODY_UNUSED, events_ack_start, events_ack_finish},
};
#define ROUTE_COUNT (sizeof(ROUTES) / sizeof(ROUTES[0]))

const struct route *routes_at(size_t index)
{
    return index < ROUTE_COUNT ? &ROUTES[index] : NULL;
}

size_t routes_index(const struct route *route)
{
    return (size_t)(route - ROUTES);
}

/* The last segment of `path` when the rest is as in the pattern; NULL when not. */
static const char *match(const char *pattern, const char *path)
{
    const char *slot = strchr(pattern, '{');
    if (!slot)
        return strcmp(pattern, path) == 0 ? "" : NULL;
    size_t length = (size_t)(slot - pattern);
    if (strncmp(pattern, path, length) != 0 || path[length] == '\0' || strchr(path + length, '/'))
        return NULL;
    return path + length;
}

static const struct route *find_path(const char *path, const char **segment)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        *segment = match(ROUTES[i].path, path);
        if (*segment)
            return &ROUTES[i];
    }
    return NULL;
}

static const struct route *find_method(const struct route *first, const char *method)
{
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (const struct route *route = first; route < ROUTES + ROUTE_COUNT; route++) {
        if (strcmp(route->path, first->path) == 0 && strcmp(route->method, method) == 0)
            return route;
    }
    return NULL;
}

/* "GET, HEAD, DELETE, OPTIONS", in the arena; NULL without memory. */
static const char *list_methods(struct request *request, const struct route *first)
{
    char allow[ALLOW_SIZE] = "";
    for (const struct route *route = first; route < ROUTES + ROUTE_COUNT; route++) {
        if (strcmp(route->path, first->path) != 0)
            continue;
        strcat(allow, route->method);
        strcat(allow, strcmp(route->method, "GET") == 0 ? ", HEAD, " : ", ");
    }
    strcat(allow, "OPTIONS");
    return arena_copy(&request->arena, allow, strlen(allow));
}

static void answer_options(struct request *request)
{
    request->answer.status = 204;
}

static bool is_preflight(const struct request *request)
{
    return strcmp(request->method, "OPTIONS") == 0 && request->headers.origin &&
           request->headers.cors_method;
}

static void refuse_method(struct request *request)
{
    char detail[160];
    snprintf(detail, sizeof(detail), "The method is not allowed here; allowed are %.80s",
             request->answer.allow ? request->answer.allow : "others");
    request_fail(request, 405, "METHOD_NOT_ALLOWED", detail);
}

void routes_find(struct request *request)
{
    /* A preflight tells nothing about the path: the call that follows does. */
    request->answer.preflight = is_preflight(request);
    if (request->answer.preflight) {
        answer_options(request);
        return;
    }
    char path[PATH_MAX_SIZE];
    const char *segment = NULL;
    const struct route *first = NULL;
    if (url_decode_path(request->path, path, sizeof(path)))
        first = find_path(path, &segment);
    if (!first) {
        request_fail(request, 404, "ROUTE_NOT_FOUND", "Not found");
        return;
    }
    request->route = find_method(first, request->method);
    if (request->route) {
        uint8_t id[TYPEID_BYTES];
        if (typeid_parse(segment, strlen(segment), id))
            memcpy(request->event_id, segment, strlen(segment) + 1);
        return;
    }
    request->answer.allow = list_methods(request, first);
    if (strcmp(request->method, "OPTIONS") == 0)
        answer_options(request);
    else
        refuse_method(request);
}
