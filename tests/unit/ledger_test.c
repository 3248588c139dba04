/* The state of a subscription, entry by entry: what each does, and what is not taken on trust. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/varint.h"
#include "subscriptions/ledger.h"

#define SECOND INT64_C(1000000)
#define BEGINNING (INT64_C(1700000000) * SECOND)
#define MANY 1000

static struct ledger *ledger;
static int64_t now;
static const int64_t ten[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

/* A second after the lease is over, or at the time that was said. */
static int64_t next_us(const void *settings, const struct lease *lease)
{
    return lease->due_us + (lease->out ? *(const int64_t *)settings : 0);
}
static int64_t pause_us;

static int setup(void **state)
{
    (void)state;
    now = BEGINNING;
    pause_us = SECOND;
    ledger = ledger_open(0, BEGINNING, next_us, &pause_us);
    return ledger ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ledger_close(ledger);
    return 0;
}

/* ---- making entries and applying them ---- */

static struct buffer body;

static void begin(void)
{
    buffer_init(&body, 16 << 20);
}

static void begin_settlement(void)
{
    begin();
    ledger_make_settlement(&body, ledger);
}

static struct store_entry entry_after(struct store_entry_before before)
{
    assert_false(body.failed);
    return (struct store_entry){
        .number = before.number + 1,
        .token = 0xFEDCBA9876543210u + (uint64_t)before.number,
        .at_us = now,
        .body = {body.data, body.size},
    };
}

static void make_take_of(const struct ledger *maker, int64_t position,
                         const struct ledger_grant *grants, size_t count)
{
    struct ledger_take take = ledger_take_of(maker);
    take.position = position;
    take.grants = grants;
    take.grant_count = count;
    ledger_make_take(&body, maker, &take);
}

static void make_take(int64_t position, const struct ledger_grant *grants, size_t count)
{
    make_take_of(ledger, position, grants, count);
}

/* By one who has not seen what is out. */
static void make_wrong_take(int64_t position, const struct ledger_grant *grants, size_t count)
{
    struct ledger *maker = ledger_open(0, BEGINNING, next_us, &pause_us);
    make_take_of(maker, position, grants, count);
    ledger_close(maker);
}

static bool try_take(struct ledger *to)
{
    bool no_memory;
    struct store_entry entry = entry_after(ledger_figures_of(to).take);
    bool applied = ledger_apply_take(to, &entry, &no_memory);
    assert_false(no_memory);
    buffer_fini(&body);
    return applied;
}

static bool try_settlement(struct ledger *to)
{
    bool no_memory;
    struct store_entry entry = entry_after(ledger_figures_of(to).settlement);
    bool applied = ledger_apply_settlement(to, &entry, &no_memory);
    assert_false(no_memory);
    buffer_fini(&body);
    return applied;
}

static void take(int64_t position, const int64_t *sequences, size_t count, uint64_t pull)
{
    begin();
    make_take(position, &(struct ledger_grant){pull, 30000, sequences, count}, 1);
    assert_true(try_take(ledger));
}

static void settle(const int64_t *sequences, size_t count)
{
    begin_settlement();
    ledger_add_settled(&body, sequences, count);
    assert_true(try_settlement(ledger));
}

static void seek(int64_t position)
{
    begin();
    ledger_make_seek(&body, position);
    assert_true(try_take(ledger));
}

static struct lease_id id_of(int64_t sequence)
{
    return ledger_find(ledger, sequence)->id;
}

static enum lease_claim claim(int64_t sequence, struct lease_id id)
{
    return ledger_claim(ledger, sequence, id, ledger_figures_of(ledger).epoch, now);
}

static size_t due_at(int64_t time_us, int64_t *sequences, size_t max)
{
    const struct lease *leases[MANY];
    size_t count = ledger_due(ledger, time_us, leases, max);
    for (size_t i = 0; i < count; i++)
        sequences[i] = leases[i]->sequence;
    return count;
}

static struct buffer checkpoint_of(const struct ledger *of)
{
    struct buffer bytes;
    buffer_init(&bytes, 16 << 20);
    ledger_make_checkpoint(&bytes, of);
    assert_false(bytes.failed);
    return bytes;
}

static void assert_same_state(const struct ledger *one, const struct ledger *other)
{
    struct buffer a = checkpoint_of(one), b = checkpoint_of(other);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    buffer_fini(&a);
    buffer_fini(&b);
}

/* ---- takes ---- */

static void a_take_gives_out_and_moves_the_position(void **state)
{
    (void)state;
    const int64_t first[] = {2, 3, 7};
    const int64_t second[] = {8, 10};
    const struct ledger_grant grants[] = {{77, 30000, first, 3}, {0, 5000, second, 2}};
    begin();
    make_take(12, grants, 2);
    assert_true(try_take(ledger));
    struct ledger_figures figures = ledger_figures_of(ledger);
    assert_int_equal(figures.position, 12);
    assert_int_equal(figures.out, 5);
    assert_int_equal(figures.waiting, 0);
    assert_int_equal(figures.take.number, 1);
    assert_int_equal(ledger_oldest(ledger), 2);
    const struct lease *lease = ledger_find(ledger, 7);
    assert_true(lease->out && !lease->id.again);
    assert_int_equal(lease->id.number, 1);
    assert_int_equal(lease->id.token, 0x76543210);
    assert_int_equal(lease->attempts, 1);
    assert_int_equal(lease->pull, 77);
    assert_int_equal(lease->first_us, BEGINNING);
    assert_int_equal(lease->due_us, BEGINNING + 30 * SECOND);
    assert_int_equal(ledger_find(ledger, 10)->due_us, BEGINNING + 5 * SECOND);
    assert_null(ledger_find(ledger, 9));
    assert_int_equal(claim(7, lease->id), LEASE_HELD);
    assert_int_equal(claim(9, lease->id), LEASE_SETTLED);
}

static void a_hundred_in_a_row_take_few_bytes(void **state)
{
    (void)state;
    int64_t sequences[100];
    for (size_t i = 0; i < 100; i++)
        sequences[i] = 1000001 + (int64_t)i;
    begin();
    make_take(1000100, &(struct ledger_grant){0, 30000, sequences, 100}, 1);
    assert_true(body.size <= 15);
    assert_true(try_take(ledger));
    begin_settlement();
    ledger_add_settled(&body, sequences, 100);
    assert_true(body.size <= 12);
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_figures_of(ledger).out, 0);
}

static void a_take_that_goes_back_is_refused(void **state)
{
    (void)state;
    take(10, ten, 10, 0);
    begin();
    make_wrong_take(9, NULL, 0);
    assert_false(try_take(ledger));
}

static void a_take_of_what_was_given_out_is_refused(void **state)
{
    (void)state;
    take(10, ten, 10, 0);
    begin();
    make_wrong_take(11, &(struct ledger_grant){0, 1, ten + 9, 1}, 1);
    assert_false(try_take(ledger));
}

/* ---- settling ---- */

static void what_is_settled_is_gone(void **state)
{
    (void)state;
    take(10, ten, 10, 0);
    struct lease_id id = id_of(3);
    settle((const int64_t[]){3, 9, 1, 3, 55}, 5); /* 55 is ahead */
    struct ledger_figures figures = ledger_figures_of(ledger);
    assert_int_equal(figures.out, 7);
    assert_int_equal(claim(3, id), LEASE_SETTLED);
    assert_int_equal(ledger_oldest(ledger), 2);
    assert_int_equal(figures.settlement.number, 1);
    settle(ten, 10);
    assert_int_equal(ledger_figures_of(ledger).out, 0);
    assert_int_equal(ledger_oldest(ledger), 0);
    assert_int_equal(ledger_next_us(ledger), INT64_MAX);
}

