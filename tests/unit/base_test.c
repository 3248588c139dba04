/* arena, budget, buffer, status, config, trace and typeid. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/hex.h"
#include "base/status.h"
#include "base/trace.h"
#include "base/typeid.h"
#include "base/varint.h"
#include "base/wait.h"

static void arena_refuses_what_exceeds_its_cap(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 10000);
    assert_non_null(arena_alloc(&arena, 9000));
    assert_false(arena.exhausted);
    assert_null(arena_alloc(&arena, 2000));
    assert_true(arena.exhausted);
    arena_reset(&arena);
    assert_false(arena.exhausted);
    assert_non_null(arena_alloc(&arena, 10000 / 16 * 16));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_calloc(&arena, SIZE_MAX / 2, 3));
    arena_fini(&arena);
}

/* What was allocated since a mark is freed, in whatever blocks it is; what came before stays. */
static void arena_goes_back_to_a_mark(void **state)
{
    (void)state;
    struct budget budget = {.ceiling = (size_t)4 << 20};
    struct budget_share share = {.budget = &budget};
    struct charge charge = {.share = &share};
    static const size_t before[] = {16, 3000, 4090, 9000};
    static const size_t sizes[] = {16, 500, 4000, 5000, 100000};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    arena.charge = &charge;
    for (size_t i = 0; i < 4; i++) {
        char *kept = arena_alloc(&arena, before[i]);
        assert_non_null(kept);
        memset(kept, 'k', before[i]);
        struct arena_place mark = arena_mark(&arena);
        size_t used = arena.used, held = budget.held;
        for (int round = 0; round < 30; round++) {
            for (size_t j = 0; j < 8; j++) {
                char *more = arena_alloc(&arena, sizes[(i + j + (size_t)round) % 5]);
                assert_non_null(more);
                memset(more, 'm', sizes[(i + j + (size_t)round) % 5]);
            }
            assert_null(arena_alloc(&arena, 1 << 20));
            arena_rewind(&arena, mark);
            assert_true(arena.used == used && budget.held == held && !arena.exhausted);
        }
        assert_true(kept[0] == 'k' && kept[before[i] - 1] == 'k');
    }
    arena_fini(&arena);
    assert_int_equal(budget.held, 0);
}

static void arena_allocations_do_not_overlap(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (int round = 0; round < 3; round++) {
        unsigned char *parts[200];
        for (size_t i = 0; i < 200; i++) {
            size_t size = i * i % 5000 + 1;
            parts[i] = arena_alloc(&arena, size);
            assert_non_null(parts[i]);
            assert_int_equal((uintptr_t)parts[i] % _Alignof(max_align_t), 0);
            memset(parts[i], (int)i, size);
        }
        for (size_t i = 0; i < 200; i++) {
            assert_int_equal(parts[i][0], (unsigned char)i);
            assert_int_equal(parts[i][i * i % 5000], (unsigned char)i);
        }
        arena_reset(&arena);
        assert_int_equal(arena.used, 0);
    }
    arena_fini(&arena);
}

/* Charges `size` to `share` in a charge of its own, which is left as it is. */
static bool charge_to(struct budget_share *share, size_t size)
{
    struct charge charge = {.share = share};
    return charge_add(&charge, size);
}

static void budget_leaves_room_for_others_and_for_small_charges(void **state)
{
    (void)state;
    struct budget budget = {.ceiling = 1 << 20};
    struct budget_share greedy = {.budget = &budget};
    struct budget_share other = {.budget = &budget};
    const size_t large = 2 * BUDGET_SMALL;
    size_t count = 0;
    while (charge_to(&greedy, large))
        count++;
    assert_int_equal(count * large, (1 << 20) / 16 * 9); /* three quarters of three quarters */
    assert_true(charge_to(&other, large));
    assert_false(charge_to(&greedy, large));
    while (charge_to(&other, BUDGET_SMALL))
        count++;
    assert_int_equal(budget.held, budget.ceiling);
    assert_false(charge_to(&other, 1));
    assert_false(charge_to(&greedy, 1));
}

