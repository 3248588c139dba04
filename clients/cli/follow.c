/* The position is a sequence, so it means the same before and after a restart of the core or of its
 * store, and to every core: whatever happens, the next question is for what comes after it. */
#include "follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli.h"
#include "interrupt.h"

/* A connection that died without a word is noticed after this and the timeout. */
#define WAIT_MS 10000
#define SOON_MS 500 /* an answer without news that comes sooner has not waited */

static bool is_done(const struct follower *follower)
{
    return interrupt_came() || ferror(stdout) ||
           (follower->limit > 0 && follower->printed >= follower->limit);
}

/* ---- ends ---- */

static void tell_position(const struct follower *follower)
{
    if (follower->answered && follower->has_position)
        cli_complain("to continue from here: --after %" PRId64, follower->after);
}

static int finish(const struct follower *follower)
{
    fflush(stdout);
    if (interrupt_came())
        tell_position(follower);
    return EXIT_DONE;
}

/* Deals with a failed call: rests, and returns -1 to ask again, or returns the exit code. */
static int survive(struct follower *follower, const triggers_error *error)
{
    if (interrupt_came())
        return finish(follower);
    if (error->code == TRIGGERS_OUT_OF_RANGE && error->first_sequence > 0) {
        cli_complain("%s (%s); to go on without them: --after %" PRId64, error->message,
                     error->reason, error->first_sequence - 1);
        return EXIT_CALL_FAILED;
    }
    int code = (int)cli_exit_code(error->code);
    if (!follower->unavailable)
        cli_fail(error, NULL);
    follower->unavailable = true;
    if (code == EXIT_TRY_LATER && follower->answered) {
        interrupt_rest();
        return -1;
    }
    tell_position(follower);
    return code;
}

/* ---- calls ---- */

static triggers_reply *ask_log(triggers_client *client, const triggers_log_request *request)
{
    struct interruptible call = {0};
    triggers_call_options options = {.tag = &call};
    triggers_list_events_async(client, request, &options, interrupt_on_reply, &call);
    return interrupt_await(client, &call);
}

/* Asks for a page of the inbox until there is an answer. Returns the page, or NULL with the exit
 * code. */
static triggers_reply *get_page(struct follower *follower, const triggers_list_request *request,
                                int *code)
{
    for (;;) {
        struct interruptible call = {0};
        triggers_call_options options = {.tag = &call};
        triggers_list_async(follower->client, request, &options, interrupt_on_reply, &call);
        triggers_reply *reply = interrupt_await(follower->client, &call);
        if (reply->code == TRIGGERS_OK) {
            follower->answered = true;
            follower->unavailable = false;
            return reply;
        }
        *code = survive(follower, &reply->error);
        triggers_reply_free(reply);
        if (*code >= 0)
            return NULL;
    }
}

/* ---- the newest events ---- */

/* The highest sequences of the pending and of the acknowledged events. */
struct newest {
    int64_t *sequences; /* room for twice `wanted` */
    size_t wanted;
    size_t count;
};

static int compare_descending(const void *a, const void *b)
{
    int64_t first = *(const int64_t *)a;
    int64_t second = *(const int64_t *)b;
    return (first < second) - (first > second);
}

/* Adds those of one status. Returns an exit code, or -1. */
static int add_newest(struct follower *follower, struct newest *newest, triggers_status status)
{
    triggers_list_request request = {.status = status, .filter = follower->filter};
    triggers_reply *page = NULL;
    int code = -1;
    size_t left = newest->wanted;
    do {
        request.page_size = left < TRIGGERS_MAX_PAGE ? (int32_t)left : TRIGGERS_MAX_PAGE;
        triggers_reply *next = get_page(follower, &request, &code);
        triggers_reply_free(page);
        page = next;
        for (size_t i = 0; page && i < page->item_count && left > 0; i++, left--)
            newest->sequences[newest->count++] = page->items[i].event.sequence;
        request.page_token = page ? page->next_page_token : NULL;
    } while (page && left > 0 && *request.page_token);
    triggers_reply_free(page);
    return code;
}

/* An event that is acknowledged between the two lists is in both. */
static void drop_doubles(struct newest *newest)
{
    size_t kept = 0;
    qsort(newest->sequences, newest->count, sizeof(*newest->sequences), compare_descending);
    for (size_t i = 0; i < newest->count; i++) {
        if (kept == 0 || newest->sequences[kept - 1] != newest->sequences[i])
            newest->sequences[kept++] = newest->sequences[i];
    }
    newest->count = kept;
}