static void what_was_given_back_waits_until_it_is_due(void **state)
{
    (void)state;
    take(10, ten, 10, 5);
    struct lease_id id = id_of(4);
    begin_settlement();
    ledger_add_back(&body, (const int64_t[]){4, 2}, 2, now + 3 * SECOND, false);
    ledger_add_back(&body, (const int64_t[]){6, 6}, 2, now + 2 * SECOND, true);
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_figures_of(ledger).waiting, 3);
    assert_int_equal(ledger_find(ledger, 4)->attempts, 1);
    assert_int_equal(ledger_find(ledger, 6)->attempts, 0);
    assert_int_equal(ledger_find(ledger, 6)->pull, 0);
    assert_int_equal(claim(4, id), LEASE_LATE);
    assert_int_equal(ledger_next_us(ledger), now + 2 * SECOND);
    int64_t due[10];
    assert_int_equal(due_at(now + 2 * SECOND - 1, due, 10), 0);
    assert_int_equal(due_at(now + 3 * SECOND, due, 10), 3);
    assert_int_equal(due[0], 6);
    assert_int_equal(due[1], 2);
    assert_int_equal(due[2], 4);
    /* Again: the attempt counts once, and the time moves. */
    begin_settlement();
    ledger_add_back(&body, (const int64_t[]){6, 4}, 2, now + 9 * SECOND, true);
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_find(ledger, 6)->attempts, 0);
    assert_int_equal(ledger_find(ledger, 4)->attempts, 1);
    assert_int_equal(ledger_find(ledger, 4)->due_us, now + 9 * SECOND);
}

static void what_is_given_out_again_has_another_lease(void **state)
{
    (void)state;
    take(10, ten, 10, 5);
    struct lease_id id = id_of(4);
    now += 31 * SECOND;
    assert_int_equal(claim(4, id), LEASE_LATE);
    begin_settlement();
    ledger_add_again(&body, &(struct ledger_grant){9, 60000, (const int64_t[]){4, 99}, 2});
    assert_true(try_settlement(ledger));
    const struct lease *lease = ledger_find(ledger, 4);
    assert_true(lease->out && lease->id.again);
    assert_int_equal(lease->id.number, 1);
    assert_int_equal(lease->attempts, 2);
    assert_int_equal(lease->first_us, BEGINNING);
    assert_int_equal(lease->started_us, now);
    assert_int_equal(lease->due_us, now + 60 * SECOND);
    assert_int_equal(claim(4, id), LEASE_LOST);
    assert_int_equal(claim(4, lease->id), LEASE_HELD);
    assert_null(ledger_find(ledger, 99));
}

static void leases_are_extended_while_they_are_out(void **state)
{
    (void)state;
    take(10, ten, 10, 0);
    begin_settlement();
    ledger_add_back(&body, ten, 1, now + SECOND, false);
    ledger_add_extended(&body, ten, 2, now + 90 * SECOND);
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_find(ledger, 1)->due_us, now + SECOND);
    assert_int_equal(ledger_find(ledger, 2)->due_us, now + 90 * SECOND);
}

static void other_settings_order_the_leases_anew(void **state)
{
    (void)state;
    int64_t sequences[MANY], due[MANY];
    for (size_t i = 0; i < MANY; i++)
        sequences[i] = (int64_t)i + 1;
    take(MANY, sequences, MANY, 0);
    begin_settlement();
    for (size_t i = 0; i < MANY; i += 2)
        ledger_add_back(&body, &sequences[i], 1, now + 100 * SECOND + (int64_t)i, false);
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_next_us(ledger), now + 31 * SECOND);
    const int64_t longer = 100 * SECOND;
    ledger_reorder(ledger, &longer);
    assert_int_equal(ledger_next_us(ledger), now + 100 * SECOND);
    assert_int_equal(due_at(INT64_MAX, due, MANY), MANY);
    for (size_t i = 0; i < MANY / 2; i++) {
        assert_int_equal(due[i], 2 * i + 1);
        assert_int_equal(due[MANY / 2 + i], 2 * i + 2);
    }
    assert_int_equal(due_at(INT64_MAX, due, 7), 7);
    assert_int_equal(due[6], 13);
}

/* ---- a take that was lost ---- */

static void take_and_check(int64_t sequence, int64_t started_us)
{
    now = started_us;
    take(sequence, &sequence, 1, 0);
    assert_int_equal(ledger_find(ledger, sequence)->due_us, started_us + 30 * SECOND);
}

static void assert_lease(int64_t sequence, int64_t started_us, int64_t due_us)
{
    const struct lease *lease = ledger_find(ledger, sequence);
    assert_int_equal(lease->started_us, started_us);
    assert_int_equal(lease->due_us, due_us);
}

/* The clock goes back by an hour: leases of before last as long as they were given for, from now
 * on; what waits is given out no later than if its lease had begun now; what began since stays. */
static void leases_end_when_the_clock_has_gone_back(void **state)
{
    (void)state;
    int64_t before = BEGINNING + 3600 * SECOND;
    take_and_check(1, before);
    take_and_check(2, before + 5 * SECOND);
    take_and_check(3, before + 6 * SECOND);
    begin_settlement();
    ledger_add_back(&body, (int64_t[]){3}, 1, before + 20 * SECOND, false);
    assert_true(try_settlement(ledger));
    take_and_check(4, BEGINNING + SECOND); /* of another core, after it went back */
    int64_t after = BEGINNING + 10 * SECOND;
    ledger_turn_back(ledger, after, 3600 * SECOND);
    assert_lease(1, after, after + 30 * SECOND);
    assert_lease(2, after, after + 30 * SECOND);
    assert_lease(3, after, after + 14 * SECOND);
    assert_lease(4, BEGINNING + SECOND, BEGINNING + 31 * SECOND);
    assert_int_equal(ledger_next_us(ledger), after + 14 * SECOND); /* they are in order again */
    ledger_turn_back(ledger, after, 3600 * SECOND);
    assert_lease(1, after, after + 30 * SECOND); /* once is enough */
    begin_settlement();                          /* a wait that began with a lease of long ago */
    ledger_add_back(&body, (int64_t[]){4}, 1, after + 3620 * SECOND, false);
    assert_true(try_settlement(ledger));
    ledger_turn_back(ledger, after, 3600 * SECOND);
    assert_int_equal(ledger_find(ledger, 4)->due_us, after + 20 * SECOND);
}

static void what_was_settled_ahead_is_not_given_out(void **state)
{
    (void)state;
    struct lease_id lost = {7, 77, false};
    assert_int_equal(claim(4, lost), LEASE_AHEAD);
    settle((const int64_t[]){4, 8}, 2);
    assert_true(ledger_is_ahead(ledger, 4));
    assert_int_equal(claim(4, lost), LEASE_SETTLED);
    assert_int_equal(claim(5, lost), LEASE_AHEAD);
    take(5, (const int64_t[]){1, 4}, 2, 0); /* by one who did not know of it */
    assert_int_equal(ledger_figures_of(ledger).out, 1);
    assert_int_equal(claim(4, lost), LEASE_SETTLED);
    assert_int_equal(claim(1, lost), LEASE_LOST);
    assert_true(ledger_is_ahead(ledger, 8));
    take(10, NULL, 0, 0);
    assert_false(ledger_is_ahead(ledger, 8));
}

static void too_many_are_not_settled_ahead(void **state)
{
    (void)state;
    static int64_t sequences[LEDGER_MAX_AHEAD];
    for (size_t i = 0; i < LEDGER_MAX_AHEAD; i++)
        sequences[i] = 2 * (int64_t)i + 2;
    settle(sequences, LEDGER_MAX_AHEAD - 1);
    assert_int_equal(claim(1, (struct lease_id){1, 1, false}), LEASE_AHEAD);
    settle(sequences + LEDGER_MAX_AHEAD - 1, 1);
    assert_int_equal(claim(1, (struct lease_id){1, 1, false}), LEASE_LOST);
    assert_int_equal(claim(2, (struct lease_id){1, 1, false}), LEASE_SETTLED);
}

/* ---- a seek ---- */

static void a_seek_forgets_what_was_out(void **state)
{
    (void)state;
    take(10, ten, 10, 0);
    settle((const int64_t[]){12}, 1);
    struct lease_id id = id_of(4);
    seek(2);
    struct ledger_figures figures = ledger_figures_of(ledger);
    assert_int_equal(figures.position, 2);
    assert_int_equal(figures.epoch, 2);
    assert_int_equal(figures.out + figures.waiting, 0);
    assert_false(ledger_is_ahead(ledger, 12));
    assert_int_equal(ledger_claim(ledger, 4, id, 0, now), LEASE_LOST);
    take(10, ten + 2, 8, 0);
    assert_int_equal(ledger_claim(ledger, 4, id, 0, now), LEASE_LOST);
    assert_int_equal(claim(4, id_of(4)), LEASE_HELD);
}

