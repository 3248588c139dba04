/* Notices between cores, by LISTEN and NOTIFY on the channel triggers_log. One has pairs of a
 * tenant and a sequence, as in "0 1234 7 99". The session is outside pipeline mode. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "store/postgres/session.h"

#define SEND_MS 2000     /* nobody is to wait long for a notice to leave */
#define PAYLOAD_CAP 7999 /* bytes, PostgreSQL's limit */

/* A pooler gives each transaction another process of the server, and passes on no notices. */
static enum store_result check_not_pooled(struct postgres_session *session, struct status *status)
{
    PGresult *result;
    postgres_query(session, POSTGRES_SET_UP_STATEMENTS[POSTGRES_SET_UP_SERVER].sql, NULL, &result);
    enum store_result outcome = STORE_OK;
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
        outcome = postgres_failed(session, result, status);
    else if (atoi(PQgetvalue(result, 0, 0)) != PQbackendPID(session->conn))
        outcome = store_fatal(status, "a pooler in between passes on no notices");
    PQclear(result);
    return outcome;
}

enum store_result postgres_notice_open(struct store *store, struct store_session **session,
                                       struct status *status)
{
    struct postgres_session *opened = calloc(1, sizeof(*opened));
    if (!opened)
        return store_unavailable(status, "out of memory");
    opened->base.store = store;
    enum store_result result = postgres_connect(opened, status);
    if (result == STORE_OK)
        result = check_not_pooled(opened, status);
    if (result == STORE_OK)
        result = postgres_execute(opened, POSTGRES_SET_UP_STATEMENTS[POSTGRES_SET_UP_LISTEN].sql,
                                  status);
    if (result == STORE_OK) {
        opened->opened = true;
        *session = &opened->base;
        return STORE_OK;
    }
    store->driver->session_close(&opened->base);
    return result == STORE_FATAL ? STORE_FATAL : STORE_UNAVAILABLE;
}

enum store_result postgres_notice_send(struct store_session *base,
                                       const struct store_notice *notices, size_t count,
                                       struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    char payload[PAYLOAD_CAP + 1];
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        char pair[64];
        int length = snprintf(pair, sizeof(pair), "%s%" PRId64 " %" PRId64, size > 0 ? " " : "",
                              notices[i].tenant, notices[i].last);
        if (size + (size_t)length > PAYLOAD_CAP)
            break; /* notices may be lost */
        size += (size_t)snprintf(payload + size, sizeof(payload) - size, "%s", pair);
    }
    CHECK(size > 0);
    PGresult *result;
    session->deadline_ms = clock_monotonic_ms() + SEND_MS;
    postgres_query(session, POSTGRES_SET_UP_STATEMENTS[POSTGRES_SET_UP_TELL].sql, payload, &result);
    enum store_result outcome = PQresultStatus(result) == PGRES_TUPLES_OK
                                    ? STORE_OK
                                    : postgres_failed(session, result, status);
    PQclear(result);
    return outcome;
}

/* Adds what a payload says, as far as it has our form, which anyone may fail to keep. */
static void read_payload(const char *payload, struct store_notice *notices, size_t room,
                         size_t *count)
{
    const char *at = payload;
    while (*count < room) {
        char *end;
        int64_t tenant = strtoll(at, &end, 10);
        if (end == at || *end != ' ')
            return;
        at = end + 1;
        int64_t last = strtoll(at, &end, 10);
        if (end == at || last < 1)
            return;
        notices[(*count)++] = (struct store_notice){tenant, last};
        at = end;
    }
}

/* Takes what has come from others. */
static size_t take_notices(struct postgres_session *session, struct store_notice *notices,
                           size_t room)
{
    size_t count = 0;
    while (count < room) {
        PGnotify *notify = PQnotifies(session->conn);
        if (!notify)
            break;
        if (notify->be_pid != PQbackendPID(session->conn))
            read_payload(notify->extra, notices, room, &count);
        PQfreemem(notify);
    }
    return count;
}

enum store_result postgres_notice_await(struct store_session *base, int wake, int64_t wait_ms,
                                        struct store_notice *notices, size_t *count,
                                        struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    size_t room = *count;
    int64_t until_ms = clock_monotonic_ms() + wait_ms;
    CHECK(room > 0 && wait_ms >= 0);
    for (;;) {
        *count = take_notices(session, notices, room);
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (*count > 0 || left_ms <= 0)
            return STORE_OK;
        struct pollfd ready[] = {{.fd = PQsocket(session->conn), .events = POLLIN},
                                 {.fd = wake, .events = POLLIN}};
        if (poll(ready, 2, (int)left_ms) > 0 && ready[1].revents)
            return STORE_OK;
        if (ready[0].revents && !PQconsumeInput(session->conn))
            return postgres_failed(session, NULL, status);
    }
}
