/* Envelope to handler and back, without a socket: decoding, lookup, deadlines, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "rpc/dispatch.h"
#include "rpc/wire.h"
#include "triggers/health/v1/health.pb-c.h"
#include "triggers/rpc/v1/envelope.pb-c.h"
#include "triggers/v1/access.pb-c.h"

#define CHECK "triggers.health.v1.Health/Check"
#define GET_EVENT "triggers.v1.EventService/GetEvent"

/* ---- a transport that keeps the answer, and a service that echoes ---- */

static struct call call;
static uint8_t *answer;
static size_t answer_size;
static int answers;
static int ends;
static int64_t seen_deadline_ms;

static uint8_t *keep(struct call *unused, size_t size)
{
    (void)unused;
    free(answer);
    answer = malloc(size + 1);
    answer_size = size;
    return answer;
}

static void count(struct call *owner)
{
    answers++;
    call_release(owner);
}

static void count_end(struct call *unused)
{
    (void)unused;
    ends++;
}

static const struct call_transport TRANSPORT = {.reserve = keep, .send = count, .end = count_end};

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
    ends = 0;
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

/* Dispatches a copy, which changes. */
static void dispatch_copy(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, bytes, size);
    dispatch(&dispatcher, &call, copy, size);
    free(copy);
}

static void expect_error(const void *bytes, size_t size, Triggers__Rpc__V1__Code code,
                         const char *reason)
{
    dispatch_copy(bytes, size);
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

/* One more entry of a request's metadata, to be put after it. */
static size_t pack_metadata(const char *key, const char *value, uint8_t *out)
{
    Triggers__Rpc__V1__Request__MetadataEntry entry =
        TRIGGERS__RPC__V1__REQUEST__METADATA_ENTRY__INIT;
    entry.key = (char *)key;
    entry.value = (char *)value;
    size_t size = protobuf_c_message_get_packed_size(&entry.base);
    assert_true(size < 128);
    out[0] = 3 << 3 | WIRE_BYTES;
    out[1] = (uint8_t)size;
    protobuf_c_message_pack(&entry.base, out + 2);
    return 2 + size;
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
    struct wire_check check;
    size_t none = 0;
    assert_true(wire_clean(&triggers__health__v1__health_check_request__descriptor, NULL, &none,
                           "X", &check));
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
        assert_in_range(seen_deadline_ms, API_MAX_TIMEOUT_MS - 1000, API_MAX_TIMEOUT_MS);
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
        dispatch_copy(bytes, cut);
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

static void every_method_of_the_table_is_found_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < API_METHOD_COUNT; i++) {
        const struct api_method *method = &api_methods[i];
        const ProtobufCMethodDescriptor *described = &method->service->methods[method->index];
        assert_ptr_equal(api_find_method(method->name), method);
        assert_string_equal(described->name, method->short_name);
        assert_ptr_equal(described->input, method->request);
        assert_ptr_equal(described->output, method->response);
    }
    assert_int_equal(api_methods[API_GET_EVENT].scope, TRIGGERS__API__V1__SCOPE__SCOPE_EVENTS_READ);
    assert_null(api_find_method("triggers.v1.EventService/GetEven"));
    assert_null(api_find_method("zz"));
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
    assert_int_equal(ends, 0);
    Triggers__Health__V1__HealthCheckResponse late =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    call_reply(&call, &late.base); /* the handler comes too late */
    assert_int_equal(answers, 0);
    assert_int_equal(ends, 1);
}

static void an_answered_call_does_not_expire(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    call_expire(&call, INT64_MAX); /* before the first request */
    dispatch(&dispatcher, &call, bytes, pack_request(CHECK, 1500, "fail", bytes));
    call_expire(&call, INT64_MAX);
    triggers__rpc__v1__response__free_unpacked(answered(), NULL);
    assert_int_equal(ends, 1);
}

/* The late handler of an expired call gives its memory back while the answer is under way. */
static uint8_t *keep_while_the_handler_leaves(struct call *owner, size_t size)
{
    Triggers__Health__V1__HealthCheckResponse late =
        TRIGGERS__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    call_reply(owner, &late.base);
    return keep(owner, size);
}

