/* nng's streams without sockets and threads: the functions that links call stand here in place of
 * the library's. What is begun ends when the target says so, and callbacks run one by one. */
#ifndef TRIGGERS_TESTS_FUZZ_FAKE_NNG_H
#define TRIGGERS_TESTS_FUZZ_FAKE_NNG_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

struct nng_stream {
    nng_aio *receiver; /* under way; NULL: none */
    nng_aio *sender;   /* the same */
    bool closed;
    bool gone; /* which nng_stream_get_addr alone tells */
};

nng_stream *stream_new(void);

/* Bytes that the receiver has room for; 0 when there is none. */
size_t stream_room(const nng_stream *stream);

/* Ends the receiver with bytes, for which it has room. */
void stream_deliver(nng_stream *stream, const uint8_t *bytes, size_t size);

/* Ends the sender after at most `limit` of its bytes, which are appended to `out`. */
void stream_take(nng_stream *stream, size_t limit, struct buffer *out);

/* Ends what is under way when it waits for a limited time; whether it does. */
bool aio_time_out(nng_aio *aio);

/* Ends the sleep of the one that sleeps; whether one did. */
bool aio_wake(void);

/* Runs a callback that is due, the first or the latest; false: none is. */
bool aio_run_due(bool latest);

#endif