static void a_settlement_from_before_a_seek_is_passed_over(void **state)
{
    (void)state;
    take(10, ten, 10, 0);
    begin_settlement();
    ledger_add_settled(&body, ten, 1);
    ledger_add_dead(&body, ten + 1, 2, false);
    struct buffer early = body;
    seek(0);
    take(10, ten, 10, 0);
    body = early;
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_figures_of(ledger).out, 10);
    assert_int_equal(ledger_figures_of(ledger).dead, 2); /* the store has put them there */
    assert_int_equal(ledger_figures_of(ledger).settlement.number, 1);
}

static void a_settlement_from_after_a_seek_that_was_not_seen_is_refused(void **state)
{
    (void)state;
    struct ledger *behind = ledger_open(0, BEGINNING, next_us, &pause_us);
    seek(5);
    begin_settlement();
    assert_false(try_settlement(behind));
    ledger_close(behind);
}

/* ---- dead letters ---- */

static void dead_letters_are_counted(void **state)
{
    (void)state;
    take(10, ten, 10, 0);
    begin_settlement();
    ledger_add_dead(&body, ten + 3, 4, false);
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_figures_of(ledger).dead, 4);
    assert_int_equal(ledger_figures_of(ledger).out, 6);
    begin_settlement();
    ledger_add_buried(&body, 1);
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_figures_of(ledger).dead, 3);
    begin_settlement();
    ledger_add_buried(&body, 9);
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_figures_of(ledger).dead, 0);
}

static void revived_dead_letters_have_no_attempts(void **state)
{
    (void)state;
    take(10, ten, 10, 0);
    struct lease_id id = id_of(5);
    begin_settlement();
    ledger_add_dead(&body, ten + 3, 2, false);
    assert_true(try_settlement(ledger));
    assert_int_equal(claim(5, id), LEASE_SETTLED);
    begin_settlement();
    ledger_add_revived(&body, ledger, ten + 3, NULL, 2, now + SECOND);
    assert_true(try_settlement(ledger));
    const struct lease *lease = ledger_find(ledger, 5);
    assert_false(lease->out);
    assert_int_equal(lease->attempts, 0);
    assert_int_equal(lease->due_us, now + SECOND);
    assert_int_equal(ledger_figures_of(ledger).dead, 0);
    assert_int_equal(claim(5, id), LEASE_LOST);
    now += SECOND;
    begin_settlement();
    ledger_add_again(&body, &(struct ledger_grant){0, 1000, ten + 4, 1});
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_find(ledger, 5)->attempts, 1);
    assert_int_equal(ledger_find(ledger, 5)->first_us, now);
}

static void after_a_seek_a_revived_one_is_not_given_out_twice(void **state)
{
    (void)state;
    take(10, ten, 10, 0);
    begin_settlement();
    ledger_add_dead(&body, ten, 10, false);
    assert_true(try_settlement(ledger));
    seek(4);
    take(6, ten + 4, 2, 0);
    begin_settlement();
    ledger_add_revived(&body, ledger, (const int64_t[]){1, 8, 5, 9, 10, 2}, NULL, 6, now);
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_figures_of(ledger).out, 2);
    assert_int_equal(ledger_figures_of(ledger).waiting, 2); /* 1 and 2 */
    assert_int_equal(ledger_find(ledger, 5)->attempts, 1);
    assert_int_equal(ledger_figures_of(ledger).dead, 4);
    take(10, ten + 6, 4, 0);
    assert_int_equal(ledger_figures_of(ledger).out, 6);
}

/* A take passes the event, as the filter is another one now: whether that is seen before or after
 * the dead letter is revived makes no difference. */
static void a_revived_one_that_a_take_passes_is_passed_in_any_order(void **state)
{
    (void)state;
    struct ledger *other = ledger_open(0, BEGINNING, next_us, &pause_us);
    begin();
    make_take(5, NULL, 0);
    assert_true(try_take(other));
    begin_settlement();
    ledger_add_revived(&body, ledger, ten + 3, NULL, 1, now);
    struct buffer revival = body;
    buffer_init(&body, 1 << 20);
    buffer_append(&body, revival.data, revival.size);
    assert_true(try_settlement(other));
    body = revival;
    assert_true(try_settlement(ledger));
    take(5, NULL, 0, 0);
    assert_same_state(ledger, other);
    ledger_close(other);
}

/* ---- keys ---- */

#define KEY UINT64_C(0xFEDCBA9876543210)
#define OTHER UINT64_C(17)

static struct ledger_key mark(uint64_t key, int64_t from)
{
    return (struct ledger_key){key, from};
}

/* A take that sets marks, so far. */
static struct ledger_take key_take(int64_t position, const struct ledger_key *marks, size_t count)
{
    struct ledger_take take = ledger_take_of(ledger);
    take.position = position;
    take.keys = marks;
    take.key_count = count;
    return take;
}

static bool try_made(const struct ledger *maker, const struct ledger_take *take)
{
    begin();
    ledger_make_take(&body, maker, take);
    return try_take(ledger);
}

static void apply_made(const struct ledger_take *take)
{
    assert_true(try_made(ledger, take));
}

/* The event 1 of KEY is out, and 2 waits for it. */
static void take_two_of_a_key(void)
{
    struct ledger_take taken = key_take(2, (const struct ledger_key[]){mark(KEY, 2)}, 1);
    taken.grants = &(struct ledger_grant){5, 30000, ten, 1, (const uint64_t[]){KEY}};
    taken.grant_count = 1;
    apply_made(&taken);
}

static struct ledger_key only_ready(void)
{
    struct ledger_key ready[2];
    assert_int_equal(ledger_ready(ledger, ready, 2), 1);
    return ready[0];
}

static void assert_not_ready(void)
{
    struct ledger_key ready;
    assert_int_equal(ledger_ready(ledger, &ready, 1), 0);
}

static void assert_refused(const struct ledger *maker, struct ledger_take *take)
{
    assert_false(try_made(maker, take));
    teardown(NULL);
    setup(NULL);
}

static void a_key_waits_until_its_event_is_settled(void **state)
{
    (void)state;
    take_two_of_a_key();
    assert_true(ledger_key_is_busy(ledger, KEY) && ledger_key_is_marked(ledger, KEY));
    assert_false(ledger_key_is_busy(ledger, OTHER) || ledger_key_is_busy(ledger, 0));
    assert_int_equal(ledger_find(ledger, 1)->key, KEY);
    assert_int_equal(ledger_figures_of(ledger).marks, 1);
    assert_not_ready();
    begin_settlement(); /* it waits, and so does the key */
    ledger_add_back(&body, ten, 1, now + SECOND, false);
    assert_true(try_settlement(ledger));
    assert_not_ready();
    assert_int_equal(ledger_oldest(ledger), 1);
    settle(ten, 1);
    assert_int_equal(only_ready().key, KEY);
    assert_int_equal(only_ready().from, 2);
    assert_int_equal(ledger_oldest(ledger), 2);
    struct ledger_take next = key_take(9, (const struct ledger_key[]){mark(KEY, 7)}, 1);
    next.passed = &(struct ledger_grant){6, 30000, ten + 1, 1, (const uint64_t[]){KEY}};
    next.passed_count = 1;
    apply_made(&next);
    assert_not_ready();
    assert_true(ledger_find(ledger, 2)->out && ledger_find(ledger, 2)->key == KEY);
    assert_int_equal(ledger_find(ledger, 2)->pull, 6);
    settle(ten + 1, 1);
    assert_int_equal(only_ready().from, 7);
    struct ledger_take last = key_take(9, (const struct ledger_key[]){mark(KEY, 0)}, 1);
    last.passed = &(struct ledger_grant){6, 30000, ten + 6, 1, (const uint64_t[]){KEY}};
    last.passed_count = 1;
    apply_made(&last);
    assert_true(ledger_key_is_busy(ledger, KEY) && !ledger_key_is_marked(ledger, KEY));
    settle(ten + 6, 1);
    assert_false(ledger_key_is_busy(ledger, KEY));
    assert_int_equal(ledger_figures_of(ledger).marks, 0);
}

