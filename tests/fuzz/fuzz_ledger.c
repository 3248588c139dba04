/* Entries of a ledger as the store might have them, damaged or not, entries as they are made, and
 * ack ids. What is applied leaves a state that a checkpoint brings back, and what is made by the
 * rules is applied and does what it says.
 *
 * An input of entries is, for each, a byte that says what it is (bit 0: a take; bit 1: where
 * reading begins), two for its size, and its body. Ack ids come after a byte 255, and what entries
 * are made from after a byte 254. */
#include <string.h>

#include "fuzz.h"
#include "subscriptions/ack_id.h"

#define MAX_DUE 1000
#define FIRST_NUMBER 1000 /* of a checkpoint, where reading begins */

static int64_t next_us(const void *settings, const struct lease *lease)
{
    (void)settings;
    return lease->due_us;
}

static struct ledger *new_ledger(void)
{
    struct ledger *ledger = ledger_open(0, 0, next_us, NULL);
    MUST(ledger);
    return ledger;
}

static struct buffer checkpoint_of(const struct ledger *ledger)
{
    struct buffer body;
    buffer_init(&body, 64 << 20);
    ledger_make_checkpoint(&body, ledger);
    MUST(!body.failed);
    return body;
}

/* Of a key only one has a next time, and none when a dead one blocks it. */
static void check_order(const struct ledger *ledger)
{
    static const struct lease *due[MAX_DUE];
    struct ledger_figures figures = ledger_figures_of(ledger);
    size_t all = figures.out + figures.waiting;
    size_t count = ledger_due(ledger, INT64_MAX, due, MAX_DUE);
    MUST(count <= all && (count > 0 || all == 0 || figures.blocked > 0));
    MUST(ledger_next_us(ledger) == (count > 0 ? due[0]->due_us : INT64_MAX));
    for (size_t i = 0; i < count; i++) {
        MUST(i == 0 || due[i - 1]->due_us <= due[i]->due_us);
        MUST(ledger_find(ledger, due[i]->sequence) == due[i]);
        MUST(ledger_oldest(ledger) <= due[i]->sequence);
        MUST(due[i]->key == 0 || ledger_key_is_busy(ledger, due[i]->key));
        MUST(!due[i]->dead);
        for (size_t j = 0; due[i]->key != 0 && j < i && i < 100; j++)
            MUST(due[j]->key != due[i]->key);
    }
}

static void check_keys(const struct ledger *ledger)
{
    static struct ledger_key ready[MAX_DUE];
    static int64_t blocked[MAX_DUE];
    struct ledger_figures figures = ledger_figures_of(ledger);
    size_t count = ledger_ready(ledger, ready, MAX_DUE);
    MUST(count <= figures.marks);
    for (size_t i = 0; i < count; i++) {
        MUST(ready[i].from > figures.begin && ready[i].from <= figures.position);
        MUST(i == 0 || ready[i - 1].from <= ready[i].from);
        MUST(ledger_key_is_marked(ledger, ready[i].key) &&
             ledger_key_is_busy(ledger, ready[i].key));
        MUST(ledger_oldest(ledger) <= ready[i].from);
    }
    count = ledger_blocked(ledger, blocked, MAX_DUE);
    MUST(count == (figures.blocked < MAX_DUE ? figures.blocked : MAX_DUE));
    for (size_t i = 0; i < count; i++)
        MUST(ledger_find(ledger, blocked[i])->dead && ledger_find(ledger, blocked[i])->key != 0);
    MUST(figures.begin <= figures.position && figures.next_delayed_us >= figures.delayed_us);
}

static void check_same(const struct ledger *ledger, const struct ledger *copy)
{
    static struct ledger_key ready[MAX_DUE], copied[MAX_DUE];
    struct ledger_figures a = ledger_figures_of(ledger), b = ledger_figures_of(copy);
    b.settlement = a.settlement; /* the copy's is the checkpoint */
    b.since = a.since;
    b.since_bytes = a.since_bytes;
    MUST(memcmp(&a, &b, sizeof(a)) == 0);
    size_t count = ledger_ready(ledger, ready, MAX_DUE);
    MUST(ledger_ready(copy, copied, MAX_DUE) == count);
    for (size_t i = 0; i < count; i++)
        MUST(copied[i].from == ready[i].from);
}

/* A checkpoint of the state is accepted, and has the same state in it. */
static void check_checkpoint(const struct ledger *ledger)
{
    bool no_memory;
    struct ledger *copy = new_ledger();
    struct buffer body = checkpoint_of(ledger);
    struct store_entry entry = {.number = ledger_figures_of(ledger).settlement.number + 1,
                                .body = {body.data, body.size}};
    MUST(ledger_apply_settlement(copy, &entry, &no_memory));
    check_order(copy);
    check_same(ledger, copy);
    struct buffer again = checkpoint_of(copy);
    MUST(again.size == body.size && memcmp(again.data, body.data, body.size) == 0);
    buffer_fini(&again);
    buffer_fini(&body);
    ledger_close(copy);
}

