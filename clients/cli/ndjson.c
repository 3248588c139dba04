/* The main thread reads and fills batches. Replies arrive on the library's threads, but only the
 * main thread handles them, so one thread does all counting and printing. */
#include "ndjson.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli.h"
#include "event_line.h"
#include "lines.h"

#define BATCH_EVENTS 500
#define BATCH_BYTES ((size_t)4 << 20) /* bytes of lines; a request has at most 8 MiB */
#define BATCH_MEMORY ((size_t)16 << 20)
#define BATCHES 4 /* in flight */
#define TRIES 8   /* for a batch that the core could not take */
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 2000
#define PROGRESS_MS 100

struct sender;

struct batch {
    struct sender *sender;
    struct arena arena; /* the events' texts */
    triggers_new_event events[BATCH_EVENTS];
    char ids[BATCH_EVENTS][TRIGGERS_ID_SIZE]; /* made here, so that a retry is the same event */
    size_t lines[BATCH_EVENTS];               /* their numbers */
    size_t count;
    size_t bytes;
    int tries;
    bool in_flight;
    triggers_reply *reply; /* has arrived and is not yet handled */
};

struct sender {
    triggers_client *client;
    struct lines lines;
    struct batch *batches[BATCHES];
    pthread_mutex_t mutex; /* of the batches' `reply` */
    pthread_cond_t replied;
    size_t stored;
    size_t failed;
    bool answered; /* the core has answered once */
    int stopped;   /* the exit code that ended reading; EXIT_DONE: none */
    int64_t start_ms;
    int64_t progress_ms; /* when it was last shown */
    bool shows_progress;
};

/* ---- telling ---- */

static void show_progress(struct sender *sender)
{
    int64_t now = clock_monotonic_ms();
    if (!sender->shows_progress || now - sender->progress_ms < PROGRESS_MS)
        return;
    sender->progress_ms = now;
    fprintf(stderr, "\r\033[Kstored %zu, failed %zu, %.1f s", sender->stored, sender->failed,
            (double)(now - sender->start_ms) / 1000);
}

static void clear_progress(const struct sender *sender)
{
    if (sender->shows_progress)
        fputs("\r\033[K", stderr);
}

static void fail_line(struct sender *sender, size_t line, const char *text)
{
    sender->failed++;
    clear_progress(sender);
    cli_complain("line %zu: %s (LINE_INVALID)", line, text);
}

static void fail_item(struct sender *sender, size_t line, const triggers_error *error)
{
    char what[32];
    snprintf(what, sizeof(what), "line %zu", line);
    sender->failed++;
    clear_progress(sender);
    cli_fail_item(error, what);
}

static void fail_batch(struct sender *sender, const struct batch *batch,
                       const triggers_error *error)
{
    char what[64];
    snprintf(what, sizeof(what), "lines %zu to %zu", batch->lines[0],
             batch->lines[batch->count - 1]);
    sender->failed += batch->count;
    clear_progress(sender);
    sender->stopped = cli_fail(error, what);
}

static void print_summary(const struct sender *sender)
{
    double seconds = (double)(clock_monotonic_ms() - sender->start_ms) / 1000;
    clear_progress(sender);
    if (cli_output_is_json())
        printf("{\"stored\":%zu,\"failed\":%zu,\"seconds\":%.3f}\n", sender->stored, sender->failed,
               seconds);
    else
        printf("stored %zu, failed %zu, in %.3f s\n", sender->stored, sender->failed, seconds);
}

/* ---- batches ---- */

static void on_reply(triggers_reply *reply, void *user_data)
{
    struct batch *batch = user_data;
    struct sender *sender = batch->sender;
    pthread_mutex_lock(&sender->mutex);
    batch->reply = reply;
    pthread_cond_signal(&sender->replied);
    pthread_mutex_unlock(&sender->mutex);
}

static void send_batch(struct batch *batch)
{
    batch->tries++;
    batch->in_flight = true;
    triggers_create_batch_async(batch->sender->client, batch->events, batch->count, NULL, on_reply,
                                batch);
}

static bool is_transient(triggers_code code)
{
    return cli_exit_code(code) == EXIT_TRY_LATER;
}

/* Whether a part of the batch was not stored but may be on another try. */
static bool may_be_retried(const struct sender *sender, const struct batch *batch,
                           const triggers_reply *reply)
{
    if (batch->tries == TRIES || !sender->answered)
        return false;
    if (reply->code != TRIGGERS_OK)
        return is_transient(reply->code);
    for (size_t i = 0; i < reply->item_count; i++) {
        if (is_transient(reply->items[i].error.code))
            return true;
    }
    return false;
}

