/* Who is let in: modes, forms of an authorization, keys that are good no more, and how two cores
 * hear of that. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "access_world.h"

#define SCOPE(name) TRIGGERS__API__V1__SCOPE__SCOPE_##name

static struct access_world world;
static Triggers__Api__V1__Scope READ[] = {SCOPE(EVENTS_READ)};

static int end(void **state)
{
    (void)state;
    world_end(&world);
    return 0;
}

static int begin_required(void **state)
{
    (void)state;
    world_begin(&world, ACCESS_REQUIRED);
    return 0;
}

static int begin_optional(void **state)
{
    (void)state;
    world_begin(&world, ACCESS_OPTIONAL);
    return 0;
}

static int begin_off(void **state)
{
    (void)state;
    world_begin(&world, ACCESS_OFF);
    return 0;
}

static Triggers__V1__CreateKeyRequest reading(void)
{
    Triggers__V1__CreateKeyRequest asked = TRIGGERS__V1__CREATE_KEY_REQUEST__INIT;
    asked.scopes = READ;
    asked.n_scopes = 1;
    return asked;
}

static const char *make_reader(const char *tenant)
{
    Triggers__V1__CreateKeyRequest asked = reading();
    return world_make_key(&world, tenant, &asked);
}

static bool admits(const char *key)
{
    return world_admit(&world, &world.cores[0], key, "192.0.2.7", NULL);
}

static void assert_refused(const char *key, enum status_code code, const char *reason)
{
    assert_false(admits(key));
    assert_int_equal(world.status.code, code);
    assert_string_equal(world.status.reason, reason);
}

static void assert_invalid(const char *key)
{
    assert_refused(key, STATUS_UNAUTHENTICATED, "KEY_INVALID");
}

static void revoke(const char *tenant, const char *key)
{
    Triggers__V1__RevokeKeyRequest asked = TRIGGERS__V1__REVOKE_KEY_REQUEST__INIT;
    asked.tenant = (char *)tenant;
    asked.key_id = (char *)world_id_of(&world, key);
    assert_non_null(world_manage(&world, &asked, world.operator_pass));
}

static void revoked_pass_is_over(const char *key)
{
    struct pass *pass;
    assert_true(world_admit(&world, &world.cores[0], key, "", &pass));
    assert_false(atomic_load(&pass->over));
    revoke("default", key);
    assert_true(atomic_load(&pass->over));
    pass_release(pass);
}

/* ---- modes ---- */

static void off_lets_everybody_in(void **state)
{
    struct pass *pass;
    struct scope scope;
    struct status status;
    (void)state;
    struct slice any = {"Bearer nonsense", 15};
    assert_true(access_admit(world.cores[0].access, any, "", &pass, &scope, &status));
    assert_null(pass);
    assert_int_equal(scope.tenant, 0);
    assert_true(scope.rights == UINT64_MAX);
}

static void off_manages_nothing(void **state)
{
    (void)state;
    Triggers__V1__ListTenantsRequest asked = TRIGGERS__V1__LIST_TENANTS_REQUEST__INIT;
    assert_null(world_manage(&world, &asked, NULL));
    assert_int_equal(world.status.code, STATUS_FAILED_PRECONDITION);
    assert_string_equal(world.status.reason, "AUTH_OFF");
}

static void required_asks_for_a_key(void **state)
{
    (void)state;
    assert_refused(NULL, STATUS_UNAUTHENTICATED, "KEY_MISSING");
    assert_true(admits(world.operator_key));
}

static void optional_limits_calls_without_a_key(void **state)
{
    struct pass *pass;
    struct scope scope;
    struct status status;
    (void)state;
    struct slice none = {NULL, 0};
    assert_true(access_admit(world.cores[0].access, none, "", &pass, &scope, &status));
    assert_null(pass);
    assert_int_equal(scope.tenant, 0);
    assert_true(scope.rights & ACCESS_RIGHT(SCOPE(EVENTS_WRITE)));
    assert_true(scope.rights & ACCESS_RIGHT(SCOPE(SUBSCRIPTIONS_MANAGE)));
    assert_false(scope.rights & ACCESS_RIGHT(SCOPE(KEYS_MANAGE)));
    assert_false(scope.rights & ACCESS_RIGHT(SCOPE(OPERATOR)));
    assert_false(scope.rights & ACCESS_RIGHT(SCOPE(AUDIT_READ)));
    assert_invalid("wrong");
}

