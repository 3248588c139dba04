/* One HTTP request and its answer.
 *
 * Who may touch a request: the libmicrohttpd thread of its connection makes it, owns it, and in the
 * end frees it. From core_call_begin on only the call owns it, except its body and charge, until
 * the call's callback resumes the connection and so gives it back. While it waits for room it
 * belongs to memory.c. libmicrohttpd does not touch a suspended connection, even when its client
 * leaves, so there is one owner at any time and no reference count. */
#ifndef TRIGGERS_BRIDGE_REQUEST_H
#define TRIGGERS_BRIDGE_REQUEST_H

#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/trace.h"
#include "base/typeid.h"
#include "bridge.h"
#include "credentials.h"
#include "headers.h"
#include "loop.h"
#include "problem.h"

#define REQUEST_ID_SIZE 129
#define REQUEST_BATCH_MAX (8u << 20) /* the most bytes of the body of a batch */

struct api_method;
struct gunzip;
struct request;
struct request_pull;
struct stream;

enum body_kind {
    BODY_UNUSED, /* a body is read and thrown away */
    BODY_OBJECT, /* one JSON object */
    BODY_LIST,   /* as a JSON array or as NDJSON */
};

/* How requests to one path with one method are served; handlers.h lists the routes. */
struct route {
    const char *method;
    const char *path; /* {field} stands for one segment */
    enum body_kind body;
    /* Runs when the whole request has arrived: answers it, or starts a call and returns false. */
    bool (*start)(struct request *request);
    /* Runs when the call's reply is in `request->reply`: answers, or frees it and starts another.
     */
    void (*finish)(struct request *request);
    const struct api_method *call; /* the method that it is, or calls; NULL: none */
    const char *field; /* the field of the call's request that is the body; "*": all; "": none */
};

#define STREAM_END (-1)   /* of the body, in place of a size */
#define STREAM_BREAK (-2) /* the connection is to be closed */

/* The answer. Strings are static or belong to the request. */
struct answer {
    unsigned status;          /* 0: not answered yet */
    const char *content_type; /* NULL: no body */
    const char *policy;       /* Content-Security-Policy of a page; NULL: it is not a page */
    struct buffer body;       /* given to libmicrohttpd */
    const void *file;         /* instead of `body`: static bytes */
    size_t file_size;
    const char *allow;
    bool scope_missing; /* the client's key lacks the scope of the route's call */
    bool wrong_coding;  /* the body's coding is refused: the answer lists those that are accepted */
    bool created;       /* the event whose id is `event_id`: the answer says where it is */
    unsigned retry_after_s;  /* 0: none */
    char *rate_limit_policy; /* malloc'd, as the next; NULL: the key has no limits */
    char *rate_limit;
    bool preflight; /* answers a CORS preflight */
    /* Gives the body of a stream, piece by piece, as there is room for more: see stream_events.c.
     * 0: the connection is suspended. NULL: the body is all there. */
    ssize_t (*more)(void *request, uint64_t position, char *out, size_t room);
};

struct request {
    unsigned magic;
    struct bridge *bridge;
    struct connection *peer;
    const struct route *route;
    const char *method;              /* belongs to the connection, as do `headers` and `path` */
    const char *path;                /* as sent, for the log */
    char event_id[TYPEID_TEXT_SIZE]; /* from the path, or of what was created; "": none */
    char id[REQUEST_ID_SIZE];        /* X-Request-ID */
    struct idempotency_key key;      /* Idempotency-Key */
    struct headers headers;
    struct credentials credentials;     /* who makes it */
    struct trace trace;                 /* the client's, one that begins here, or none */
    char traceparent[TRACEPARENT_SIZE]; /* for the core; "" without a trace */
    int64_t started_us;
    char *body;
    size_t body_size;
    size_t body_room;
    size_t body_cap;       /* 0: the body is read and thrown away */
    uint64_t received;     /* bytes of the body that have arrived */
    struct gunzip *gunzip; /* expands the body; NULL: it is not compressed */
    struct charge charge;  /* for all that it holds */
    size_t reserved;       /* bytes of `charge` for what it will hold */
    struct room room;
    bool unsent;               /* its call was not started, because there was no room for it */
    bool again;                /* it was started again, with room for the call and its answer */
    bool transcoded;           /* by its route: the old service had no such call and errors */
    bool waits;                /* see waiting.h */
    enum loop_end ended;       /* why its wait ends */
    bool answering;            /* it has arrived completely, and is counted as such */
    int64_t slow_ms;           /* its answer waits for so long, as it refuses a flood */
    bool calling;              /* it is suspended, for a call or a pause, and not yet resumed */
    triggers_reply *reply;     /* of the call, once it has arrived */
    struct batch_body *batch;  /* used by batch.c; in the arena */
    struct stream *stream;     /* used by stream_events.c; in the arena */
    struct request_pull *pull; /* used by pulls.c */
    struct arena arena;
    struct answer answer;
};

/* The strings are the connection's. NULL without memory. */
struct request *request_new(struct bridge *bridge, struct connection *peer,
                            const struct headers *headers, const char *method, const char *path);
/* Its body has been dropped: see body.h. */
void request_free(struct request *request);

/* The request that libmicrohttpd's pointer leads to. */
struct request *request_cast(void *pointer);

/* Where its connection was accepted, and whether that is the port for monitoring. */
const struct http_address *request_address(const struct request *request);
bool request_is_monitoring(const struct request *request);

/* Reserves memory for the next step: for the text of the reply, or for the call. */
enum memory_result request_take_room(struct request *request);

/* Reserves memory for the next step of a large request, or answers 503; call it before the request
 * is started, and before the reply to its call becomes the answer. False when it waits for memory.
 */
bool request_reserve(struct request *request);

/* Whether the reply says that its call was ended for `ended`, see waiting.h. */
bool request_was_ended(const struct request *request);

/* When the reply says that there was no room for the call, or for the answer to a call that only
 * reads, or that it ended because the bridge stops, forgets the reply, so that the request is
 * started again, once. */
void request_try_again(struct request *request);

/* Releases what was reserved except `kept` bytes; call it right before these are taken. */
void request_use_reserved(struct request *request, size_t kept);

/* What the call for a body of `body` bytes needs, with its reply. */
size_t request_call_room(size_t body);

/* What stays reserved for the reply while the call is in flight. */
size_t request_reply_room(const struct request *request);

/* Starts the text of an answer. */
void request_init_text(struct request *request, struct buffer *body, size_t cap);

/* ---- answers; the first one given counts ---- */

/* Takes over `body`. A failed buffer becomes a 500. */
void request_answer(struct request *request, unsigned status, struct buffer *body);
/* Answers with a static JSON text. */
void request_answer_text(struct request *request, unsigned status, const char *json);
void request_answer_problem(struct request *request, const struct problem *problem);
void request_answer_error(struct request *request, const triggers_error *error);
/* Answers with a problem without fields. */
void request_fail(struct request *request, unsigned status, const char *code, const char *detail);
void request_fail_overloaded(struct request *request);
/* Answers 414: the parameters were cut, see heads.h. */
void request_fail_cut(struct request *request);
/* Answers 503 when the budget refused memory to the arena, else 500. */
void request_fail_memory(struct request *request);

/* Reads Idempotency-Key, which may have `spare` characters fewer than usual; false after having
 * answered 400. */
bool request_read_key(struct request *request, size_t spare);

/* Reads the whole body as JSON; false after having answered 400. */
bool request_read_json(struct request *request, struct json_value *value);

#endif
