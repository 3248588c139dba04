/* Subscriptions of several tenants in one core: of the same name, and of a tenant that is
 * deleted. */
#include "base/clock.h"
#include "cores.h"

static void put_tenant(struct core *core, int64_t number, bool deleting)
{
    const struct tenant tenant = {.number = number, .deleting = deleting};
    assert_true(tenants_put(core->tenants, &tenant));
}

static void create_for(struct core *core, int64_t tenant, uint32_t first, uint32_t count)
{
    core->scope.tenant = tenant;
    create(core, first, count);
}

static struct waiting_pull *pull_for(struct core *core, int64_t tenant, const char *name)
{
    core->scope.tenant = tenant;
    return pull(core, name, 100);
}

/* An ack id of one is not the other's, though both have the name, the sequence and the lease. */
static void a_name_is_each_tenants_own(void **state)
{
    struct core *core = core_open(*state);
    for (int64_t tenant = 1; tenant < 3; tenant++) {
        put_tenant(core, tenant, false);
        core->scope.tenant = tenant;
        put(core, "billing", EARLIEST, STATUS_OK);
    }
    create_for(core, 1, 1, 2);
    create_for(core, 2, 10, 3);
    struct waiting_pull *one = pull_for(core, 1, "billing"), *other = pull_for(core, 2, "billing");
    assert_int_equal(one->pull.count, 2);
    assert_int_equal(other->pull.count, 3);
    enum settle_outcome foreign = ack(core, "billing", one, 0, 1);
    assert_true(foreign == SETTLE_FOREIGN || foreign == SETTLE_MALFORMED);
    assert_int_equal(figures_of(core, "billing").outstanding, 3);
    assert_int_equal(ack(core, "billing", other, 0, 3), SETTLE_DONE);
    core->scope.tenant = 1;
    assert_int_equal(figures_of(core, "billing").outstanding, 2);
    free_pull(one);
    free_pull(other);
    core_close(core);
}

static void each_tenant_has_an_inbox(void **state)
{
    struct core *core = core_open(*state);
    put_tenant(core, 1, false);
    create_for(core, 0, 1, 2);
    create_for(core, 1, 10, 1);
    struct waiting_pull *defaults = pull_for(core, 0, "inbox"),
                        *others = pull_for(core, 1, "inbox");
    assert_int_equal(defaults->pull.count, 2);
    assert_int_equal(others->pull.count, 1);
    assert_int_equal(ack(core, "inbox", others, 0, 1), SETTLE_DONE);
    core->scope.tenant = 0;
    assert_int_equal(figures_of(core, "inbox").outstanding, 2);
    free_pull(defaults);
    free_pull(others);
    core_close(core);
}

/* Nor are others made while it goes: the inbox would be there again. */
static void what_waits_for_a_deleted_tenant_is_answered(void **state)
{
    struct core *core = core_open(*state);
    struct waiting_pull waiting, other, late;
    put_tenant(core, 1, false);
    create_for(core, 1, 1, 1);
    struct waiting_pull *all = pull_for(core, 1, "inbox");
    start_pull(core, &waiting, "inbox", 5, true);
    core->scope.tenant = 0;
    start_pull(core, &other, "inbox", 5, true);
    put_tenant(core, 1, true);
    await_done(&waiting.asked);
    assert_int_equal(waiting.pull.request.status.code, STATUS_NOT_FOUND);
    core->scope.tenant = 1;
    start_pull(core, &late, "inbox", 5, true);
    await_done(&late.asked);
    assert_int_equal(late.pull.request.status.code, STATUS_NOT_FOUND);
    create_for(core, 0, 10, 1);
    await_done(&other.asked);
    assert_int_equal(other.pull.count, 1);
    arena_fini(&waiting.asked.arena);
    arena_fini(&other.asked.arena);
    arena_fini(&late.asked.arena);
    free_pull(all);
    core_close(core);
}

int run_tenants_tests(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_name_is_each_tenants_own),
        WORLD_TEST(each_tenant_has_an_inbox),
        WORLD_TEST(what_waits_for_a_deleted_tenant_is_answered),
    };
    return cmocka_run_group_tests_name("tenants", tests, NULL, NULL);
}
