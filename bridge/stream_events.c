/* The log as server-sent events (HTML Living Standard, section 9.2): parts of the log, one after
 * the other, each asked for when the one before has been sent. In between the connection is
 * suspended. What can pass by itself, such as a core that restarts, the client does not see: a
 * browser's EventSource gives up when its next request is not answered 200. */
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"
#include "core_call.h"
#include "hand_made.h"
#include "handlers.h"
#include "loop.h"
#include "query.h"
#include "waiting.h"

#define TEXT_CAP (32u << 20) /* as for a page of the inbox */

/* The most events asked for at once. The first part has one; those that follow have more, until one
 * does not fit into the memory that there is, of the bridge or the core. */
#define PAGE_SIZE 100

/* A comment comes when nothing else did for so long. */
#define COMMENT_MS 15000
#define COMMENT_EARLY_MS 100 /* a time that is so near counts as reached */

/* Before a call is tried again, unless the core says less, or follows one that should have waited
 * and did not. */
#define PAUSE_MS 1000

/* The connection is closed when the peer's kernel takes nothing for so long. */
#define PEER_TIMEOUT_MS 30000

/* At the beginning too, a core that has too much to do, as when all clients come back at once, is
 * asked again for a while. */
#define BUSY_US 5000000

#define RETRY "retry: 1000\n" /* the client's pause before it comes back */

enum stream_step {
    STREAM_FINDS_PENDING,      /* asks for the newest pending event: of the end of the log ... */
    STREAM_FINDS_ACKNOWLEDGED, /* ... for the newest acknowledged one */
    STREAM_BEGINS,             /* asks for the first part, without waiting */
    STREAM_FOLLOWS,
    STREAM_ENDS, /* its last text has been made */
};

struct stream {
    enum stream_step step;
    struct query query;
    int64_t after;     /* the position of the next part */
    int32_t page_size; /* events in it */
    int64_t asked_ms;  /* when the last call was started */
    int64_t spoke_ms;  /* when the last text was made */
    size_t sent;       /* bytes of it that libmicrohttpd has taken */
};

/* ---- calls ---- */

/* False when the bridge is stopping. */
static bool ask_inbox(struct request *request)
{
    struct stream *stream = request->stream;
    triggers_list_request list = {.status = stream->step == STREAM_FINDS_PENDING
                                                ? TRIGGERS_STATUS_PENDING
                                                : TRIGGERS_STATUS_ACKNOWLEDGED,
                                  .page_size = 1};
    triggers_call_options options;
    if (!core_call_begin(request, &options))
        return false;
    triggers_list_async(request->bridge->client, &list, &options, core_call_done, request);
    core_call_started(request);
    return true;
}

/* The same. */
static bool ask_log(struct request *request)
{
    struct stream *stream = request->stream;
    bool waits = stream->step == STREAM_FOLLOWS;
    stream->asked_ms = clock_monotonic_ms();
    int64_t until_comment_ms = stream->spoke_ms + COMMENT_MS - stream->asked_ms;
    if (until_comment_ms < PAUSE_MS)
        until_comment_ms = PAUSE_MS;
    triggers_log_request log = {.after_sequence = stream->after,
                                .page_size = stream->page_size,
                                .wait_ms = waits ? (uint32_t)until_comment_ms : 0,
                                .filter = stream->query.filter};
    triggers_call_options options;
    if (!core_call_begin(request, &options))
        return false;
    options.tag = request;
    triggers_list_events_async(request->bridge->client, &log, &options, core_call_done, request);
    core_call_started(request);
    if (waits)
        waiting_watch(request);
    return true;
}

static void drop_reply(struct request *request)
{
    triggers_reply_free(request->reply);
    request->reply = NULL;
}

/* ---- texts ---- */

/* Starts the next text. */
static struct buffer *begin_text(struct request *request)
{
    struct stream *stream = request->stream;
    request_use_reserved(request, 0);
    request_init_text(request, &request->answer.body, TEXT_CAP);
    stream->sent = 0;
    stream->spoke_ms = clock_monotonic_ms();
    return &request->answer.body;
}

/* JSON has its line breaks between tokens only, where a blank means the same. */
static void join_lines(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n' || text[i] == '\r')
            text[i] = ' ';
    }
}

static void write_event(struct buffer *text, const triggers_event *event,
                        const struct bridge_settings *settings)
{
    buffer_append_format(text, "id: %" PRId64 "\ndata: ", event->sequence);
    size_t start = text->size;
    hand_made_write_event(text, event, settings->payloads == 0, settings);
    if (text->failed)
        return;
    join_lines(text->data + start, text->size - start);
    buffer_append_text(text, "\n\n");
}

static void write_events(struct request *request, struct buffer *text)
{
    const triggers_reply *reply = request->reply;
    for (size_t i = 0; i < reply->item_count; i++)
        write_event(text, &reply->items[i].event, &request->bridge->settings);
}

