/* Following a store's changes: pages, what is gone, a store that was restored from a backup, rows
 * that are damaged; and the tables in memory when there are many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "access/following.h"
#include "base/clock.h"

#define MAX_ROWS 6000
#define NOW INT64_C(1800000000000000)
#define KEY_ID "Key000000001"

static struct {
    struct store_access_row rows[MAX_ROWS]; /* by version */
    size_t count;
    unsigned asked;
    unsigned fail_at; /* the answer to the question of this number is lost; 0: none */
} shelf;

static struct keyring *keyring;
static struct following following;
static struct arena arena;
static struct status status;

/* ---- a store ---- */

static enum store_result fake_changes(struct store_session *session,
                                      struct store_access_changes *changes, struct status *why)
{
    (void)session;
    if (++shelf.asked == shelf.fail_at) {
        status_fail(why, STATUS_UNAVAILABLE, "STORE_LOST", "lost");
        return STORE_LOST;
    }
    size_t first = 0;
    while (first < shelf.count && shelf.rows[first].version <= changes->after)
        first++;
    size_t left = shelf.count - first;
    changes->rows = shelf.rows + first;
    changes->count = left < changes->limit ? left : changes->limit;
    changes->more = left > changes->limit;
    changes->no_memory = false;
    changes->now_us = NOW;
    return STORE_OK;
}

static const struct store_driver FAKE = {.name = "fake", .access_changes = fake_changes};
static struct store fake_store = {.driver = &FAKE};
static struct store_session session = {.store = &fake_store};

/* Puts a row at the end, in place of the one with its id. */
static void put_row(struct store_access_row row)
{
    int64_t version = shelf.count > 0 ? shelf.rows[shelf.count - 1].version : 0;
    for (size_t i = 0; i < shelf.count; i++) {
        struct store_access_row *at = &shelf.rows[i];
        if (at->kind == row.kind && at->id.size == row.id.size &&
            memcmp(at->id.data, row.id.data, row.id.size) == 0) {
            memmove(at, at + 1, (size_t)(shelf.rows + --shelf.count - at) * sizeof(*at));
            break;
        }
    }
    assert_true(shelf.count < MAX_ROWS);
    row.version = version + 1;
    shelf.rows[shelf.count++] = row;
}

static void put_tenant(int64_t number, const char *name, bool gone)
{
    Triggers__V1__Tenant message = TRIGGERS__V1__TENANT__INIT;
    message.state = TRIGGERS__V1__TENANT_STATE__TENANT_STATE_ACTIVE;
    put_row((struct store_access_row){.kind = STORE_TENANT,
                                      .tenant = number,
                                      .id = {arena_copy(&arena, name, strlen(name)), strlen(name)},
                                      .gone = gone,
                                      .body = gone ? (struct slice){"", 0}
                                                   : row_pack(&arena, &message.base)});
}

static void put_key(int64_t tenant, const char *id, const char *source, bool gone)
{
    Triggers__V1__Key message = TRIGGERS__V1__KEY__INIT;
    char *sources[] = {(char *)source};
    static const uint8_t HASH[KEY_HASH_SIZE] = {1};
    message.name = (char *)"a key";
    message.sources = sources;
    message.n_sources = source != NULL;
    put_row((struct store_access_row){.kind = STORE_KEY,
                                      .tenant = tenant,
                                      .id = {arena_copy(&arena, id, KEY_ID_LENGTH), KEY_ID_LENGTH},
                                      .gone = gone,
                                      .body = gone ? (struct slice){"", 0}
                                                   : row_pack_key(&arena, HASH, &message)});
}

/* ---- the world ---- */

static int begin(void **state)
{
    (void)state;
    memset(&shelf, 0, sizeof(shelf));
    arena_init(&arena, (size_t)64 << 20);
    keyring = keyring_new(NULL);
    following_init(&following, keyring, NULL);
    put_row((struct store_access_row){.kind = STORE_TENANT, .id = {"default", 7}, .body = {"", 0}});
    return 0;
}

static int end(void **state)
{
    (void)state;
    following_fini(&following);
    keyring_free(keyring);
    arena_fini(&arena);
    return 0;
}

static void catch_up(void)
{
    assert_int_equal(following_catch_up(&following, &session, &status), STORE_OK);
    assert_true(atomic_load(&following.known));
}

/* With a reference; NULL: there is none. */
static struct known_key *find(const char *id)
{
    struct key_state found;
    return keyring_find(keyring, id, &found);
}

static bool is_known(const char *id)
{
    struct known_key *key = find(id);
    if (key)
        pass_release(&key->pass);
    return key;
}

/* ---- tests ---- */

static void everything_is_read_in_pages(void **state)
{
    char id[16];
    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(id, sizeof(id), "Key%09d", i);
        put_key(0, id, NULL, false);
    }
    catch_up();
    assert_true(shelf.asked >= 50);
    assert_int_equal(keyring_keys(keyring), 5000);
    for (int i = 0; i < 5000; i++) {
        snprintf(id, sizeof(id), "Key%09d", i);
        assert_true(is_known(id));
    }
    assert_false(is_known("Key000005000"));
    shelf.asked = 0;
    catch_up();
    assert_int_equal(shelf.asked, 1);
}

static void a_first_reading_that_was_cut_off_goes_on(void **state)
{
    char id[16];
    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(id, sizeof(id), "Key%09d", i);
        put_key(0, id, NULL, false);
    }
    shelf.fail_at = 4;
    assert_int_equal(following_catch_up(&following, &session, &status), STORE_LOST);
    assert_false(atomic_load(&following.known));
    put_key(0, "Key000000000", NULL, true); /* was read already */
    catch_up();
    assert_int_equal(keyring_keys(keyring), 499);
    assert_false(is_known("Key000000000"));
}

