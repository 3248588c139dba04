/* What management does and refuses: tenants, keys, and the record of it. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "access/access_metrics.h"
#include "access_world.h"
#include "base/clock.h"

#define SCOPE(name) TRIGGERS__API__V1__SCOPE__SCOPE_##name

static struct access_world world;
static Triggers__Api__V1__Scope READ[] = {SCOPE(EVENTS_READ)};
static Triggers__Api__V1__Scope MANAGE[] = {SCOPE(EVENTS_READ), SCOPE(KEYS_MANAGE)};
static Triggers__Api__V1__Scope OPERATE[] = {SCOPE(OPERATOR)};

static int begin(void **state)
{
    (void)state;
    world_begin(&world, ACCESS_REQUIRED);
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_end(&world);
    return 0;
}

/* ---- short forms ---- */

static int64_t now_us(void)
{
    return following_now_us(&world.cores[0].access->following);
}

static void assert_fails(const void *asked, const struct pass *pass, enum status_code code,
                         const char *reason)
{
    assert_null(world_manage(&world, asked, pass));
    assert_string_equal(world.status.reason, reason);
    assert_int_equal(world.status.code, code);
}

static Triggers__V1__CreateKeyRequest key_of(const char *tenant, Triggers__Api__V1__Scope *scopes,
                                             size_t count)
{
    Triggers__V1__CreateKeyRequest asked = TRIGGERS__V1__CREATE_KEY_REQUEST__INIT;
    asked.tenant = (char *)tenant;
    asked.name = (char *)"a key";
    asked.scopes = scopes;
    asked.n_scopes = count;
    return asked;
}

/* Of a new key with these limits. */
static struct pass *pass_of(const char *tenant, const Triggers__V1__CreateKeyRequest *asked)
{
    struct pass *pass;
    const char *key = world_make_key(&world, tenant, asked);
    assert_true(world_admit(&world, &world.cores[0], key, "192.0.2.7", &pass));
    return pass;
}

static const Triggers__V1__Key *get_key(const char *tenant, const char *text)
{
    Triggers__V1__GetKeyRequest asked = TRIGGERS__V1__GET_KEY_REQUEST__INIT;
    asked.tenant = (char *)tenant;
    asked.key_id = (char *)world_id_of(&world, text);
    const Triggers__V1__GetKeyResponse *answer = world_manage(&world, &asked, world.operator_pass);
    return answer ? answer->key : NULL;
}

static const Triggers__V1__Tenant *get_tenant(const char *name)
{
    Triggers__V1__GetTenantRequest asked = TRIGGERS__V1__GET_TENANT_REQUEST__INIT;
    asked.name = (char *)name;
    const Triggers__V1__GetTenantResponse *answer =
        world_manage(&world, &asked, world.operator_pass);
    return answer ? answer->tenant : NULL;
}

static const Triggers__V1__ListAuditRecordsResponse *list_audit(const char *tenant, int64_t after,
                                                                uint32_t limit)
{
    Triggers__V1__ListAuditRecordsRequest asked = TRIGGERS__V1__LIST_AUDIT_RECORDS_REQUEST__INIT;
    asked.tenant = (char *)tenant;
    return world_list(&world, &asked, world.operator_pass, after, limit);
}

static Triggers__V1__RotateKeyRequest rotation_of(const char *tenant, const char *text)
{
    Triggers__V1__RotateKeyRequest asked = TRIGGERS__V1__ROTATE_KEY_REQUEST__INIT;
    asked.tenant = (char *)tenant;
    asked.key_id = (char *)world_id_of(&world, text);
    return asked;
}

static bool admits(const char *key)
{
    return world_admit(&world, &world.cores[0], key, "192.0.2.7", NULL);
}

/* ---- tenants ---- */

static void a_tenant_is_created_and_changed(void **state)
{
    (void)state;
    Triggers__V1__PutTenantRequest asked = TRIGGERS__V1__PUT_TENANT_REQUEST__INIT;
    asked.name = (char *)"acme";
    asked.description_stated_case =
        TRIGGERS__V1__PUT_TENANT_REQUEST__DESCRIPTION_STATED_DESCRIPTION;
    asked.description = (char *)"of Acme";
    const Triggers__V1__PutTenantResponse *answer =
        world_manage(&world, &asked, world.operator_pass);
    assert_non_null(answer);
    assert_true(answer->created);
    assert_string_equal(answer->tenant->description, "of Acme");
    assert_int_equal(answer->tenant->state, TRIGGERS__V1__TENANT_STATE__TENANT_STATE_ACTIVE);
    assert_in_range(row_time_us(answer->tenant->created_at), now_us() - 10 * SECOND_US, now_us());
    Triggers__V1__PutTenantRequest change = TRIGGERS__V1__PUT_TENANT_REQUEST__INIT;
    change.name = (char *)"acme";
    change.keep_pending_case = TRIGGERS__V1__PUT_TENANT_REQUEST__KEEP_PENDING_KEEP_PENDING_SECONDS;
    change.keep_pending_seconds = 3600;
    change.keep_acknowledged_case =
        TRIGGERS__V1__PUT_TENANT_REQUEST__KEEP_ACKNOWLEDGED_KEEP_ACKNOWLEDGED_SECONDS;
    change.keep_acknowledged_seconds = 60;
    answer = world_manage(&world, &change, world.operator_pass);
    assert_false(answer->created);
    const Triggers__V1__Tenant *tenant = get_tenant("acme");
    assert_string_equal(tenant->description, "of Acme");
    assert_int_equal(tenant->keep_pending_seconds, 3600);
    assert_int_equal(tenant->keep_acknowledged_seconds, 60);
    struct tenant looked_after;
    assert_true(tenants_get(world.cores[0].tenants, 1, &looked_after));
    assert_true(looked_after.keep_pending_us == HOUR_US);
    assert_true(looked_after.keep_acknowledged_us == 60 * SECOND_US);
}