/* What is written to standard output while `work` runs, which is static. */
static const char *logged_by(void (*work)(void))
{
    static char text[4096];
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int before = dup(STDOUT_FILENO);
    dup2(fileno(file), STDOUT_FILENO);
    log_init("test", LOG_DEBUG, LOG_JSON);
    work();
    dup2(before, STDOUT_FILENO);
    close(before);
    log_init("test", LOG_WARNING, LOG_JSON);
    ssize_t size = pread(fileno(file), text, sizeof(text) - 1, 0);
    assert_true(size > 0);
    text[size] = '\0';
    fclose(file);
    return text;
}

static void expire(void)
{
    call_expire(&call, INT64_MAX);
}

static void an_expired_call_is_logged_without_its_handlers_memory(void **state)
{
    (void)state;
    static const struct call_transport transport = {
        .reserve = keep_while_the_handler_leaves, .send = count, .end = count_end};
    static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    call.transport = &transport;
    uint8_t bytes[1024];
    size_t size = pack_request(CHECK, 1500, "slow", bytes);
    size += pack_metadata("client", "tester/1", bytes + size);
    size += pack_metadata("traceparent", trace, bytes + size);
    dispatch(&dispatcher, &call, bytes, size);
    const char *line = logged_by(expire);
    assert_int_equal(ends, 1);
    assert_non_null(strstr(line, "\"client\":\"tester/1\""));
    assert_non_null(strstr(line, "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\""));
    triggers__rpc__v1__response__free_unpacked(answered(), NULL);
}

static void long_metadata_is_cut_between_characters(void **state)
{
    (void)state;
    char client[CALL_CLIENT_SIZE + 2];
    memset(client, 'x', sizeof(client));
    memcpy(client + CALL_CLIENT_SIZE - 2, "\xc3\xa9\0", 3); /* two bytes, one of which fits */
    uint8_t bytes[1024];
    size_t size = pack_request(CHECK, 0, "", bytes);
    size += pack_metadata("client", client, bytes + size);
    dispatch(&dispatcher, &call, bytes, size);
    triggers__rpc__v1__response__free_unpacked(answered(), NULL);
    assert_int_equal(strlen(call.client), CALL_CLIENT_SIZE - 2);
}

/* So many bytes of fields that no message of ours has, of every wire type. */
static size_t put_unknown(uint8_t *out, size_t size)
{
    static const uint8_t fields[] = {0x98, 0x06, 0x01,                         /* varint */
                                     0x99, 0x06, 1,    2,    3, 4, 5, 6, 7, 8, /* 64 bits */
                                     0x9a, 0x06, 0x03, 0x0a, 1, 2,             /* bytes */
                                     0x9d, 0x06, 1,    2,    3, 4};            /* 32 bits */
    size_t put = 0;
    for (; put + sizeof(fields) <= size; put += sizeof(fields))
        memcpy(out + put, fields, sizeof(fields));
    return put;
}

static void unknown_fields_are_accepted_and_cost_nothing(void **state)
{
    (void)state;
    uint8_t *bytes = malloc(RPC_MAX_MESSAGE);
    size_t size = put_unknown(bytes, 1u << 20);
    size += pack_request(CHECK, 0, "hello", bytes + size);
    size += put_unknown(bytes + size, 1u << 20);
    dispatch(&dispatcher, &call, bytes, size);
    assert_true(call.arena.used < 4096);
    Triggers__Rpc__V1__Response *response = answered();
    assert_int_equal(response->code, TRIGGERS__RPC__V1__CODE__OK);
    assert_string_equal(response->metadata[0]->value, "abc-1");
    triggers__rpc__v1__response__free_unpacked(response, NULL);
    free(bytes);
}

/* What is left of a nested message is what was known of it. */
static void unknown_fields_are_dropped_at_every_depth(void **state)
{
    (void)state;
    Triggers__Rpc__V1__FieldViolation violation = TRIGGERS__RPC__V1__FIELD_VIOLATION__INIT;
    violation.field = (char *)"source";
    violation.description = (char *)"must be";
    uint8_t nested[4096];
    size_t nested_size = put_unknown(nested, 1000);
    nested_size += protobuf_c_message_pack(&violation.base, nested + nested_size);
    nested_size += put_unknown(nested + nested_size, 1000);
    uint8_t bytes[16384];
    size_t size = 0;
    for (int i = 0; i < 3; i++) {
        bytes[size++] = 2 << 3 | WIRE_BYTES; /* field_violations */
        bytes[size++] = (uint8_t)(nested_size | 0x80);
        bytes[size++] = (uint8_t)(nested_size >> 7);
        memcpy(bytes + size, nested, nested_size);
        size += nested_size;
        size += put_unknown(bytes + size, 100);
    }
    struct wire_check check;
    assert_true(
        wire_clean(&triggers__rpc__v1__error_details__descriptor, bytes, &size, "X", &check));
    assert_true(size < 100);
    Triggers__Rpc__V1__ErrorDetails *details =
        triggers__rpc__v1__error_details__unpack(NULL, size, bytes);
    assert_non_null(details);
    assert_int_equal(details->n_field_violations, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(details->field_violations[i]->field, "source");
        assert_string_equal(details->field_violations[i]->description, "must be");
        assert_int_equal(details->field_violations[i]->base.n_unknown_fields, 0);
    }
    triggers__rpc__v1__error_details__free_unpacked(details, NULL);
}

