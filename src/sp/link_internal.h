/* The inside of a link, for its own files. From the top: opening.c, reading.c, writing.c, and
 * link_internal.c, the life that they share. */
#ifndef TRIGGERS_SP_LINK_INTERNAL_H
#define TRIGGERS_SP_LINK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "sp/handshake.h"
#include "sp/link.h"
#include "sp/websocket.h"

/* SP's greeting over tcp and ipc: each side states its protocol. */
#define GREETING_SIZE 8

/* What has arrived and is not yet taken. One thread at a time touches it. */
struct incoming {
    uint8_t *bytes;
    size_t room;
    size_t start; /* of what is not yet taken */
    size_t end;
    size_t frame;         /* bytes of the first message, with its framing */
    size_t skipping;      /* bytes to be dropped: they have been taken, or are not wanted */
    size_t skipped;       /* of these, those that have already been dropped */
    struct charge charge; /* for the room, where it is over LINK_ROOM_IDLE */
    int64_t begun_ms;     /* when the first message began to arrive; 0: none has */
    atomic_int_fast64_t slow_since_ms; /* the same, but 0 unless more of it is waited for */
    bool greeted;
    struct link_received first;
    bool waiting; /* `first` could not be taken yet */
    /* Of a WebSocket, whose messages may come in several frames. */
    size_t gathered; /* bytes of the payloads of frames that are whole, from `start` on */
    size_t gap;      /* bytes after these that are not wanted: control frames, heads */
    bool continued;  /* the last frame was not the last of its message */
    bool dropping;   /* that message has been taken already */
};

/* What waits to leave; under the link's mutex. */
struct outgoing {
    struct link_message *first;
    struct link_message **last;
    size_t left;      /* bytes of the first message that have left */
    bool writing;     /* the writer is busy; only it takes from the queue */
    unsigned corks;   /* more is about to be given: do not begin yet */
    int64_t begun_ms; /* since when it has written without a pause */
    size_t written;   /* bytes since then */
    int64_t first_ms; /* since when the first message has been leaving */
    atomic_int_fast64_t slow_since_ms;
};

/* The answer to the latest control frame of a WebSocket, if another control frame was leaving when
 * it came. */
struct later_words {
    uint8_t bytes[WEBSOCKET_HEAD_MAX + WEBSOCKET_CONTROL_MAX];
    size_t size; /* 0: there is none */
    bool last;
};

/* The life of a link: it may be closed before it was started. */
enum link_state { LINK_MADE, LINK_STARTED, LINK_UNUSED };

#define LINK_MAGIC 0x4c494e4bu

struct link {
    unsigned magic;
    const struct link_events *events;
    void *owner;
    nng_stream *stream;
    const struct link_address *address;
    enum link_protocol protocol;
    bool limited; /* see link_limit */
    atomic_int holders;
    _Atomic(enum link_state) state;
    atomic_bool closed;
    nng_aio *reader;
    nng_aio *writer;
    nng_aio *resumer;
    nng_aio *looker;                    /* for the end of TLS */
    nng_duration look_ms;               /* when it looks next */
    char accept[HANDSHAKE_ACCEPT_SIZE]; /* what the server's handshake must answer */
    struct incoming in;
    pthread_mutex_t mutex;
    struct outgoing out;
    struct link_message words; /* greetings and control frames; see link_say */
    bool speaking;             /* `words` are in the queue; under the mutex, as the next two */
    bool last_words;           /* the link ends when they have left */
    struct later_words later;  /* sent when they have left */
};

#define IPC_MESSAGE 1

/* The link behind an aio's pointer. */
struct link *link_cast(void *argument);

/* Callbacks of the aios. */
void link_on_read(void *link);
void link_on_written(void *link);
void link_on_resumed(void *link);

/* Room for what is read first; false without memory. */
bool link_init_reading(struct link *link);
void link_fini_reading(struct link *link);

/* Reads what arrives next; call when all that has arrived was taken. */
void link_read_on(struct link *link);

/* Moves the link to another state; the move is checked. */
void link_move(struct link *link, enum link_state to);

/* Call after `aio` was begun on the stream, which may have been closed just before. */
void link_end_begun(struct link *link, nng_aio *aio);

/* Closes a link whose TLS stream has ended. nng's TLS streams tell an end to who reads just then,
 * and nobody else: a read that begins later waits for ever. What is seen is that the connection is
 * gone, which it is as soon as the peer has confirmed its end. */
void link_look_for_end(struct link *link);

/* Closes the link for a reason that the owner may log; NULL: none. */
void link_close_because(struct link *link, const char *why);

/* Sends bytes that are not a message; with `last`, the link ends when they have left. Without
 * memory it ends at once. */
void link_say(struct link *link, const void *bytes, size_t size, bool last);

/* Sends a control frame of a WebSocket; `size` is at most WEBSOCKET_CONTROL_MAX. A close frame is
 * the last. While one is leaving, only the latest of those that follow is kept (RFC 6455, 5.5.3).
 */
void link_say_frame(struct link *link, enum websocket_opcode opcode, const uint8_t *payload,
                    size_t size);

/* While a link is corked, messages to be sent gather. */
void link_cork(struct link *link);
void link_uncork(struct link *link);

#endif