/* Whoever sees the take before the settlement that freed the key has two of it out for a while. */
static void a_take_may_be_seen_before_what_freed_its_key(void **state)
{
    (void)state;
    take_two_of_a_key();
    struct buffer settled, taken = {0};
    begin_settlement();
    ledger_add_settled(&body, ten, 1);
    settled = body;
    struct ledger_take next = key_take(3, (const struct ledger_key[]){mark(KEY, 3)}, 1);
    next.passed = &(struct ledger_grant){6, 30000, ten + 1, 1, (const uint64_t[]){KEY}};
    next.passed_count = 1;
    begin();
    ledger_make_take(&body, ledger, &next);
    taken = body;
    struct buffer before = checkpoint_of(ledger);
    struct ledger *other = ledger_open(0, BEGINNING, next_us, &pause_us);
    body = before;
    assert_true(try_settlement(other));
    body = checkpoint_of(ledger);
    assert_true(try_settlement(ledger));
    struct buffer again[2];
    for (size_t i = 0; i < 2; i++)
        buffer_init(&again[i], 1 << 20);
    buffer_append(&again[0], settled.data, settled.size);
    buffer_append(&again[1], taken.data, taken.size);
    body = taken;
    assert_true(try_take(ledger));
    assert_int_equal(ledger_figures_of(ledger).out, 2);
    assert_int_equal(ledger_next_us(ledger), now + 31 * SECOND);
    int64_t due[2];
    assert_int_equal(due_at(INT64_MAX, due, 2), 1);
    assert_int_equal(due[0], 1);
    assert_not_ready();
    body = settled;
    assert_true(try_settlement(ledger));
    assert_not_ready();
    assert_int_equal(due_at(INT64_MAX, due, 2), 1);
    assert_int_equal(due[0], 2);
    body = again[0];
    assert_true(try_settlement(other));
    body = again[1];
    assert_true(try_take(other));
    assert_same_state(ledger, other);
    ledger_close(other);
}

static uint64_t key_at(int64_t i)
{
    return (uint64_t)i * 0x9E3779B97F4A7C15u + 1;
}

/* Each of many keys has an event that is out and another one that waits; they become ready in an
 * order of their own. */
static void ready_keys_come_by_their_events(void **state)
{
    (void)state;
    static int64_t sequences[MANY];
    static uint64_t keys[MANY];
    static struct ledger_key marks[MANY], ready[MANY];
    for (size_t i = 0; i < MANY; i++) {
        sequences[i] = (int64_t)i + 1;
        keys[i] = key_at((int64_t)i);
        marks[i] = mark(keys[i], 2 * MANY - (int64_t)i);
    }
    struct ledger_take taken = key_take(2 * MANY, marks, MANY);
    taken.grants = &(struct ledger_grant){0, 30000, sequences, MANY, keys};
    taken.grant_count = 1;
    apply_made(&taken);
    for (int64_t i = 0; i < MANY; i++)
        settle(&(int64_t){1 + (i * 7) % MANY}, 1);
    assert_int_equal(ledger_ready(ledger, ready, MANY), MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(ready[i].from, MANY + 1 + i);
        assert_int_equal(ready[i].key, keys[MANY - 1 - i]);
    }
    assert_int_equal(ledger_ready(ledger, ready, 3), 3);
    assert_int_equal(ready[2].from, MANY + 3);
    for (size_t i = 0; i < MANY; i += 2)
        marks[i].from = 0;
    struct ledger_take gone = key_take(2 * MANY, NULL, 0);
    for (size_t i = 0; i < MANY; i += 2) {
        gone.keys = &marks[i];
        gone.key_count = 1;
        apply_made(&gone);
    }
    assert_int_equal(ledger_ready(ledger, ready, MANY), MANY / 2);
    for (size_t i = 0; i < MANY / 2; i++)
        assert_int_equal(ready[i].key, keys[MANY - 1 - 2 * i]);
    for (size_t i = 0; i < MANY; i++)
        assert_true(ledger_key_is_marked(ledger, keys[i]) == (i % 2 == 1));
    marks[MANY - 1].from = 2 * MANY + 1; /* the first one goes on, as its event was removed */
    struct ledger_take on = key_take(2 * MANY + 1, &marks[MANY - 1], 1);
    apply_made(&on);
    assert_int_equal(ledger_ready(ledger, ready, MANY), MANY / 2);
    assert_int_equal(ready[0].key, keys[MANY - 3]);
    assert_int_equal(ready[MANY / 2 - 1].key, keys[MANY - 1]);
    struct buffer bytes = checkpoint_of(ledger);
    assert_true(bytes.size <= ledger_figures_of(ledger).checkpoint_bytes);
    buffer_fini(&bytes);
}

static void keys_that_are_none_make_no_take_longer(void **state)
{
    (void)state;
    size_t sizes[2];
    for (size_t i = 0; i < 2; i++) {
        const uint64_t none[10] = {0};
        begin();
        make_take(10, &(struct ledger_grant){1, 30000, ten, 10, i == 0 ? NULL : none}, 1);
        sizes[i] = body.size;
        buffer_fini(&body);
    }
    assert_int_equal(sizes[0], sizes[1]);
}

static void a_grant_may_have_keys_of_some(void **state)
{
    (void)state;
    begin();
    make_take(10,
              (const struct ledger_grant[]){{1, 30000, ten, 3, (const uint64_t[]){0, KEY, 0}},
                                            {0, 30000, ten + 3, 3, NULL}},
              2);
    assert_true(try_take(ledger));
    for (int64_t sequence = 1; sequence <= 6; sequence++)
        assert_int_equal(ledger_find(ledger, sequence)->key, sequence == 2 ? KEY : 0);
}

static void wrong_marks_are_refused(void **state)
{
    (void)state;
    struct ledger *maker = ledger_open(0, BEGINNING, next_us, &pause_us);
    struct ledger_take wrong = ledger_take_of(maker);
    wrong.position = 10;
    wrong.key_count = 1;
    wrong.keys = &(struct ledger_key){KEY, 10};
    take(10, ten, 10, 0);
    assert_refused(maker, &wrong); /* it is not after the position */
    take_two_of_a_key();
    wrong.keys = &(struct ledger_key){KEY, 2};
    assert_refused(maker, &wrong); /* nor after the mark */
    struct ledger *owner = ledger_open(0, BEGINNING, next_us, &pause_us);
    begin();
    wrong = ledger_take_of(owner);
    wrong.position = 5;
    wrong.keys = &(struct ledger_key){OTHER, 5};
    wrong.key_count = 1;
    ledger_make_take(&body, owner, &wrong);
    assert_true(try_take(owner));
    wrong.keys = &(struct ledger_key){OTHER, 0};
    assert_refused(owner, &wrong); /* there is none to remove */
    ledger_close(owner);
    ledger_close(maker);
}

static void what_was_not_passed_is_refused(void **state)
{
    (void)state;
    struct ledger *maker = ledger_open(0, BEGINNING, next_us, &pause_us);
    begin();
    make_take_of(maker, 10, NULL, 0);
    assert_true(try_take(maker));
    struct ledger_take wrong = ledger_take_of(maker);
    wrong.passed = &(struct ledger_grant){0, 1000, ten + 4, 1, NULL};
    wrong.passed_count = 1;
    take(4, NULL, 0, 0);
    assert_refused(maker, &wrong); /* it is after the position */
    take(10, ten, 10, 0);
    assert_refused(maker, &wrong); /* somebody has it */
    seek(5);
    take(10, NULL, 0, 0);
    assert_refused(maker, &wrong); /* it is from before the beginning */
    take(10, NULL, 0, 0);
    assert_true(try_made(maker, &wrong));
    assert_int_equal(ledger_figures_of(ledger).out, 1);
    ledger_close(maker);
}

