/* Envelope to handler and back, without a socket: decoding, lookup, deadlines, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "rpc/dispatch.h"
#include "rpc/wire.h"
#include "triggers/health/v1/health.pb-c.h"
#include "triggers/rpc/v1/envelope.pb-c.h"

#define CHECK "triggers.health.v1.Health/Check"

/* ---- a transport that keeps the answer, and a service that echoes ---- */

static struct call call;
static uint8_t *answer;
static size_t answer_size;
static int answers;
static int leaves;
static int64_t seen_deadline_ms;

static uint8_t *keep(struct call *unused, size_t size)
{
    (void)unused;
    free(answer);
    answer = malloc(size + 1);
    answer_size = size;
    return answer;
}

static void count(struct call *unused)
{
    (void)unused;
    answers++;
}

static void count_leave(struct call *unused)
{
    (void)unused;
    leaves++;
}

static const struct call_transport TRANSPORT = {
    .reserve = keep, .send = count, .leave = count_leave};

/* Answers with the service's name as version, fails when it is "fail", or not at all when it is
 * "slow". */
static void echo_check(Triggers__Health__V1__Health_Service *service,
                       const Triggers__Health__V1__HealthCheckRequest *request,
                       Triggers__Health__V1__HealthCheckResponse_Closure closure, void *data)
{
    (void)service;
    (void)closure;
    struct call *owner = data;
    seen_deadline_ms = owner->deadline_ms - clock_monotonic_ms();
    if (strcmp(request->service, "slow") == 0)
        return;
    if (strcmp(request->service, "fail") == 0) {
        struct status status;
        struct field_violation violation = {"service", "must not be fail"};
        status_fail(&status, STATUS_NOT_FOUND, "SERVICE_UNKNOWN", "asked to fail");
        status.retry_delay_ms = 7;
        call_fail(owner, &status, &violation, 1);
        return;
    }
    Triggers__Health__V1__HealthCheckResponse response =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.version = request->service;
    call_reply(owner, &response.base);
}

static Triggers__Health__V1__Health_Service echo = TRIGGERS__HEALTH__V1__HEALTH__INIT(echo_);
static ProtobufCService *services[] = {&echo.base, NULL};
static struct dispatcher dispatcher;

static int setup(void **state)
{
    (void)state;
    dispatcher_init(&dispatcher, services);
    call_init(&call, &TRANSPORT);
    answers = 0;
    leaves = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    call_fini(&call);
    free(answer);
    answer = NULL;
    return 0;
}

/* ---- steps ---- */

static Triggers__Rpc__V1__Response *answered(void)
{
    assert_int_equal(answers, 1);
    answers = 0;
    Triggers__Rpc__V1__Response *response =
        triggers__rpc__v1__response__unpack(NULL, answer_size, answer);
    assert_non_null(response);
    return response;
}

static void expect_error(const void *bytes, size_t size, Triggers__Rpc__V1__Code code,
                         const char *reason)
{
    dispatch(&dispatcher, &call, bytes, size);
    Triggers__Rpc__V1__Response *response = answered();
    assert_int_equal(response->code, code);
    assert_string_equal(response->details->reason, reason);
    assert_true(strlen(response->message) > 0);
    assert_int_equal(response->body.len, 0);
    triggers__rpc__v1__response__free_unpacked(response, NULL);
}

static size_t pack_request(const char *method, uint32_t timeout_ms, const char *service,
                           uint8_t *out)
{
    Triggers__Health__V1__HealthCheckRequest inner =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    inner.service = (char *)service;
    uint8_t body[256];
    Triggers__Rpc__V1__Request__MetadataEntry id = TRIGGERS__RPC__V1__REQUEST__METADATA_ENTRY__INIT;
    id.key = (char *)"request-id";
    id.value = (char *)"abc-1";
    Triggers__Rpc__V1__Request__MetadataEntry *entries[] = {&id};
    Triggers__Rpc__V1__Request request = TRIGGERS__RPC__V1__REQUEST__INIT;
    request.method = (char *)method;
    request.timeout_ms = timeout_ms;
    request.metadata = entries;
    request.n_metadata = 1;
    request.body.data = body;
    request.body.len = triggers__health__v1__health_check_request__pack(&inner, body);
    return triggers__rpc__v1__request__pack(&request, out);
}