static void nobody_is_let_in_before_the_keys_are_read(void **state)
{
    (void)state;
    struct access *access = access_open(world.cores[0].asks, NULL, NULL, NULL, ACCESS_REQUIRED);
    struct access_core core = {.access = access};
    assert_false(world_admit(&world, &core, world.operator_key, "", NULL));
    assert_int_equal(world.status.code, STATUS_UNAVAILABLE);
    assert_string_equal(world.status.reason, "KEYS_NOT_READ");
    assert_true(world.status.retry_delay_ms > 0);
    access_close(access);
}

/* ---- an authorization ---- */

static bool admits_value(const char *value, size_t size)
{
    struct pass *pass;
    struct scope scope;
    struct status status = STATUS_INIT;
    struct slice authorization = {value, size};
    bool fits = access_admit(world.cores[0].access, authorization, "::1", &pass, &scope, &status);
    pass_release(pass);
    assert_true(fits || strcmp(status.reason, "KEY_INVALID") == 0);
    return fits;
}

static void the_scheme_is_bearer_in_any_case(void **state)
{
    static const struct {
        const char *before, *after;
        bool good;
    } cases[] = {
        {"Bearer ", "", true},         {"bearer ", "", true},   {"BEARER ", "", true},
        {"Bearer   ", "", true},       {"", "", false},         {"Bearer", "", false},
        {"Basic ", "", false},         {"Bearer\t", "", false}, {" Bearer ", "", false},
        {"Bearer ", " ", false},       {"Bearer ", ",", false}, {"Bearer \"", "\"", false},
        {"Bearer ", "x", false},       {"Bearer x", "", false}, {"Bearer ", "\n", false},
        {"Bearer Bearer ", "", false},
    };
    char value[256];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int size = snprintf(value, sizeof(value), "%s%s%s", cases[i].before, world.operator_key,
                            cases[i].after);
        assert_int_equal(admits_value(value, (size_t)size), cases[i].good);
    }
    assert_false(admits_value("", 0));
    assert_false(admits_value("Bearer ", 7));
    int size = snprintf(value, sizeof(value), "Bearer %s", world.operator_key);
    assert_false(admits_value(value, (size_t)size - 1));
    assert_false(admits_value(value, (size_t)size + 1)); /* a NUL at its end */
}

/* ---- keys that are not good ---- */

static void a_wrong_secret_is_refused(void **state)
{
    char unknown[KEY_TEXT_LENGTH + 1], wrong[KEY_TEXT_LENGTH + 1];
    (void)state;
    key_text_make(unknown);
    assert_invalid(unknown);
    world_forge(world.operator_key, wrong);
    assert_true(key_text_is_valid(wrong, KEY_TEXT_LENGTH));
    assert_invalid(wrong);
    assert_invalid("trg_");
}

static void a_key_expires_by_the_stores_clock(void **state)
{
    struct pass *pass;
    (void)state;
    Triggers__V1__CreateKeyRequest asked = reading();
    Google__Protobuf__Timestamp *at =
        row_time(&world.arena, following_now_us(&world.cores[0].access->following) + HOUR_US);
    asked.expires_at = at;
    const char *key = world_make_key(&world, "default", &asked);
    assert_true(world_admit(&world, &world.cores[0], key, "", &pass));
    world_pass(HOUR_US - 60 * SECOND_US);
    world_look(&world.cores[0]);
    assert_true(admits(key));
    assert_false(atomic_load(&pass->over));
    world_pass(60 * SECOND_US);
    assert_invalid(key);
    world_look(&world.cores[0]);
    assert_true(atomic_load(&pass->over));
    pass_release(pass);
}

static void a_revoked_key_is_refused(void **state)
{
    (void)state;
    const char *key = make_reader("default");
    assert_true(admits(key));
    revoked_pass_is_over(key);
    assert_invalid(key);
}

static void another_core_hears_of_a_revocation(void **state)
{
    struct pass *pass;
    (void)state;
    world_add_core(&world, ACCESS_REQUIRED);
    const char *key = make_reader("default");
    world_look(&world.cores[1]);
    assert_true(world_admit(&world, &world.cores[1], key, "", &pass));
    revoke("default", key);
    assert_true(world_admit(&world, &world.cores[1], key, "", NULL));
    world_look(&world.cores[1]);
    assert_false(world_admit(&world, &world.cores[1], key, "", NULL));
    assert_true(atomic_load(&pass->over));
    pass_release(pass);
}