static void wait_before_retry(const struct batch *batch, const triggers_reply *reply)
{
    long ms = RETRY_MIN_MS << (batch->tries - 1);
    if (ms < (long)reply->error.retry_delay_ms)
        ms = (long)reply->error.retry_delay_ms;
    if (ms > RETRY_MAX_MS)
        ms = RETRY_MAX_MS;
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void count_results(struct sender *sender, const struct batch *batch,
                          const triggers_reply *reply)
{
    for (size_t i = 0; i < reply->item_count; i++) {
        const triggers_error *error = &reply->items[i].error;
        if (error->code == TRIGGERS_OK)
            sender->stored++;
        else
            fail_item(sender, batch->lines[i], error);
        if (is_transient(error->code))
            sender->stopped = EXIT_TRY_LATER;
    }
}

/* Handles a reply: counts it, or sends the batch again. */
static void settle(struct sender *sender, struct batch *batch, triggers_reply *reply)
{
    sender->answered = sender->answered || *reply->request_id;
    batch->in_flight = false;
    if (may_be_retried(sender, batch, reply)) {
        wait_before_retry(batch, reply);
        send_batch(batch);
    } else if (reply->code == TRIGGERS_OK) {
        count_results(sender, batch, reply);
    } else {
        fail_batch(sender, batch, &reply->error);
    }
    triggers_reply_free(reply);
    show_progress(sender);
}

/* Waits for a reply to any batch and takes it; `batch` gets the batch. */
static triggers_reply *wait_for_reply(struct sender *sender, struct batch **batch)
{
    triggers_reply *reply = NULL;
    pthread_mutex_lock(&sender->mutex);
    while (!reply) {
        for (int i = 0; i < BATCHES && !reply; i++) {
            *batch = sender->batches[i];
            reply = (*batch)->reply;
        }
        if (!reply)
            pthread_cond_wait(&sender->replied, &sender->mutex);
    }
    (*batch)->reply = NULL;
    pthread_mutex_unlock(&sender->mutex);
    return reply;
}

static struct batch *find_batch(const struct sender *sender, bool in_flight)
{
    for (int i = 0; i < BATCHES; i++) {
        if (sender->batches[i]->in_flight == in_flight)
            return sender->batches[i];
    }
    return NULL;
}

static void wait_and_settle(struct sender *sender)
{
    struct batch *batch;
    triggers_reply *reply = wait_for_reply(sender, &batch);
    settle(sender, batch, reply);
}

/* An empty batch that is not in flight. */
static struct batch *take_batch(struct sender *sender)
{
    struct batch *batch;
    while (!(batch = find_batch(sender, false)))
        wait_and_settle(sender);
    arena_reset(&batch->arena);
    batch->count = 0;
    batch->bytes = 0;
    batch->tries = 0;
    return batch;
}

/* ---- reading ---- */

static bool is_blank(const char *line, size_t size)
{
    while (size > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        size--;
    }
    return size == 0;
}

static void add_line(struct sender *sender, struct batch *batch, const char *line, size_t size)
{
    char error[EVENT_LINE_ERROR_SIZE];
    triggers_new_event *event = &batch->events[batch->count];
    if (is_blank(line, size))
        return;
    if (!event_line_parse(line, size, &batch->arena, event, error)) {
        fail_line(sender, sender->lines.number, error);
        return;
    }
    if (!event->event_id) {
        triggers_make_event_id(batch->ids[batch->count]);
        event->event_id = batch->ids[batch->count];
    }
    batch->lines[batch->count++] = sender->lines.number;
    batch->bytes += size;
}

/* Fills a batch with the available lines; false when the input ends or cannot be read. Lines of a
 * slow input are not held back until the batch is full. */
static bool fill(struct sender *sender, struct batch *batch)
{
    const char *line;
    size_t size;
    while (batch->count < BATCH_EVENTS && batch->bytes < BATCH_BYTES &&
           (batch->count == 0 || lines_ready(&sender->lines))) {
        switch (lines_next(&sender->lines, &line, &size)) {
        case LINE_READ: add_line(sender, batch, line, size); break;
        case LINE_TOO_LONG:
            fail_line(sender, sender->lines.number, "has more than 2 MiB, which no event has");
            break;
        case LINES_END: return false;
        case LINES_FAILED: sender->stopped = EXIT_CALL_FAILED; return false;
        }
    }
    return true;
}

static void send_all(struct sender *sender)
{
    bool more = true;
    while (more && sender->stopped == EXIT_DONE) {
        while (!lines_ready(&sender->lines) && find_batch(sender, true))
            wait_and_settle(sender);
        struct batch *batch = take_batch(sender);
        if (sender->stopped != EXIT_DONE)
            break;
        more = fill(sender, batch);
        if (batch->count > 0)
            send_batch(batch);
    }
    while (find_batch(sender, true))
        wait_and_settle(sender);
}

/* ---- */

static void sender_fini(struct sender *sender)
{
    for (int i = 0; i < BATCHES; i++) {
        if (sender->batches[i])
            arena_fini(&sender->batches[i]->arena);
        free(sender->batches[i]);
    }
    triggers_client_close(sender->client);
    lines_close(&sender->lines);
    pthread_cond_destroy(&sender->replied);
    pthread_mutex_destroy(&sender->mutex);
}

static bool make_batches(struct sender *sender)
{
    for (int i = 0; i < BATCHES; i++) {
        struct batch *batch = calloc(1, sizeof(*batch));
        if (!batch) {
            cli_complain("out of memory");
            return false;
        }
        batch->sender = sender;
        arena_init(&batch->arena, BATCH_MEMORY);
        sender->batches[i] = batch;
    }
    return true;
}

int ndjson_send(const char *path)
{
    struct sender sender = {
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .replied = PTHREAD_COND_INITIALIZER,
        .start_ms = clock_monotonic_ms(),
        .shows_progress = isatty(STDERR_FILENO),
    };
    if (!lines_open(&sender.lines, path))
        return EXIT_CALL_FAILED;
    sender.client = cli_open(BATCHES);
    int code = EXIT_USAGE;
    if (sender.client && make_batches(&sender)) {
        send_all(&sender);
        print_summary(&sender);
        code = sender.stopped != EXIT_DONE ? sender.stopped
               : sender.failed > 0         ? EXIT_CALL_FAILED
                                           : EXIT_DONE;
    }
    sender_fini(&sender);
    return code;
}
