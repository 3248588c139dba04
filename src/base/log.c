/* One line per call, built in a buffer by its caller and written by the log's thread. */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/wait.h"

#define REPEAT_MS 10000
#define KINDS 64 /* of lines that repeat; the first is for those that have no other place */

/* Pipes take this much at once or not at all, so lines do not mix with another program's on the
 * same pipe. Of a longer line only the message is written. */
#define LINE_CAP PIPE_BUF
#define FIELD_CAP 512 /* bytes of a text in a line, with escapes; a longer one is cut */

#define RING_SIZE (256u << 10)
#define FLUSH_MS 1000
#define RETRY_MS 1000 /* after stdout took nothing */

static struct {
    const char *program;
    enum log_level level;
    bool json;
} settings = {.program = "triggers", .level = LOG_INFO};

static const char *const LEVEL_NAMES[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"};

void log_init(const char *program, enum log_level level, enum log_format format)
{
    CHECK(level <= LOG_ERROR);
    settings.program = program;
    settings.level = level;
    settings.json = format == LOG_JSON || (format == LOG_AUTO && !isatty(STDOUT_FILENO));
}

bool log_level_parse(const char *text, enum log_level *level)
{
    for (enum log_level i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (strcasecmp(text, LEVEL_NAMES[i]) == 0) {
            *level = i;
            return true;
        }
    }
    if (strcasecmp(text, "warn") != 0)
        return false;
    *level = LOG_WARNING;
    return true;
}

bool log_format_parse(const char *text, enum log_format *format)
{
    static const char *const names[] = {
        [LOG_AUTO] = "auto", [LOG_TEXT] = "text", [LOG_JSON] = "json"};
    for (enum log_format i = LOG_AUTO; i <= LOG_JSON; i++) {
        if (strcasecmp(text, names[i]) == 0) {
            *format = i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return level >= settings.level;
}

/* ---- forms ---- */

static void append_json_head(struct buffer *line, enum log_level level, const char *message)
{
    buffer_append_text(line, "{\"time\":");
    buffer_append_json_time(line, clock_now_us());
    buffer_append_format(line,
                         ",\"level\":\"%s\",\"program\":\"%s\",\"message\":", LEVEL_NAMES[level],
                         settings.program);
    buffer_append_shown(line, message, strlen(message), SHOWN_JSON_STRING, FIELD_CAP);
}

static void append_text_head(struct buffer *line, enum log_level level, const char *message)
{
    struct buffer time;
    buffer_init(&time, 64);
    buffer_append_json_time(&time, clock_now_us());
    if (time.size > 2)
        buffer_append(line, time.data + 1, time.size - 2); /* without the quotes */
    buffer_fini(&time);
    buffer_append_format(line, " %-7s ", LEVEL_NAMES[level]);
    buffer_append_shown(line, message, strlen(message), SHOWN_TEXT, FIELD_CAP);
}

static void append_fields(struct buffer *line, const struct log_field *field)
{
    for (; field && field->name; field++) {
        buffer_append_format(line, settings.json ? ",\"%s\":" : " %s=", field->name);
        if (field->text)
            buffer_append_shown(line, field->text, strlen(field->text),
                                settings.json ? SHOWN_JSON_STRING : SHOWN_TEXT, FIELD_CAP);
        else
            buffer_append_format(line, "%.15g", field->number);
    }
}

static void append_line(struct buffer *line, enum log_level level, const char *message,
                        const struct log_field *fields, const struct log_field *more)
{
    buffer_init(line, LINE_CAP);
    (settings.json ? append_json_head : append_text_head)(line, level, message);
    append_fields(line, fields);
    append_fields(line, more);
    buffer_append_text(line, settings.json ? "}\n" : "\n");
}

/* ---- output ---- */

/* Finished lines on their way to stdout. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;  /* for the writer: there is something to write */
    pthread_cond_t emptied; /* for log_flush: the ring is empty, or `stuck` */
    bool started;           /* the writer is running; else `bytes` is not used */
    bool stuck;             /* the last try to write failed, not because there was no room */
    size_t start;           /* where the oldest byte is */
    size_t size;            /* bytes */
    uint64_t dropped;       /* lines, since the start */
    uint64_t told;          /* those of them that a line has reported */
    char bytes[RING_SIZE];
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Called with the lock held, when there is room for it. */
static void ring_put(const char *line, size_t size)
{
    CHECK(size <= RING_SIZE - ring.size && ring.start < RING_SIZE);
    size_t end = (ring.start + ring.size) % RING_SIZE;
    size_t first = size < RING_SIZE - end ? size : RING_SIZE - end;
    memcpy(ring.bytes + end, line, first);
    memcpy(ring.bytes, line + first, size - first);
    ring.size += size;
    pthread_cond_signal(&ring.filled);
}

/* Copies the oldest bytes that one write may take: whole lines, if one ends within them. Returns
 * how many. Called with the lock held. */
static size_t ring_peek(char chunk[PIPE_BUF])
{
    size_t size = ring.size < PIPE_BUF ? ring.size : PIPE_BUF;
    size_t first = size < RING_SIZE - ring.start ? size : RING_SIZE - ring.start;
    memcpy(chunk, ring.bytes + ring.start, first);
    memcpy(chunk + first, ring.bytes, size - first);
    CHECK(size > 0);
    const char *last = memrchr(chunk, '\n', size);
    return last ? (size_t)(last - chunk) + 1 : size;
}

/* Called with the lock held. */
static void ring_take(size_t size)
{
    CHECK(size > 0 && size <= ring.size);
    ring.size -= size;
    /* When it is empty, it starts at the front again, so that a quiet log touches few pages. */
    ring.start = ring.size == 0 ? 0 : (ring.start + size) % RING_SIZE;
}

/* Reports what was dropped, once half the ring is free: until then further lines are dropped too,
 * so the report is where the others are missing. Called with the lock held. */
static void tell_dropped(void)
{
    if (ring.dropped == ring.told || ring.size > RING_SIZE / 2)
        return;
    struct buffer line;
    append_line(
        &line, LOG_WARNING, "log lines were dropped, stdout takes them too slowly",
        (const struct log_field[]){{"lines", NULL, (double)(ring.dropped - ring.told)}, LOG_END},
        NULL);
    if (!line.failed) {
        ring_put(line.data, line.size);
        ring.told = ring.dropped;
    }
    buffer_fini(&line);
}

/* Waits until another try to write makes sense. */
static void wait_for_stdout(int error)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    if (error == EAGAIN)
        poll(&out, 1, RETRY_MS);
    else if (error != EINTR)
        poll(NULL, 0, RETRY_MS);
}

static void *write_lines(void *unused)
{
    (void)unused;
    char chunk[PIPE_BUF];
    prctl(PR_SET_NAME, "log");
    pthread_mutex_lock(&ring.lock);
    for (;;) {
        while (ring.size == 0)
            pthread_cond_wait(&ring.filled, &ring.lock);
        size_t size = ring_peek(chunk);
        pthread_mutex_unlock(&ring.lock);
        ssize_t written = write(STDOUT_FILENO, chunk, size);
        int error = written < 0 ? errno : 0;
        pthread_mutex_lock(&ring.lock);
        ring.stuck = error != 0 && error != EINTR && error != EAGAIN;
        if (written > 0)
            ring_take((size_t)written);
        tell_dropped();
        if (ring.size == 0 || ring.stuck)
            pthread_cond_broadcast(&ring.emptied);
        if (!error)
            continue;
        pthread_mutex_unlock(&ring.lock);
        wait_for_stdout(error);
        pthread_mutex_lock(&ring.lock);
    }
    return NULL;
}

static void write_here(const char *line, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, line, size);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return; /* logging never fails the caller: a closed stdout loses the line */
        if (written < 0) {
            wait_for_stdout(errno);
            continue;
        }
        line += written;
        size -= (size_t)written;
    }
}