static void more_marks_than_any_maker_sets_are_refused(void **state)
{
    (void)state;
    static struct ledger_key marks[LEDGER_MAX_MARKS];
    for (size_t i = 0; i < LEDGER_MAX_MARKS; i++)
        marks[i] = mark(key_at((int64_t)i), (int64_t)i + 1);
    struct ledger_take full = key_take(LEDGER_MAX_MARKS, marks, LEDGER_MAX_MARKS);
    begin();
    buffer_fini(&body);
    buffer_init(&body, 64 << 20);
    ledger_make_take(&body, ledger, &full);
    assert_true(try_take(ledger));
    assert_int_equal(ledger_figures_of(ledger).marks, LEDGER_MAX_MARKS);
    struct ledger_take more = key_take(LEDGER_MAX_MARKS + 1, marks, 1);
    marks[0] = mark(key_at(LEDGER_MAX_MARKS), LEDGER_MAX_MARKS + 1);
    assert_false(try_made(ledger, &more));
}

/* ---- several leases of a key ---- */

static void revive(const int64_t *sequences, size_t count)
{
    const uint64_t keys[] = {KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY};
    begin_settlement();
    ledger_add_revived(&body, ledger, sequences, keys, count, now);
    assert_true(try_settlement(ledger));
}

static void give_again(int64_t sequence)
{
    begin_settlement();
    ledger_add_again(&body, &(struct ledger_grant){0, 30000, &sequence, 1, NULL});
    assert_true(try_settlement(ledger));
}

static int64_t only_due(void)
{
    int64_t due[3];
    assert_int_equal(due_at(INT64_MAX, due, 3), 1);
    return due[0];
}

static void of_one_key_only_the_first_is_due(void **state)
{
    (void)state;
    take(10, NULL, 0, 0);
    revive((const int64_t[]){7, 3, 9, 5}, 4);
    assert_int_equal(ledger_figures_of(ledger).waiting, 4);
    assert_int_equal(only_due(), 3);
    give_again(5); /* whoever gives it out may */
    assert_int_equal(only_due(), 5);
    revive((const int64_t[]){1, 10}, 2);
    assert_int_equal(only_due(), 5);
    settle((const int64_t[]){5, 9}, 2);
    assert_int_equal(only_due(), 1);
    give_again(1);
    begin_settlement();
    ledger_add_back(&body, (const int64_t[]){1}, 1, now + 5 * SECOND, false);
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_next_us(ledger), now + 5 * SECOND);
    settle((const int64_t[]){1, 3}, 2);
    assert_int_equal(only_due(), 7);
    settle((const int64_t[]){7}, 1);
    assert_int_equal(only_due(), 10);
    settle((const int64_t[]){10}, 1);
    assert_false(ledger_key_is_busy(ledger, KEY));
    assert_int_equal(ledger_next_us(ledger), INT64_MAX);
}

/* Many leases of a few keys, in a disorder that is always the same: of each key the first is due.
 */
static void the_first_of_each_key_is_due_whatever_happens(void **state)
{
    (void)state;
    enum { KEYS = 7, LEASES = 300, STEPS = 3000 };
    int states[LEASES + 1] = {0}; /* 0: none, 1: waits, 2: out, 3: dead */
    uint32_t random = 1;
    take(LEASES, NULL, 0, 0);
    for (size_t step = 0; step < STEPS; step++) {
        random = random * 1664525 + 1013904223;
        int64_t sequence = 1 + (random >> 8) % LEASES;
        const uint64_t key = key_at(sequence % KEYS);
        unsigned what = random >> 28;
        begin_settlement();
        if (what < 8) {
            ledger_add_revived(&body, ledger, &sequence, &key, 1, now);
            if (states[sequence] == 0 || states[sequence] == 3)
                states[sequence] = 1;
        } else if (what < 12) {
            ledger_add_again(&body, &(struct ledger_grant){0, 1000, &sequence, 1, NULL});
            states[sequence] = states[sequence] == 1 ? 2 : states[sequence];
        } else if (what < 14) {
            ledger_add_settled(&body, &sequence, 1);
            states[sequence] = states[sequence] == 3 ? 3 : 0;
        } else if (what == 14) {
            ledger_add_dead(&body, &sequence, 1, true);
            states[sequence] = states[sequence] == 0 ? 0 : 3;
        } else {
            ledger_add_unblocked(&body, &sequence, 1);
            states[sequence] = states[sequence] == 3 ? 0 : states[sequence];
        }
        assert_true(try_settlement(ledger));
        int64_t due[LEASES], expected = 0;
        size_t count = due_at(INT64_MAX, due, LEASES);
        for (size_t k = 0; k < KEYS; k++) {
            static const int ranks[] = {[1] = 3, [2] = 1, [3] = 2};
            int64_t first = 0;
            for (int64_t i = 1; i <= LEASES; i++)
                if (i % KEYS == (int64_t)k && states[i] != 0 &&
                    (first == 0 || ranks[states[i]] < ranks[states[first]]))
                    first = i;
            assert_true(ledger_key_is_busy(ledger, key_at((int64_t)k)) == (first != 0));
            if (first == 0 || states[first] == 3)
                continue;
            expected++;
            size_t i = 0;
            while (i < count && due[i] != first)
                i++;
            assert_true(i < count);
        }
        assert_int_equal(count, expected);
    }
}

/* ---- dead letters that block ---- */

static void bury_alive(int64_t sequence)
{
    begin_settlement();
    ledger_add_dead(&body, &sequence, 1, true);
    assert_true(try_settlement(ledger));
}

static void a_dead_letter_blocks_its_key(void **state)
{
    (void)state;
    take_two_of_a_key();
    struct lease_id id = id_of(1);
    bury_alive(1);
    struct ledger_figures figures = ledger_figures_of(ledger);
    assert_int_equal(figures.blocked, 1);
    assert_int_equal(figures.out + figures.waiting, 0);
    assert_int_equal(figures.dead, 1);
    assert_true(ledger_find(ledger, 1)->dead);
    assert_int_equal(claim(1, id), LEASE_SETTLED);
    assert_int_equal(claim(1, (struct lease_id){0}), LEASE_SETTLED);
    assert_int_equal(ledger_next_us(ledger), INT64_MAX);
    assert_int_equal(ledger_oldest(ledger), 2);
    int64_t sequences[2] = {0};
    assert_int_equal(ledger_blocked(ledger, sequences, 2), 1);
    assert_int_equal(sequences[0], 1);
    assert_int_equal(ledger_blocked(ledger, sequences, 0), 0);
    assert_not_ready();
    /* Nothing but what is meant for it changes that. */
    begin_settlement();
    ledger_add_settled(&body, ten, 1);
    ledger_add_back(&body, ten, 1, now, true);
    ledger_add_back(&body, ten, 1, now, false);
    ledger_add_extended(&body, ten, 1, now);
    ledger_add_again(&body, &(struct ledger_grant){0, 1000, ten, 1, NULL});
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_figures_of(ledger).blocked, 1);
    assert_int_equal(ledger_find(ledger, 1)->due_us, 0);
    begin_settlement();
    ledger_add_buried(&body, 1);
    ledger_add_unblocked(&body, ten, 2);
    assert_true(try_settlement(ledger));
    figures = ledger_figures_of(ledger);
    assert_int_equal(figures.blocked + (size_t)figures.dead, 0);
    assert_int_equal(only_ready().from, 2);
}

static void a_dead_letter_that_blocks_is_revived(void **state)
{
    (void)state;
    take_two_of_a_key();
    struct lease_id id = id_of(1);
    bury_alive(1);
    begin_settlement();
    ledger_add_revived(&body, ledger, ten, NULL, 1, now + SECOND); /* the event was removed */
    assert_true(try_settlement(ledger));
    const struct lease *lease = ledger_find(ledger, 1);
    assert_true(!lease->dead && !lease->out && lease->key == KEY);
    assert_int_equal(lease->attempts, 0);
    assert_int_equal(lease->due_us, now + SECOND);
    assert_int_equal(claim(1, id), LEASE_LOST);
    struct ledger_figures figures = ledger_figures_of(ledger);
    assert_int_equal(figures.blocked, 0);
    assert_int_equal(figures.waiting, 1);
    assert_int_equal(figures.dead, 0);
    assert_not_ready();
    begin_settlement(); /* it does not block any more */
    ledger_add_unblocked(&body, ten, 1);
    assert_true(try_settlement(ledger));
    assert_int_equal(ledger_figures_of(ledger).waiting, 1);
    settle(ten, 1);
    assert_int_equal(only_ready().from, 2);
}