static void a_key_works_from_its_addresses(void **state)
{
    char *ranges[] = {"192.0.2.0/24", "2001:db8::/32"};
    (void)state;
    Triggers__V1__CreateKeyRequest asked = reading();
    asked.addresses = ranges;
    asked.n_addresses = 2;
    const char *key = world_make_key(&world, "default", &asked);
    struct access_core *core = &world.cores[0];
    assert_true(world_admit(&world, core, key, "192.0.2.7", NULL));
    assert_true(world_admit(&world, core, key, "::ffff:192.0.2.7", NULL));
    assert_true(world_admit(&world, core, key, "2001:db8::1", NULL));
    assert_false(world_admit(&world, core, key, "192.0.3.7", NULL));
    assert_string_equal(world.status.reason, "KEY_INVALID");
    assert_false(world_admit(&world, core, key, "", NULL));
    assert_false(world_admit(&world, core, key, "192.0.2.7.", NULL));
}

static void a_suspended_tenants_keys_are_refused(void **state)
{
    struct pass *pass;
    (void)state;
    Triggers__V1__SuspendTenantRequest suspend = TRIGGERS__V1__SUSPEND_TENANT_REQUEST__INIT;
    Triggers__V1__ResumeTenantRequest resume = TRIGGERS__V1__RESUME_TENANT_REQUEST__INIT;
    suspend.name = resume.name = (char *)"acme";
    world_make_tenant(&world, "acme");
    const char *key = make_reader("acme");
    assert_true(world_admit(&world, &world.cores[0], key, "", &pass));
    assert_int_equal(pass->scope.tenant, 1);
    assert_non_null(world_manage(&world, &suspend, world.operator_pass));
    assert_refused(key, STATUS_PERMISSION_DENIED, "TENANT_SUSPENDED");
    assert_true(atomic_load(&pass->over));
    assert_non_null(world_manage(&world, &resume, world.operator_pass));
    assert_true(admits(key));
    assert_false(atomic_load(&pass->over));
    pass_release(pass);
}

/* ---- floods ---- */

