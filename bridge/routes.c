/* Finds routes, and answers what no route answers. */
#include "routes.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "handlers.h"
#include "url.h"

#define ALLOW_SIZE 64

#define ROUTE(method, path, label, body, start, finish, call, field)                               \
    {method, path, BODY_##body, start, finish, call, field},
static const struct route ROUTES[] = {ROUTE_LIST(ROUTE)};

const struct route *routes_at(size_t index)
{
    return index < ROUTES_COUNT ? &ROUTES[index] : NULL;
}

size_t routes_index(const struct route *route)
{
    CHECK(route >= ROUTES && route < ROUTES + ROUTES_COUNT);
    return (size_t)(route - ROUTES);
}

/* The index of the first route that the path leads to. */
static size_t find_path(const char *path)
{
    size_t index = 0;
    while (routes_at(index) && !url_match(routes_at(index)->path, path, NULL, NULL))
        index++;
    return index;
}

/* The next route from `index` on that has this path; NULL after the last. */
static const struct route *next_of(const char *path, size_t *index)
{
    const struct route *route;
    while ((route = routes_at((*index)++)))
        if (strcmp(route->path, path) == 0)
            break;
    return route;
}

static const struct route *find_method(size_t first, const char *method)
{
    CHECK(first < ROUTES_COUNT);
    const char *path = ROUTES[first].path;
    const struct route *route;
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    while ((route = next_of(path, &first)) && strcmp(route->method, method) != 0)
        ;
    return route;
}

/* "GET, HEAD, DELETE, OPTIONS", in the arena; NULL without memory. */
static const char *list_methods(struct request *request, size_t first)
{
    CHECK(first < ROUTES_COUNT);
    const char *path = ROUTES[first].path;
    const struct route *route;
    char allow[ALLOW_SIZE] = "";
    while ((route = next_of(path, &first))) {
        CHECK(strlen(allow) + strlen(route->method) + sizeof(", HEAD, OPTIONS") <= sizeof(allow));
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

/* ---- whom a request is for, and from which page ---- */

static bool changes_something(const char *method)
{
    return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 &&
           strcmp(method, "OPTIONS") != 0;
}

/* Whether the request comes from no page, or from one of ours. Browsers say so themselves (Fetch
 * Metadata); older ones, and all without TLS, send only the origin. */
static bool is_own_page(const struct headers *headers, const char *host)
{
    if (headers->fetch_site)
        return strcmp(headers->fetch_site, "same-origin") == 0 ||
               strcmp(headers->fetch_site, "none") == 0;
    return headers->origins == 0 || (host && origin_is_of_host(headers->origin, host));
}

/* False after having answered. It does not help that a browser keeps the answer from a page if the
 * request has already taken effect, and only some requests are preceded by a preflight. */
static bool admit(struct request *request, const char *host)
{
    struct headers *headers = &request->headers;
    const struct bridge_settings *settings = &request->bridge->settings;
    if (host && !hosts_serve(&settings->hosts, request_address(request)->bound, host)) {
        request_fail(request, 421, "HOST_NOT_SERVED",
                     "This host is not served here; the setting TRIGGERS_HOSTS lists those that "
                     "are");
        return false;
    }
    enum origin_verdict verdict = origins_judge(&settings->cors, headers->origin);
    bool allowed = verdict != ORIGIN_UNLISTED || is_own_page(headers, host);
    headers->needs_type = headers->fetch_site || (headers->origins > 0 && verdict != ORIGIN_LISTED);
    if (!changes_something(request->method) || (allowed && headers->origins <= 1))
        return true;
    request_fail(request, 403, "ORIGIN_NOT_ALLOWED",
                 "Pages of this origin may not change anything here; the setting CORS_ORIGINS "
                 "lists those that may");
    return false;
}

/* An event id is the last segment of a path; no other path ends with one. */
static void keep_event_id(struct request *request, const char *path)
{
    CHECK(path[0] == '/');
    const char *segment = strrchr(path, '/') + 1;
    uint8_t id[TYPEID_BYTES];
    if (typeid_parse(segment, strlen(segment), id))
        memcpy(request->event_id, segment, strlen(segment) + 1);
}

static bool is_for_monitoring(const struct route *route)
{
    return route->start == info_health || route->start == info_ready_start ||
           route->start == bridge_metrics_show_start || route->start == info_openapi_start ||
           route->start == info_docs || route->start == info_redoc;
}

void routes_find(struct request *request)
{
    char host[URL_HOST_SIZE];
    const char *rest;
    bool absolute = url_split(request->path, host, &rest);
    if (!admit(request, absolute ? host : request->headers.host))
        return;
    /* A preflight says nothing about the path; the call that follows does. */
    request->answer.preflight = is_preflight(request);
    if (request->answer.preflight) {
        answer_options(request);
        return;
    }
    char path[URL_PATH_SIZE];
    size_t first = url_target_path(request->path, path) ? find_path(path) : SIZE_MAX;
    if (!routes_at(first) ||
        (request_is_monitoring(request) && !is_for_monitoring(routes_at(first)))) {
        request_fail(request, 404, "ROUTE_NOT_FOUND", "Not found");
        return;
    }
    request->route = find_method(first, request->method);
    if (request->route) {
        request->transcoded = request->route->start == transcoded_start;
        keep_event_id(request, path);
        return;
    }
    request->answer.allow = list_methods(request, first);
    if (strcmp(request->method, "OPTIONS") == 0)
        answer_options(request);
    else
        refuse_method(request);
}