static void messages_that_swell_are_refused_before_they_do(void **state)
{
    (void)state;
    /* Two bytes on the wire, a hundred in memory: entries of metadata, the method again. */
    static const uint8_t fields[][2] = {{0x1A, 0}, {0x0A, 0}};
    static const char *const reasons[] = {"BATCH_SIZE_INVALID", "ENVELOPE_MALFORMED"};
    uint8_t *bytes = malloc(RPC_MAX_MESSAGE);
    for (size_t kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < RPC_MAX_MESSAGE; i += 2)
            memcpy(bytes + i, fields[kind], 2);
        expect_error(bytes, RPC_MAX_MESSAGE, TRIGGERS__RPC__V1__CODE__INVALID_ARGUMENT,
                     reasons[kind]);
        assert_int_equal(call.arena.used, 0);
    }
    free(bytes);
}

static void a_call_that_its_budget_cannot_hold_is_told_to_come_later(void **state)
{
    (void)state;
    struct budget budget = {.ceiling = 1000};
    struct budget_share share = {.budget = &budget};
    struct charge charge = {.share = &share};
    call.arena.charge = &charge;
    uint8_t bytes[1024];
    size_t size = pack_request(CHECK, 0, "hello", bytes);
    dispatch(&dispatcher, &call, bytes, size);
    Triggers__Rpc__V1__Response *response = answered();
    assert_int_equal(response->code, TRIGGERS__RPC__V1__CODE__RESOURCE_EXHAUSTED);
    assert_string_equal(response->details->reason, "SERVER_BUSY");
    assert_true(response->details->retry_delay_ms > 0);
    triggers__rpc__v1__response__free_unpacked(response, NULL);
    assert_int_equal(budget.held, 0);
}

/* ---- who a call is from ---- */

/* Answers every method with an empty message. */
static void answer_empty(ProtobufCService *service, unsigned index, const ProtobufCMessage *request,
                         ProtobufCClosure closure, void *data)
{
    (void)service;
    (void)index;
    (void)request;
    (void)closure;
    call_reply(data, NULL);
}

static ProtobufCService get_events = {.invoke = answer_empty};

static int frees;

static void count_free(struct pass *pass)
{
    (void)pass;
    frees++;
}

/* What `admit` was asked, and answers: the call gets `pass` unless it is refused. */
static struct {
    int times;
    bool given;
    char authorization[64];
    char address[CALL_ADDRESS_SIZE];
    bool refuses;
    uint64_t rights;
    struct pass *pass;
    char refused[64]; /* the method of the last call that was */
} asked;

static void note_refused(void *context, const struct call *refused)
{
    assert_ptr_equal(context, &asked);
    snprintf(asked.refused, sizeof(asked.refused), "%s", refused->method->short_name);
}

static bool admit(void *context, struct call *owner, const char *authorization, size_t size,
                  struct status *status)
{
    assert_ptr_equal(context, &asked);
    asked.times++;
    asked.given = authorization != NULL;
    assert_true(size < sizeof(asked.authorization) && (authorization || size == 0));
    memcpy(asked.authorization, authorization ? authorization : "", size);
    asked.authorization[size] = '\0';
    strcpy(asked.address, owner->address);
    if (asked.refuses)
        return status_fail(status, STATUS_UNAUTHENTICATED, "KEY_MISSING", "there is no key");
    owner->scope.rights = asked.rights;
    owner->pass = asked.pass;
    if (asked.pass)
        atomic_fetch_add(&asked.pass->references, 1);
    return true;
}