static void the_default_tenant_is_there(void **state)
{
    (void)state;
    const Triggers__V1__Tenant *tenant = get_tenant("default");
    assert_non_null(tenant);
    assert_int_equal(tenant->state, TRIGGERS__V1__TENANT_STATE__TENANT_STATE_ACTIVE);
    assert_null(tenant->created_at);
    Triggers__V1__SuspendTenantRequest suspend = TRIGGERS__V1__SUSPEND_TENANT_REQUEST__INIT;
    suspend.name = (char *)"default";
    assert_fails(&suspend, world.operator_pass, STATUS_INVALID_ARGUMENT, "TENANT_FIXED");
    Triggers__V1__DeleteTenantRequest delete = TRIGGERS__V1__DELETE_TENANT_REQUEST__INIT;
    delete.name = (char *)"default";
    assert_fails(&delete, world.operator_pass, STATUS_INVALID_ARGUMENT, "TENANT_FIXED");
    Triggers__V1__PutTenantRequest put = TRIGGERS__V1__PUT_TENANT_REQUEST__INIT;
    put.name = (char *)"default";
    put.keep_acknowledged_case =
        TRIGGERS__V1__PUT_TENANT_REQUEST__KEEP_ACKNOWLEDGED_KEEP_ACKNOWLEDGED_SECONDS;
    put.keep_acknowledged_seconds = 60;
    const Triggers__V1__PutTenantResponse *answer = world_manage(&world, &put, world.operator_pass);
    assert_non_null(answer);
    assert_false(answer->created);
    assert_int_equal(get_tenant("default")->keep_acknowledged_seconds, 60);
    assert_true(admits(world.operator_key));
}

static void names_of_tenants_are_checked(void **state)
{
    static const char *const bad[] = {
        "",    "-a",       ".a",
        "_a",  "A",        "a b",
        "a/b", "\xc3\xa4", "a234567890123456789012345678901234567890123456789012345678901234"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        Triggers__V1__PutTenantRequest asked = TRIGGERS__V1__PUT_TENANT_REQUEST__INIT;
        asked.name = (char *)bad[i];
        assert_fails(&asked, world.operator_pass, STATUS_INVALID_ARGUMENT, "TENANT_NAME_INVALID");
        assert_string_equal(world.field, "name");
    }
    world_make_tenant(&world, "a23456789012345678901234567890123456789012345678901234567890.-_");
}

static void tenants_are_listed_in_pages(void **state)
{
    char name[16];
    size_t count = 0;
    int64_t after = 0;
    (void)state;
    for (int i = 1; i <= 25; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        world_make_tenant(&world, name);
    }
    do {
        Triggers__V1__ListTenantsRequest asked = TRIGGERS__V1__LIST_TENANTS_REQUEST__INIT;
        const Triggers__V1__ListTenantsResponse *answer =
            world_list(&world, &asked, world.operator_pass, after, 10);
        assert_non_null(answer);
        for (size_t i = 0; i < answer->n_tenants; i++, count++) {
            snprintf(name, sizeof(name), "t%zu", count);
            assert_string_equal(answer->tenants[i]->name, count == 0 ? "default" : name);
        }
        after = world.next;
    } while (after != 0);
    assert_int_equal(count, 26);
}

static void a_deleted_tenant_goes_when_all_it_has_is_gone(void **state)
{
    (void)state;
    Triggers__V1__CreateKeyRequest reading = key_of("acme", READ, 1);
    Triggers__V1__DeleteTenantRequest asked = TRIGGERS__V1__DELETE_TENANT_REQUEST__INIT;
    asked.name = (char *)"acme";
    world_make_tenant(&world, "acme");
    const char *key = world_make_key(&world, "acme", &reading);
    struct access_core *core = &world.cores[0];
    assert_true(admits(key));
    for (int i = 0; i < 2; i++) { /* it may be repeated */
        const Triggers__V1__DeleteTenantResponse *answer =
            world_manage(&world, &asked, world.operator_pass);
        assert_int_equal(answer->tenant->state, TRIGGERS__V1__TENANT_STATE__TENANT_STATE_DELETING);
    }
    assert_false(admits(key));
    assert_string_equal(world.status.reason, "KEY_INVALID");
    assert_fails(&reading, world.operator_pass, STATUS_FAILED_PRECONDITION, "TENANT_DELETING");
    Triggers__V1__ResumeTenantRequest resume = TRIGGERS__V1__RESUME_TENANT_REQUEST__INIT;
    resume.name = (char *)"acme";
    assert_fails(&resume, world.operator_pass, STATUS_FAILED_PRECONDITION, "TENANT_DELETING");
    struct tenant looked_after;
    assert_true(tenants_get(core->tenants, 1, &looked_after));
    assert_true(looked_after.deleting);
    tenants_note_removal(core->tenants, 1, 256, false);
    world_pass(5 * SECOND_US);
    world_look(core);
    assert_int_equal(get_tenant("acme")->removed_events, 256);
    tenants_note_removal(core->tenants, 1, 44, true);
    world_pass(5 * SECOND_US);
    world_look(core);
    assert_null(get_tenant("acme"));
    assert_string_equal(world.status.reason, "TENANT_NOT_FOUND");
    assert_false(tenants_get(core->tenants, 1, &looked_after));
    const Triggers__V1__ListAuditRecordsResponse *records = list_audit("default", 0, 1);
    assert_string_equal(records->records[0]->action, "RemoveTenant");
    assert_string_equal(records->records[0]->target, "acme: 300 events");
    world_make_tenant(&world, "acme"); /* the name is free */
    assert_true(tenants_get(core->tenants, 2, &looked_after));
}

/* ---- keys ---- */

static void a_key_is_made_as_it_was_asked_for(void **state)
{
    char *sources[] = {" CRM", "Shop.*"}, *types[] = {"*"}, *subscriptions[] = {"inbox"};
    char *addresses[] = {"192.0.2.0/24"};
    (void)state;
    Triggers__Api__V1__Scope scopes[] = {SCOPE(EVENTS_READ), SCOPE(EVENTS_WRITE),
                                         SCOPE(EVENTS_READ)};
    Triggers__V1__CreateKeyRequest asked = key_of("default", scopes, 3);
    Google__Protobuf__Timestamp *expires = row_time(&world.arena, now_us() + DAY_US);
    asked.sources = sources;
    asked.n_sources = 2;
    asked.event_types = types;
    asked.n_event_types = 1;
    asked.subscriptions = subscriptions;
    asked.n_subscriptions = 1;
    asked.addresses = addresses;
    asked.n_addresses = 1;
    asked.expires_at = expires;
    const Triggers__V1__CreateKeyResponse *answer =
        world_manage(&world, &asked, world.operator_pass);
    assert_non_null(answer);
    assert_true(key_text_is_valid(answer->key, strlen(answer->key)));
    assert_memory_equal(key_text_id(answer->key), answer->details->key_id, KEY_ID_LENGTH);
    const Triggers__V1__Key *key = get_key("default", answer->key);
    assert_string_equal(key->name, "a key");
    assert_int_equal(key->n_scopes, 2); /* each once */
    assert_int_equal(key->scopes[0], SCOPE(EVENTS_WRITE));
    assert_string_equal(key->sources[0], "crm"); /* as events have them */
    assert_string_equal(key->sources[1], "shop.*");
    assert_string_equal(key->event_types[0], "*");
    assert_string_equal(key->subscriptions[0], "inbox");
    assert_string_equal(key->addresses[0], "192.0.2.0/24");
    assert_true(row_time_us(key->expires_at) == row_time_us(expires));
    assert_in_range(row_time_us(key->created_at), now_us() - 10 * SECOND_US, now_us());
    assert_null(key->revoked_at);
    assert_null(key->last_used_at);
}