static void wrong_keys_are_limited_by_address(void **state)
{
    char wrong[KEY_TEXT_LENGTH + 1];
    unsigned invalid = 0;
    (void)state;
    key_text_make(wrong);
    const char *good = make_reader("default");
    for (int i = 0; i < 1000; i++) {
        assert_false(admits(i % 2 ? wrong : "junk"));
        invalid += world.status.code == STATUS_UNAUTHENTICATED;
    }
    assert_in_range(invalid, WRONG_KEYS_AT_ONCE, WRONG_KEYS_AT_ONCE + 100);
    assert_int_equal(world.status.code, STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(world.status.reason, "TOO_MANY_WRONG_KEYS");
    assert_true(world.status.retry_delay_ms > 0);
    assert_true(admits(good)); /* from the same address */
    assert_false(world_admit(&world, &world.cores[0], wrong, "192.0.2.8", NULL));
    assert_int_equal(world.status.code, STATUS_UNAUTHENTICATED);
    world_pass(2 * SECOND_US);
    assert_invalid(wrong);
}

/* ---- restrictions ---- */

static struct slice text(const char *chars)
{
    return slice_of(chars);
}

static void a_pass_allows_what_its_key_may(void **state)
{
    char *sources[] = {"crm", "shop.*"}, *types[] = {"lead.*"}, *subscriptions[] = {"mail", "a*"};
    struct pass *pass;
    (void)state;
    Triggers__V1__CreateKeyRequest asked = reading();
    asked.sources = sources;
    asked.n_sources = 2;
    asked.event_types = types;
    asked.n_event_types = 1;
    asked.subscriptions = subscriptions;
    asked.n_subscriptions = 2;
    const char *key = world_make_key(&world, "default", &asked);
    assert_true(world_admit(&world, &world.cores[0], key, "", &pass));
    assert_true(access_allows_event(pass, text("crm"), text("lead.created")));
    assert_true(access_allows_event(pass, text("shop.de"), text("lead.")));
    assert_false(access_allows_event(pass, text("crm2"), text("lead.created")));
    assert_false(access_allows_event(pass, text("crm"), text("lead")));
    assert_true(access_allows_subscription(pass, text("mail")));
    assert_true(access_allows_subscription(pass, text("abc")));
    assert_false(access_allows_subscription(pass, text("inbox")));
    assert_true(access_allows_event(NULL, text("x"), text("y")));
    assert_true(access_allows_subscription(NULL, text("x")));
    pass_release(pass);
}

static void filters_are_narrowed(void **state)
{
    char *sources[] = {"crm", "shop.*"};
    struct slice asked_sources[] = {text("shop.de"), text("c*"), text("other*")};
    struct slice foreign[] = {text("other*"), text("crm2")};
    struct store_filter filter = {0};
    enum store_outcome outcome;
    struct pass *pass;
    (void)state;
    Triggers__V1__CreateKeyRequest asked = reading();
    asked.sources = sources;
    asked.n_sources = 2;
    const char *key = world_make_key(&world, "default", &asked);
    assert_true(world_admit(&world, &world.cores[0], key, "", &pass));
    assert_true(access_narrow(pass, &world.arena, &filter, &outcome));
    assert_int_equal(outcome, STORE_DONE);
    assert_int_equal(filter.source_count, 2);
    assert_int_equal(filter.type_count, 0);
    filter = (struct store_filter){.sources = asked_sources, .source_count = 3};
    assert_true(access_narrow(pass, &world.arena, &filter, &outcome));
    assert_int_equal(outcome, STORE_DONE);
    assert_int_equal(filter.source_count, 2);
    assert_true(slice_is(filter.sources[0], "shop.de"));
    assert_true(slice_is(filter.sources[1], "crm"));
    filter = (struct store_filter){.sources = foreign, .source_count = 2};
    assert_true(access_narrow(pass, &world.arena, &filter, &outcome));
    assert_int_equal(outcome, STORE_NOT_FOUND);
    pass_release(pass);
}

/* ---- when keys were used ---- */

static int64_t last_used_us(const char *key)
{
    Triggers__V1__GetKeyRequest asked = TRIGGERS__V1__GET_KEY_REQUEST__INIT;
    asked.tenant = (char *)"default";
    asked.key_id = (char *)world_id_of(&world, key);
    const Triggers__V1__GetKeyResponse *answer = world_manage(&world, &asked, world.operator_pass);
    assert_non_null(answer);
    return row_time_us(answer->key->last_used_at);
}

/* Of the key and of its tenant. */
static void what_came_to_nothing_does_not_count(void **state)
{
    (void)state;
    Triggers__Api__V1__Scope writes[] = {TRIGGERS__API__V1__SCOPE__SCOPE_EVENTS_WRITE};
    Triggers__V1__Limits limits = TRIGGERS__V1__LIMITS__INIT;
    Triggers__V1__CreateKeyRequest asked = TRIGGERS__V1__CREATE_KEY_REQUEST__INIT;
    Triggers__V1__PutTenantRequest tenant = TRIGGERS__V1__PUT_TENANT_REQUEST__INIT;
    struct access *access = world.cores[0].access;
    struct pass *pass;
    limits.events_per_second = 5;
    limits.bytes_per_second = 1000;
    tenant.name = (char *)"acme";
    tenant.limits = &limits;
    assert_non_null(world_manage(&world, &tenant, world.operator_pass));
    asked.scopes = writes;
    asked.n_scopes = 1;
    asked.limits = &limits;
    const char *key = world_make_key(&world, "acme", &asked);
    assert_true(world_admit(&world, &world.cores[0], key, "192.0.2.7", &pass));
    for (int i = 0; i < 20; i++) {
        assert_true(access_take_events(access, pass, 100, 100000, &world.status));
        assert_false(access_take_events(access, pass, 1, 1, &world.status));
        assert_string_equal(world.status.reason, "RATE_LIMITED");
        access_return_events(access, pass, 100, 100000);
    }
    assert_true(access_take_events(access, pass, 5, 1000, &world.status));
    pass_release(pass);
}

/* Neither more nor less than without the step. */
static void steps_of_the_clock_change_no_limit(void **state)
{
    static const int64_t steps[] = {-30 * DAY_US, 60 * DAY_US, -30 * DAY_US};
    (void)state;
    Triggers__Api__V1__Scope writes[] = {SCOPE(EVENTS_WRITE)};
    Triggers__V1__Limits limits = TRIGGERS__V1__LIMITS__INIT;
    Triggers__V1__CreateKeyRequest asked = TRIGGERS__V1__CREATE_KEY_REQUEST__INIT;
    struct access *access = world.cores[0].access;
    struct pass *pass;
    limits.events_per_second = 5;
    asked.scopes = writes;
    asked.n_scopes = 1;
    asked.limits = &limits;
    const char *key = world_make_key(&world, "default", &asked);
    assert_true(world_admit(&world, &world.cores[0], key, "192.0.2.7", &pass));
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_true(access_take_events(access, pass, 50, 1, &world.status));
        world_step(steps[i]);
        assert_false(access_take_events(access, pass, 1, 1, &world.status));
        world_look(&world.cores[0]); /* two seconds; the store's clock is known now */
        assert_false(access_take_events(access, pass, 1, 1, &world.status));
        world_pass(10 * SECOND_US);
        assert_true(world_admit(&world, &world.cores[0], key, "192.0.2.7", NULL));
    }
    pass_release(pass);
}

