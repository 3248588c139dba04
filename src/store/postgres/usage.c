/* How much a tenant has. */
#include "base/check.h"
#include "store/postgres/session.h"

static void take_usage(void *context, size_t command, const PGresult *rows)
{
    struct store_usage *usage = context;
    CHECK(command == 0 && PQntuples(rows) == 1);
    usage->more = postgres_int64(rows, 0, 0) == usage->blocks;
    if (!PQgetisnull(rows, 0, 1))
        usage->after_block = postgres_int64(rows, 0, 1);
    usage->pending = PQgetisnull(rows, 0, 2) ? 0 : postgres_int64(rows, 0, 2);
    usage->single_events = PQgetisnull(rows, 0, 3) ? 0 : postgres_int64(rows, 0, 3);
    usage->single_bytes = PQgetisnull(rows, 0, 4) ? 0 : postgres_int64(rows, 0, 4);
    usage->first = postgres_int64(rows, 0, 5);
    usage->last = postgres_int64(rows, 0, 6);
    usage->bytes = postgres_int64(rows, 0, 7);
    usage->subscriptions = postgres_int64(rows, 0, 8);
}

enum store_result postgres_usage(struct store_session *base, struct scope scope,
                                 struct store_usage *usage, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct buffer parameters[2];
    CHECK(usage->blocks >= 1 && usage->after_block >= -1);
    postgres_parameters_init(parameters, 2);
    postgres_put_int64(&parameters[0], usage->after_block);
    postgres_put_int64(&parameters[1], usage->blocks);
    postgres_deadline_start(session);
    return postgres_run(session, POSTGRES_USAGE, &scope, parameters, 2, take_usage, usage, status);
}
