/* The table of subscriptions: listing, creating, changing, removing. */
#include "base/check.h"
#include "store/postgres/session.h"

bool postgres_subscription_copy(struct store_subscription *subscription, struct arena *arena,
                                const PGresult *rows, int row)
{
    struct slice name = postgres_slice(rows, row, 3);
    struct slice settings = postgres_slice(rows, row, 4);
    *subscription = (struct store_subscription){
        .id = postgres_int64(rows, row, 0),
        .revision = postgres_int64(rows, row, 1),
        .created_at_us = postgres_time_us(rows, row, 2),
        .removed = PQgetvalue(rows, row, 5)[0] != 0,
        .name = {arena_copy(arena, name.data, name.size), name.size},
        .settings = {arena_copy(arena, settings.data, settings.size), settings.size},
    };
    return subscription->name.data && subscription->settings.data;
}

static void take_subscriptions(void *context, size_t command, const PGresult *rows)
{
    struct store_subscriptions *list = context;
    CHECK(command == 0);
    size_t count = (size_t)PQntuples(rows);
    list->more = count > list->limit;
    list->count = list->more ? list->limit : count;
    list->subscriptions = arena_calloc(list->arena, list->count, sizeof(*list->subscriptions));
    list->no_memory = !list->subscriptions;
    for (size_t i = 0; i < list->count && !list->no_memory; i++)
        list->no_memory =
            !postgres_subscription_copy(&list->subscriptions[i], list->arena, rows, (int)i);
}

enum store_result postgres_subscriptions(struct store_session *base, struct scope scope,
                                         struct store_subscriptions *list, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    enum postgres_statement which = POSTGRES_SUBSCRIPTIONS;
    struct buffer parameters[2];
    int count = 2;
    CHECK(list->limit >= 1);
    postgres_parameters_init(parameters, 2);
    if (list->name.data) {
        which = POSTGRES_SUBSCRIPTION_NAMED;
        count = 1;
        buffer_append(&parameters[0], list->name.data, list->name.size);
    } else {
        postgres_put_int64(&parameters[0], list->after);
        postgres_put_int64(&parameters[1], (int64_t)list->limit + 1);
    }
    postgres_deadline_start(session);
    return postgres_run(session, which, &scope, parameters, count, take_subscriptions, list,
                        status);
}

/* ---- putting ---- */

static void take_put(void *context, size_t command, const PGresult *rows)
{
    struct store_put *put = context;
    CHECK(command == 0);
    put->outcome = STORE_STALE;
    if (PQntuples(rows) == 0)
        return;
    if (PQgetisnull(rows, 0, 0)) {
        put->outcome = PQgetvalue(rows, 0, 3)[0] ? STORE_CONFLICT : STORE_STALE;
        return;
    }
    put->outcome = STORE_DONE;
    put->id = postgres_int64(rows, 0, 0);
    put->revision = postgres_int64(rows, 0, 1);
    put->created_at_us = postgres_time_us(rows, 0, 2);
}

enum store_result postgres_subscription_put(struct store_session *base, struct scope scope,
                                            struct store_put *put, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    bool create = put->revision == 0;
    struct buffer parameters[4];
    CHECK(!session->read_only);
    postgres_parameters_init(parameters, 4);
    buffer_append(&parameters[0], put->name.data, put->name.size);
    buffer_append(&parameters[1], put->settings.data, put->settings.size);
    if (create) {
        buffer_append(&parameters[2], put->checkpoint.data, put->checkpoint.size);
        postgres_put_int64(&parameters[3], store_put_most(put));
    } else {
        postgres_put_int64(&parameters[2], put->revision);
    }
    postgres_deadline_start(session);
    return postgres_run(session,
                        create ? POSTGRES_CREATE_SUBSCRIPTION : POSTGRES_CHANGE_SUBSCRIPTION,
                        &scope, parameters, create ? 4 : 3, take_put, put, status);
}

/* ---- removing ---- */

static void take_hidden(void *context, size_t command, const PGresult *rows)
{
    CHECK(command == 0);
    *(bool *)context = PQntuples(rows) > 0;
}

static void take_more(void *context, size_t command, const PGresult *rows)
{
    CHECK(command == 0 && PQntuples(rows) == 1);
    *(bool *)context = PQgetvalue(rows, 0, 0)[0] != 0;
}

static enum store_result run_removal(struct postgres_session *session, const struct scope *scope,
                                     enum postgres_statement which, int64_t id, postgres_rows *rows,
                                     bool *answer, struct status *status)
{
    struct buffer parameter;
    postgres_parameters_init(&parameter, 1);
    postgres_put_int64(&parameter, id);
    return postgres_run(session, which, scope, &parameter, 1, rows, answer, status);
}

enum store_result postgres_subscription_remove(struct store_session *base, struct scope scope,
                                               int64_t id, bool *more, struct status *status)
{
    struct postgres_session *session = (struct postgres_session *)base;
    CHECK(!session->read_only);
    postgres_deadline_start(session);
    enum store_result result =
        run_removal(session, &scope, POSTGRES_HIDE_SUBSCRIPTION, id, take_hidden, more, status);
    if (result != STORE_OK || *more)
        return result;
    return run_removal(session, &scope, POSTGRES_REMOVE_SUBSCRIPTION, id, take_more, more, status);
}