static void what_can_be_borne_is_less_when_others_were_in_the_way(void **state)
{
    (void)state;
    struct budget budget = {.ceiling = 1 << 20};
    struct budget_share greedy = {.budget = &budget};
    struct budget_share other = {.budget = &budget};
    while (charge_to(&greedy, 4 * BUDGET_SMALL))
        ;
    assert_int_equal(budget_bearable(&budget), SIZE_MAX); /* it was in its own way */
    assert_false(budget_is_short(&budget));
    assert_false(charge_to(&other, 1 << 19));
    assert_int_equal(budget_bearable(&budget), (1 << 20) / 8);
    budget.refused_ms = 0;
    while (charge_to(&other, BUDGET_SMALL))
        ;
    budget.refused_ms = 0;
    assert_int_equal(budget_bearable(&budget), (1 << 20) / 2); /* it is short */
}

static void what_is_kept_for_long_leaves_half_of_the_budget(void **state)
{
    (void)state;
    struct budget budget = {.ceiling = 1 << 20};
    struct budget_share shares[2] = {{.budget = &budget}, {.budget = &budget}};
    struct charge charges[2] = {{.share = &shares[0]}, {.share = &shares[1]}};
    while (charge_add_lasting(&charges[0], 1024))
        ;
    assert_int_equal(charges[0].held, (1 << 20) / 8 * 3); /* three quarters of half */
    while (charge_add_lasting(&charges[1], 1024))
        ;
    assert_true(charges[1].held > 0 && budget.held <= budget.ceiling / 2);
    assert_int_equal(budget.held, charges[0].held + charges[1].held);
    assert_true(charge_to(&shares[0], BUDGET_SMALL));
    struct charge uncounted = {0};
    assert_true(charge_add_lasting(&uncounted, 1 << 20));
}

static void urgent_and_uncounted_charges(void **state)
{
    (void)state;
    struct budget budget = {.ceiling = 1 << 20};
    struct budget_share share = {.budget = &budget};
    struct charge charge = {.share = &share, .urgent = true};
    assert_true(charge_add(&charge, 1 << 20));
    assert_false(charge_add(&charge, 1));
    budget.ceiling += 1;
    assert_true(charge_add(&charge, 1));
    struct charge uncounted = {0};
    assert_true(charge_add(&uncounted, 1 << 20));
    charge_release(&uncounted, 1 << 20);
    assert_int_equal(uncounted.held, 0);
}

static void charge_grows_and_shrinks(void **state)
{
    (void)state;
    struct budget budget = {.ceiling = 1 << 20};
    struct budget_share share = {.budget = &budget};
    struct charge charge = {.share = &share};
    assert_true(charge_add(&charge, BUDGET_SMALL));
    assert_true(charge_add(&charge, 100000)); /* large as a whole from here on */
    assert_false(charge_add(&charge, SIZE_MAX));
    assert_false(charge_add(&charge, 900000));
    assert_int_equal(charge.held, BUDGET_SMALL + 100000);
    charge_release(&charge, 100000);
    assert_int_equal(share.held, BUDGET_SMALL);
    charge_release(&charge, charge.held);
    assert_int_equal(share.held, 0);
    assert_int_equal(budget.held, 0);
}

static void arena_charges_its_blocks_but_for_the_kept_one(void **state)
{
    (void)state;
    struct budget budget = {.ceiling = 1 << 20};
    struct budget_share share = {.budget = &budget};
    struct charge charge = {.share = &share};
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    arena.charge = &charge;
    assert_non_null(arena_alloc(&arena, 100));
    assert_non_null(arena_alloc(&arena, 100000));
    assert_in_range(budget.held, 100000, 110000);
    assert_null(arena_alloc(&arena, 1 << 20));
    assert_true(arena.exhausted && arena.over_budget);
    arena_reset(&arena);
    assert_int_equal(budget.held, 0);
    assert_false(arena.over_budget);
    assert_non_null(arena_alloc(&arena, 100));
    assert_int_equal(budget.held, 0);
    assert_non_null(arena_alloc(&arena, 5000));
    assert_in_range(budget.held, 5000, 6000);
    arena_fini(&arena);
    assert_int_equal(budget.held, 0);
}

