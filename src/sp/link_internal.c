/* The life of a link, as its other files move it along. */
#include "sp/link_internal.h"

#include "base/check.h"

struct link *link_cast(void *argument)
{
    struct link *link = argument;
    CHECK(link->magic == LINK_MAGIC);
    return link;
}

void link_move(struct link *link, enum link_state to)
{
    enum link_state from = atomic_exchange(&link->state, to);
    CHECK(from == LINK_MADE ? to == LINK_STARTED : from == LINK_STARTED && to == LINK_UNUSED);
    CHECK(to != LINK_UNUSED || link->closed);
}

void link_hold(struct link *link)
{
    CHECK(atomic_fetch_add(&link->holders, 1) > 0);
}

void link_release(struct link *link)
{
    int before = atomic_fetch_sub(&link->holders, 1);
    CHECK(before > 0);
    if (before > 1)
        return;
    link_move(link, LINK_UNUSED);
    link->events->unused(link->owner, link);
}

void link_close_because(struct link *link, const char *why)
{
    if (atomic_exchange(&link->closed, true))
        return;
    nng_stream_close(link->stream);
    link->events->closed(link->owner, link, why);
}

void link_look_for_end(struct link *link)
{
    nng_sockaddr address;
    if (!link->closed && nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) != 0)
        link_close_because(link, NULL);
}

void link_close(struct link *link)
{
    link_close_because(link, NULL);
}

/* Streams differ: closing again, or cancelling, ends operations that would not end by themselves.
 */
void link_end_begun(struct link *link, nng_aio *aio)
{
    if (!link->closed)
        return;
    nng_stream_close(link->stream);
    nng_aio_cancel(aio);
}