static void without_a_key_a_dead_letter_blocks_nothing(void **state)
{
    (void)state;
    take(10, ten, 10, 0);
    bury_alive(3);
    assert_null(ledger_find(ledger, 3));
    assert_int_equal(ledger_figures_of(ledger).blocked, 0);
    assert_int_equal(ledger_figures_of(ledger).dead, 1);
}

/* After a seek, its key comes to it anyway. */
static void one_that_its_mark_gives_again_is_not_revived(void **state)
{
    (void)state;
    take_two_of_a_key();
    bury_alive(1);
    seek(0);
    assert_int_equal(ledger_figures_of(ledger).blocked, 0);
    struct ledger_take passed = key_take(10, (const struct ledger_key[]){mark(KEY, 4)}, 1);
    apply_made(&passed);
    revive((const int64_t[]){4, 3, 6, 11}, 4);
    assert_int_equal(ledger_figures_of(ledger).waiting, 1);
    assert_non_null(ledger_find(ledger, 3));
}

static void a_seek_forgets_marks(void **state)
{
    (void)state;
    take_two_of_a_key();
    settle(ten, 1);
    assert_int_equal(only_ready().from, 2);
    seek(0);
    assert_not_ready();
    assert_int_equal(ledger_figures_of(ledger).marks, 0);
    assert_false(ledger_key_is_busy(ledger, KEY));
    assert_int_equal(ledger_oldest(ledger), 0);
}

/* It was said ahead of a take that was lost, by one who has not seen the next ones: that it counts
 * for nothing when they have passed the event does not depend on what is seen first. */
static void what_was_settled_ahead_and_passed_then_comes_again(void **state)
{
    (void)state;
    begin_settlement();
    ledger_add_settled(&body, ten + 1, 1);
    struct buffer ahead = body;
    take_two_of_a_key();
    settle(ten, 1);
    struct ledger_take next = key_take(2, (const struct ledger_key[]){mark(KEY, 0)}, 1);
    next.passed = &(struct ledger_grant){6, 30000, ten + 1, 1, (const uint64_t[]){KEY}};
    next.passed_count = 1;
    apply_made(&next);
    body = ahead;
    assert_true(try_settlement(ledger));
    assert_true(ledger_find(ledger, 2)->out);
    settle(ten + 1, 1);
    assert_null(ledger_find(ledger, 2));
}

/* ---- times ---- */

static void assert_times(int64_t us, int64_t sequence, int64_t next_delayed_us)
{
    struct ledger_figures figures = ledger_figures_of(ledger);
    assert_int_equal(figures.delayed_us, us);
    assert_int_equal(figures.delayed_sequence, sequence);
    assert_int_equal(figures.next_delayed_us, next_delayed_us);
}

static void the_time_position_goes_on(void **state)
{
    (void)state;
    assert_times(BEGINNING, 0, INT64_MAX);
    struct ledger_take passes = ledger_take_of(ledger); /* event 4, in five seconds */
    passes.position = 10;
    passes.next_delayed_us = BEGINNING + 5 * SECOND;
    apply_made(&passes);
    assert_times(BEGINNING, 0, BEGINNING + 5 * SECOND);
    now += 5 * SECOND;
    struct ledger_take gives = ledger_take_of(ledger);
    gives.delayed_us = now;
    gives.delayed_sequence = 4;
    gives.next_delayed_us = now;
    gives.passed = &(struct ledger_grant){3, 30000, ten + 3, 1, NULL};
    gives.passed_count = 1;
    apply_made(&gives);
    assert_times(now, 4, now);
    assert_int_equal(ledger_figures_of(ledger).position, 10);
    const struct lease *lease = ledger_find(ledger, 4);
    assert_true(lease->out && lease->key == 0);
    assert_int_equal(lease->first_us, now);
    assert_int_equal(lease->pull, 3);
    struct ledger_take rests = ledger_take_of(ledger);
    rests.delayed_sequence = 10;
    rests.next_delayed_us = INT64_MAX;
    apply_made(&rests);
    assert_times(now, 10, INT64_MAX);
    take(11, NULL, 0, 0);
    assert_times(now, 10, INT64_MAX);
}

static void a_time_position_that_goes_back_is_refused(void **state)
{
    (void)state;
    struct ledger *maker = ledger_open(0, BEGINNING, next_us, &pause_us);
    struct ledger_take earlier = ledger_take_of(maker);
    earlier.delayed_sequence = 3;
    struct ledger_take first = ledger_take_of(ledger);
    first.delayed_sequence = 4;
    apply_made(&first);
    assert_refused(maker, &earlier);
    ledger_close(maker);
}

static void a_seek_begins_anew_and_moves_the_time(void **state)
{
    (void)state;
    take(10, NULL, 0, 0);
    struct ledger_take passes = ledger_take_of(ledger);
    passes.delayed_us = BEGINNING + 3 * SECOND;
    passes.delayed_sequence = 4;
    passes.next_delayed_us = BEGINNING + 5 * SECOND;
    apply_made(&passes);
    now = BEGINNING + 3 * SECOND;
    seek(2);
    assert_times(BEGINNING + 3 * SECOND, 4, INT64_MAX); /* it does not go back */
    assert_int_equal(ledger_figures_of(ledger).begin, 2);
    assert_int_equal(ledger_figures_of(ledger).position, 2);
    now++;
    seek(7);
    assert_times(now, 0, INT64_MAX);
    assert_int_equal(ledger_figures_of(ledger).begin, 7);
    take(9, NULL, 0, 0);
    assert_int_equal(ledger_figures_of(ledger).begin, 7);
}

/* ---- pulls ---- */

static size_t pulled(uint64_t pull, int64_t *sequences)
{
    const struct lease *leases[MANY];
    size_t count = ledger_pulled(ledger, pull, now, leases, MANY);
    for (size_t i = 0; i < count; i++)
        sequences[i] = leases[i]->sequence;
    return count;
}

static void a_repeated_pull_finds_what_it_still_has(void **state)
{
    (void)state;
    const struct ledger_grant grants[] = {
        {1000, 61000, ten, 3}, {2000, 100000, ten + 3, 3}, {0, 30000, ten + 6, 3}};
    int64_t found[MANY];
    begin();
    make_take(10, grants, 3);
    assert_true(try_take(ledger));
    begin_settlement();
    ledger_add_settled(&body, ten + 1, 1);
    ledger_add_back(&body, ten + 3, 1, now, false);
    assert_true(try_settlement(ledger));
    begin_settlement();
    ledger_add_again(&body, &(struct ledger_grant){1000, 61000, ten + 3, 1});
    assert_true(try_settlement(ledger));
    assert_int_equal(pulled(1000, found), 3);
    assert_int_equal(found[0], 1);
    assert_int_equal(found[1], 3);
    assert_int_equal(found[2], 4);
    assert_int_equal(pulled(2000, found), 2);
    assert_int_equal(pulled(3000, found), 0);
    now += LEDGER_PULL_US - 1;
    assert_int_equal(pulled(1000, found), 3);
    now++;
    assert_int_equal(pulled(1000, found), 0);
}

static void a_repeated_pull_does_not_get_what_it_has_too_long(void **state)
{
    (void)state;
    int64_t found[MANY];
    take(10, ten, 10, 1000);
    now += 30 * SECOND - 1;
    assert_int_equal(pulled(1000, found), 10);
    now++;
    assert_int_equal(pulled(1000, found), 0);
}

/* ---- checkpoints ---- */

static void make_eventful(void)
{
    take(10, ten, 10, 99);
    now += SECOND;
    begin_settlement();
    ledger_add_back(&body, ten + 2, 2, now + SECOND, false);
    ledger_add_dead(&body, ten + 5, 1, false);
    ledger_add_settled(&body, (const int64_t[]){8, 15, 13}, 3);
    ledger_add_again(&body, &(struct ledger_grant){0, 1000, ten + 3, 1});
    assert_true(try_settlement(ledger));
}