/* No position is before the beginning of the log, where events may still be pending. */
static int start_in_log(struct follower *follower, int64_t after)
{
    follower->after = 0;
    follower->has_position = true;
    if (after <= 0)
        return -1;
    for (;;) {
        triggers_log_request any = {.page_size = 1};
        triggers_reply *reply = ask_log(follower->client, &any);
        int code = -1;
        bool good = reply->code == TRIGGERS_OK;
        if (good)
            follower->after = after >= reply->first_sequence ? after : reply->first_sequence - 1;
        else
            code = survive(follower, &reply->error);
        triggers_reply_free(reply);
        if (good || code >= 0)
            return code;
    }
}

/* The pending ones are asked for first: an event that is not among them then is acknowledged when
 * those are asked for. */
int follow_find_newest(struct follower *follower, long count)
{
    struct newest newest = {.wanted = count > 0 ? (size_t)count : 1};
    newest.sequences = calloc(2 * newest.wanted, sizeof(*newest.sequences));
    if (!newest.sequences) {
        cli_complain("out of memory");
        return EXIT_CALL_FAILED;
    }
    int code = add_newest(follower, &newest, TRIGGERS_STATUS_PENDING);
    if (code < 0)
        code = add_newest(follower, &newest, TRIGGERS_STATUS_ACKNOWLEDGED);
    drop_doubles(&newest);
    int64_t after = 0;
    if (count == 0 && newest.count > 0)
        after = newest.sequences[0];
    else if (count > 0 && newest.count >= newest.wanted)
        after = newest.sequences[newest.wanted - 1] - 1;
    free(newest.sequences);
    return code < 0 ? start_in_log(follower, after) : code;
}

/* ---- printing ---- */

/* Prints the items up to `last`. False when there is nothing more to do. */
static bool print_items(struct follower *follower, const triggers_reply *page, int64_t last)
{
    bool more = true;
    for (size_t i = 0; i < page->item_count && more; i++) {
        const triggers_event *event = &page->items[i].event;
        more = !is_done(follower) && event->sequence <= last;
        if (more) {
            follower->print(event);
            follower->printed++;
            follower->after = event->sequence;
            follower->has_position = true;
        }
    }
    fflush(stdout);
    return more && !is_done(follower);
}

static int32_t page_size(const struct follower *follower)
{
    long left = follower->limit - follower->printed;
    return follower->limit > 0 && left < TRIGGERS_MAX_PAGE ? (int32_t)left : TRIGGERS_MAX_PAGE;
}

int follow_print_pending(struct follower *follower)
{
    triggers_list_request request = {.oldest_first = 1, .filter = follower->filter};
    int64_t last = follower->after;
    triggers_reply *page = NULL;
    int code = -1;
    bool more;
    follower->has_position = false;
    do {
        request.page_size = page_size(follower);
        triggers_reply *next = get_page(follower, &request, &code);
        triggers_reply_free(page);
        page = next;
        more = page && print_items(follower, page, last);
        request.page_token = page ? page->next_page_token : NULL;
    } while (more && *request.page_token);
    triggers_reply_free(page);
    if (code < 0 && is_done(follower))
        code = finish(follower);
    if (code < 0) {
        follower->after = last;
        follower->has_position = true;
    }
    return code;
}

/* Prints an answer of the log. Returns an exit code, or -1 to ask for more. */
static int print_page(struct follower *follower, const triggers_reply *page, bool late)
{
    int64_t before = follower->after;
    bool more = print_items(follower, page, follower->stops ? follower->end : INT64_MAX);
    if (more && page->next_after > follower->after)
        follower->after = page->next_after;
    bool news = follower->after > before;
    if (!more || (follower->stops && (!news || follower->after >= follower->end)))
        return finish(follower);
    if (!news && !late)
        interrupt_rest();
    return -1;
}

int follow_log(struct follower *follower)
{
    int code = -1;
    if (follower->stops) {
        struct follower end = *follower;
        end.filter = (triggers_filter){0};
        code = follow_find_newest(&end, 0);
        follower->end = end.after;
        follower->answered = end.answered;
    }
    while (code < 0) {
        triggers_log_request request = {
            .after_sequence = follower->after,
            .page_size = page_size(follower),
            .wait_ms = follower->stops ? 0 : WAIT_MS,
            .filter = follower->filter,
        };
        int64_t start_ms = clock_monotonic_ms();
        triggers_reply *reply = ask_log(follower->client, &request);
        bool late = clock_monotonic_ms() - start_ms >= SOON_MS;
        if (reply->code == TRIGGERS_OK) {
            follower->answered = true;
            follower->unavailable = false;
            code = print_page(follower, reply, late);
        } else {
            code = survive(follower, &reply->error);
        }
        triggers_reply_free(reply);
    }
    return code;
}