bool log_start(void)
{
    pthread_t thread;
    wait_init(&ring.filled);
    wait_init(&ring.emptied);
    CHECK(!ring.started);
    if (pthread_create(&thread, NULL, write_lines, NULL) != 0)
        return false;
    pthread_detach(thread); /* it may never end, if stdout takes nothing */
    ring.started = true;
    return atexit(log_flush) == 0;
}

void log_flush(void)
{
    int64_t until_ms = clock_monotonic_ms() + FLUSH_MS;
    bool in_time = true;
    pthread_mutex_lock(&ring.lock);
    while (ring.started && ring.size > 0 && !ring.stuck && in_time)
        in_time = wait_until(&ring.emptied, &ring.lock, until_ms);
    pthread_mutex_unlock(&ring.lock);
}

uint64_t log_dropped_lines(void)
{
    pthread_mutex_lock(&ring.lock);
    uint64_t dropped = ring.dropped;
    pthread_mutex_unlock(&ring.lock);
    return dropped;
}

void log_write_line(const char *line, size_t size)
{
    CHECK(size > 0 && line[size - 1] == '\n');
    pthread_mutex_lock(&ring.lock);
    if (ring.started)
        tell_dropped();
    if (!ring.started)
        write_here(line, size);
    else if (ring.dropped != ring.told || size > RING_SIZE - ring.size)
        ring.dropped++;
    else
        ring_put(line, size);
    pthread_mutex_unlock(&ring.lock);
}

