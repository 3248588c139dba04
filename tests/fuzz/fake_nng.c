/* One operation of an aio: it is begun, is under way somewhere, ends, and is due until its callback
 * has run. There is one stream at a time, and at most one aio that sleeps. */
#include "fake_nng.h"

#include <string.h>

#include "fuzz.h"

#define MAX_PIECES 8 /* as many as nng 1.5 sends at once */
#define MAX_DUE 8

struct nng_aio {
    void (*callback)(void *);
    void *argument;
    nng_iov pieces[MAX_PIECES];
    unsigned piece_count;
    nng_duration timeout;
    nng_aio **place; /* where it is under way; NULL: nowhere */
    bool due;
    bool stopped;
    int result;
    size_t count;
};

static nng_aio *due[MAX_DUE];
static size_t due_count;
static bool running; /* a callback */
static nng_aio *sleeper;

/* ---- aios ---- */

int nng_aio_alloc(nng_aio **aio, void (*callback)(void *), void *argument)
{
    *aio = calloc(1, sizeof(**aio));
    MUST(*aio);
    (*aio)->callback = callback;
    (*aio)->argument = argument;
    (*aio)->timeout = NNG_DURATION_INFINITE;
    return 0;
}

void nng_aio_free(nng_aio *aio)
{
    MUST(!aio->place && !aio->due);
    free(aio);
}

int nng_aio_result(nng_aio *aio)
{
    return aio->result;
}

size_t nng_aio_count(nng_aio *aio)
{
    return aio->count;
}

void nng_aio_set_timeout(nng_aio *aio, nng_duration timeout)
{
    aio->timeout = timeout;
}

int nng_aio_set_iov(nng_aio *aio, unsigned count, const nng_iov *pieces)
{
    MUST(!aio->place && count <= MAX_PIECES);
    memcpy(aio->pieces, pieces, count * sizeof(*pieces));
    aio->piece_count = count;
    return 0;
}

bool nng_aio_begin(nng_aio *aio)
{
    MUST(!aio->place && !aio->due);
    aio->count = 0;
    if (aio->stopped)
        nng_aio_finish(aio, NNG_ECANCELED);
    return !aio->stopped;
}

void nng_aio_finish(nng_aio *aio, int result)
{
    MUST(!aio->due && due_count < MAX_DUE);
    if (aio->place)
        *aio->place = NULL;
    aio->place = NULL;
    aio->result = result;
    aio->due = true;
    due[due_count++] = aio;
}

void nng_aio_cancel(nng_aio *aio)
{
    if (aio->place)
        nng_aio_finish(aio, NNG_ECANCELED);
}

static void run_due(size_t at)
{
    nng_aio *aio = due[at];
    MUST(!running);
    due_count--;
    memmove(due + at, due + at + 1, (due_count - at) * sizeof(*due));
    aio->due = false;
    running = true;
    aio->callback(aio->argument);
    running = false;
}

void nng_aio_stop(nng_aio *aio)
{
    aio->stopped = true;
    nng_aio_cancel(aio);
    for (size_t i = due_count; i-- > 0;) {
        if (due[i] == aio)
            run_due(i);
    }
}

static void begin_at(nng_aio *aio, nng_aio **place)
{
    MUST(!*place);
    aio->place = place;
    *place = aio;
}

void nng_sleep_aio(nng_duration duration, nng_aio *aio)
{
    (void)duration;
    if (nng_aio_begin(aio))
        begin_at(aio, &sleeper);
}

bool aio_wake(void)
{
    bool sleeps = sleeper != NULL;
    if (sleeps)
        nng_aio_finish(sleeper, 0);
    return sleeps;
}

bool aio_time_out(nng_aio *aio)
{
    bool limited = aio->timeout != NNG_DURATION_INFINITE;
    if (limited)
        nng_aio_finish(aio, NNG_ETIMEDOUT);
    return limited;
}

bool aio_run_due(bool latest)
{
    if (due_count == 0)
        return false;
    run_due(latest ? due_count - 1 : 0);
    return true;
}

/* ---- streams ---- */

nng_stream *stream_new(void)
{
    nng_stream *stream = calloc(1, sizeof(*stream));
    MUST(stream);
    return stream;
}

static void begin_on(const nng_stream *stream, nng_aio *aio, nng_aio **place)
{
    if (!nng_aio_begin(aio))
        return;
    if (stream->closed)
        nng_aio_finish(aio, NNG_ECLOSED);
    else
        begin_at(aio, place);
}

static size_t size_of(const nng_aio *aio)
{
    size_t size = 0;
    for (unsigned i = 0; i < aio->piece_count; i++)
        size += aio->pieces[i].iov_len;
    return size;
}

/* Nobody reads or writes nothing while the stream is open: it would be done again and again. */
void nng_stream_recv(nng_stream *stream, nng_aio *aio)
{
    MUST(aio->piece_count == 1 && (size_of(aio) > 0 || stream->closed));
    begin_on(stream, aio, &stream->receiver);
}

void nng_stream_send(nng_stream *stream, nng_aio *aio)
{
    MUST(size_of(aio) > 0 || stream->closed);
    begin_on(stream, aio, &stream->sender);
}

void nng_stream_close(nng_stream *stream)
{
    stream->closed = true;
    if (stream->receiver)
        nng_aio_finish(stream->receiver, NNG_ECLOSED);
    if (stream->sender)
        nng_aio_finish(stream->sender, NNG_ECLOSED);
}

void nng_stream_free(nng_stream *stream)
{
    MUST(!stream->receiver && !stream->sender);
    free(stream);
}

int nng_stream_get_addr(nng_stream *stream, const char *option, nng_sockaddr *address)
{
    (void)option;
    *address = (nng_sockaddr){0};
    return stream->closed || stream->gone ? NNG_ECLOSED : 0;
}

size_t stream_room(const nng_stream *stream)
{
    return stream->receiver ? size_of(stream->receiver) : 0;
}

void stream_deliver(nng_stream *stream, const uint8_t *bytes, size_t size)
{
    nng_aio *aio = stream->receiver;
    MUST(size <= stream_room(stream));
    memcpy(aio->pieces[0].iov_buf, bytes, size);
    aio->count = size;
    nng_aio_finish(aio, 0);
}

void stream_take(nng_stream *stream, size_t limit, struct buffer *out)
{
    nng_aio *aio = stream->sender;
    for (unsigned i = 0; i < aio->piece_count; i++) {
        size_t left = limit - aio->count;
        size_t size = aio->pieces[i].iov_len < left ? aio->pieces[i].iov_len : left;
        buffer_append(out, aio->pieces[i].iov_buf, size);
        aio->count += size;
    }
    nng_aio_finish(aio, 0);
}