static bool apply_next(struct ledger *ledger, struct input *input)
{
    bool no_memory;
    uint8_t which = input_byte(input);
    size_t size = (size_t)input_byte(input) << 8;
    size |= input_byte(input);
    size = size < input->left ? size : input->left;
    char *body = malloc(size ? size : 1); /* of its size, for the sanitizers */
    MUST(body);
    memcpy(body, input->next, size);
    input->next += size;
    input->left -= size;
    struct ledger_figures figures = ledger_figures_of(ledger);
    struct store_entry entry = {.token = which, .at_us = 1000 * which, .body = {body, size}};
    bool applied;
    if (which & 1) {
        entry.number = figures.take.number + 1;
        applied = ledger_apply_take(ledger, &entry, &no_memory);
    } else {
        bool begins = which & 2 && figures.settlement.number == 0;
        entry.number = begins ? FIRST_NUMBER : figures.settlement.number + 1;
        applied = ledger_apply_settlement(ledger, &entry, &no_memory);
    }
    MUST(!no_memory);
    free(body);
    return applied;
}

static void try_entries(struct input *input)
{
    struct ledger *ledger = new_ledger();
    while (input->left > 0 && apply_next(ledger, input)) {
        check_order(ledger);
        check_keys(ledger);
        check_checkpoint(ledger);
    }
    ledger_close(ledger);
}

/* ---- entries that are made by the rules ---- */

#define KEYS 4
#define MAX_GIVEN 8

static uint64_t key_of(uint8_t byte)
{
    return byte % (KEYS + 1) * UINT64_C(0x0123456789ABCDEF);
}

/* What a take is made from. */
struct plan {
    struct ledger_take take;
    struct ledger_grant grants[2];
    int64_t fresh[MAX_GIVEN], passed[MAX_GIVEN];
    uint64_t fresh_keys[MAX_GIVEN], passed_keys[MAX_GIVEN];
    struct ledger_key marks[KEYS];
};

/* The mark of the key, as far as it can be known from outside; 0: none, or it is not ready. */
static int64_t mark_of(const struct ledger *ledger, uint64_t key)
{
    struct ledger_key ready[KEYS];
    size_t count = ledger_ready(ledger, ready, KEYS);
    for (size_t i = 0; i < count; i++)
        if (ready[i].key == key)
            return ready[i].from;
    return 0;
}

static void plan_events(struct plan *plan, const struct ledger *ledger, struct input *input)
{
    struct ledger_figures figures = ledger_figures_of(ledger);
    size_t fresh = 0, passed = 0;
    for (uint8_t left = input_byte(input) % MAX_GIVEN; left > 0; left--) {
        int64_t sequence = plan->take.position + 1 + input_byte(input) % 3;
        plan->take.position = sequence;
        if (ledger_is_ahead(ledger, sequence))
            continue;
        plan->fresh_keys[fresh] = key_of(input_byte(input));
        plan->fresh[fresh++] = sequence;
    }
    for (uint8_t left = input_byte(input) % MAX_GIVEN; left > 0; left--) {
        int64_t sequence = figures.begin + 1 + input_byte(input);
        bool twice = false;
        for (size_t i = 0; i < passed; i++)
            twice = twice || plan->passed[i] == sequence;
        if (twice || sequence > figures.position || ledger_find(ledger, sequence))
            continue;
        plan->passed_keys[passed] = key_of(input_byte(input));
        plan->passed[passed++] = sequence;
    }
    plan->grants[0] = (struct ledger_grant){input_byte(input), 1 + (uint32_t)input_byte(input),
                                            plan->fresh, fresh, plan->fresh_keys};
    plan->grants[1] = (struct ledger_grant){input_byte(input), 1 + (uint32_t)input_byte(input),
                                            plan->passed, passed, plan->passed_keys};
    plan->take.grants = &plan->grants[0];
    plan->take.passed = &plan->grants[1];
    plan->take.grant_count = fresh > 0;
    plan->take.passed_count = passed > 0;
}

static void plan_marks(struct plan *plan, const struct ledger *ledger, struct input *input)
{
    struct ledger_figures figures = ledger_figures_of(ledger);
    uint8_t which = input_byte(input);
    for (uint8_t i = 0; i < KEYS; i++) {
        uint64_t key = key_of(i + 1);
        int64_t from = plan->take.position - input_byte(input) % 4;
        bool marked = ledger_key_is_marked(ledger, key);
        int64_t least = marked ? mark_of(ledger, key) : figures.position;
        if (marked && which & 16)
            from = 0;
        else if (from <= least || (marked && least == 0 && from <= figures.position))
            continue;
        if (which & 1 << i)
            plan->marks[plan->take.key_count++] = (struct ledger_key){key, from};
    }
    plan->take.keys = plan->marks;
}