static int setup_admission(void **state)
{
    setup(state);
    memset(&asked, 0, sizeof(asked));
    asked.rights = UINT64_MAX;
    frees = 0;
    dispatcher.services[API_GET_EVENT] = &get_events;
    dispatcher.admit = admit;
    dispatcher.refused = note_refused;
    dispatcher.admit_context = &asked;
    call.peer_address = NULL;
    call.peer_is_bridge = false;
    return 0;
}

static void expect_ok(const uint8_t *bytes, size_t size)
{
    dispatch_copy(bytes, size);
    Triggers__Rpc__V1__Response *response = answered();
    assert_int_equal(response->code, TRIGGERS__RPC__V1__CODE__OK);
    triggers__rpc__v1__response__free_unpacked(response, NULL);
}

static void a_call_is_admitted_by_its_authorization_and_address(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t size = pack_request(GET_EVENT, 0, "", bytes);
    expect_ok(bytes, size);
    assert_int_equal(asked.times, 1);
    assert_false(asked.given);
    assert_string_equal(asked.address, "");
    size += pack_metadata("authorization", "Bearer x", bytes + size);
    size += pack_metadata("authorizations", "Bearer y", bytes + size);
    call.peer_address = "192.0.2.7";
    expect_ok(bytes, size);
    assert_true(asked.given);
    assert_string_equal(asked.authorization, "Bearer x");
    assert_string_equal(asked.address, "192.0.2.7");
    size += pack_metadata("authorization", "", bytes + size); /* the last one counts */
    expect_ok(bytes, size);
    assert_true(asked.given);
    assert_string_equal(asked.authorization, "");
}

static void only_a_bridge_says_where_a_call_comes_from(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t size = pack_request(GET_EVENT, 0, "", bytes);
    size += pack_metadata("address", "198.51.100.1", bytes + size);
    call.peer_address = "192.0.2.7";
    expect_ok(bytes, size);
    assert_string_equal(asked.address, "192.0.2.7");
    call.peer_is_bridge = true;
    expect_ok(bytes, size);
    assert_string_equal(asked.address, "198.51.100.1");
    static const char *const wrong[] = {
        "198.51.100.1 ", "", "1234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size = pack_request(GET_EVENT, 0, "", bytes);
        size += pack_metadata("address", wrong[i], bytes + size);
        expect_ok(bytes, size);
        assert_string_equal(asked.address, ""); /* not the bridge's */
    }
}

static void who_is_refused_reaches_no_handler(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    asked.refuses = true;
    size_t size = pack_request(GET_EVENT, 0, "", bytes);
    expect_error(bytes, size, TRIGGERS__RPC__V1__CODE__UNAUTHENTICATED, "KEY_MISSING");
    bytes[size++] = 4 << 3 | WIRE_BYTES; /* the body is not even read */
    bytes[size++] = 1;
    bytes[size++] = 0xFF;
    expect_error(bytes, size, TRIGGERS__RPC__V1__CODE__UNAUTHENTICATED, "KEY_MISSING");
    size = pack_request(CHECK, 0, "", bytes);
    expect_ok(bytes, size); /* SCOPE_NONE is for anyone */
    assert_int_equal(asked.times, 2);
    size += pack_metadata("authorization", "Bearer x", bytes + size);
    expect_error(bytes, size, TRIGGERS__RPC__V1__CODE__UNAUTHENTICATED, "KEY_MISSING");
    asked.refuses = false;
    asked.rights = 0;
    expect_ok(bytes, size);
}

static void a_method_needs_its_scope(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t size = pack_request(GET_EVENT, 0, "", bytes);
    asked.rights = UINT64_MAX ^ 1u << TRIGGERS__API__V1__SCOPE__SCOPE_EVENTS_READ;
    dispatch_copy(bytes, size);
    Triggers__Rpc__V1__Response *response = answered();
    assert_int_equal(response->code, TRIGGERS__RPC__V1__CODE__PERMISSION_DENIED);
    assert_string_equal(response->details->reason, "SCOPE_MISSING");
    assert_non_null(strstr(response->message, "events:read"));
    assert_non_null(strstr(response->message, "GetEvent"));
    assert_string_equal(asked.refused, "GetEvent");
    asked.refused[0] = '\0';
    triggers__rpc__v1__response__free_unpacked(response, NULL);
    asked.rights = 1u << TRIGGERS__API__V1__SCOPE__SCOPE_EVENTS_READ;
    expect_ok(bytes, size);
    assert_string_equal(asked.refused, "");
}

