/* How long it takes to refuse a key does not tell what is wrong with it. Keys of all kinds are
 * tried in turn, so that what else the machine does meets all alike, and medians are compared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "access_world.h"

#define ROUNDS 2000
#define AT_ONCE 10 /* keys of a kind, timed together */
#define MOST 1.25  /* times the fastest kind's median may the slowest one's be */
#define TRIES 5    /* as a machine may be busy with something else for long */
#define MANY_KEYS 500

enum kind { WRONG_FIRST, WRONG_LAST, UNKNOWN, EXPIRED, REVOKED, KINDS };
static const char *const NAMES[KINDS] = {"wrong in the first byte of the hash",
                                         "wrong in the last byte of the hash", "unknown", "expired",
                                         "revoked"};

static struct access_world world;
static const char *tried[KINDS];
static int64_t samples[KINDS][ROUNDS];

static int end(void **state)
{
    (void)state;
    world_end(&world);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    world_begin(&world, ACCESS_REQUIRED);
    return 0;
}

/* The processor's time of this thread, so that others do not count. */
static int64_t thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int by_size(const void *left, const void *right)
{
    int64_t l = *(const int64_t *)left, r = *(const int64_t *)right;
    return (l > r) - (l < r);
}

/* A forged key whose hash differs from the right one in that byte. */
static const char *forge(const char *key, size_t byte)
{
    char forged[KEY_TEXT_LENGTH + 1];
    uint8_t right[KEY_HASH_SIZE], wrong[KEY_HASH_SIZE];
    key_text_hash(key, right);
    do {
        world_forge(key, forged);
        key_text_hash(forged, wrong);
    } while (byte == 0 ? wrong[0] == right[0] : wrong[0] != right[0]);
    return arena_copy(&world.arena, forged, KEY_TEXT_LENGTH);
}

static void make_keys(void)
{
    Triggers__Api__V1__Scope scopes[] = {TRIGGERS__API__V1__SCOPE__SCOPE_EVENTS_READ};
    Triggers__V1__CreateKeyRequest asked = TRIGGERS__V1__CREATE_KEY_REQUEST__INIT;
    Triggers__V1__RevokeKeyRequest revoke = TRIGGERS__V1__REVOKE_KEY_REQUEST__INIT;
    static char unknown[KEY_TEXT_LENGTH + 1];
    asked.scopes = scopes;
    asked.n_scopes = 1;
    for (int i = 0; i < MANY_KEYS; i++)
        world_make_key(&world, "default", &asked);
    const char *good = world_make_key(&world, "default", &asked);
    tried[WRONG_FIRST] = forge(good, 0);
    tried[WRONG_LAST] = forge(good, 1);
    key_text_make(unknown);
    tried[UNKNOWN] = unknown;
    tried[REVOKED] = world_make_key(&world, "default", &asked);
    revoke.tenant = (char *)"default";
    revoke.key_id = (char *)world_id_of(&world, tried[REVOKED]);
    assert_non_null(world_manage(&world, &revoke, world.operator_pass));
    Google__Protobuf__Timestamp *expires =
        row_time(&world.arena, following_now_us(&world.cores[0].access->following) + SECOND_US);
    asked.expires_at = expires;
    tried[EXPIRED] = world_make_key(&world, "default", &asked);
    world_pass(2 * SECOND_US);
}

static int64_t time_kind(enum kind kind)
{
    struct pass *pass;
    struct scope scope;
    struct status status;
    char value[128];
    snprintf(value, sizeof(value), "Bearer %s", tried[kind]);
    struct slice authorization = {value, strlen(value)};
    int64_t started_ns = thread_ns();
    for (int i = 0; i < AT_ONCE; i++)
        assert_false(access_admit(world.cores[0].access, authorization, "192.0.2.7", &pass, &scope,
                                  &status));
    return thread_ns() - started_ns;
}

/* The slowest median divided by the fastest. */
static double compare_kinds(void)
{
    int64_t least = INT64_MAX, most = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < KINDS; i++) {
            enum kind kind = (enum kind)((i + round) % KINDS);
            samples[kind][round] = time_kind(kind);
        }
    for (int kind = 0; kind < KINDS; kind++) {
        qsort(samples[kind], ROUNDS, sizeof(samples[kind][0]), by_size);
        int64_t median = samples[kind][ROUNDS / 2];
        print_message("%s: %.0f ns\n", NAMES[kind], (double)median / AT_ONCE);
        least = median < least ? median : least;
        most = median > most ? median : most;
    }
    return (double)most / (double)least;
}

static void refusals_take_the_same_time(void **state)
{
    double ratio = MOST + 1;
    (void)state;
    make_keys();
    for (int try = 0; try < TRIES && ratio > MOST; try++)
        ratio = compare_kinds();
    assert_true(ratio <= MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(refusals_take_the_same_time, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