static void buffer_fails_at_its_cap_and_stays_failed(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 10);
    buffer_append_text(&buffer, "0123456789");
    assert_false(buffer.failed);
    buffer_append_text(&buffer, "x");
    assert_true(buffer.failed);
    buffer_append_text(&buffer, "");
    assert_true(buffer.failed);
    assert_string_equal(buffer.data, "0123456789");
    buffer_fini(&buffer);
}

static void buffer_charges_its_room(void **state)
{
    (void)state;
    struct budget budget = {.ceiling = 10000};
    struct budget_share share = {.budget = &budget};
    struct charge charge = {.share = &share};
    struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX / 2);
    buffer.charge = &charge;
    buffer_append_text(&buffer, "0123456789");
    assert_int_equal(budget.held, buffer.room);
    buffer_reserve(&buffer, 9000);
    assert_int_equal(budget.held, 9000);
    buffer_trim(&buffer);
    assert_int_equal(budget.held, 11);
    assert_string_equal(buffer.data, "0123456789");
    buffer_reserve(&buffer, 20000); /* in vain */
    assert_int_equal(budget.held, 11);
    static char text[20000];
    buffer_append(&buffer, text, sizeof(text));
    assert_true(buffer.failed && buffer.over_budget);
    buffer_fini(&buffer);
    assert_int_equal(budget.held, 0);
}

static void buffer_escapes_json_strings(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 1000);
    const char text[] = "a\"b\\c\n\r\t\x01\x1f\x7f\xc3\xa4";
    buffer_append_json_string(&buffer, text, sizeof(text) - 1);
    assert_string_equal(buffer.data, "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa4\"");
    buffer_fini(&buffer);
}

static void buffer_writes_times_in_utc(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {0, "\"1970-01-01T00:00:00.000000Z\""},
        {1, "\"1970-01-01T00:00:00.000001Z\""},
        {-1, "\"1969-12-31T23:59:59.999999Z\""},
        {1769903999000001, "\"2026-01-31T23:59:59.000001Z\""},
        {951782400000000, "\"2000-02-29T00:00:00.000000Z\""},
        {253402300800000000, "\"10000-01-01T00:00:00.000000Z\""},
        {-62198755200000000, "\"-1-01-01T00:00:00.000000Z\""},
        {INT64_MAX, "\"294247-01-10T04:00:54.775807Z\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer buffer;
        buffer_init(&buffer, 100);
        buffer_append_json_time(&buffer, cases[i].us);
        assert_string_equal(buffer.data, cases[i].text);
        buffer_fini(&buffer);
    }
}

