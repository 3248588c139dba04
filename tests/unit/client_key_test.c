/* The key of a client: what goes out with calls, when its source is asked, and what becomes of a
 * call whose key is refused. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client_fixture.h"

/* What a source gives: the texts one after the other, the last one from then on; NULL: none. */
struct giver {
    const char *texts[3];
    size_t count;
    atomic_uint asked;
    char before[TRIGGERS_KEY_SIZE]; /* what the source was shown */
};

static int give(char key[TRIGGERS_KEY_SIZE], void *user_data)
{
    struct giver *giver = user_data;
    size_t index = giver->asked++;
    snprintf(giver->before, sizeof(giver->before), "%s", key);
    const char *text = giver->texts[index < giver->count ? index : giver->count - 1];
    if (text)
        snprintf(key, TRIGGERS_KEY_SIZE, "%s", text);
    return text != NULL;
}

/* A core, and a client whose options are these but for the address. */
static struct pair start_with(triggers_client_options options)
{
    struct url url = free_url("ws");
    struct pair pair = {.core = scripted_core_start(url.text)};
    options.url = url.text;
    options.timeout_ms = PATIENCE_MS;
    pair.client = open_client_with(&options);
    return pair;
}

static triggers_code get_with(struct pair *pair, triggers_call_options options)
{
    triggers_reply *reply = triggers_get(pair->client, "evt_1", &options);
    triggers_code code = reply->code;
    triggers_reply_free(reply);
    return code;
}

static void the_key_goes_with_each_call(void **state)
{
    (void)state;
    char text[] = "first";
    struct pair pair = start_with((triggers_client_options){.api_key = text});
    memset(text, 'x', sizeof(text) - 1); /* it was copied */
    assert_int_equal(get_with(&pair, script("a")), TRIGGERS_OK);
    assert_string_equal(scripted_core_last(pair.core).authorization, "Bearer first");
    assert_string_equal(scripted_core_last(pair.core).address, "");
    assert_int_equal(get_with(&pair, script("busy")), TRIGGERS_OK);
    assert_int_equal(scripted_core_count(pair.core), 3);
    assert_string_equal(scripted_core_last(pair.core).authorization, "Bearer first");
    pair_stop(&pair);
}

static void without_a_key_nothing_is_said_of_it(void **state)
{
    (void)state;
    struct pair pair = start_with((triggers_client_options){.api_key = ""});
    assert_int_equal(get_with(&pair, script("a")), TRIGGERS_OK);
    assert_string_equal(scripted_core_last(pair.core).authorization, "");
    pair_stop(&pair);
}

static void a_call_may_be_for_another_caller(void **state)
{
    (void)state;
    struct pair pair = start_with((triggers_client_options){.api_key = "first"});
    triggers_call_options options = {.authorization = "Bearer other", .address = "192.0.2.7"};
    assert_int_equal(get_with(&pair, options), TRIGGERS_OK);
    assert_string_equal(scripted_core_last(pair.core).authorization, "Bearer other");
    assert_string_equal(scripted_core_last(pair.core).address, "192.0.2.7");
    pair_stop(&pair);
}

static void assert_refused(const triggers_client_options *options, triggers_code code,
                           const char *part)
{
    triggers_client *client;
    char error[256] = "";
    assert_int_equal(triggers_client_open(&client, options, error, sizeof(error)), code);
    assert_null(client);
    assert_non_null(strstr(error, part));
    assert_null(strstr(error, "secret"));
}

static void what_is_no_key_is_refused(void **state)
{
    (void)state;
    char text[TRIGGERS_KEY_SIZE + 1];
    const char *wrong[] = {"secret key", "secret\n", "\nsecret", "secr\xc3\xa9t", text};
    memset(text, 'k', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        triggers_client_options options = {.api_key = wrong[i]};
        assert_refused(&options, TRIGGERS_INVALID_ARGUMENT, "api_key is not a key");
    }
    triggers_client_options options = {.api_key_source = give, .api_key = "secret"};
    assert_refused(&options, TRIGGERS_INVALID_ARGUMENT, "exclude");
}

static void assert_given(const char *text, triggers_code code, const char *reason)
{
    struct giver giver = {{text, "good"}, 2, 0};
    struct pair pair =
        start_with((triggers_client_options){.api_key_source = give, .api_key_data = &giver});
    triggers_call_options options = script("a");
    assert_failed(triggers_get(pair.client, "evt_1", &options), code, reason);
    assert_int_equal(scripted_core_count(pair.core), 0);
    assert_int_equal(get_with(&pair, script("a")), TRIGGERS_OK);
    pair_stop(&pair);
}

