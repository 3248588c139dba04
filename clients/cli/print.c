/* Printing of events. Cells are cut and padded by code points, which is what most sources, types
 * and payloads need. */
#include "print.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/text.h"

#define OUTPUT_MAX ((size_t)32 << 20)
#define TIME_WIDTH (PRINT_TIME_SIZE - 1) /* 2026-01-31T23:59:59.000001Z */
#define ID_WIDTH (TRIGGERS_ID_SIZE - 1)
#define SEQUENCE_WIDTH 10
#define SOURCE_WIDTH 16
#define TYPE_WIDTH 24
#define ATTEMPTS_WIDTH 8
#define PAYLOAD_MIN_WIDTH 20

/* Prints up to `width` code points; returns how many. */
static size_t print_cut(FILE *file, const char *text, size_t size, size_t width)
{
    const char *end = text + size;
    size_t printed = 0;
    for (; text < end && printed < width; printed++) {
        uint32_t character;
        size_t length = text_next(text, end, &character);
        if (text_is_shown(character))
            fwrite(text, 1, length, file);
        else
            fputc('?', file);
        text += length;
    }
    return printed;
}

void print_clean(FILE *file, const char *text, size_t size)
{
    print_cut(file, text, size, size);
}

/* ---- JSON ---- */

void print_json_string(const char *text)
{
    struct buffer string;
    buffer_init(&string, OUTPUT_MAX);
    buffer_append_shown(&string, text, strlen(text), SHOWN_JSON_STRING, SIZE_MAX);
    if (!string.failed)
        fputs(string.data, stdout);
    buffer_fini(&string);
}

static void append_text(struct buffer *line, const char *key, const char *text)
{
    buffer_append_format(line, "\"%s\":", key);
    buffer_append_shown(line, text, strlen(text), SHOWN_JSON_STRING, SIZE_MAX);
    buffer_append_text(line, ",");
}

static void append_time(struct buffer *line, const char *key, int64_t time_us)
{
    buffer_append_format(line, "\"%s\":", key);
    if (time_us)
        buffer_append_json_time(line, time_us);
    else
        buffer_append_text(line, "null");
}

/* A terminal gets the same JSON value without characters that could control it; programs get the
 * payload byte for byte. */
static void append_payload_for_stdout(struct buffer *text, const triggers_event *event)
{
    if (isatty(STDOUT_FILENO))
        buffer_append_shown(text, event->payload, event->payload_size, SHOWN_JSON, SIZE_MAX);
    else
        buffer_append(text, event->payload, event->payload_size);
}

void print_payload(const triggers_event *event)
{
    struct buffer text;
    buffer_init(&text, OUTPUT_MAX);
    append_payload_for_stdout(&text, event);
    if (!text.failed)
        fwrite(text.data, 1, text.size, stdout);
    buffer_fini(&text);
}

/* JSON has raw line breaks only between its tokens. */
static void append_payload(struct buffer *line, const triggers_event *event)
{
    size_t start = line->size;
    if (event->payload_size == 0)
        buffer_append_text(line, event->payload_erased ? "null,\"payload_erased\":true" : "null");
    append_payload_for_stdout(line, event);
    for (size_t i = start; i < line->size; i++) {
        if (line->data[i] == '\n' || line->data[i] == '\r')
            line->data[i] = ' ';
    }
}

static void print_line(struct buffer *line)
{
    buffer_append_text(line, "}\n");
    if (!line->failed)
        fwrite(line->data, 1, line->size, stdout);
    buffer_fini(line);
}

static void start_event(struct buffer *line, const triggers_event *event)
{
    buffer_init(line, OUTPUT_MAX);
    buffer_append_text(line, "{");
    append_text(line, "event_id", event->event_id);
}

static void append_sequence(struct buffer *line, const triggers_event *event)
{
    buffer_append_format(line, "\"sequence\":%" PRId64 ",", event->sequence);
}

void print_created_json(const triggers_event *event)
{
    struct buffer line;
    start_event(&line, event);
    append_sequence(&line, event);
    append_time(&line, "created_at", event->created_at_us);
    print_line(&line);
}

void print_acknowledged_json(const triggers_event *event)
{
    struct buffer line;
    start_event(&line, event);
    append_time(&line, "acknowledged_at", event->acknowledged_at_us);
    print_line(&line);
}