static void status_cuts_at_a_character_boundary(void **state)
{
    (void)state;
    char text[600] = "";
    for (int i = 0; i < 140; i++)
        strcat(text, "\xe2\x82\xac"); /* three bytes each: 255 holds 85 of them exactly */
    struct status status;
    assert_false(status_fail(&status, STATUS_INTERNAL, "X", "%s", text));
    assert_int_equal(strlen(status.message), 255);
    status_fail(&status, STATUS_INTERNAL, "X", "a%s", text);
    assert_int_equal(strlen(status.message), 1 + 84 * 3);
    assert_string_equal(status_code_name(STATUS_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(status_code_name((enum status_code)99), "UNKNOWN");
}

static void typeid_round_trips_and_ascends(void **state)
{
    (void)state;
    uint8_t last[TYPEID_BYTES] = {0};
    for (int i = 0; i < 10000; i++) {
        uint8_t id[TYPEID_BYTES];
        uint8_t back[TYPEID_BYTES];
        char text[TYPEID_TEXT_SIZE];
        typeid_make(id);
        assert_true(memcmp(last, id, sizeof(id)) < 0);
        assert_int_equal(id[6] >> 4, 7);
        assert_int_equal(id[8] >> 6, 2);
        typeid_format(id, text);
        assert_true(typeid_parse(text, strlen(text), back));
        assert_memory_equal(id, back, sizeof(id));
        memcpy(last, id, sizeof(id));
    }
}

static int64_t standing_clock(void)
{
    return 1700000000123456;
}

static void typeid_carries_the_time_of_its_making(void **state)
{
    (void)state;
    /* A clock that stands, and behind earlier ids: the time part still ascends. */
    uint8_t first[TYPEID_BYTES];
    uint8_t second[TYPEID_BYTES];
    clock_set_now_for_test(standing_clock);
    typeid_make(first);
    typeid_make(second);
    clock_set_now_for_test(NULL);
    assert_true(memcmp(first, second, 8) < 0);
}

static void typeid_accepts_and_refuses(void **state)
{
    (void)state;
    uint8_t id[TYPEID_BYTES];
    static const char *const valid[] = {"evt_00000000000000000000000000",
                                        "evt_7zzzzzzzzzzzzzzzzzzzzzzzzz",
                                        "evt_01h455vb4pex5vsknk084sn02q", "evt_0123456789ab"};
    static const char *const invalid[] = {
        "",
        "evt_",
        "evt_8zzzzzzzzzzzzzzzzzzzzzzzzz", /* over 128 bits */
        "evt_01H455VB4PEX5VSKNK084SN02Q", /* upper case */
        "evt_01h455vb4pex5vsknk084sn02u", /* u is not in the alphabet */
        "evt_01h455vb4pex5vsknk084sn02",  /* short */
        "evt_01h455vb4pex5vsknk084sn02q0",
        "eve_01h455vb4pex5vsknk084sn02q",
        "evt-01h455vb4pex5vsknk084sn02q",
        "EVT_01h455vb4pex5vsknk084sn02q",
        "evt_0123456789aB", /* an old id in upper case */
        "evt_0123456789ag",
        "evt_0123456789a",
        "evt_0123456789abc"};
    for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
        assert_true(typeid_parse(valid[i], strlen(valid[i]), id));
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
        assert_false(typeid_parse(invalid[i], strlen(invalid[i]), id));
    assert_false(typeid_parse("evt_01h455vb4pex5vsknk\00084sn02q", 30, id));
    assert_true(typeid_parse(valid[1], 30, id));
    for (size_t i = 0; i < TYPEID_BYTES; i++)
        assert_int_equal(id[i], 0xFF);
}

static void typeid_keeps_old_ids(void **state)
{
    (void)state;
    /* Stores hold these bytes: they may not change. */
    static const uint8_t stored[TYPEID_BYTES] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x8c, 0xc5,
                                                 0xa3, 0x6e, 0x3a, 0x06, 0x04, 0xbf, 0xaf, 0xb7};
    uint8_t id[TYPEID_BYTES];
    char text[TYPEID_TEXT_SIZE];
    assert_true(typeid_parse("evt_0123456789ab", 16, id));
    assert_memory_equal(id, stored, TYPEID_BYTES);
    assert_true(typeid_is_old(id));
    typeid_format(id, text);
    assert_string_equal(text, "evt_0123456789ab");
    /* The same 128 bits as a TypeID would be a second text of the id. */
    assert_false(typeid_parse("evt_014d2pf2dbhk2t6vht0r2bzbxq", 30, id));
    typeid_make(id);
    assert_false(typeid_is_old(id));
}

static enum config_result load(long *number, int argc, char **argv)
{
    const struct config_setting table[] = {
        {"TRIGGERS_TEST_NUMBER", "number", "5", "N", "A number.", config_integer, number, 1, 10},
        {0},
    };
    return config_load("test", "About.", table, argc, argv);
}

static void config_prefers_flag_to_variable_to_default(void **state)
{
    (void)state;
    long number = 0;
    char *none[] = {(char *)"test", NULL};
    char flag[] = "--number=9";
    char *flagged[] = {(char *)"test", flag, NULL};
    unsetenv("TRIGGERS_TEST_NUMBER");
    assert_int_equal(load(&number, 1, none), CONFIG_LOADED);
    assert_int_equal(number, 5);
    setenv("TRIGGERS_TEST_NUMBER", "", 1); /* empty is unset */
    assert_int_equal(load(&number, 1, none), CONFIG_LOADED);
    assert_int_equal(number, 5);
    setenv("TRIGGERS_TEST_NUMBER", "7", 1);
    assert_int_equal(load(&number, 1, none), CONFIG_LOADED);
    assert_int_equal(number, 7);
    assert_int_equal(load(&number, 2, flagged), CONFIG_LOADED);
    assert_int_equal(number, 9);
    unsetenv("TRIGGERS_TEST_NUMBER");
}

static void config_refuses_bad_values(void **state)
{
    (void)state;
    static const char *const bad[] = {"--number=0",   "--number=11", "--number=x", "--number=",
                                      "--number=5 5", "--unknown=1", "number=5",   "--number"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        long number = 0;
        char argument[32];
        strcpy(argument, bad[i]);
        char *argv[] = {(char *)"test", argument, NULL};
        assert_int_equal(load(&number, 2, argv), CONFIG_WRONG);
    }
}

static void a_trace_continues_with_a_new_span(void **state)
{
    (void)state;
    static const char given[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    struct trace trace;
    char next[TRACEPARENT_SIZE];
    assert_true(trace_continue(given, &trace));
    trace_format(&trace, next);
    assert_string_equal(trace.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_string_equal(trace.parent_id, "00f067aa0ba902b7");
    assert_memory_equal(next, given, 36); /* the trace goes on */
    assert_memory_equal(next + 36, trace.span_id, 16);
    assert_string_not_equal(trace.span_id, trace.parent_id);
    assert_string_equal(next + 52, "-01");
    struct trace further;
    assert_true(trace_continue(next, &further));
    assert_string_equal(further.parent_id, trace.span_id);
}

static void a_trace_starts_unsampled(void **state)
{
    (void)state;
    struct trace trace, other;
    char text[TRACEPARENT_SIZE];
    trace_start(&trace);
    trace_start(&other);
    trace_format(&trace, text);
    assert_string_equal(trace.parent_id, "");
    assert_string_not_equal(trace.trace_id, other.trace_id);
    assert_string_equal(text + 52, "-00");
    assert_true(trace_continue(text, &other));
    assert_string_equal(other.trace_id, trace.trace_id);
}

/* Of the flags only the lowest is known; a later version may say more behind them. */
static void unknown_parts_of_a_traceparent_are_dropped(void **state)
{
    (void)state;
    static const char *const given[][2] = {
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", "01"},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe", "00"},
        {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "01"},
        {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future", "01"},
    };
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        struct trace trace;
        char next[TRACEPARENT_SIZE];
        assert_true(trace_continue(given[i][0], &trace));
        trace_format(&trace, next);
        assert_memory_equal(next, "00-4bf92f3577b34da6a3ce929d0e0e4736-", 36);
        assert_string_equal(next + 53, given[i][1]);
    }
}

static void wrong_traceparents_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct trace trace;
        assert_false(trace_continue(bad[i], &trace));
        assert_string_equal(trace.trace_id, "");
        assert_string_equal(trace.span_id, "");
    }
}

