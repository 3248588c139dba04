/* The inside of a link, for its own files: link.c has its life, reading.c and writing.c the rest.
 */
#ifndef TRIGGERS_SP_LINK_INTERNAL_H
#define TRIGGERS_SP_LINK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "sp/handshake.h"
#include "sp/link.h"
#include "sp/websocket.h"

/* SP's greeting over tcp and ipc: each side tells its protocol. */
#define GREETING_SIZE 8

/* What has come and is not yet taken. One thread at a time touches it. */
struct incoming {
    uint8_t *bytes;
    size_t room;
    size_t start; /* of what is not yet taken */
    size_t end;
    size_t frame;         /* bytes of the first message, with what is around it */
    size_t skipping;      /* bytes of what has been taken, or is not wanted, and is to be dropped */
    size_t skipped;       /* of these, those that have come and gone */
    struct charge charge; /* for the room, where it is over LINK_ROOM_IDLE */
    int64_t begun_ms;     /* when the first message began to come; 0: none has */
    atomic_int_fast64_t slow_since_ms; /* the same, but 0 unless more of it is waited for */
    bool greeted;
    struct link_received first;
    bool waiting; /* `first` could not be taken yet */
    /* Of a WebSocket, whose messages may come in several frames. */
    size_t gathered; /* bytes of the payloads of frames that are whole, from `start` on */
    size_t gap;      /* bytes behind these that are not wanted: control frames, heads */
    bool continued;  /* the last frame was not the last of its message */
    bool dropping;   /* that message has been taken already */
};

/* What is to leave; under the link's mutex. */
struct outgoing {
    struct link_message *first;
    struct link_message **last;
    size_t left;      /* bytes of the first one that have */
    bool writing;     /* the writer is under way: it alone takes from the line */
    unsigned corks;   /* more is about to be given: not to be begun yet */
    int64_t begun_ms; /* since when it has been without a pause */
    size_t written;   /* bytes since then */
    int64_t first_ms; /* since when the first message has been leaving */
    atomic_int_fast64_t slow_since_ms;
};

/* The answer to the last control frame of a WebSocket, if words were on their way when it came. */
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
    nng_aio *checker;                   /* of TLS */
    char accept[HANDSHAKE_ACCEPT_SIZE]; /* by which the server of a WebSocket shows itself */
    struct incoming in;
    pthread_mutex_t mutex;
    struct outgoing out;
    struct link_message words; /* greetings and what else is no message; see link_say */
    bool speaking;             /* `words` are in the line; under the mutex, as the next */
    bool last_words;           /* and the link ends when they have left */
    struct later_words later;  /* said when they have left */
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

/* Begins to look now and then whether a TLS stream still stands. */
void link_check(struct link *link);

/* Checks that the life of a link goes on like this. */
void link_move(struct link *link, enum link_state to);

/* After `aio` was begun on the stream, which may have been closed just before. */
void link_end_begun(struct link *link, nng_aio *aio);

/* Closes for a reason that the owner may log; NULL: none. */
void link_close_because(struct link *link, const char *why);

/* Sends bytes that are no message, and with `last` ends the link when they have left. Without
 * memory it ends at once. */
void link_say(struct link *link, const void *bytes, size_t size, bool last);

/* The same of a control frame of a WebSocket; `size` is at most WEBSOCKET_CONTROL_MAX. One that
 * closes is the last. While others wait to leave, only the latest is kept (RFC 6455, 5.5.3). */
void link_say_frame(struct link *link, enum websocket_opcode opcode, const uint8_t *payload,
                    size_t size);

/* While a link is corked, what is sent gathers. */
void link_cork(struct link *link);
void link_uncork(struct link *link);

#endif