/* An id alone is no event; it is what the client continues from. */
static void write_position(struct buffer *text, int64_t after)
{
    buffer_append_format(text, "id: %" PRId64 "\n\n", after);
}

static void write_comment(struct request *request)
{
    struct buffer *text = begin_text(request);
    buffer_append_text(text, ":\n");
    write_position(text, request->stream->after);
}

static void write_end(struct request *request)
{
    request->stream->step = STREAM_ENDS;
    buffer_append_text(begin_text(request), ": the service is stopping\n\n");
}

static void write_error(struct request *request, const triggers_error *error)
{
    struct problem problem = problem_from_error(error, hand_made_field, &request->arena);
    request->stream->step = STREAM_ENDS;
    struct buffer *text = begin_text(request);
    buffer_append_text(text, "event: error\ndata: ");
    problem_write(text, &problem, request->id);
    buffer_append_text(text, "\n\n");
}

/* ---- steps ---- */

enum stream_next {
    STREAM_SENDS, /* a text has been made */
    STREAM_WAITS, /* suspended, and called again when it is resumed */
    STREAM_IS_DONE,
    STREAM_BREAKS, /* the connection is to be closed */
};

static enum stream_next pause_stream(struct request *request)
{
    uint32_t advice_ms = request->reply ? request->reply->error.retry_delay_ms : 0;
    request->unsent = false;
    request_use_reserved(request, 0);
    drop_reply(request);
    waiting_pause(request, advice_ms > 0 && advice_ms < PAUSE_MS ? advice_ms : PAUSE_MS);
    return STREAM_WAITS;
}

/* ---- the beginning ---- */

static bool ask_first(struct request *request)
{
    return request->stream->step == STREAM_BEGINS ? ask_log(request) : ask_inbox(request);
}

/* Reads where to begin; false after having answered. */
static bool read_start(struct request *request, struct stream *stream)
{
    const char *last = request->headers.last_event_id;
    if (!query_read(request, QUERY_STREAM, &stream->query))
        return false;
    stream->after = stream->query.after;
    bool latest = stream->query.latest || !stream->query.has_after;
    if (last && last[0]) {
        latest = false;
        if (!query_read_position(last, &stream->after)) {
            query_refuse(request, "Last-Event-ID", QUERY_POSITION);
            return false;
        }
    }
    stream->query.latest = latest;
    stream->step = latest ? STREAM_FINDS_PENDING : STREAM_BEGINS;
    return true;
}

bool stream_events_start(struct request *request)
{
    struct stream *stream = arena_calloc(&request->arena, 1, sizeof(*stream));
    request->stream = stream;
    if (!stream) {
        request_fail_memory(request);
        return true;
    }
    stream->page_size = 1;
    if (!read_start(request, stream) || !waiting_begin(request))
        return true;
    if (loop_is_ending(request->peer->loop)) {
        request_fail(request, 503, "STOPPING", "The service is stopping");
        return true;
    }
    return !ask_first(request);
}

static ssize_t read_stream(void *pointer, uint64_t position, char *out, size_t room);

/* Answers with the first part. */
static void begin(struct request *request)
{
    struct stream *stream = request->stream;
    struct answer *answer = &request->answer;
    int timeout_ms = PEER_TIMEOUT_MS;
    struct buffer *text = begin_text(request);
    buffer_append_text(text, RETRY);
    write_position(text, stream->after);
    write_events(request, text);
    if (text->failed || strcmp(request->method, "HEAD") == 0) {
        bool failed = text->failed;
        buffer_fini(text);
        if (failed)
            request_fail_overloaded(request);
        request_answer_text(request, 200, "");
    } else {
        (void)setsockopt(request->peer->socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms,
                         sizeof(timeout_ms));
        request->again = false; /* the memory of all others is only for the first part */
        stream->step = STREAM_FOLLOWS;
        stream->after = request->reply->next_after;
        answer->status = 200;
        answer->more = read_stream;
    }
    if (answer->status == 200)
        answer->content_type = "text/event-stream";
}

/* Notes the end of the log, as far as it has been found, and goes on. */
static void take_newest(struct request *request)
{
    struct stream *stream = request->stream;
    const triggers_reply *reply = request->reply;
    if (reply->item_count > 0 && reply->items[0].event.sequence > stream->after)
        stream->after = reply->items[0].event.sequence;
    stream->step++;
    drop_reply(request);
    (void)ask_first(request);
}

/* What was found to be the end may be older than all that was not removed. */
static bool is_before_all(const struct request *request)
{
    const triggers_error *error = &request->reply->error;
    return request->stream->query.latest && error->first_sequence > 0;
}

static bool may_begin_later(const struct request *request)
{
    return request->reply->code == TRIGGERS_RESOURCE_EXHAUSTED &&
           clock_monotonic_us() - request->started_us < BUSY_US &&
           !loop_is_ending(request->peer->loop);
}

