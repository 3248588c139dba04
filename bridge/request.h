/* One HTTP request and its answer.
 *
 * Who may touch a request: it is made, and in the end freed, by the libmicrohttpd thread of its
 * connection, and belongs to that thread. From call_begin on it belongs to the call alone, but for
 * its body and charge, until the call's callback resumes the connection; that gives it back. While
 * it waits for room it belongs to memory.c. A suspended connection is left
 * alone by libmicrohttpd even when its client leaves, so there is one owner at every moment and
 * nothing is counted. */
#ifndef TRIGGERS_BRIDGE_REQUEST_H
#define TRIGGERS_BRIDGE_REQUEST_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/trace.h"
#include "base/typeid.h"
#include "bridge.h"
#include "headers.h"
#include "problem.h"

#define REQUEST_ID_SIZE 129
/* Bytes of a body: of a create beside its payload, of a batch, and of a refused one that is read
 * and dropped so that the answer can be read. */
#define REQUEST_BODY_SLACK 65536
#define REQUEST_BATCH_MAX (8u << 20)
#define REQUEST_DISCARD_MAX (16u << 20)

struct MHD_Connection;
struct route;
struct gunzip;

/* What a request wants of the memory, and what came of that: see memory.c. */
enum room_state { ROOM_UNASKED, ROOM_WAITED_FOR, ROOM_GIVEN, ROOM_DENIED };
struct room {
    enum room_state state;
    size_t size;
    size_t spare;
    int64_t until_ms;
    struct request *next;
};

/* What goes back. Strings are static or the request's. */
struct answer {
    unsigned status;          /* 0: not answered yet */
    const char *content_type; /* NULL: no body */
    const char *policy;       /* Content-Security-Policy of a page; NULL: it is none */
    struct buffer body;       /* given to libmicrohttpd */
    const void *file;         /* or: static bytes */
    size_t file_size;
    const char *allow;
    bool wrong_coding; /* of the body: it is said which are accepted */
    char location[HEADERS_PREFIX_SIZE + 64];
    unsigned retry_after_s; /* 0: none */
    bool preflight;         /* answers a CORS preflight */
};

struct request {
    unsigned magic;
    struct bridge *bridge;
    struct MHD_Connection *connection;
    struct connection *peer; /* the same connection, as the loops know it */
    const struct route *route;
    const char *method;              /* the connection's, as `headers` and `path` */
    const char *path;                /* as sent, for the log */
    char event_id[TYPEID_TEXT_SIZE]; /* of the path; "" when it is no event id */
    char id[REQUEST_ID_SIZE];        /* X-Request-ID */
    struct idempotency_key key;      /* Idempotency-Key */
    struct headers headers;
    struct trace trace;                 /* the client's, or one that begins here; or none */
    char traceparent[TRACEPARENT_SIZE]; /* for the core; "" without a trace */
    int64_t started_us;
    char *body;
    size_t body_size;
    size_t body_room;
    size_t body_cap;       /* 0: the body is read and thrown away */
    uint64_t received;     /* bytes of body that came */
    struct gunzip *gunzip; /* expands the body; NULL: it comes as it is */
    struct charge charge;  /* for all that it holds */
    size_t reserved;       /* bytes of `charge` for what it is about to hold */
    struct room room;
    bool unsent;           /* its call was not started: there was no room for it */
    bool again;            /* it has been started again, with room for the call and its answer */
    bool answering;        /* it came in whole, and is counted as such */
    triggers_reply *reply; /* of the call, once it came */
    struct batch *batch;   /* of batch.c, in the arena */
    struct arena arena;
    struct answer answer;
};

/* NULL without memory. */
struct request *request_new(struct bridge *bridge, struct connection *peer, const char *method,
                            const char *path);
void request_free(struct request *request);

/* The request behind libmicrohttpd's pointer. */
struct request *request_cast(void *pointer);

enum body_result {
    BODY_TAKEN,
    BODY_WAITS, /* for memory, suspended: give the same piece again */
    BODY_CLOSES /* even throwing it away took too much: close the connection */
};

/* Keeps or counts a piece of the body; answers 413 or 503 when it is too much. */
enum body_result request_add_body(struct request *request, const char *bytes, size_t size);
void request_drop_body(struct request *request);
/* After its call was begun, which has read it. */
void request_drop_sent_body(struct request *request);

/* Room for `size` bytes in request->body. */
enum memory_result request_make_room(struct request *request, size_t size);

/* Before the request is started, and before the reply to its call becomes the answer: takes memory
 * for what that will need, when it is large, or answers 503. False when it waits for it. */
bool request_reserve(struct request *request);

/* When the reply says that there was no room for the call, or for the answer to one that only
 * reads: forgets it, so that the request is started again, once. */
void request_try_again(struct request *request);

/* Gives back what was reserved but for `kept` bytes, right before so much is taken. */
void request_use_reserved(struct request *request, size_t kept);

/* What remains reserved, while the call is in flight, for its reply. */
size_t request_reply_room(const struct request *request);

/* Starts the text of an answer. */
void request_init_text(struct request *request, struct buffer *body, size_t cap);

/* ---- answers; the first one given counts ---- */

/* Takes `body`, of which it frees the memory. A failed buffer becomes a 500. */
void request_answer(struct request *request, unsigned status, struct buffer *body);
/* A static text of JSON. */
void request_answer_text(struct request *request, unsigned status, const char *json);
void request_answer_problem(struct request *request, const struct problem *problem);
void request_answer_error(struct request *request, const triggers_error *error);
/* A problem without fields. */
void request_fail(struct request *request, unsigned status, const char *code, const char *detail);
void request_fail_overloaded(struct request *request);
/* 414: of the parameters not all was kept, see heads.h. */
void request_fail_cut(struct request *request);
/* 503 when the budget refused the arena memory, else 500. */
void request_fail_memory(struct request *request);

/* Reads Idempotency-Key, with `spare` characters fewer than the most; false after having answered
 * 400. */
bool request_read_key(struct request *request, size_t spare);

/* Reads the whole body as JSON; false after having answered 400. */
bool request_read_json(struct request *request, struct json_value *value);

#endif