static void a_pass_is_held_until_its_call_has_ended(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct pass pass = {.references = 1, .free = count_free, .key_id = "abcdefghijkl"};
    asked.pass = &pass;
    expect_ok(bytes, pack_request(GET_EVENT, 0, "", bytes));
    assert_null(call.pass);
    assert_int_equal(atomic_load(&pass.references), 1);
    asked.rights = 0; /* also when it is refused after it was admitted */
    expect_error(bytes, pack_request(GET_EVENT, 0, "", bytes),
                 TRIGGERS__RPC__V1__CODE__PERMISSION_DENIED, "SCOPE_MISSING");
    assert_int_equal(atomic_load(&pass.references), 1);
    pass_release(&pass);
    assert_int_equal(frees, 1);
}

static void get_with_a_key(void)
{
    uint8_t bytes[1024];
    size_t size = pack_request(GET_EVENT, 0, "", bytes);
    size += pack_metadata("authorization", "Bearer trg_secret", bytes + size);
    dispatch(&dispatcher, &call, bytes, size);
}

static void the_log_has_the_keys_id_and_not_its_text(void **state)
{
    (void)state;
    struct pass pass = {.references = 1, .free = count_free, .key_id = "abcdefghijkl"};
    asked.pass = &pass;
    const char *line = logged_by(get_with_a_key);
    assert_non_null(strstr(line, "\"key\":\"abcdefghijkl\""));
    assert_null(strstr(line, "secret"));
    triggers__rpc__v1__response__free_unpacked(answered(), NULL);
}

/* ---- numbers that are repeated ---- */

/* Whether a request to make a key with these scopes, as they were sent, has `expected` of them. */
static bool has_scopes(const uint8_t *bytes, size_t size, size_t expected)
{
    uint8_t copy[2048];
    struct wire_check check;
    memcpy(copy, bytes, size);
    if (!wire_clean(&triggers__v1__create_key_request__descriptor, copy, &size, "X", &check))
        return false;
    Triggers__V1__CreateKeyRequest *request =
        triggers__v1__create_key_request__unpack(NULL, size, copy);
    bool has = request && request->n_scopes == expected;
    if (request)
        triggers__v1__create_key_request__free_unpacked(request, NULL);
    return has;
}

static void repeated_numbers_come_packed_or_one_by_one(void **state)
{
    (void)state;
    static const uint8_t packed[] = {3 << 3 | WIRE_BYTES, 3, 2, 0x80, 0x01};
    static const uint8_t single[] = {3 << 3, 2, 3 << 3, 3};
    static const uint8_t text[] = {2 << 3, 2};
    assert_true(has_scopes(packed, sizeof(packed), 2));
    assert_true(has_scopes(single, sizeof(single), 2));
    assert_false(has_scopes(text, sizeof(text), 0)); /* the name as a number */
    uint8_t many[4 + 1001] = {3 << 3 | WIRE_BYTES, 0xE8, 0x07};
    assert_true(has_scopes(many, 3 + 1000, 1000));
    many[1] = 0xE9;
    assert_false(has_scopes(many, 3 + 1001, 1001));
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
        TEST(every_method_of_the_table_is_found_by_its_name),
        TEST(unknown_methods_are_unimplemented),
        TEST(strings_in_requests_are_utf8_without_nul),
        TEST(a_stopping_dispatcher_refuses),
        TEST(a_call_whose_handler_is_late_is_answered_at_its_deadline),
        TEST(an_answered_call_does_not_expire),
        TEST(an_expired_call_is_logged_without_its_handlers_memory),
        TEST(long_metadata_is_cut_between_characters),
        TEST(unknown_fields_are_accepted_and_cost_nothing),
        TEST(unknown_fields_are_dropped_at_every_depth),
        TEST(messages_that_swell_are_refused_before_they_do),
        TEST(a_call_that_its_budget_cannot_hold_is_told_to_come_later),
#define ADMISSION_TEST(name) cmocka_unit_test_setup_teardown(name, setup_admission, teardown)
        ADMISSION_TEST(a_call_is_admitted_by_its_authorization_and_address),
        ADMISSION_TEST(only_a_bridge_says_where_a_call_comes_from),
        ADMISSION_TEST(who_is_refused_reaches_no_handler),
        ADMISSION_TEST(a_method_needs_its_scope),
        ADMISSION_TEST(a_pass_is_held_until_its_call_has_ended),
        ADMISSION_TEST(the_log_has_the_keys_id_and_not_its_text),
        TEST(repeated_numbers_come_packed_or_one_by_one),
    };
    return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