static void what_a_key_is_given_is_checked(void **state)
{
    char *two_stars[] = {"a*b"}, *upper[] = {"Mail"}, *host[] = {"192.0.2.7/24"}, *many[101];
    char long_name[102];
    (void)state;
    Triggers__Api__V1__Scope none[] = {SCOPE(NONE)}, unknown[] = {(Triggers__Api__V1__Scope)60};
    Triggers__V1__CreateKeyRequest asked = key_of("default", READ, 0);
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "SCOPES_INVALID");
    asked = key_of("default", none, 1);
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "SCOPES_INVALID");
    asked = key_of("default", unknown, 1);
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "SCOPES_INVALID");
    asked = key_of("default", READ, 1);
    asked.sources = two_stars;
    asked.n_sources = 1;
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "NAMES_INVALID");
    assert_string_equal(world.field, "sources");
    for (size_t i = 0; i < 101; i++)
        many[i] = (char *)"a";
    asked = key_of("default", READ, 1);
    asked.event_types = many;
    asked.n_event_types = 101;
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "NAMES_INVALID");
    assert_string_equal(world.field, "event_types");
    asked = key_of("default", READ, 1);
    asked.subscriptions = upper;
    asked.n_subscriptions = 1;
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "NAMES_INVALID");
    asked = key_of("default", READ, 1);
    asked.addresses = host;
    asked.n_addresses = 1;
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "ADDRESSES_INVALID");
    asked = key_of("default", READ, 1);
    Google__Protobuf__Timestamp *past = row_time(&world.arena, now_us() - SECOND_US);
    asked.expires_at = past;
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "EXPIRY_INVALID");
    Google__Protobuf__Timestamp epoch = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    asked.expires_at = &epoch;
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "EXPIRY_INVALID");
    asked = key_of("default", READ, 1);
    asked.name = (char *)"";
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "KEY_NAME_INVALID");
    asked.name = (char *)"a\nb";
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "KEY_NAME_INVALID");
    memset(long_name, 'a', 101);
    long_name[101] = '\0';
    asked.name = long_name;
    assert_fails(&asked, NULL, STATUS_INVALID_ARGUMENT, "KEY_NAME_INVALID");
    long_name[100] = '\0';
    assert_non_null(world_manage(&world, &asked, NULL));
}

static void only_the_default_tenant_has_operators(void **state)
{
    (void)state;
    world_make_tenant(&world, "acme");
    Triggers__V1__CreateKeyRequest asked = key_of("acme", OPERATE, 1);
    assert_fails(&asked, world.operator_pass, STATUS_INVALID_ARGUMENT, "SCOPES_INVALID");
    asked.tenant = (char *)"default";
    assert_non_null(world_manage(&world, &asked, world.operator_pass));
}