/* ---- tests ---- */

static void a_call_reaches_its_handler_and_its_answer_comes_back(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t size = pack_request(CHECK, 1500, "hello", bytes);
    dispatch(&dispatcher, &call, bytes, size);
    Triggers__Rpc__V1__Response *response = answered();
    assert_int_equal(response->code, TRIGGERS__RPC__V1__CODE__OK);
    assert_string_equal(response->metadata[0]->key, "request-id");
    assert_string_equal(response->metadata[0]->value, "abc-1");
    Triggers__Health__V1__HealthCheckResponse *inner =
        triggers__health__v1__health_check_response__unpack(NULL, response->body.len,
                                                            response->body.data);
    assert_string_equal(inner->version, "hello");
    assert_in_range(seen_deadline_ms, 1000, 1500);
    triggers__health__v1__health_check_response__free_unpacked(inner, NULL);
    triggers__rpc__v1__response__free_unpacked(response, NULL);
}

static void a_request_without_a_body_is_an_empty_message(void **state)
{
    (void)state;
    struct status status;
    assert_true(
        wire_check(&triggers__health__v1__health_check_request__descriptor, NULL, 0, "X", &status));
    uint8_t bytes[1024];
    dispatch(&dispatcher, &call, bytes, pack_request(CHECK, 0, "", bytes));
    Triggers__Rpc__V1__Response *response = answered();
    assert_int_equal(response->code, TRIGGERS__RPC__V1__CODE__OK);
    triggers__rpc__v1__response__free_unpacked(response, NULL);
}

static void no_deadline_and_a_long_one_become_the_servers(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    const uint32_t timeouts[] = {0, 4000000000u};
    for (size_t i = 0; i < 2; i++) {
        dispatch(&dispatcher, &call, bytes, pack_request(CHECK, timeouts[i], "", bytes));
        answers = 0;
        assert_in_range(seen_deadline_ms, RPC_MAX_TIMEOUT_MS - 1000, RPC_MAX_TIMEOUT_MS);
    }
}

static void a_handlers_failure_carries_all_its_details(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    dispatch(&dispatcher, &call, bytes, pack_request(CHECK, 0, "fail", bytes));
    Triggers__Rpc__V1__Response *response = answered();
    assert_int_equal(response->code, TRIGGERS__RPC__V1__CODE__NOT_FOUND);
    assert_string_equal(response->message, "asked to fail");
    assert_string_equal(response->details->reason, "SERVICE_UNKNOWN");
    assert_int_equal(response->details->retry_delay_ms, 7);
    assert_string_equal(response->details->field_violations[0]->field, "service");
    triggers__rpc__v1__response__free_unpacked(response, NULL);
}

static void what_is_no_envelope_is_answered(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    expect_error("", 0, TRIGGERS__RPC__V1__CODE__INVALID_ARGUMENT, "METHOD_MISSING");
    expect_error("\xff\xff\xff\xff", 4, TRIGGERS__RPC__V1__CODE__INVALID_ARGUMENT,
                 "ENVELOPE_MALFORMED");
    expect_error("\x0a\x05"
                 "ab",
                 4, TRIGGERS__RPC__V1__CODE__INVALID_ARGUMENT,
                 "ENVELOPE_MALFORMED"); /* shorter than it says */
    expect_error("\x0a\x02\xc3\x28", 4, TRIGGERS__RPC__V1__CODE__INVALID_ARGUMENT,
                 "ENVELOPE_MALFORMED"); /* no UTF-8 */
    expect_error("\x08\x01", 2, TRIGGERS__RPC__V1__CODE__INVALID_ARGUMENT,
                 "ENVELOPE_MALFORMED"); /* method as a number */
    size_t size = pack_request(CHECK, 1, "x", bytes);
    for (size_t cut = 1; cut < size; cut++) {
        dispatch(&dispatcher, &call, bytes, cut);
        triggers__rpc__v1__response__free_unpacked(answered(), NULL);
    }
}

static void an_oversized_message_is_answered_unread(void **state)
{
    (void)state;
    uint8_t *bytes = calloc(1, RPC_MAX_MESSAGE + 1);
    expect_error(bytes, RPC_MAX_MESSAGE + 1, TRIGGERS__RPC__V1__CODE__INVALID_ARGUMENT,
                 "MESSAGE_TOO_LARGE");
    free(bytes);
}