static void hexadecimal_digits_round_trip(void **state)
{
    (void)state;
    const uint8_t bytes[] = {0x00, 0x9a, 0xff};
    char text[7];
    uint8_t read[3];
    hex_write(bytes, 3, text);
    assert_string_equal(text, "009aff");
    assert_true(hex_read(text, read, 3));
    assert_memory_equal(read, bytes, 3);
    const char *bad[] = {"009aF0", "009a0", "00g0ff", "", "009a:0", "009a0/"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(hex_read(bad[i], read, 3));
    assert_int_equal(hex_digit('F'), 15);
    assert_int_equal(hex_digit('G'), -1);
    assert_int_equal(hex_digit('\0'), -1);
}

static void varints_round_trip(void **state)
{
    (void)state;
    const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        uint8_t bytes[VARINT_MAX_SIZE];
        const uint8_t *at = bytes;
        uint64_t value;
        size_t size = varint_write(bytes, values[i]);
        assert_true(varint_read(&at, bytes + size, &value));
        assert_true(value == values[i] && at == bytes + size);
        at = bytes;
        assert_false(varint_read(&at, bytes + size - 1, &value));
    }
    const uint8_t endless[11] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
    const uint8_t *at = endless;
    uint64_t value;
    assert_false(varint_read(&at, endless + sizeof(endless), &value));
}

