#include "access_world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"

#define EVERY_RIGHT UINT64_MAX

/* ---- clocks ---- */

static atomic_int_fast64_t passed_us, stepped_us;

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * SECOND_US + now.tv_nsec / 1000 + atomic_load(&passed_us);
}

static int64_t moved_now_us(void)
{
    return read_us(CLOCK_REALTIME) + atomic_load(&stepped_us);
}

static int64_t moved_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

void world_step(int64_t microseconds)
{
    atomic_fetch_add(&stepped_us, microseconds);
}

void world_pass(int64_t microseconds)
{
    atomic_fetch_add(&passed_us, microseconds);
}

/* ---- cores ---- */

void world_add_core(struct access_world *world, enum access_mode mode)
{
    struct access_core *core = world->cores[0].access ? &world->cores[1] : &world->cores[0];
    struct status status;
    assert_null(core->access);
    assert_true(store_open(world->url, &core->store, &status));
    core->budget = &world->budgets[core - world->cores];
    atomic_store(&core->budget->ceiling, (size_t)64 << 20);
    core->asks = asks_open(core->store, 1);
    core->tenants = tenants_open(0, 0);
    core->access = access_open(core->asks, core->tenants, NULL, core->budget, mode);
    assert_non_null(core->access);
    assert_int_equal(lane_await_first_try(asks_lane(core->asks), &status), STORE_OK);
    if (mode != ACCESS_OFF)
        world_look(core);
}

void world_begin(struct access_world *world, enum access_mode mode)
{
    struct status status;
    *world = (struct access_world){.folder = "/tmp/access_test_XXXXXX"};
    clock_set_now_for_test(moved_now_us);
    clock_set_monotonic_for_test(moved_monotonic_us);
    assert_non_null(mkdtemp(world->folder));
    assert_true(asprintf(&world->url, "sqlite:///%s/triggers.db", world->folder) > 0);
    assert_true(operator_key_make(world->url, "operator", world->operator_key, &status));
    arena_init(&world->arena, (size_t)256 << 20);
    world_add_core(world, mode);
    if (mode != ACCESS_OFF)
        assert_true(
            world_admit(world, &world->cores[0], world->operator_key, "", &world->operator_pass));
}

void world_end(struct access_world *world)
{
    char command[64];
    pass_release(world->operator_pass);
    for (struct access_core *core = world->cores; core < world->cores + CORES; core++) {
        if (!core->access)
            continue;
        asks_close(core->asks);
        access_close(core->access);
        tenants_close(core->tenants);
        core->store->driver->close(core->store);
    }
    arena_fini(&world->arena);
    free(world->url);
    snprintf(command, sizeof(command), "rm -r %s", world->folder);
    assert_int_equal(system(command), 0);
}

void world_look(struct access_core *core)
{
    bool busy = true;
    world_pass(2 * SECOND_US);
    access_look(core->access);
    while (busy) {
        busy = false;
        for (size_t i = 0; i < WORK_COUNT; i++)
            busy |= atomic_load(&core->access->tasks[i].busy);
        usleep(100);
    }
    assert_true(atomic_load(&core->access->following.known));
}

bool world_admit(struct access_world *world, struct access_core *core, const char *key,
                 const char *address, struct pass **pass)
{
    char value[256] = "";
    struct pass *admitted;
    struct scope scope;
    if (key)
        snprintf(value, sizeof(value), "Bearer %s", key);
    struct slice authorization = {key ? value : NULL, strlen(value)};
    world->status = STATUS_INIT;
    bool fits =
        access_admit(core->access, authorization, address, &admitted, &scope, &world->status);
    assert_int_equal(fits, world->status.code == STATUS_OK);
    assert_true(fits || !admitted);
    if (pass)
        *pass = admitted;
    else
        pass_release(admitted);
    return fits;
}

/* ---- calls ---- */

struct waited_request {
    struct access_request request; /* first */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static void on_done(struct access_request *request)
{
    struct waited_request *waited = (struct waited_request *)request;
    pthread_mutex_lock(&waited->lock);
    waited->done = true;
    pthread_cond_signal(&waited->changed);
    pthread_mutex_unlock(&waited->lock);
}

const void *world_list(struct access_world *world, const void *asked, const struct pass *pass,
                       int64_t after, uint32_t limit)
{
    struct waited_request waited = {
        .request = {.asked = asked,
                    .scope = {0, pass ? pass->scope.rights : EVERY_RIGHT},
                    .pass = pass,
                    .deadline_ms = clock_monotonic_ms() + 10000,
                    .request_id = "req-1",
                    .address = "192.0.2.9",
                    .after = after,
                    .limit = limit,
                    .arena = &world->arena,
                    .done = on_done},
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    if (pass)
        waited.request.scope = pass->scope;
    access_manage(world->cores[0].access, &waited.request);
    pthread_mutex_lock(&waited.lock);
    while (!waited.done)
        pthread_cond_wait(&waited.changed, &waited.lock);
    pthread_mutex_unlock(&waited.lock);
    world->status = waited.request.status;
    world->field = waited.request.field;
    world->next = waited.request.next;
    assert_int_equal(world->status.code == STATUS_OK, waited.request.answer != NULL);
    return waited.request.answer;
}

const void *world_manage(struct access_world *world, const void *asked, const struct pass *pass)
{
    return world_list(world, asked, pass, 0, 100);
}

const char *world_make_key(struct access_world *world, const char *tenant,
                           const Triggers__V1__CreateKeyRequest *asked)
{
    Triggers__V1__CreateKeyRequest request = *asked;
    request.tenant = (char *)tenant;
    if (request.name[0] == '\0')
        request.name = (char *)"a key";
    const Triggers__V1__CreateKeyResponse *answer =
        world_manage(world, &request, world->operator_pass);
    if (!answer)
        fail_msg("%s", world->status.message);
    return answer->key;
}

void world_make_tenant(struct access_world *world, const char *name)
{
    Triggers__V1__PutTenantRequest asked = TRIGGERS__V1__PUT_TENANT_REQUEST__INIT;
    asked.name = (char *)name;
    assert_non_null(world_manage(world, &asked, world->operator_pass));
}

const char *world_id_of(struct access_world *world, const char *text)
{
    return arena_copy(&world->arena, key_text_id(text), KEY_ID_LENGTH);
}

void world_forge(const char *key, char forged[KEY_TEXT_LENGTH + 1])
{
    static const char DIGITS[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    key_text_make(forged);
    memcpy(forged, key, 16); /* "trg_" and the id */
    uLong sum = crc32(0, (const Bytef *)forged, KEY_TEXT_LENGTH - 6);
    for (size_t i = KEY_TEXT_LENGTH; i-- > KEY_TEXT_LENGTH - 6; sum /= 62)
        forged[i] = DIGITS[sum % 62];
}
