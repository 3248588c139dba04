/* The inside of a link, for its own files: link.c has its life, reading.c and writing.c the rest.
 */
#ifndef TRIGGERS_SP_LINK_INTERNAL_H
#define TRIGGERS_SP_LINK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "sp/link.h"

/* SP's greeting over tcp and ipc: each side tells its protocol. */
#define GREETING_SIZE 8

/* What has come and is not yet taken. One thread at a time touches it. */
struct incoming {
    uint8_t *bytes; /* room for frames; NULL for a WebSocket */
    size_t room;
    size_t start; /* of what is not yet taken */
    size_t end;
    size_t frame;    /* bytes of the first one */
    size_t skipping; /* bytes of a frame that has been taken, and is to be dropped */
    size_t charged;
    int64_t due_ms; /* when what has begun must be whole; 0: nothing has */
    bool greeted;
    struct link_received first;
    bool waiting; /* `first` could not be taken yet */
    /* Of a WebSocket. `busy` and `later` are under the link's mutex. */
    nng_msg *message;
    nng_msg *later; /* came while `message` is given */
    bool busy;      /* some thread gives it, or it waits */
    bool quiet;     /* nothing has come for a while */
    atomic_bool probing;
    nng_msg *probe; /* never sent */
};

/* What is to leave; under the link's mutex. */
struct outgoing {
    struct link_message *first;
    struct link_message **last;
    size_t left;    /* bytes of the first one that have */
    bool writing;   /* the writer is under way: it alone takes from the line */
    unsigned corks; /* more is about to be given: not to be begun yet */
};

struct link {
    const struct link_events *events;
    void *owner;
    nng_stream *stream;
    struct link_kind kind;
    enum link_protocol protocol;
    atomic_int holders;
    atomic_bool closed;
    nng_aio *reader;
    nng_aio *writer;
    nng_aio *resumer;
    nng_aio *checker; /* of TLS */
    nng_aio *prober;  /* of a WebSocket */
    struct incoming in;
    pthread_mutex_t mutex;
    struct outgoing out;
    struct link_message greeting;
};

/* Before a message: its length in 8 bytes, big-endian, and over ipc its kind before that. */
#define PREFIX_MAX 9
#define IPC_MESSAGE 1

/* Callbacks of the aios. */
void link_on_read(void *link);
void link_on_written(void *link);
void link_on_resumed(void *link);
void link_on_probed(void *link);

/* Room for what is read first; false without memory. */
bool link_init_reading(struct link *link);
void link_fini_reading(struct link *link);

/* Begins to look now and then whether a TLS stream still stands. */
void link_check(struct link *link);

/* After `aio` was begun on the stream, which may have been closed just before. */
void link_end_begun(struct link *link, nng_aio *aio);

/* Closes for a reason that the owner may log; NULL: none. */
void link_close_because(struct link *link, const char *why);

/* While a link is corked, what is sent gathers. */
void link_cork(struct link *link);
void link_uncork(struct link *link);

#endif