static void every_code_has_a_name_and_an_http_status(void **state)
{
    (void)state;
    assert_string_equal(status_code_name(STATUS_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_string_equal(status_code_name((enum status_code)17), "UNKNOWN");
    assert_int_equal(status_code_http(STATUS_NOT_FOUND), 404);
    assert_int_equal(status_code_http((enum status_code) - 1), 500);
    for (int code = 0; code < STATUS_CODE_COUNT; code++)
        assert_true(status_code_http((enum status_code)code) >= 200);
}

/* In a child, whose stderr is read. */
static void a_failed_check_says_where_and_aborts(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        CHECK(ends[0] > 0);
        CHECK(ends[0] < 0);
        _exit(0);
    }
    close(ends[1]);
    char text[256] = {0};
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "base_test.c:"));
    assert_non_null(strstr(text, ": check failed: ends[0] < 0\n"));
}

static void a_wait_ends_at_its_moment_and_not_before(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition;
    wait_init(&condition);
    pthread_mutex_lock(&lock);
    assert_false(wait_until(&condition, &lock, 0));
    int64_t until_ms = clock_monotonic_ms() + 20;
    while (wait_until(&condition, &lock, until_ms))
        continue;
    assert_true(clock_monotonic_ms() >= until_ms);
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&condition);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_refuses_what_exceeds_its_cap),
        cmocka_unit_test(arena_allocations_do_not_overlap),
        cmocka_unit_test(arena_goes_back_to_a_mark),
        cmocka_unit_test(budget_leaves_room_for_others_and_for_small_charges),
        cmocka_unit_test(what_can_be_borne_is_less_when_others_were_in_the_way),
        cmocka_unit_test(what_is_kept_for_long_leaves_half_of_the_budget),
        cmocka_unit_test(urgent_and_uncounted_charges),
        cmocka_unit_test(charge_grows_and_shrinks),
        cmocka_unit_test(arena_charges_its_blocks_but_for_the_kept_one),
        cmocka_unit_test(buffer_fails_at_its_cap_and_stays_failed),
        cmocka_unit_test(buffer_charges_its_room),
        cmocka_unit_test(buffer_escapes_json_strings),
        cmocka_unit_test(buffer_writes_times_in_utc),
        cmocka_unit_test(status_cuts_at_a_character_boundary),
        cmocka_unit_test(typeid_round_trips_and_ascends),
        cmocka_unit_test(typeid_carries_the_time_of_its_making),
        cmocka_unit_test(typeid_accepts_and_refuses),
        cmocka_unit_test(a_trace_continues_with_a_new_span),
        cmocka_unit_test(a_trace_starts_unsampled),
        cmocka_unit_test(unknown_parts_of_a_traceparent_are_dropped),
        cmocka_unit_test(wrong_traceparents_are_refused),
        cmocka_unit_test(typeid_keeps_old_ids),
        cmocka_unit_test(config_prefers_flag_to_variable_to_default),
        cmocka_unit_test(config_refuses_bad_values),
        cmocka_unit_test(hexadecimal_digits_round_trip),
        cmocka_unit_test(varints_round_trip),
        cmocka_unit_test(every_code_has_a_name_and_an_http_status),
        cmocka_unit_test(a_failed_check_says_where_and_aborts),
        cmocka_unit_test(a_wait_ends_at_its_moment_and_not_before),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