void print_erased_json(const triggers_event *event)
{
    struct buffer line;
    start_event(&line, event);
    buffer_append_format(&line, "\"sequence\":%" PRId64, event->sequence);
    print_line(&line);
}

static const char *status_name(triggers_status status)
{
    return status == TRIGGERS_STATUS_ACKNOWLEDGED ? "acknowledged" : "pending";
}

/* All of an event, without the end of the line. */
static void start_whole_event(struct buffer *line, const triggers_event *event)
{
    start_event(line, event);
    append_sequence(line, event);
    append_text(line, "source", event->source);
    append_text(line, "event_type", event->event_type);
    buffer_append_text(line, "\"payload\":");
    append_payload(line, event);
    buffer_append_text(line, ",");
    append_text(line, "status", status_name(event->status));
    append_time(line, "created_at", event->created_at_us);
    buffer_append_text(line, ",");
    append_time(line, "acknowledged_at", event->acknowledged_at_us);
    buffer_append_text(line, ",");
    if (event->ordering_key[0])
        append_text(line, "ordering_key", event->ordering_key);
    else
        buffer_append_text(line, "\"ordering_key\":null,");
    append_time(line, "deliver_at", event->deliver_at_us);
}

void print_event_json(const triggers_event *event)
{
    struct buffer line;
    start_whole_event(&line, event);
    print_line(&line);
}

void print_delivery_json(const triggers_delivery *delivery)
{
    struct buffer line;
    start_whole_event(&line, &delivery->event);
    buffer_append_text(&line, ",");
    append_text(&line, "ack_id", delivery->ack_id);
    buffer_append_format(&line, "\"delivery_attempt\":%" PRIu32 ",", delivery->attempt);
    append_time(&line, "lease_expires_at", delivery->lease_expires_at_us);
    print_line(&line);
}

void print_dead_letter_json(const struct dead_letter_print *letter)
{
    struct buffer line;
    start_whole_event(&line, &letter->event);
    buffer_append_format(&line, ",\"delivery_attempts\":%" PRIu32 ",", letter->attempts);
    append_time(&line, "first_delivered_at", letter->first_us);
    buffer_append_text(&line, ",");
    append_time(&line, "dead_at", letter->dead_us);
    buffer_append_text(&line, ",\"reason\":");
    buffer_append_shown(&line, letter->reason, strlen(letter->reason), SHOWN_JSON_STRING, SIZE_MAX);
    print_line(&line);
}

/* ---- tables ---- */

void print_cell(const char *text, size_t width)
{
    size_t printed = print_cut(stdout, text, strlen(text), width);
    printf("%*s", (int)(width - printed) + 2, "");
}

void print_format_time(int64_t time_us, char out[PRINT_TIME_SIZE])
{
    out[0] = '\0';
    if (time_us == 0)
        return;
    time_t seconds = (time_t)(time_us / 1000000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t length = strftime(out, TIME_WIDTH + 1, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + length, TIME_WIDTH + 1 - length, ".%06dZ", (int)(time_us % 1000000));
}

static void print_time_cell(int64_t time_us)
{
    char text[TIME_WIDTH + 1];
    print_format_time(time_us, text);
    print_cell(text, TIME_WIDTH);
}

/* Columns left for the payload: on a terminal as many as fit on the line, else any number. */
static size_t payload_width(bool acknowledged)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return OUTPUT_MAX;
    size_t used = ID_WIDTH + 2 + SEQUENCE_WIDTH + 2 + TIME_WIDTH + 2 + SOURCE_WIDTH + 2 +
                  TYPE_WIDTH + 2 + (acknowledged ? TIME_WIDTH + 2 : 0);
    return size.ws_col > used + PAYLOAD_MIN_WIDTH ? size.ws_col - used : PAYLOAD_MIN_WIDTH;
}

void print_event_header(bool acknowledged)
{
    print_cell("EVENT ID", ID_WIDTH);
    print_cell("SEQUENCE", SEQUENCE_WIDTH);
    print_cell("CREATED", TIME_WIDTH);
    if (acknowledged)
        print_cell("ACKNOWLEDGED", TIME_WIDTH);
    print_cell("SOURCE", SOURCE_WIDTH);
    print_cell("TYPE", TYPE_WIDTH);
    puts("PAYLOAD");
}