static void a_key_gives_no_more_than_it_has(void **state)
{
    static struct {
        char *sources, *types, *subscriptions, *addresses;
        const char *lacks; /* NULL: it may be made */
    } cases[] = {
        {"crm", "lead.*", "mail", "192.0.2.7", NULL},
        {"crm.*", "lead.new", "mail", "192.0.2.0/25", NULL},
        {"crm*", "lead.*", "mail", "192.0.2.0/24", NULL},
        {"cr*", "lead.*", "mail", "192.0.2.7", "sources"},
        {NULL, "lead.*", "mail", "192.0.2.7", "sources"},
        {"crm", "lea*", "mail", "192.0.2.7", "event_types"},
        {"crm", NULL, "mail", "192.0.2.7", "event_types"},
        {"crm", "lead.*", "mail*", "192.0.2.7", "subscriptions"},
        {"crm", "lead.*", NULL, "192.0.2.7", "subscriptions"},
        {"crm", "lead.*", "mail", "192.0.0.0/16", "addresses"},
        {"crm", "lead.*", "mail", "::/0", "addresses"},
        {"crm", "lead.*", "mail", NULL, "addresses"},
    };
    char *sources[] = {"crm*"}, *types[] = {"lead.*"}, *subscriptions[] = {"mail"};
    char *addresses[] = {"192.0.2.0/24"};
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", MANAGE, 2);
    asked.sources = sources;
    asked.event_types = types;
    asked.subscriptions = subscriptions;
    asked.addresses = addresses;
    asked.n_sources = asked.n_event_types = asked.n_subscriptions = asked.n_addresses = 1;
    struct pass *pass = pass_of("default", &asked);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        asked = key_of("default", READ, 1);
        asked.sources = &cases[i].sources;
        asked.n_sources = cases[i].sources != NULL;
        asked.event_types = &cases[i].types;
        asked.n_event_types = cases[i].types != NULL;
        asked.subscriptions = &cases[i].subscriptions;
        asked.n_subscriptions = cases[i].subscriptions != NULL;
        asked.addresses = &cases[i].addresses;
        asked.n_addresses = cases[i].addresses != NULL;
        if (!cases[i].lacks) {
            assert_non_null(world_manage(&world, &asked, pass));
            continue;
        }
        assert_fails(&asked, pass, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED");
        assert_non_null(strstr(world.status.message, cases[i].lacks));
    }
    asked = key_of("default", OPERATE, 1);
    assert_fails(&asked, pass, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED");
    /* Nor does it become more by rotating the operator's. */
    Triggers__V1__RotateKeyRequest rotate = rotation_of("default", world.operator_key);
    assert_fails(&rotate, pass, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED");
    pass_release(pass);
}

static Triggers__V1__RevokeKeyRequest revocation_of(const char *tenant, const char *text)
{
    Triggers__V1__RevokeKeyRequest asked = TRIGGERS__V1__REVOKE_KEY_REQUEST__INIT;
    asked.tenant = (char *)tenant;
    asked.key_id = (char *)world_id_of(&world, text);
    return asked;
}

static void an_operators_key_is_ended_by_operators_alone(void **state)
{
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", MANAGE, 2);
    struct pass *manager = pass_of("default", &asked);
    Triggers__Api__V1__Scope operates[] = {SCOPE(KEYS_MANAGE), SCOPE(OPERATOR)};
    asked = key_of("default", operates, 2);
    const char *other = world_make_key(&world, "default", &asked);
    Triggers__V1__RevokeKeyRequest revoke = revocation_of("default", other);
    assert_fails(&revoke, manager, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED");
    Triggers__V1__RotateKeyRequest rotate = rotation_of("default", other);
    rotate.overlap_case = TRIGGERS__V1__ROTATE_KEY_REQUEST__OVERLAP_OVERLAP_SECONDS;
    rotate.overlap_seconds = 0; /* it would end it, too */
    assert_fails(&rotate, manager, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED");
    assert_true(admits(other));
    assert_non_null(world_manage(&world, &revoke, world.operator_pass));
    assert_false(admits(other));
    pass_release(manager);
}

static void a_restricted_manager_ends_no_key_that_is_about_more(void **state)
{
    static struct {
        char *sources, *types, *subscriptions, *addresses;
        const char *lacks; /* NULL: it may be revoked */
    } cases[] = {
        {"crm.eu", "lead.*", "mail", NULL, NULL}, /* from wherever it works */
        {NULL, "lead.*", "mail", "192.0.2.7", "sources"},
        {"cr*", "lead.*", "mail", "192.0.2.7", "sources"},
        {"crm", NULL, "mail", "192.0.2.7", "event_types"},
        {"crm", "lead.*", NULL, "192.0.2.7", "subscriptions"},
    };
    char *sources[] = {"crm*"}, *types[] = {"lead.*"}, *subscriptions[] = {"mail"};
    char *addresses[] = {"192.0.2.0/24"};
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", MANAGE, 2);
    asked.sources = sources;
    asked.event_types = types;
    asked.subscriptions = subscriptions;
    asked.addresses = addresses;
    asked.n_sources = asked.n_event_types = asked.n_subscriptions = asked.n_addresses = 1;
    struct pass *pass = pass_of("default", &asked);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Triggers__Api__V1__Scope writes[] = {SCOPE(EVENTS_WRITE)}; /* which the manager may not */
        asked = key_of("default", writes, 1);
        asked.sources = &cases[i].sources;
        asked.n_sources = cases[i].sources != NULL;
        asked.event_types = &cases[i].types;
        asked.n_event_types = cases[i].types != NULL;
        asked.subscriptions = &cases[i].subscriptions;
        asked.n_subscriptions = cases[i].subscriptions != NULL;
        asked.addresses = &cases[i].addresses;
        asked.n_addresses = cases[i].addresses != NULL;
        const char *key = world_make_key(&world, "default", &asked);
        Triggers__V1__RevokeKeyRequest revoke = revocation_of("default", key);
        if (cases[i].lacks) {
            assert_fails(&revoke, pass, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED");
            assert_non_null(strstr(world.status.message, cases[i].lacks));
        } else {
            assert_non_null(world_manage(&world, &revoke, pass));
        }
        assert_int_equal(admits(key), cases[i].lacks != NULL);
        Triggers__V1__RotateKeyRequest rotate = rotation_of("default", key);
        if (cases[i].lacks) /* it would be shown the text of a key that may do more */
            assert_fails(&rotate, pass, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED");
    }
    pass_release(pass);
}

static void a_key_does_not_outlive_itself_by_another(void **state)
{
    (void)state;
    /* The time that counts is the one that its rotation has set. */
    Triggers__V1__CreateKeyRequest asked = key_of("default", MANAGE, 2);
    const char *text = world_make_key(&world, "default", &asked);
    struct pass *pass;
    assert_true(world_admit(&world, &world.cores[0], text, "192.0.2.7", &pass));
    Triggers__V1__RotateKeyRequest rotate = rotation_of("default", text);
    rotate.overlap_case = TRIGGERS__V1__ROTATE_KEY_REQUEST__OVERLAP_OVERLAP_SECONDS;
    rotate.overlap_seconds = 3600;
    const Triggers__V1__RotateKeyResponse *rotated =
        world_manage(&world, &rotate, world.operator_pass);
    assert_non_null(rotated);
    Triggers__V1__CreateKeyRequest reading = key_of("default", READ, 1);
    assert_fails(&reading, pass, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED");
    assert_non_null(strstr(world.status.message, "expires_at"));
    reading.expires_at = row_time(&world.arena, now_us() + 2 * HOUR_US);
    assert_fails(&reading, pass, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED");
    reading.expires_at = row_time(&world.arena, now_us() + HOUR_US / 2);
    assert_non_null(world_manage(&world, &reading, pass));
    /* Nor by the rotation of a key that lasts, its own successor. */
    rotate = rotation_of("default", rotated->key);
    assert_fails(&rotate, pass, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED");
    assert_non_null(strstr(world.status.message, "expires_at"));
    pass_release(pass);
}

static void a_key_that_is_over_changes_nothing_though_it_was_let_in(void **state)
{
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", MANAGE, 2);
    const char *text = world_make_key(&world, "default", &asked);
    struct pass *pass;
    assert_true(world_admit(&world, &world.cores[0], text, "192.0.2.7", &pass));
    Triggers__V1__RevokeKeyRequest revoke = revocation_of("default", text);
    assert_non_null(world_manage(&world, &revoke, world.operator_pass));
    Triggers__V1__CreateKeyRequest reading = key_of("default", READ, 1);
    assert_fails(&reading, pass, STATUS_UNAUTHENTICATED, "KEY_INVALID");
    pass_release(pass);
}

static void a_key_may_revoke_itself(void **state)
{
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", MANAGE, 2);
    const char *text = world_make_key(&world, "default", &asked);
    struct pass *pass;
    assert_true(world_admit(&world, &world.cores[0], text, "192.0.2.7", &pass));
    Triggers__V1__RevokeKeyRequest revoke = revocation_of("default", text);
    assert_non_null(world_manage(&world, &revoke, pass));
    assert_false(admits(text));
    pass_release(pass);
}

/* ---- memory ---- */

static size_t bytes_of_keys(const struct access_core *core)
{
    return keyring_bytes(core->access->keyring);
}

static void keys_are_charged_to_the_budget(void **state)
{
    (void)state;
    struct access_core *core = &world.cores[0];
    size_t before = bytes_of_keys(core);
    assert_int_equal(atomic_load(&core->budget->held), before);
    Triggers__V1__CreateKeyRequest asked = key_of("default", READ, 1);
    const char *key = world_make_key(&world, "default", &asked);
    size_t first = bytes_of_keys(core) - before;
    assert_in_range(first, 500, 1500);
    char *sources[] = {"a23456789.b23456789.c23456789.d23456789.e23456789"};
    asked.sources = sources;
    asked.n_sources = 1;
    world_make_key(&world, "default", &asked);
    assert_in_range(bytes_of_keys(core) - before - first, first + 2 * strlen(sources[0]), 2000);
    world_make_tenant(&world, "acme");
    assert_int_equal(atomic_load(&core->budget->held), bytes_of_keys(core));
    /* What goes is given back. */
    size_t most = bytes_of_keys(core);
    Triggers__V1__RevokeKeyRequest revoke = revocation_of("default", key);
    assert_non_null(world_manage(&world, &revoke, world.operator_pass));
    world_pass(31 * DAY_US);
    world_look(core);
    world_look(core); /* what the first one has removed is read */
    assert_true(bytes_of_keys(core) < most);
    assert_int_equal(atomic_load(&core->budget->held), bytes_of_keys(core));
}

static void without_room_no_key_is_made_and_those_there_are_go_on(void **state)
{
    (void)state;
    struct access_core *core = &world.cores[0];
    Triggers__V1__CreateKeyRequest asked = key_of("default", READ, 1);
    const char *key = world_make_key(&world, "default", &asked);
    world_make_tenant(&world, "acme");
    world_add_core(&world, ACCESS_REQUIRED);
    atomic_store(&core->budget->ceiling, 4 * (bytes_of_keys(core) + 1500));
    const char *last = world_make_key(&world, "default", &asked);
    size_t more = 0;
    while (more < 3 && world_manage(&world, &asked, world.operator_pass))
        more++;
    assert_true(more < 3);
    assert_fails(&asked, world.operator_pass, STATUS_RESOURCE_EXHAUSTED, "KEYS_TOO_LARGE");
    assert_non_null(strstr(world.status.message, "TRIGGERS_MAX_MEMORY"));
    Triggers__V1__PutTenantRequest tenant = TRIGGERS__V1__PUT_TENANT_REQUEST__INIT;
    tenant.name = (char *)"other"; /* it takes less than a key */
    atomic_store(&core->budget->ceiling, 4 * bytes_of_keys(core));
    assert_fails(&tenant, world.operator_pass, STATUS_RESOURCE_EXHAUSTED, "KEYS_TOO_LARGE");
    Triggers__V1__RotateKeyRequest rotate = rotation_of("default", key);
    assert_fails(&rotate, world.operator_pass, STATUS_RESOURCE_EXHAUSTED, "KEYS_TOO_LARGE");
    /* What is there works, and is changed. */
    assert_true(admits(key) && admits(last));
    tenant.name = (char *)"acme";
    assert_non_null(world_manage(&world, &tenant, world.operator_pass));
    Triggers__V1__RevokeKeyRequest revoke = revocation_of("default", key);
    assert_non_null(world_manage(&world, &revoke, world.operator_pass));
    assert_false(admits(key));
    /* Another core, which has no room at all, knows the keys that others make. */
    atomic_store(&world.cores[1].budget->ceiling, 1000);
    atomic_store(&core->budget->ceiling, (size_t)64 << 20);
    const char *made = world_make_key(&world, "default", &asked);
    world_look(&world.cores[1]);
    assert_true(world_admit(&world, &world.cores[1], made, "192.0.2.7", NULL));
    assert_true(atomic_load(&world.cores[1].budget->held) <= 1000);
}

static void what_others_hold_is_charged_for_later(void **state)
{
    (void)state;
    struct access_core *core = &world.cores[0];
    struct budget_share others = {.budget = core->budget};
    struct charge held = {.share = &others, .urgent = true};
    size_t all = atomic_load(&core->budget->ceiling) - atomic_load(&core->budget->held);
    assert_true(charge_add(&held, all));
    Triggers__V1__CreateKeyRequest asked = key_of("default", READ, 1);
    const char *key = world_make_key(&world, "default", &asked);
    assert_true(admits(key));
    assert_int_equal(atomic_load(&core->budget->held), atomic_load(&core->budget->ceiling));
    charge_release(&held, all);
    world_look(core);
    assert_int_equal(atomic_load(&core->budget->held), bytes_of_keys(core));
}

static void what_was_denied_is_on_record(void **state)
{
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", MANAGE, 2);
    struct pass *pass = pass_of("default", &asked);
    asked = key_of("default", OPERATE, 1);
    assert_fails(&asked, pass, STATUS_PERMISSION_DENIED, "KEY_EXCEEDED");
    world_look(&world.cores[0]);
    const Triggers__V1__ListAuditRecordsResponse *records = list_audit("default", 0, 1);
    assert_string_equal(records->records[0]->result, "PERMISSION_DENIED");
    assert_string_equal(records->records[0]->action, "CreateKey");
    assert_string_equal(records->records[0]->key_id, pass->key_id);
    pass_release(pass);
}

/* How many records say that this was refused. */
static int count_refusals(const char *tenant, const char *action)
{
    int count = 0;
    const Triggers__V1__ListAuditRecordsResponse *records = list_audit(tenant, 0, 1000);
    for (size_t i = 0; i < records->n_records; i++)
        count += strcmp(records->records[i]->result, "PERMISSION_DENIED") == 0 &&
                 (!action || strcmp(records->records[i]->action, action) == 0);
    return count;
}

static void refuse(struct pass *pass, const char *action)
{
    access_record(world.cores[0].access,
                  &(struct access_deed){.scope = pass ? pass->scope : SCOPE_DEFAULT,
                                        .pass = pass,
                                        .action = action,
                                        .target = {"", 0},
                                        .result = STATUS_PERMISSION_DENIED,
                                        .request_id = "r",
                                        .address = "192.0.2.7"});
}

static void who_is_refused_again_and_again_fills_no_record(void **state)
{
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", MANAGE, 2);
    struct pass *pass = pass_of("default", &asked), *other = pass_of("default", &asked);
    world_pass(60 * SECOND_US - clock_monotonic_us() % (60 * SECOND_US)); /* a minute begins */
    for (int i = 0; i < 2000; i++) {
        refuse(pass, "DeleteTenant");
        refuse(pass, "EraseEvent");
        refuse(pass, "GetEvent"); /* changes nothing */
        refuse(NULL, "DeleteTenant");
        if (i == 1000)
            refuse(other, "EraseEvent");
    }
    world_look(&world.cores[0]);
    assert_int_equal(count_refusals("default", "DeleteTenant"), 2);
    assert_int_equal(count_refusals("default", "EraseEvent"), 2);
    assert_int_equal(count_refusals("default", NULL), 4);
    world_pass(60 * SECOND_US);
    refuse(pass, "EraseEvent");
    world_look(&world.cores[0]);
    assert_int_equal(count_refusals("default", "EraseEvent"), 3);
    pass_release(pass);
    pass_release(other);
}

static void the_keys_of_a_tenant_cannot_fill_its_record_together(void **state)
{
    (void)state;
    struct pass *passes[80];
    world_make_tenant(&world, "acme");
    Triggers__V1__CreateKeyRequest asked = key_of("acme", READ, 1);
    for (int i = 0; i < 80; i++)
        passes[i] = pass_of("acme", &asked);
    struct pass *own = pass_of("default", &asked);
    world_pass(60 * SECOND_US - clock_monotonic_us() % (60 * SECOND_US));
    for (int i = 0; i < 80; i++)
        refuse(passes[i], "Seek");
    refuse(own, "Seek"); /* another tenant's */
    world_look(&world.cores[0]);
    assert_int_equal(count_refusals("acme", NULL), QUOTA_REFUSALS_OF_TENANT);
    assert_int_equal(count_refusals("default", NULL), 1);
    for (int i = 0; i < 80; i++)
        pass_release(passes[i]);
    pass_release(own);
}

static void a_manager_sees_its_own_tenant_alone(void **state)
{
    (void)state;
    world_make_tenant(&world, "acme");
    world_make_tenant(&world, "other");
    Triggers__V1__CreateKeyRequest asked = key_of("acme", MANAGE, 2);
    struct pass *pass = pass_of("acme", &asked);
    Triggers__V1__CreateKeyRequest reading = key_of("other", READ, 1);
    const char *foreign = world_make_key(&world, "other", &reading);
    static const char *const others[] = {"other", "default", "none", ""};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char message[STATUS_MESSAGE_SIZE];
        Triggers__V1__CreateKeyRequest create = key_of(others[i], READ, 1);
        assert_fails(&create, pass, STATUS_NOT_FOUND, "TENANT_NOT_FOUND");
        strcpy(message, world.status.message);
        Triggers__V1__ListKeysRequest list = TRIGGERS__V1__LIST_KEYS_REQUEST__INIT;
        list.tenant = (char *)others[i];
        assert_fails(&list, pass, STATUS_NOT_FOUND, "TENANT_NOT_FOUND");
        assert_string_equal(message, world.status.message);
    }
    Triggers__V1__RevokeKeyRequest revoke = TRIGGERS__V1__REVOKE_KEY_REQUEST__INIT;
    revoke.tenant = (char *)"acme"; /* its own, with the other's key */
    revoke.key_id = (char *)world_id_of(&world, foreign);
    assert_fails(&revoke, pass, STATUS_NOT_FOUND, "KEY_NOT_FOUND");
    Triggers__V1__RotateKeyRequest rotate = rotation_of("acme", foreign);
    assert_fails(&rotate, pass, STATUS_NOT_FOUND, "KEY_NOT_FOUND");
    assert_true(admits(foreign));
    Triggers__V1__CreateKeyRequest own = key_of("acme", READ, 1);
    assert_non_null(world_manage(&world, &own, pass));
    pass_release(pass);
}

static void keys_are_listed_in_the_order_they_were_made(void **state)
{
    const char *made[25];
    size_t count = 0;
    int64_t after = 0;
    (void)state;
    world_make_tenant(&world, "acme");
    Triggers__V1__CreateKeyRequest reading = key_of("acme", READ, 1);
    for (int i = 0; i < 25; i++) {
        world_pass(1);
        made[i] = world_make_key(&world, "acme", &reading);
    }
    do {
        Triggers__V1__ListKeysRequest asked = TRIGGERS__V1__LIST_KEYS_REQUEST__INIT;
        asked.tenant = (char *)"acme";
        const Triggers__V1__ListKeysResponse *answer =
            world_list(&world, &asked, world.operator_pass, after, 7);
        assert_non_null(answer);
        for (size_t i = 0; i < answer->n_keys; i++)
            assert_memory_equal(answer->keys[i]->key_id, key_text_id(made[count++]), KEY_ID_LENGTH);
        after = world.next;
    } while (after != 0);
    assert_int_equal(count, 25);
}

static void a_tenant_has_at_most_so_many_keys(void **state)
{
    (void)state;
    world_make_tenant(&world, "acme");
    Triggers__V1__CreateKeyRequest asked = key_of("acme", READ, 1);
    const char *last = NULL;
    for (int i = 0; i < KEYRING_KEYS_MAX; i++)
        last = world_make_key(&world, "acme", &asked);
    assert_fails(&asked, world.operator_pass, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_KEYS");
    Triggers__V1__RotateKeyRequest rotate = rotation_of("acme", last);
    assert_fails(&rotate, world.operator_pass, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_KEYS");
}

/* ---- rotation ---- */

static void both_keys_work_during_the_overlap(void **state)
{
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", READ, 1);
    const char *old = world_make_key(&world, "default", &asked);
    Triggers__V1__RotateKeyRequest rotate = rotation_of("default", old);
    const Triggers__V1__RotateKeyResponse *answer =
        world_manage(&world, &rotate, world.operator_pass);
    assert_non_null(answer);
    assert_string_equal(answer->details->rotated_from, rotate.key_id);
    assert_null(answer->details->expires_at);
    const Triggers__V1__Key *ending = get_key("default", old);
    assert_string_equal(ending->rotated_to, answer->details->key_id);
    assert_in_range(row_time_us(ending->expires_at), now_us() + DAY_US - 10 * SECOND_US,
                    now_us() + DAY_US);
    assert_true(admits(old) && admits(answer->key));
    assert_fails(&rotate, world.operator_pass, STATUS_FAILED_PRECONDITION, "KEY_ROTATED");
    world_pass(DAY_US);
    assert_false(admits(old));
    assert_true(admits(answer->key));
}

static void an_overlap_may_be_stated(void **state)
{
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", READ, 1);
    Google__Protobuf__Timestamp *expires = row_time(&world.arena, now_us() + HOUR_US);
    asked.expires_at = expires;
    const char *old = world_make_key(&world, "default", &asked);
    Triggers__V1__RotateKeyRequest rotate = rotation_of("default", old);
    rotate.overlap_case = TRIGGERS__V1__ROTATE_KEY_REQUEST__OVERLAP_OVERLAP_SECONDS;
    rotate.overlap_seconds = 2592001;
    assert_fails(&rotate, world.operator_pass, STATUS_INVALID_ARGUMENT, "OVERLAP_INVALID");
    rotate.overlap_seconds = 2592000; /* not longer than the old one does in any case */
    const Triggers__V1__RotateKeyResponse *answer =
        world_manage(&world, &rotate, world.operator_pass);
    assert_true(row_time_us(get_key("default", old)->expires_at) == row_time_us(expires));
    assert_true(row_time_us(answer->details->expires_at) == row_time_us(expires));
    rotate = rotation_of("default", answer->key);
    rotate.overlap_case = TRIGGERS__V1__ROTATE_KEY_REQUEST__OVERLAP_OVERLAP_SECONDS;
    rotate.overlap_seconds = 0;
    Google__Protobuf__Timestamp *later = row_time(&world.arena, now_us() + DAY_US);
    rotate.expires_at = later;
    const char *second = answer->key;
    answer = world_manage(&world, &rotate, world.operator_pass);
    assert_true(row_time_us(answer->details->expires_at) == row_time_us(later));
    assert_false(admits(second));
    assert_true(admits(old) && admits(answer->key));
}

static int64_t expiring(void)
{
    world_pass(61 * SECOND_US);
    world_look(&world.cores[0]);
    return atomic_load(&access_keys_expiring.cells[0]);
}

static void keys_that_expire_soon_are_counted(void **state)
{
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", READ, 1);
    Google__Protobuf__Timestamp *expires = row_time(&world.arena, now_us() + 15 * DAY_US);
    world_make_key(&world, "default", &asked);
    asked.expires_at = expires;
    const char *key = world_make_key(&world, "default", &asked);
    assert_int_equal(expiring(), 0);
    world_pass(DAY_US);
    assert_int_equal(expiring(), 1);
    Triggers__V1__RotateKeyRequest rotate = rotation_of("default", key);
    Google__Protobuf__Timestamp *later = row_time(&world.arena, now_us() + 90 * DAY_US);
    rotate.expires_at = later;
    assert_non_null(world_manage(&world, &rotate, world.operator_pass));
    assert_int_equal(expiring(), 0);
}

static void dead_keys_are_not_rotated(void **state)
{
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", READ, 1);
    const char *revoked = world_make_key(&world, "default", &asked);
    Triggers__V1__RevokeKeyRequest revoke = TRIGGERS__V1__REVOKE_KEY_REQUEST__INIT;
    revoke.tenant = (char *)"default";
    revoke.key_id = (char *)world_id_of(&world, revoked);
    const Triggers__V1__RevokeKeyResponse *answer =
        world_manage(&world, &revoke, world.operator_pass);
    int64_t revoked_us = row_time_us(answer->key->revoked_at);
    assert_true(revoked_us > 0);
    world_pass(SECOND_US);
    answer = world_manage(&world, &revoke, world.operator_pass); /* again: as it was */
    assert_true(row_time_us(answer->key->revoked_at) == revoked_us);
    Triggers__V1__RotateKeyRequest rotate = rotation_of("default", revoked);
    assert_fails(&rotate, world.operator_pass, STATUS_FAILED_PRECONDITION, "KEY_REVOKED");
    Google__Protobuf__Timestamp *expires = row_time(&world.arena, now_us() + HOUR_US);
    asked.expires_at = expires;
    const char *expired = world_make_key(&world, "default", &asked);
    world_pass(HOUR_US);
    rotate = rotation_of("default", expired);
    assert_fails(&rotate, world.operator_pass, STATUS_FAILED_PRECONDITION, "KEY_EXPIRED");
}

static void dead_keys_go_after_a_month(void **state)
{
    (void)state;
    Triggers__V1__CreateKeyRequest asked = key_of("default", READ, 1);
    const char *kept = world_make_key(&world, "default", &asked);
    const char *revoked = world_make_key(&world, "default", &asked);
    Triggers__V1__RevokeKeyRequest revoke = TRIGGERS__V1__REVOKE_KEY_REQUEST__INIT;
    revoke.tenant = (char *)"default";
    revoke.key_id = (char *)world_id_of(&world, revoked);
    assert_non_null(world_manage(&world, &revoke, world.operator_pass));
    world_pass(30 * DAY_US - HOUR_US);
    world_look(&world.cores[0]);
    assert_non_null(get_key("default", revoked));
    world_pass(2 * HOUR_US);
    world_look(&world.cores[0]);
    assert_null(get_key("default", revoked));
    assert_non_null(get_key("default", kept));
}

/* ---- several at once ---- */

static void two_cores_change_the_same_tenant(void **state)
{
    (void)state;
    world_add_core(&world, ACCESS_REQUIRED);
    world_make_tenant(&world, "acme");
    for (int i = 0; i < 4; i++) {
        struct access_core first = world.cores[0];
        Triggers__V1__CreateKeyRequest asked = key_of("acme", READ, 1);
        world.cores[0] = world.cores[1]; /* which has not heard of what the other wrote */
        world.cores[1] = first;
        const char *key = world_make_key(&world, "acme", &asked);
        assert_true(admits(key));
        assert_non_null(get_key("acme", key));
    }
}

static const struct store_driver *real_driver;
static struct store_driver losing_driver;
static atomic_int answers_to_lose;

/* Changes the rows, and then says that nobody knows whether it did. */
static enum store_result lose_answer(struct store_session *session,
                                     struct store_access_change *change, struct status *status)
{
    enum store_result result = real_driver->access_change(session, change, status);
    if (atomic_fetch_sub(&answers_to_lose, 1) <= 0)
        return result;
    status_fail(status, STATUS_UNAVAILABLE, "STORE_LOST", "the connection was lost");
    return STORE_LOST;
}

/* Stores check whose sessions they close. */
static void close_session(struct store_session *session)
{
    struct store *store = session->store;
    store->driver = real_driver;
    real_driver->session_close(session);
    store->driver = &losing_driver;
}

static void a_change_is_made_once_though_its_answer_is_lost(void **state)
{
    (void)state;
    struct store *store = world.cores[0].store;
    real_driver = store->driver;
    losing_driver = *real_driver;
    losing_driver.access_change = lose_answer;
    losing_driver.session_close = close_session;
    store->driver = &losing_driver;
    Triggers__V1__CreateKeyRequest asked = key_of("default", READ, 1);
    atomic_store(&answers_to_lose, 1);
    const char *key = world_make_key(&world, "default", &asked);
    assert_true(admits(key));
    Triggers__V1__RotateKeyRequest rotate = rotation_of("default", key);
    atomic_store(&answers_to_lose, 1);
    const Triggers__V1__RotateKeyResponse *rotated =
        world_manage(&world, &rotate, world.operator_pass);
    assert_non_null(rotated);
    assert_true(admits(rotated->key));
    Triggers__V1__ListKeysRequest list = TRIGGERS__V1__LIST_KEYS_REQUEST__INIT;
    list.tenant = (char *)"default";
    const Triggers__V1__ListKeysResponse *keys = world_manage(&world, &list, world.operator_pass);
    assert_int_equal(keys->n_keys, 3); /* with the operator's */
    assert_int_equal(list_audit("default", 0, 100)->n_records, 3);
    store->driver = real_driver;
}

/* ---- records ---- */

static void changes_are_on_record(void **state)
{
    (void)state;
    world_make_tenant(&world, "acme");
    Triggers__V1__CreateKeyRequest asked = key_of("acme", MANAGE, 2);
    struct pass *pass = pass_of("acme", &asked);
    asked = key_of("acme", READ, 1);
    const Triggers__V1__CreateKeyResponse *made = world_manage(&world, &asked, pass);
    const Triggers__V1__ListAuditRecordsResponse *records = list_audit("acme", 0, 100);
    assert_int_equal(records->n_records, 2);
    const Triggers__V1__AuditRecord *last = records->records[0];
    assert_string_equal(last->action, "CreateKey");
    assert_string_equal(last->target, made->details->key_id);
    assert_string_equal(last->key_id, pass->key_id);
    assert_string_equal(last->result, "OK");
    assert_string_equal(last->request_id, "req-1");
    assert_string_equal(last->address, "192.0.2.9");
    assert_true(last->number > records->records[1]->number);
    assert_in_range(row_time_us(last->recorded_at), now_us() - 10 * SECOND_US, now_us());
    records = list_audit("default", 0, 100);
    assert_string_equal(records->records[0]->action, "PutTenant");
    assert_string_equal(records->records[0]->target, "acme");
    const Triggers__V1__AuditRecord *first = records->records[records->n_records - 1];
    assert_string_equal(first->action, "CreateKey"); /* beside the store */
    assert_string_equal(first->key_id, "");
    pass_release(pass);
}

static void deeds_of_others_are_recorded(void **state)
{
    char target[300];
    size_t count = 0;
    int64_t after = 0;
    (void)state;
    memset(target, 'x', sizeof(target));
    memcpy(target + 254, "\xc3\xa4", 2); /* would be cut in two */
    for (int i = 0; i < 25; i++)
        access_record(world.cores[0].access,
                      &(struct access_deed){.scope = {.tenant = 0},
                                            .pass = world.operator_pass,
                                            .action = "DeleteSubscription",
                                            .target = {target, sizeof(target)},
                                            .result = STATUS_OK,
                                            .request_id = "r",
                                            .address = "::1"});
    world_look(&world.cores[0]);
    do {
        const Triggers__V1__ListAuditRecordsResponse *records = list_audit("default", after, 10);
        for (size_t i = 0; i < records->n_records; i++, count++) {
            if (count >= 25)
                break;
            assert_string_equal(records->records[i]->action, "DeleteSubscription");
            assert_int_equal(strlen(records->records[i]->target), 254);
        }
        after = world.next;
    } while (after != 0);
    assert_int_equal(count, 25);
}

/* ---- an operator's key that was given ---- */

static void an_operators_key_is_put_once(void **state)
{
    struct store_session *session;
    struct status status;
    enum operator_key found;
    char given[KEY_TEXT_LENGTH + 1], forged[KEY_TEXT_LENGTH + 1];
    (void)state;
    struct store *store = world.cores[0].store;
    assert_int_equal(store->driver->session_open(store, false, &session, &status), STORE_OK);
    key_text_make(given);
    struct slice text = {given, KEY_TEXT_LENGTH};
    assert_int_equal(operator_key_put(session, text, "given", &found, &status), STORE_OK);
    assert_int_equal(status.code, STATUS_OK);
    assert_int_equal(found, OPERATOR_KEY_MADE);
    world_look(&world.cores[0]);
    assert_true(admits(given));
    assert_int_equal(operator_key_put(session, text, "given", &found, &status), STORE_OK);
    assert_int_equal(found, OPERATOR_KEY_THERE);
    world_forge(given, forged);
    assert_int_equal(operator_key_put(session, slice_of(forged), "given", &found, &status),
                     STORE_OK);
    assert_int_equal(status.code, STATUS_ALREADY_EXISTS);
    assert_int_equal(operator_key_put(session, slice_of("trg_"), "given", &found, &status),
                     STORE_OK);
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    Triggers__V1__RotateKeyRequest rotate = rotation_of("default", given);
    assert_non_null(world_manage(&world, &rotate, world.operator_pass));
    assert_int_equal(operator_key_put(session, text, "given", &found, &status), STORE_OK);
    assert_int_equal(found, OPERATOR_KEY_ROTATED);
    world_pass(DAY_US);
    assert_int_equal(operator_key_put(session, text, "given", &found, &status), STORE_OK);
    assert_int_equal(found, OPERATOR_KEY_EXPIRED);
    store->driver->session_close(session);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(a_tenant_is_created_and_changed),
        CASE(the_default_tenant_is_there),
        CASE(names_of_tenants_are_checked),
        CASE(tenants_are_listed_in_pages),
        CASE(a_deleted_tenant_goes_when_all_it_has_is_gone),
        CASE(a_key_is_made_as_it_was_asked_for),
        CASE(what_a_key_is_given_is_checked),
        CASE(only_the_default_tenant_has_operators),
        CASE(a_key_gives_no_more_than_it_has),
        CASE(an_operators_key_is_ended_by_operators_alone),
        CASE(a_restricted_manager_ends_no_key_that_is_about_more),
        CASE(a_key_does_not_outlive_itself_by_another),
        CASE(a_key_that_is_over_changes_nothing_though_it_was_let_in),
        CASE(a_key_may_revoke_itself),
        CASE(keys_are_charged_to_the_budget),
        CASE(without_room_no_key_is_made_and_those_there_are_go_on),
        CASE(what_others_hold_is_charged_for_later),
        CASE(what_was_denied_is_on_record),
        CASE(who_is_refused_again_and_again_fills_no_record),
        CASE(the_keys_of_a_tenant_cannot_fill_its_record_together),
        CASE(a_manager_sees_its_own_tenant_alone),
        CASE(keys_are_listed_in_the_order_they_were_made),
        CASE(a_tenant_has_at_most_so_many_keys),
        CASE(both_keys_work_during_the_overlap),
        CASE(an_overlap_may_be_stated),
        CASE(keys_that_expire_soon_are_counted),
        CASE(dead_keys_are_not_rotated),
        CASE(dead_keys_go_after_a_month),
        CASE(two_cores_change_the_same_tenant),
        CASE(a_change_is_made_once_though_its_answer_is_lost),
        CASE(changes_are_on_record),
        CASE(deeds_of_others_are_recorded),
        CASE(an_operators_key_is_put_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
