/* Entries of a ledger as the store might have them, damaged or not, and ack ids. What is applied
 * leaves a state that a checkpoint brings back.
 *
 * An input of entries is, for each, a byte that says what it is (bit 0: a take; bit 1: where
 * reading begins), two for its size, and its body. Ack ids come after a byte 255. */
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

static void check_order(const struct ledger *ledger)
{
    static const struct lease *due[MAX_DUE];
    struct ledger_figures figures = ledger_figures_of(ledger);
    size_t all = figures.out + figures.waiting;
    size_t count = ledger_due(ledger, INT64_MAX, due, MAX_DUE);
    MUST(count == (all < MAX_DUE ? all : MAX_DUE));
    MUST(ledger_next_us(ledger) == (count > 0 ? due[0]->due_us : INT64_MAX));
    for (size_t i = 0; i < count; i++) {
        MUST(i == 0 || due[i - 1]->due_us <= due[i]->due_us);
        MUST(ledger_find(ledger, due[i]->sequence) == due[i]);
        MUST(ledger_oldest(ledger) <= due[i]->sequence);
    }
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
    } else {
        try_entries(&input);
    }
    return 0;
}