void print_event_row(const triggers_event *event, bool acknowledged)
{
    print_cell(event->event_id, ID_WIDTH);
    printf("%-*" PRId64 "  ", SEQUENCE_WIDTH, event->sequence);
    print_time_cell(event->created_at_us);
    if (acknowledged)
        print_time_cell(event->acknowledged_at_us);
    print_cell(event->source, SOURCE_WIDTH);
    print_cell(event->event_type, TYPE_WIDTH);
    print_cut(stdout, event->payload, event->payload_size, payload_width(acknowledged));
    putchar('\n');
}

void print_time_header(const char *name)
{
    print_cell("EVENT ID", ID_WIDTH);
    puts(name);
}

void print_time_row(const char *event_id, int64_t time_us)
{
    char text[TIME_WIDTH + 1];
    print_format_time(time_us, text);
    print_cell(event_id, ID_WIDTH);
    puts(text);
}

void print_sequence_header(void)
{
    print_cell("EVENT ID", ID_WIDTH);
    puts("SEQUENCE");
}

void print_sequence_row(const triggers_event *event)
{
    print_cell(event->event_id, ID_WIDTH);
    printf("%" PRId64 "\n", event->sequence);
}

void print_dead_letter_header(void)
{
    print_cell("EVENT ID", ID_WIDTH);
    print_cell("DEAD SINCE", TIME_WIDTH);
    print_cell("ATTEMPTS", ATTEMPTS_WIDTH);
    print_cell("SOURCE", SOURCE_WIDTH);
    print_cell("TYPE", TYPE_WIDTH);
    puts("REASON");
}

void print_dead_letter_row(const struct dead_letter_print *letter)
{
    print_cell(letter->event.event_id, ID_WIDTH);
    print_time_cell(letter->dead_us);
    printf("%-*" PRIu32 "  ", ATTEMPTS_WIDTH, letter->attempts);
    print_cell(letter->event.source, SOURCE_WIDTH);
    print_cell(letter->event.event_type, TYPE_WIDTH);
    print_clean(stdout, letter->reason, strlen(letter->reason));
    putchar('\n');
}

void print_kind_header(void)
{
    print_cell("SOURCE", SOURCE_WIDTH);
    puts("TYPE");
}

void print_kind_row(const triggers_kind *kind)
{
    print_cell(kind->source, SOURCE_WIDTH);
    print_clean(stdout, kind->event_type, strlen(kind->event_type));
    putchar('\n');
}

void print_kind_json(const triggers_kind *kind)
{
    fputs("{\"source\":", stdout);
    print_json_string(kind->source);
    fputs(",\"event_type\":", stdout);
    print_json_string(kind->event_type);
    puts("}");
}

void print_part(const char *name, const char *text, size_t size)
{
    printf("%-13s ", name);
    print_clean(stdout, text, size);
    putchar('\n');
}

void print_event_details(const triggers_event *event)
{
    char created[TIME_WIDTH + 1];
    char acknowledged[TIME_WIDTH + 1];
    char deliver_at[TIME_WIDTH + 1];
    char sequence[24];
    snprintf(sequence, sizeof(sequence), "%" PRId64, event->sequence);
    print_format_time(event->created_at_us, created);
    print_format_time(event->acknowledged_at_us, acknowledged);
    print_format_time(event->deliver_at_us, deliver_at);
    const char *status = status_name(event->status);
    print_part("event id", event->event_id, strlen(event->event_id));
    print_part("sequence", sequence, strlen(sequence));
    print_part("source", event->source, strlen(event->source));
    print_part("type", event->event_type, strlen(event->event_type));
    print_part("status", status, strlen(status));
    print_part("created", created, strlen(created));
    if (*acknowledged)
        print_part("acknowledged", acknowledged, strlen(acknowledged));
    if (event->ordering_key[0])
        print_part("ordering key", event->ordering_key, strlen(event->ordering_key));
    if (*deliver_at)
        print_part("deliver at", deliver_at, strlen(deliver_at));
    if (event->payload_erased)
        print_part("payload", "(erased)", strlen("(erased)"));
    else
        print_part("payload", event->payload, event->payload_size);
}