static void uses_are_noted_to_the_minute(void **state)
{
    (void)state;
    const char *key = make_reader("default");
    assert_int_equal(last_used_us(key), 0);
    assert_true(admits(key));
    int64_t used_us = last_used_us(key);
    int64_t now_us = following_now_us(&world.cores[0].access->following);
    assert_int_equal(used_us % (60 * SECOND_US), 0);
    assert_in_range(used_us, now_us - 62 * SECOND_US, now_us);
    world_pass(61 * SECOND_US);
    world_look(&world.cores[0]); /* tells the store */
    world_add_core(&world, ACCESS_REQUIRED);
    struct access_core first = world.cores[0];
    world.cores[0] = world.cores[1]; /* which asks the store */
    world.cores[1] = first;
    assert_true(last_used_us(key) == used_us);
}

/* ---- calls and changes at once ---- */

static atomic_bool stopping;
static const char *shared_key;

static void *call_again_and_again(void *argument)
{
    char value[128];
    size_t *admitted = argument;
    snprintf(value, sizeof(value), "Bearer %s", shared_key);
    struct slice authorization = {value, strlen(value)};
    while (!atomic_load(&stopping)) {
        struct pass *pass;
        struct scope scope;
        struct status status;
        if (!access_admit(world.cores[0].access, authorization, "::1", &pass, &scope, &status))
            break;
        *admitted += access_allows_event(pass, text("crm"), text("lead"));
        pass_release(pass);
    }
    return NULL;
}

static void keys_change_while_calls_come(void **state)
{
    pthread_t threads[4];
    size_t admitted[4] = {0};
    (void)state;
    atomic_store(&stopping, false);
    shared_key = make_reader("default");
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_again_and_again, &admitted[i]), 0);
    for (int i = 0; i < 100; i++) {
        const char *key = make_reader("default");
        assert_true(world_admit(&world, &world.cores[0], key, "::1", NULL));
        revoke("default", key);
        assert_false(world_admit(&world, &world.cores[0], key, "::2", NULL));
    }
    world_look(&world.cores[0]);
    revoke("default", shared_key); /* ends the threads, too */
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&stopping, true);
    for (int i = 0; i < 4; i++)
        assert_true(admitted[i] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(off_lets_everybody_in, begin_off, end),
        cmocka_unit_test_setup_teardown(off_manages_nothing, begin_off, end),
        cmocka_unit_test_setup_teardown(required_asks_for_a_key, begin_required, end),
        cmocka_unit_test_setup_teardown(optional_limits_calls_without_a_key, begin_optional, end),
        cmocka_unit_test_setup_teardown(nobody_is_let_in_before_the_keys_are_read, begin_required,
                                        end),
        cmocka_unit_test_setup_teardown(the_scheme_is_bearer_in_any_case, begin_required, end),
        cmocka_unit_test_setup_teardown(a_wrong_secret_is_refused, begin_required, end),
        cmocka_unit_test_setup_teardown(a_key_expires_by_the_stores_clock, begin_required, end),
        cmocka_unit_test_setup_teardown(a_revoked_key_is_refused, begin_required, end),
        cmocka_unit_test_setup_teardown(another_core_hears_of_a_revocation, begin_required, end),
        cmocka_unit_test_setup_teardown(a_key_works_from_its_addresses, begin_required, end),
        cmocka_unit_test_setup_teardown(a_suspended_tenants_keys_are_refused, begin_required, end),
        cmocka_unit_test_setup_teardown(wrong_keys_are_limited_by_address, begin_required, end),
        cmocka_unit_test_setup_teardown(a_pass_allows_what_its_key_may, begin_required, end),
        cmocka_unit_test_setup_teardown(filters_are_narrowed, begin_required, end),
        cmocka_unit_test_setup_teardown(what_came_to_nothing_does_not_count, begin_required, end),
        cmocka_unit_test_setup_teardown(steps_of_the_clock_change_no_limit, begin_required, end),
        cmocka_unit_test_setup_teardown(uses_are_noted_to_the_minute, begin_required, end),
        cmocka_unit_test_setup_teardown(keys_change_while_calls_come, begin_required, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
