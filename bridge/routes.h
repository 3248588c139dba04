/* Which route serves which path and method. */
#ifndef TRIGGERS_BRIDGE_ROUTES_H
#define TRIGGERS_BRIDGE_ROUTES_H

#include "request.h"

/* The routes in the order of ROUTE_LIST; NULL after the last. */
const struct route *routes_at(size_t index);
size_t routes_index(const struct route *route);

/* Finds the route of a request and its event id, or answers: 421 to a host that is not served, 403
 * to a page that CORS does not let change anything, 404, 405, and OPTIONS. */
void routes_find(struct request *request);

#endif