static void a_checkpoint_is_the_whole_state(void **state)
{
    (void)state;
    bool no_memory;
    make_eventful();
    now += SECOND; /* takes may have later times than settlements */
    take(11, (const int64_t[]){11}, 1, 0);
    now -= SECOND;
    assert_int_equal(ledger_figures_of(ledger).since, 3);
    body = checkpoint_of(ledger);
    struct store_entry entry = entry_after(ledger_figures_of(ledger).settlement);
    struct ledger *copy = ledger_open(0, BEGINNING, next_us, &pause_us);
    assert_true(ledger_apply_settlement(copy, &entry, &no_memory));
    assert_true(ledger_apply_settlement(ledger, &entry, &no_memory));
    struct ledger_figures figures = ledger_figures_of(copy);
    struct ledger_figures original = ledger_figures_of(ledger);
    assert_memory_equal(&figures, &original, sizeof(figures));
    assert_int_equal(figures.since, 0);
    assert_int_equal(figures.settlement.number, 2);
    assert_int_equal(figures.dead, 1);
    assert_true(ledger_is_ahead(copy, 13) && ledger_is_ahead(copy, 15));
    for (int64_t sequence = 1; sequence <= 11; sequence++) {
        const struct lease *one = ledger_find(ledger, sequence);
        const struct lease *other = ledger_find(copy, sequence);
        assert_true(!one == !other);
        if (one)
            assert_memory_equal(one, other, offsetof(struct lease, out) + 1);
    }
    assert_same_state(ledger, copy);
    ledger_close(copy);
    buffer_fini(&body);
}

#define THIRD UINT64_C(3)

/* Two keys wait, of which one is ready; another one is blocked, and events are delayed. */
static void make_ordered(void)
{
    take(20, NULL, 0, 0);
    seek(0);
    const struct ledger_key marks[] = {mark(THIRD, 5), mark(KEY, 6)};
    struct ledger_take taken = key_take(8, marks, 2);
    taken.grants =
        &(struct ledger_grant){5, 30000, ten, 4, (const uint64_t[]){KEY, OTHER, 0, THIRD}};
    taken.grant_count = 1;
    taken.delayed_us = BEGINNING + SECOND;
    taken.delayed_sequence = 6;
    taken.next_delayed_us = BEGINNING + 2 * SECOND;
    apply_made(&taken);
    begin_settlement();
    ledger_add_dead(&body, ten + 1, 1, true);
    ledger_add_settled(&body, ten + 3, 1);
    assert_true(try_settlement(ledger));
}

static void a_checkpoint_has_keys_and_times(void **state)
{
    (void)state;
    bool no_memory;
    make_ordered();
    body = checkpoint_of(ledger);
    struct store_entry entry = entry_after(ledger_figures_of(ledger).settlement);
    struct ledger *original = ledger;
    struct ledger *copy = ledger_open(0, 0, next_us, &pause_us);
    assert_true(ledger_apply_settlement(copy, &entry, &no_memory));
    assert_true(ledger_apply_settlement(ledger, &entry, &no_memory));
    struct ledger_figures a = ledger_figures_of(ledger), b = ledger_figures_of(copy);
    assert_memory_equal(&a, &b, sizeof(a));
    assert_int_equal(a.marks + a.blocked, 3);
    assert_same_state(ledger, copy);
    buffer_fini(&body);
    ledger = copy;
    assert_int_equal(only_ready().key, THIRD);
    assert_int_equal(only_ready().from, 5);
    assert_true(ledger_key_is_marked(ledger, KEY) && ledger_key_is_busy(ledger, OTHER));
    assert_false(ledger_key_is_marked(ledger, OTHER));
    assert_true(ledger_find(ledger, 2)->dead);
    assert_int_equal(ledger_find(ledger, 1)->key, KEY);
    settle(ten, 1);
    struct ledger_key ready[2];
    assert_int_equal(ledger_ready(ledger, ready, 2), 2);
    ledger_close(original);
}

/* They differ in nothing else. */
static void a_checkpoint_tells_the_dead_from_those_that_wait(void **state)
{
    (void)state;
    take(10, NULL, 0, 0);
    begin_settlement();
    ledger_add_revived(&body, ledger, ten, (const uint64_t[]){KEY, OTHER}, 2, 0);
    assert_true(try_settlement(ledger));
    bury_alive(1);
    struct ledger *copy = ledger_open(0, 0, next_us, &pause_us);
    body = checkpoint_of(ledger);
    assert_true(try_settlement(copy));
    assert_true(ledger_find(copy, 1)->dead && !ledger_find(copy, 2)->dead);
    ledger_close(copy);
}

/* Takes that its maker had not seen are not part of a checkpoint. */
static void a_checkpoint_brings_nothing_new_to_who_has_the_entries(void **state)
{
    (void)state;
    make_eventful();
    struct buffer bytes = checkpoint_of(ledger);
    take(11, (const int64_t[]){11}, 1, 0);
    body = bytes;
    assert_true(try_settlement(ledger));
    assert_non_null(ledger_find(ledger, 11));
    assert_int_equal(ledger_figures_of(ledger).position, 11);
}

static void an_old_pull_is_not_in_a_checkpoint(void **state)
{
    (void)state;
    take(10, ten, 10, UINT64_MAX);
    struct buffer with = checkpoint_of(ledger);
    now += LEDGER_PULL_US;
    begin_settlement();
    assert_true(try_settlement(ledger));
    struct buffer without = checkpoint_of(ledger);
    assert_true(without.size < with.size);
    buffer_fini(&with);
    buffer_fini(&without);
}

/* ---- reading both lists ---- */

#define TAKES 500
#define EACH 1000

/* Takes of far more events than may be out at once, each of which was settled before the next one
 * was given out. */
static void what_was_read_is_applied_in_the_order_it_was_decided(void **state)
{
    (void)state;
    static struct store_entry takes[TAKES], settlements[TAKES];
    bool no_memory;
    for (size_t i = 0; i < TAKES; i++) {
        int64_t sequences[EACH];
        for (size_t j = 0; j < EACH; j++)
            sequences[j] = (int64_t)(i * EACH + j) + 1;
        begin();
        make_take(sequences[EACH - 1], &(struct ledger_grant){0, 30000, sequences, EACH}, 1);
        takes[i] = entry_after(ledger_figures_of(ledger).take);
        assert_true(ledger_apply_take(ledger, &takes[i], &no_memory));
        begin_settlement();
        ledger_add_settled(&body, sequences, EACH - 1);
        settlements[i] = entry_after(ledger_figures_of(ledger).settlement);
        assert_true(ledger_apply_settlement(ledger, &settlements[i], &no_memory));
    }
    struct ledger *reader = ledger_open(0, BEGINNING, next_us, &pause_us);
    assert_true(ledger_apply_read(reader, takes, 5, settlements, 2, &no_memory));
    /* What is known already is passed over. */
    assert_true(ledger_apply_read(reader, takes, TAKES, settlements, TAKES, &no_memory));
    assert_int_equal(ledger_figures_of(reader).out, TAKES);
    assert_same_state(reader, ledger);
    ledger_close(reader);
    for (size_t i = 0; i < TAKES; i++) {
        free((char *)takes[i].body.data);
        free((char *)settlements[i].body.data);
    }
}

static void a_settlement_whose_takes_are_missing_is_refused(void **state)
{
    (void)state;
    struct ledger *behind = ledger_open(0, BEGINNING, next_us, &pause_us);
    take(10, ten, 10, 0);
    begin_settlement();
    assert_false(try_settlement(behind));
    ledger_close(behind);
}

/* ---- bodies that are not right ---- */

static void entries_of_other_numbers_are_refused(void **state)
{
    (void)state;
    bool no_memory;
    begin();
    make_take(1, NULL, 0);
    struct store_entry entry = entry_after((struct store_entry_before){1, 0});
    assert_false(ledger_apply_take(ledger, &entry, &no_memory));
    buffer_fini(&body);
    begin_settlement();
    entry = entry_after((struct store_entry_before){1, 0});
    assert_false(ledger_apply_settlement(ledger, &entry, &no_memory));
    buffer_fini(&body);
}