static void unknown_methods_are_unimplemented(void **state)
{
    (void)state;
    static const char *const names[] = {"x",
                                        "/",
                                        "triggers.health.v1.Health",
                                        "triggers.health.v1.Health/",
                                        "triggers.health.v1.Health/check",
                                        "triggers.health.v1.Health/Check/",
                                        "/Check",
                                        "triggers.health.v1.Healt/Check",
                                        "triggers.v1.EventService/CreateEvent"};
    uint8_t bytes[1024];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        expect_error(bytes, pack_request(names[i], 0, "", bytes),
                     TRIGGERS__RPC__V1__CODE__UNIMPLEMENTED, "METHOD_UNKNOWN");
}

static void strings_in_requests_are_utf8_without_nul(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t size = pack_request(CHECK, 0, "\xed\xa0\x80", bytes); /* a surrogate */
    expect_error(bytes, size, TRIGGERS__RPC__V1__CODE__INVALID_ARGUMENT, "REQUEST_MALFORMED");
    size = pack_request(CHECK, 0, "a!b", bytes);
    uint8_t *mark = memchr(bytes, '!', size);
    *mark = 0;
    expect_error(bytes, size, TRIGGERS__RPC__V1__CODE__INVALID_ARGUMENT, "REQUEST_MALFORMED");
}

static void a_stopping_dispatcher_refuses(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t size = pack_request(CHECK, 0, "", bytes);
    atomic_store(&dispatcher.stopping, true);
    expect_error(bytes, size, TRIGGERS__RPC__V1__CODE__UNAVAILABLE, "STOPPING");
}

static void a_call_whose_handler_is_late_is_answered_at_its_deadline(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    dispatch(&dispatcher, &call, bytes, pack_request(CHECK, 1500, "slow", bytes));
    int64_t deadline_ms = call.deadline_ms;
    call_expire(&call, deadline_ms - 1);
    assert_int_equal(answers, 0);
    call_expire(&call, deadline_ms);
    Triggers__Rpc__V1__Response *response = answered();
    assert_int_equal(response->code, TRIGGERS__RPC__V1__CODE__DEADLINE_EXCEEDED);
    assert_string_equal(response->metadata[0]->value, "abc-1");
    triggers__rpc__v1__response__free_unpacked(response, NULL);

    call_expire(&call, INT64_MAX); /* only once */
    assert_int_equal(leaves, 0);
    Triggers__Health__V1__HealthCheckResponse late =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    call_reply(&call, &late.base); /* the handler comes too late */
    assert_int_equal(answers, 0);
    assert_int_equal(leaves, 1);
}

static void an_answered_call_does_not_expire(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    call_expire(&call, INT64_MAX); /* before the first request */
    dispatch(&dispatcher, &call, bytes, pack_request(CHECK, 1500, "fail", bytes));
    call_expire(&call, INT64_MAX);
    triggers__rpc__v1__response__free_unpacked(answered(), NULL);
    assert_int_equal(leaves, 0);
}

static void a_message_that_swells_is_refused_not_obeyed(void **state)
{
    (void)state;
    /* Two bytes a metadata entry on the wire, a hundred in memory. */
    size_t size = RPC_MAX_MESSAGE / 2 * 2;
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i += 2) {
        bytes[i] = 0x1A;
        bytes[i + 1] = 0;
    }
    expect_error(bytes, size, TRIGGERS__RPC__V1__CODE__RESOURCE_EXHAUSTED, "CALL_TOO_LARGE");
    free(bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_call_reaches_its_handler_and_its_answer_comes_back),
        TEST(a_request_without_a_body_is_an_empty_message),
        TEST(no_deadline_and_a_long_one_become_the_servers),
        TEST(a_handlers_failure_carries_all_its_details),
        TEST(what_is_no_envelope_is_answered),
        TEST(an_oversized_message_is_answered_unread),
        TEST(unknown_methods_are_unimplemented),
        TEST(strings_in_requests_are_utf8_without_nul),
        TEST(a_stopping_dispatcher_refuses),
        TEST(a_call_whose_handler_is_late_is_answered_at_its_deadline),
        TEST(an_answered_call_does_not_expire),
        TEST(a_message_that_swells_is_refused_not_obeyed),
    };
    return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