void stream_events_finish(struct request *request)
{
    struct stream *stream = request->stream;
    const triggers_error *error = &request->reply->error;
    CHECK(stream->step <= STREAM_BEGINS);
    if (may_begin_later(request)) {
        (void)pause_stream(request);
        arena_reset(&request->arena); /* it is started again */
    } else if (error->code != TRIGGERS_OK && is_before_all(request)) {
        stream->after = error->first_sequence - 1;
        drop_reply(request);
        (void)ask_first(request);
    } else if (error->code != TRIGGERS_OK) {
        request_answer_error(request, error);
    } else if (stream->step == STREAM_BEGINS) {
        begin(request);
    } else {
        take_newest(request);
    }
}

/* ---- what follows ---- */

static void halve_page(struct stream *stream)
{
    stream->page_size = stream->page_size > 1 ? stream->page_size / 2 : 1;
}

static void grow_page(struct stream *stream)
{
    stream->page_size += stream->page_size / 2 + 1;
    if (stream->page_size > PAGE_SIZE)
        stream->page_size = PAGE_SIZE;
}

static enum stream_next take_failure(struct request *request)
{
    const triggers_error *error = &request->reply->error;
    bool overload = problem_is_overload(error) || error->code == TRIGGERS_RESOURCE_EXHAUSTED;
    if (!overload && !triggers_code_is_retryable(error->code)) {
        write_error(request, error);
        return STREAM_SENDS;
    }
    if (overload)
        halve_page(request->stream);
    return pause_stream(request);
}

static enum stream_next take_events(struct request *request)
{
    struct stream *stream = request->stream;
    enum memory_result result = request_take_room(request);
    if (result == MEMORY_WAITS)
        return STREAM_WAITS;
    struct buffer *text = begin_text(request);
    if (result == MEMORY_TAKEN)
        write_events(request, text);
    if (result == MEMORY_REFUSED || text->failed) {
        buffer_fini(text);
        halve_page(stream);
        return pause_stream(request);
    }
    stream->after = request->reply->next_after;
    grow_page(stream);
    drop_reply(request);
    return STREAM_SENDS;
}

static bool is_time_for_comment(const struct stream *stream)
{
    return clock_monotonic_ms() - stream->spoke_ms >= COMMENT_MS - COMMENT_EARLY_MS;
}

/* Nothing came: the position is the same, or after events that the filter does not let pass. False
 * when that was said at once. */
static bool take_nothing(struct request *request)
{
    struct stream *stream = request->stream;
    stream->after = request->reply->next_after;
    drop_reply(request);
    return clock_monotonic_ms() - stream->asked_ms >= PAUSE_MS - COMMENT_EARLY_MS;
}

static enum stream_next ask_more(struct request *request)
{
    if (is_time_for_comment(request->stream)) {
        write_comment(request);
        return STREAM_SENDS;
    }
    if (ask_log(request))
        return STREAM_WAITS;
    write_end(request);
    return STREAM_SENDS;
}

static enum stream_next follow(struct request *request)
{
    request->calling = false;
    if (request->stream->step == STREAM_ENDS)
        return STREAM_IS_DONE;
    if (request->ended == LOOP_HUNG_UP)
        return STREAM_BREAKS;
    if (loop_is_ending(request->peer->loop)) {
        drop_reply(request);
        write_end(request);
        return STREAM_SENDS;
    }
    if (request->reply && request->reply->code != TRIGGERS_OK)
        return take_failure(request);
    if (request->reply && request->reply->item_count > 0)
        return take_events(request);
    if (request->reply && !take_nothing(request))
        return pause_stream(request);
    return ask_more(request);
}

static void set_waiting(struct request *request, bool waiting)
{
    struct pace *pace = &request->peer->pace;
    loop_set_waiting(request->peer, waiting);
    atomic_store(&pace->held, request->charge.held);
    pace_begin(pace, waiting ? PACE_ANSWER : PACE_OURS);
}

/* Gives libmicrohttpd what there is; the next text is made when all of the last one has left. */
static ssize_t read_stream(void *user_data, uint64_t position, char *out, size_t room)
{
    (void)position;
    struct request *request = request_cast(user_data);
    struct stream *stream = request->stream;
    struct buffer *text = &request->answer.body;
    if (stream->sent == text->size) {
        buffer_fini(text);
        stream->sent = 0;
        set_waiting(request, false);
        enum stream_next next = follow(request);
        if (next == STREAM_WAITS)
            return 0;
        set_waiting(request, true);
        if (next == STREAM_BREAKS || text->failed)
            return STREAM_BREAK;
        if (next == STREAM_IS_DONE)
            return STREAM_END;
    }
    size_t size = text->size - stream->sent < room ? text->size - stream->sent : room;
    CHECK(size > 0);
    memcpy(out, text->data + stream->sent, size);
    stream->sent += size;
    return (ssize_t)size;
}