static void plan_times(struct plan *plan, struct input *input)
{
    struct ledger_take *take = &plan->take;
    uint8_t which = input_byte(input);
    if (which & 1)
        take->delayed_us += input_byte(input);
    if (which & 2)
        take->delayed_sequence += input_byte(input);
    if (which & 4)
        take->next_delayed_us = INT64_MAX;
    else if (which & 8 || take->next_delayed_us < take->delayed_us)
        take->next_delayed_us = take->delayed_us + input_byte(input);
}

static void make_take(struct buffer *body, const struct ledger *ledger, struct plan *plan,
                      struct input *input)
{
    *plan = (struct plan){.take = ledger_take_of(ledger)};
    plan_events(plan, ledger, input);
    plan_marks(plan, ledger, input);
    plan_times(plan, input);
    ledger_make_take(body, ledger, &plan->take);
}

/* The state is what the take said. */
static void check_taken(const struct ledger *ledger, const struct plan *plan, int64_t number)
{
    struct ledger_figures figures = ledger_figures_of(ledger);
    const struct ledger_take *take = &plan->take;
    MUST(figures.position == take->position && figures.delayed_us == take->delayed_us);
    MUST(figures.delayed_sequence == take->delayed_sequence);
    MUST(figures.next_delayed_us == take->next_delayed_us);
    for (size_t i = 0; i < take->key_count; i++)
        MUST(ledger_key_is_marked(ledger, take->keys[i].key) == (take->keys[i].from != 0));
    for (size_t i = 0; i < 2; i++) {
        const struct ledger_grant *grant = &plan->grants[i];
        for (size_t j = 0; j < grant->count; j++) {
            const struct lease *lease = ledger_find(ledger, grant->sequences[j]);
            MUST(lease && lease->out && lease->id.number == number);
            MUST(lease->key == grant->keys[j] && lease->pull == grant->pull);
        }
    }
}

static void make_orders(struct buffer *body, const struct ledger *ledger, struct input *input)
{
    ledger_make_settlement(body, ledger);
    for (uint8_t left = input_byte(input) % 4; left > 0; left--) {
        int64_t sequences[3];
        uint64_t keys[3];
        size_t count = input_byte(input) % 4;
        for (size_t i = 0; i < count; i++) {
            sequences[i] = 1 + input_byte(input);
            keys[i] = key_of(input_byte(input));
        }
        int64_t time_us = input_byte(input);
        switch (input_byte(input) % 8) {
        case 0: ledger_add_settled(body, sequences, count); break;
        case 1: ledger_add_back(body, sequences, count, time_us, time_us & 1); break;
        case 2: ledger_add_extended(body, sequences, count, time_us); break;
        case 3: ledger_add_again(body, &(struct ledger_grant){1, 1, sequences, count, NULL}); break;
        case 4: ledger_add_dead(body, sequences, count, time_us & 1); break;
        case 5: ledger_add_revived(body, ledger, sequences, keys, count, time_us); break;
        case 6: ledger_add_buried(body, count); break;
        default: ledger_add_unblocked(body, sequences, count);
        }
    }
}

static void apply_made(struct ledger *ledger, struct input *input)
{
    struct plan plan;
    struct buffer body;
    bool no_memory;
    uint8_t what = input_byte(input) % 8;
    struct ledger_figures figures = ledger_figures_of(ledger);
    buffer_init(&body, 1 << 20);
    if (what < 4)
        make_take(&body, ledger, &plan, input);
    else if (what == 4)
        ledger_make_seek(&body, input_byte(input));
    else
        make_orders(&body, ledger, input);
    MUST(!body.failed);
    struct store_entry entry = {
        .number = 1 + (what <= 4 ? figures.take.number : figures.settlement.number),
        .at_us = input_byte(input),
        .body = {body.data, body.size}};
    MUST(what <= 4 ? ledger_apply_take(ledger, &entry, &no_memory)
                   : ledger_apply_settlement(ledger, &entry, &no_memory));
    if (what < 4)
        check_taken(ledger, &plan, entry.number);
    buffer_fini(&body);
}

static void try_made(struct input *input)
{
    struct ledger *ledger = new_ledger();
    while (input->left > 0) {
        apply_made(ledger, input);
        check_order(ledger);
        check_keys(ledger);
        check_checkpoint(ledger);
    }
    ledger_close(ledger);
}

static void try_ack_id(struct input *input)
{
    static const uint8_t key[16] = {1, 2, 3};
    struct ack_id id;
    char again[ACK_ID_SIZE];
    char *text = input_text(input);
    if (ack_id_parse(text, 7, key, &id) == ACK_ID_RIGHT) {
        ack_id_format(&id, key, again);
        MUST(strcmp(text, again) == 0);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    if (size > 0 && data[0] == 255) {
        input_byte(&input);
        try_ack_id(&input);
    } else if (size > 0 && data[0] == 254) {
        input_byte(&input);
        try_made(&input);
    } else {
        try_entries(&input);
    }
    return 0;
}