static void a_call_fails_whose_source_gives_no_key(void **state)
{
    (void)state;
    assert_given(NULL, TRIGGERS_UNAUTHENTICATED, "KEY_UNAVAILABLE");
    assert_given("", TRIGGERS_INVALID_ARGUMENT, "API_KEY_INVALID");
    assert_given("secret key", TRIGGERS_INVALID_ARGUMENT, "API_KEY_INVALID");
    assert_given("secr\xc3\xa9t", TRIGGERS_INVALID_ARGUMENT, "API_KEY_INVALID");
}

static void the_longest_key_fits(void **state)
{
    (void)state;
    char text[TRIGGERS_KEY_SIZE];
    char expected[TRIGGERS_KEY_SIZE + 8];
    memset(text, 'k', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    snprintf(expected, sizeof(expected), "Bearer %s", text);
    struct pair pair = start_with((triggers_client_options){.api_key = text});
    assert_int_equal(get_with(&pair, script("a")), TRIGGERS_OK);
    assert_string_equal(scripted_core_last(pair.core).authorization, expected);
    pair_stop(&pair);
}

static void a_refused_call_is_not_sent_again(void **state)
{
    (void)state;
    struct pair pair = start_with((triggers_client_options){.api_key = "first"});
    assert_int_equal(get_with(&pair, script("keyed")), TRIGGERS_UNAUTHENTICATED);
    assert_int_equal(get_with(&pair, script("denied")), TRIGGERS_PERMISSION_DENIED);
    assert_int_equal(scripted_core_count(pair.core), 2);
    pair_stop(&pair);
}

static void a_refused_call_is_sent_again_with_another_key(void **state)
{
    (void)state;
    struct giver giver = {{"first", "first", "second"}, 3, 0};
    struct pair pair =
        start_with((triggers_client_options){.api_key_source = give, .api_key_data = &giver});
    assert_int_equal(get_with(&pair, script("a")), TRIGGERS_OK);
    assert_string_equal(scripted_core_last(pair.core).authorization, "Bearer first");
    assert_string_equal(giver.before, "");
    assert_int_equal(get_with(&pair, script("keyed")), TRIGGERS_OK);
    assert_string_equal(giver.before, "first");
    assert_int_equal(scripted_core_count(pair.core), 3);
    assert_int_equal(giver.asked, 3);
    pair_stop(&pair);
}

static void many_refused_calls_are_sent_again(void **state)
{
    (void)state;
    enum { CALLS = 50 };
    struct giver giver = {{"first", "second"}, 2, 0};
    struct tally tally = TALLY_INIT;
    struct pair pair =
        start_with((triggers_client_options){.api_key_source = give, .api_key_data = &giver});
    triggers_call_options options = script("keyed");
    for (int i = 0; i < CALLS; i++)
        triggers_get_async(pair.client, "evt_1", &options, tally_reply, &tally);
    tally_wait(&tally, CALLS);
    assert_int_equal(tally.ok, CALLS);
    pair_stop(&pair);
}

static void without_another_key_the_refusal_is_the_reply(void **state)
{
    (void)state;
    struct giver giver = {{"first"}, 1, 0};
    struct pair pair =
        start_with((triggers_client_options){.api_key_source = give, .api_key_data = &giver});
    triggers_call_options options = script("keyed");
    for (int i = 0; i < 3; i++)
        assert_failed(triggers_get(pair.client, "evt_1", &options), TRIGGERS_UNAUTHENTICATED,
                      "KEY_INVALID");
    assert_int_equal(scripted_core_count(pair.core), 3);
    assert_int_equal(giver.asked, 6);
    options.authorization = "Bearer other";
    assert_failed(triggers_get(pair.client, "evt_1", &options), TRIGGERS_UNAUTHENTICATED,
                  "KEY_INVALID");
    pair_stop(&pair);
}

static void a_client_that_sends_once_sends_a_refused_call_once(void **state)
{
    (void)state;
    struct giver giver = {{"first", "second"}, 2, 0};
    struct pair pair = start_with((triggers_client_options){
        .api_key_source = give, .api_key_data = &giver, .no_retry = TRIGGERS_SEND_ONCE});
    assert_int_equal(get_with(&pair, script("keyed")), TRIGGERS_UNAUTHENTICATED);
    assert_int_equal(giver.asked, 1);
    pair_stop(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_goes_with_each_call),
        cmocka_unit_test(without_a_key_nothing_is_said_of_it),
        cmocka_unit_test(a_call_may_be_for_another_caller),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(a_call_fails_whose_source_gives_no_key),
        cmocka_unit_test(the_longest_key_fits),
        cmocka_unit_test(a_refused_call_is_not_sent_again),
        cmocka_unit_test(a_refused_call_is_sent_again_with_another_key),
        cmocka_unit_test(many_refused_calls_are_sent_again),
        cmocka_unit_test(without_another_key_the_refusal_is_the_reply),
        cmocka_unit_test(a_client_that_sends_once_sends_a_refused_call_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