void log_fatal(const char *text)
{
    struct buffer line;
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    buffer_init(&line, PIPE_BUF);
    buffer_append_format(&line, "%s: ", settings.program);
    buffer_append_shown(&line, text, strlen(text), SHOWN_TEXT, PIPE_BUF / 2);
    buffer_append_text(&line, "\n");
    if (!line.failed && poll(&out, 1, FLUSH_MS) > 0)
        (void)!write(STDERR_FILENO, line.data, line.size);
    buffer_fini(&line);
}

/* ---- lines ---- */

static void write_line(enum log_level level, const char *message, const struct log_field *fields,
                       const struct log_field *more)
{
    struct buffer line;
    append_line(&line, level, message, fields, more);
    if (line.failed) {
        buffer_fini(&line);
        append_line(&line, level, message, NULL, more);
    }
    if (!line.failed)
        log_write_line(line.data, line.size);
    buffer_fini(&line);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    if (log_enabled(level))
        write_line(level, message, fields, NULL);
}

/* ---- lines that repeat ---- */

struct kind {
    uint64_t hash;
    int64_t until_ms; /* no other line before this time */
    unsigned left_out;
};

static pthread_mutex_t kinds_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kind kinds[KINDS];

/* FNV-1a. */
static uint64_t add_to_hash(uint64_t hash, const char *text)
{
    do {
        hash = (hash ^ (unsigned char)*text) * 0x100000001B3u;
    } while (*text++);
    return hash;
}

/* The kind's place: its own, or the one that has been free longest, or the first. */
static struct kind *find_kind(uint64_t hash, int64_t now_ms)
{
    struct kind *oldest = &kinds[1];
    for (struct kind *kind = &kinds[1]; kind < kinds + KINDS; kind++) {
        if (kind->hash == hash)
            return kind;
        if (kind->until_ms < oldest->until_ms)
            oldest = kind;
    }
    if (oldest->until_ms > now_ms)
        return &kinds[0];
    *oldest = (struct kind){.hash = hash};
    return oldest;
}

bool log_is_due(const char *message, const char *key, int64_t now_ms, unsigned *left_out)
{
    uint64_t hash = add_to_hash(add_to_hash(0xCBF29CE484222325u, message), key);
    pthread_mutex_lock(&kinds_lock);
    struct kind *kind = find_kind(hash, now_ms);
    bool due = now_ms >= kind->until_ms;
    if (due) {
        *left_out = kind->left_out;
        kind->left_out = 0;
        kind->until_ms = now_ms + REPEAT_MS;
    } else {
        kind->left_out++;
    }
    pthread_mutex_unlock(&kinds_lock);
    return due;
}

bool log_write_limited(enum log_level level, const char *key, const char *message,
                       const struct log_field *fields)
{
    unsigned left_out;
    if (!log_enabled(level))
        return true;
    if (!log_is_due(message, key, clock_monotonic_ms(), &left_out))
        return false;
    write_line(level, message, fields,
               (const struct log_field[]){{"left_out", NULL, left_out}, LOG_END});
    return true;
}