static void what_is_gone_is_over(void **state)
{
    (void)state;
    put_tenant(1, "acme", false);
    put_key(1, KEY_ID, NULL, false);
    catch_up();
    struct known_key *key = find(KEY_ID);
    assert_false(atomic_load(&key->pass.over));
    put_key(1, KEY_ID, NULL, true);
    catch_up();
    assert_true(atomic_load(&key->pass.over));
    assert_false(is_known(KEY_ID));
    pass_release(&key->pass);
}

static void a_tenant_that_is_gone_takes_its_keys_along(void **state)
{
    (void)state;
    put_key(1, KEY_ID, NULL, false); /* before its tenant, as when that was changed since */
    put_tenant(1, "acme", false);
    put_key(0, "Key000000002", NULL, false);
    catch_up();
    struct known_key *key = find(KEY_ID);
    assert_false(atomic_load(&key->pass.over));
    put_tenant(1, "acme", true);
    catch_up();
    assert_true(atomic_load(&key->pass.over));
    assert_false(is_known(KEY_ID));
    assert_true(is_known("Key000000002"));
    assert_int_equal(keyring_tenants(keyring), 1);
    pass_release(&key->pass);
}

static void a_key_with_other_limits_is_another(void **state)
{
    (void)state;
    put_key(0, KEY_ID, "crm", false);
    catch_up();
    struct known_key *before = find(KEY_ID);
    put_key(0, KEY_ID, "crm", false);
    catch_up();
    struct known_key *same = find(KEY_ID);
    assert_ptr_equal(before, same);
    put_key(0, KEY_ID, "shop", false);
    catch_up();
    struct known_key *after = find(KEY_ID);
    assert_ptr_not_equal(before, after);
    assert_true(atomic_load(&before->pass.over));
    assert_true(slice_is(before->sources[0], "crm")); /* for those that still have it */
    assert_false(atomic_load(&after->pass.over));
    pass_release(&before->pass);
    pass_release(&same->pass);
    pass_release(&after->pass);
}

static void a_restored_store_is_read_again(void **state)
{
    (void)state;
    put_tenant(1, "acme", false);
    put_key(0, KEY_ID, NULL, false);
    put_key(1, "Key000000002", NULL, false);
    put_key(0, "Key000000003", NULL, false);
    catch_up();
    struct known_key *key = find("Key000000003");
    shelf.count = 3; /* as it was before the last two */
    catch_up();
    assert_true(atomic_load(&key->pass.over));
    assert_false(is_known("Key000000002") || is_known("Key000000003"));
    assert_true(is_known(KEY_ID));
    pass_release(&key->pass);
    /* The same when as many others have come since. */
    put_key(0, "Key000000004", NULL, false);
    catch_up();
    shelf.count = 3;
    put_key(0, "Key000000005", NULL, false);
    catch_up();
    assert_false(is_known("Key000000004"));
    assert_true(is_known("Key000000005"));
    /* And when others have come at higher versions, as after a failover that lost changes. */
    shelf.count = 3;
    put_key(0, "Key000000006", NULL, false);
    shelf.rows[3].version = 100;
    catch_up();
    assert_false(is_known("Key000000005"));
    assert_true(is_known("Key000000006"));
}

static void a_change_that_was_changed_again_is_no_other_store(void **state)
{
    (void)state;
    put_key(0, KEY_ID, NULL, false);
    put_key(0, "Key000000002", NULL, false);
    catch_up();
    shelf.asked = 0;
    put_key(0, "Key000000003", NULL, false);
    put_key(0, "Key000000002", NULL, true);
    catch_up();
    assert_int_equal(shelf.asked, 1);
    assert_false(is_known("Key000000002"));
    assert_true(is_known("Key000000003"));
}

static void old_rows_that_were_removed_do_no_harm(void **state)
{
    (void)state;
    put_key(0, KEY_ID, NULL, false);
    put_key(0, "Key000000002", NULL, false);
    put_key(0, "Key000000002", NULL, true);
    catch_up();
    shelf.count--; /* a day later */
    catch_up();
    catch_up();
    assert_true(is_known(KEY_ID));
    assert_int_equal(keyring_keys(keyring), 1);
}

static void a_damaged_row_is_refused(void **state)
{
    (void)state;
    put_key(0, KEY_ID, NULL, false);
    put_key(0, "Key000000002", NULL, false);
    catch_up();
    struct store_access_row row = {.kind = STORE_KEY, .id = {KEY_ID, 12}, .body = {"short", 5}};
    put_row(row);
    catch_up();
    assert_false(is_known(KEY_ID));
    assert_true(is_known("Key000000002"));
}

static void the_stores_clock_is_followed(void **state)
{
    (void)state;
    catch_up();
    assert_in_range(following_now_us(&following), NOW, NOW + 10000000);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(everything_is_read_in_pages),
        CASE(a_first_reading_that_was_cut_off_goes_on),
        CASE(what_is_gone_is_over),
        CASE(a_tenant_that_is_gone_takes_its_keys_along),
        CASE(a_key_with_other_limits_is_another),
        CASE(a_restored_store_is_read_again),
        CASE(a_change_that_was_changed_again_is_no_other_store),
        CASE(old_rows_that_were_removed_do_no_harm),
        CASE(a_damaged_row_is_refused),
        CASE(the_stores_clock_is_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