static void takes_and_settlements_are_not_confused(void **state)
{
    (void)state;
    begin_settlement();
    assert_false(try_take(ledger));
    body = checkpoint_of(ledger);
    assert_false(try_take(ledger));
    begin();
    make_take(1, NULL, 0);
    assert_false(try_settlement(ledger));
    begin();
    ledger_make_seek(&body, 1);
    assert_false(try_settlement(ledger));
}

/* `start` is a checkpoint that comes before; empty: this is one. */
static bool try_bytes(struct buffer start, bool is_take, const void *bytes, size_t size)
{
    const struct store_entry_before early = {8, 8};
    bool no_memory;
    struct ledger *victim = ledger_open(0, BEGINNING, next_us, &pause_us);
    begin();
    buffer_append(&body, start.size > 0 ? start.data : bytes, start.size > 0 ? start.size : size);
    struct store_entry entry = entry_after(early);
    bool applied = ledger_apply_settlement(victim, &entry, &no_memory);
    buffer_fini(&body);
    if (start.size > 0) {
        assert_true(applied);
        begin();
        buffer_append(&body, bytes, size);
        applied = is_take ? try_take(victim) : try_settlement(victim);
    }
    ledger_close(victim);
    return applied;
}

/* What is left when a body is cut, or one byte of it is another, is refused or applied, without
 * harm; the sanitizers look. */
static void damaged_bodies_do_no_harm(void **state)
{
    (void)state;
    enum { BODIES = 6 }; /* 0 and 3 are checkpoints, the two after each come after it */
    make_eventful();
    struct buffer bodies[BODIES] = {checkpoint_of(ledger)};
    begin_settlement();
    ledger_add_settled(&body, ten, 10);
    ledger_add_back(&body, ten, 3, now, true);
    ledger_add_again(&body, &(struct ledger_grant){7, 1000, ten, 10});
    ledger_add_revived(&body, ledger, ten, NULL, 3, now);
    ledger_add_buried(&body, 3);
    bodies[1] = body;
    begin();
    make_take(20, &(struct ledger_grant){7, 1000, (const int64_t[]){11, 12, 17}, 3}, 1);
    bodies[2] = body;
    teardown(state);
    setup(state);
    make_ordered();
    bodies[3] = checkpoint_of(ledger);
    begin_settlement();
    ledger_add_dead(&body, ten, 1, true);
    ledger_add_unblocked(&body, ten + 1, 1);
    ledger_add_revived(&body, ledger, ten, (const uint64_t[]){KEY, OTHER}, 2, now);
    bodies[4] = body;
    struct ledger_take taken =
        key_take(10, (const struct ledger_key[]){mark(KEY, 9), mark(THIRD, 0), mark(OTHER, 10)}, 3);
    taken.passed = &(struct ledger_grant){7, 1000, ten + 4, 1, (const uint64_t[]){THIRD}};
    taken.grants = &(struct ledger_grant){7, 1000, ten + 8, 2, (const uint64_t[]){KEY, 0}};
    taken.passed_count = taken.grant_count = 1;
    taken.delayed_us = taken.next_delayed_us = now + 3 * SECOND;
    begin();
    ledger_make_take(&body, ledger, &taken);
    bodies[5] = body;
    for (size_t i = 0; i < BODIES; i++) {
        bool is_take = i % 3 == 2;
        struct buffer start = i % 3 == 0 ? (struct buffer){0} : bodies[i - i % 3];
        assert_true(try_bytes(start, is_take, bodies[i].data, bodies[i].size));
        for (size_t size = 0; size < bodies[i].size; size++) {
            try_bytes(start, is_take, bodies[i].data, size);
            char byte = bodies[i].data[size];
            for (int other = 0; other < 256; other++) {
                bodies[i].data[size] = (char)other;
                try_bytes(start, is_take, bodies[i].data, bodies[i].size);
            }
            bodies[i].data[size] = byte;
        }
    }
    for (size_t i = 0; i < BODIES; i++)
        buffer_fini(&bodies[i]);
}

static void put(uint64_t value)
{
    uint8_t bytes[VARINT_MAX_SIZE];
    buffer_append(&body, bytes, varint_write(bytes, value));
}

/* A few bytes may say that very many sequences follow: that takes neither time nor memory. */
static void a_body_about_too_many_sequences_is_refused(void **state)
{
    (void)state;
    take(1 << 30, NULL, 0, 0);
    begin_settlement();
    for (unsigned i = 0; i < 1000000; i++) {
        put(1); /* settled: one run, from 1 on */
        put(1);
        put(0);
        put(399998);
    }
    assert_false(try_settlement(ledger));
}

static void more_leases_than_any_maker_allows_are_refused(void **state)
{
    (void)state;
    static int64_t sequences[2 * LEDGER_MAX_OUTSTANDING];
    size_t count = sizeof(sequences) / sizeof(sequences[0]);
    for (size_t i = 0; i < count; i++)
        sequences[i] = (int64_t)i + 1;
    take((int64_t)count, sequences, count, 0);
    assert_int_equal(ledger_figures_of(ledger).out, count);
    begin();
    make_take((int64_t)count + 1, &(struct ledger_grant){0, 1, &(int64_t){(int64_t)count + 1}, 1},
              1);
    assert_false(try_take(ledger));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_take_gives_out_and_moves_the_position),
        TEST(a_hundred_in_a_row_take_few_bytes),
        TEST(a_take_that_goes_back_is_refused),
        TEST(a_take_of_what_was_given_out_is_refused),
        TEST(what_is_settled_is_gone),
        TEST(what_was_given_back_waits_until_it_is_due),
        TEST(what_is_given_out_again_has_another_lease),
        TEST(leases_are_extended_while_they_are_out),
        TEST(other_settings_order_the_leases_anew),
        TEST(leases_end_when_the_clock_has_gone_back),
        TEST(what_was_settled_ahead_is_not_given_out),
        TEST(too_many_are_not_settled_ahead),
        TEST(a_seek_forgets_what_was_out),
        TEST(a_settlement_from_before_a_seek_is_passed_over),
        TEST(a_settlement_from_after_a_seek_that_was_not_seen_is_refused),
        TEST(dead_letters_are_counted),
        TEST(revived_dead_letters_have_no_attempts),
        TEST(after_a_seek_a_revived_one_is_not_given_out_twice),
        TEST(a_revived_one_that_a_take_passes_is_passed_in_any_order),
        TEST(a_key_waits_until_its_event_is_settled),
        TEST(a_take_may_be_seen_before_what_freed_its_key),
        TEST(ready_keys_come_by_their_events),
        TEST(keys_that_are_none_make_no_take_longer),
        TEST(a_grant_may_have_keys_of_some),
        TEST(wrong_marks_are_refused),
        TEST(what_was_not_passed_is_refused),
        TEST(more_marks_than_any_maker_sets_are_refused),
        TEST(of_one_key_only_the_first_is_due),
        TEST(the_first_of_each_key_is_due_whatever_happens),
        TEST(a_dead_letter_blocks_its_key),
        TEST(a_dead_letter_that_blocks_is_revived),
        TEST(without_a_key_a_dead_letter_blocks_nothing),
        TEST(one_that_its_mark_gives_again_is_not_revived),
        TEST(a_seek_forgets_marks),
        TEST(what_was_settled_ahead_and_passed_then_comes_again),
        TEST(the_time_position_goes_on),
        TEST(a_time_position_that_goes_back_is_refused),
        TEST(a_seek_begins_anew_and_moves_the_time),
        TEST(a_repeated_pull_finds_what_it_still_has),
        TEST(a_repeated_pull_does_not_get_what_it_has_too_long),
        TEST(a_checkpoint_is_the_whole_state),
        TEST(a_checkpoint_has_keys_and_times),
        TEST(a_checkpoint_tells_the_dead_from_those_that_wait),
        TEST(a_checkpoint_brings_nothing_new_to_who_has_the_entries),
        TEST(an_old_pull_is_not_in_a_checkpoint),
        TEST(what_was_read_is_applied_in_the_order_it_was_decided),
        TEST(a_settlement_whose_takes_are_missing_is_refused),
        TEST(entries_of_other_numbers_are_refused),
        TEST(takes_and_settlements_are_not_confused),
        TEST(damaged_bodies_do_no_harm),
        TEST(a_body_about_too_many_sequences_is_refused),
        TEST(more_leases_than_any_maker_allows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
