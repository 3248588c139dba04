/* libtriggers: the C client of triggersd.
 *
 * One client holds one connection per address and carries any number of calls at once over it; it
 * connects and reconnects by itself. Every call has a synchronous form, which returns its reply,
 * and an asynchronous one, which hands the reply to a callback. A reply is never NULL and says what
 * happened, also after wrong arguments and without memory. Free every reply.
 *
 *     triggers_client *client;
 *     char error[256];
 *     if (triggers_client_open(&client, NULL, error, sizeof(error)) != TRIGGERS_OK) …
 *     triggers_new_event event = {
 *         .source = "crm", .event_type = "lead.created", .payload = "{}", .payload_size = 2};
 *     triggers_reply *reply = triggers_create(client, &event, NULL);
 *     if (reply->code == TRIGGERS_OK) puts(reply->items[0].event.event_id);
 *     triggers_reply_free(reply);
 *     triggers_client_close(client);
 *
 * Threads: any number of threads may use a client at once, except for triggers_client_close.
 * Callbacks run on threads of the library; they must not block or call synchronous functions or
 * triggers_client_close; they may start asynchronous calls. A callback may run before the function
 * that started the call returns. */
#ifndef TRIGGERS_H
#define TRIGGERS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TRIGGERS_API __attribute__((visibility("default")))
#else
#define TRIGGERS_API
#endif

/* The numbers of google.rpc.Code. */
typedef enum triggers_code {
    TRIGGERS_OK = 0,
    TRIGGERS_CANCELLED = 1,
    TRIGGERS_UNKNOWN = 2,
    TRIGGERS_INVALID_ARGUMENT = 3,
    TRIGGERS_DEADLINE_EXCEEDED = 4,
    TRIGGERS_NOT_FOUND = 5,
    TRIGGERS_ALREADY_EXISTS = 6,
    TRIGGERS_PERMISSION_DENIED = 7,
    TRIGGERS_RESOURCE_EXHAUSTED = 8,
    TRIGGERS_FAILED_PRECONDITION = 9,
    TRIGGERS_ABORTED = 10,
    TRIGGERS_OUT_OF_RANGE = 11,
    TRIGGERS_UNIMPLEMENTED = 12,
    TRIGGERS_INTERNAL = 13,
    TRIGGERS_UNAVAILABLE = 14,
    TRIGGERS_DATA_LOSS = 15,
    TRIGGERS_UNAUTHENTICATED = 16
} triggers_code;

typedef enum triggers_status {
    TRIGGERS_STATUS_UNSPECIFIED = 0, /* in a request: pending */
    TRIGGERS_STATUS_PENDING = 1,
    TRIGGERS_STATUS_ACKNOWLEDGED = 2
} triggers_status;

typedef enum triggers_serving {
    TRIGGERS_SERVING_UNKNOWN = 0,
    TRIGGERS_SERVING = 1,
    TRIGGERS_NOT_SERVING = 2 /* the core answers, but its store does not */
} triggers_serving;

/* Limits of the protocol. */
#define TRIGGERS_MAX_BATCH 1000 /* events or ids in one batch */
#define TRIGGERS_MAX_PAGE 1000  /* events in one page */
#define TRIGGERS_MAX_NAME 255   /* characters of a source or event type */
#define TRIGGERS_MAX_FILTER 100 /* sources, and event types, in one filter */
#define TRIGGERS_MAX_WAIT_MS 20000
#define TRIGGERS_MAX_MESSAGE                                                                       \
    10551296                      /* bytes of one encoded request; a core takes 8388608 unless     \
                                     larger payloads are set for it */
#define TRIGGERS_MAX_TRY_MS 30000 /* the core ends a try of a call after so long */
#define TRIGGERS_ID_SIZE 31       /* bytes of an event id with its NUL */
#define TRIGGERS_KEY_SIZE 256     /* bytes of a key with its NUL, at most */

typedef struct triggers_client triggers_client;

/* Which calls are sent again; see the comment on triggers_create. */
#define TRIGGERS_SEND_ONCE 1  /* none */
#define TRIGGERS_NO_BACKOFF 2 /* those that did not get the core's answer */

/* A limit on the memory of one or several clients. */
typedef struct budget_share triggers_memory;

/* Writes the key of a call with its NUL and returns 1; 0: there is none now, and the call fails
 * with UNAUTHENTICATED (KEY_UNAVAILABLE). `key` holds "", or a key that the core has just refused:
 * who keeps what it once found must look again then. */
typedef int triggers_key_source(char key[TRIGGERS_KEY_SIZE], void *user_data);

/* Zero-initialise; every member has a default. */
typedef struct triggers_client_options {
    const char *url; /* ws://, wss://, tcp://, tls+tcp:// or ipc://; several, separated by commas,
                        share the load. NULL: ws://127.0.0.1:7300/rpc */
    const char *tls_ca_file; /* PEM certificates to trust, for wss and tls+tcp */
    const char *name;        /* this program's name and version, for the core's log; or NULL */
    uint32_t timeout_ms;     /* deadline of calls that give none, with all their tries; 0: 10 000 */
    uint32_t max_in_flight;  /* calls at once; more are RESOURCE_EXHAUSTED; 0: 1024 */
    int no_retry;            /* 0, TRIGGERS_SEND_ONCE or TRIGGERS_NO_BACKOFF */
    triggers_memory *memory; /* limits what its calls hold; NULL: no limit */
    const char *api_key; /* says who calls, and is sent as it is: elsewhere than to this machine use
                            wss or tls+tcp; copied, and wiped by the close; NULL or "": none */
    /* In place of api_key: asked for each call, on the thread that starts it, and on one of the
     * library when the core refuses the key: the call is sent again if there is another one then.
     * So a key is replaced without a pause. It runs once at a time, and must not make calls. */
    triggers_key_source *api_key_source;
    void *api_key_data; /* its user_data */
    /* PEM files of the certificate that is shown to a core that asks for one, and of its key; NULL:
     * none. They are read again, as tls_ca_file is, when they have changed and a connection is
     * made. */
    const char *tls_cert_file;
    const char *tls_key_file;
} triggers_client_options;

/* Zero-initialise; NULL means all defaults. */
typedef struct triggers_call_options {
    uint32_t timeout_ms;     /* from now to the reply; 0: the client's */
    const char *request_id;  /* logged by the core; NULL: it makes one */
    const char *traceparent; /* W3C Trace Context, passed on to the core; or NULL */
    const void *tag;         /* names this call, or several, for triggers_cancel; or NULL */
    const char *caller; /* for whom the call is made, when this client carries the calls of many:
                           the core serves them in turn; or NULL */
    const char *authorization; /* who the caller says it is, in place of the client's key: what it
                                  sent in that header of HTTP; or NULL */
    const char *address;       /* the caller's, such as "192.0.2.7"; the core minds it when this
                                  program is one of its bridges; or NULL */
} triggers_call_options;

/* An event to create. The strings and the payload are read before the function returns. */
typedef struct triggers_new_event {
    const char *event_id;        /* NULL: the library makes one, once, so a resend is stored once */
    const char *idempotency_key; /* in place of event_id: the same key and content is one event;
                                    1 to 255 characters; NULL or "": none */
    const char *source;          /* UTF-8; the core trims and lower-cases; 1 to 255 characters */
    const char *event_type;      /* the same */
    const void *payload;         /* one JSON object in UTF-8 */
    size_t payload_size;
    const char *ordering_key; /* subscriptions that order by key give out one event of a key at a
                                 time; at most 255 bytes; NULL or "": none */
    /* When subscriptions give it out; the inbox and the log show it at once. At most one of both,
     * and none with an ordering key. */
    int64_t deliver_at_us;  /* microseconds since 1970 UTC, at most 31 days ahead; in the past, and
                               0: at once */
    uint32_t delay_seconds; /* so long after it is stored, at most 2678400 (31 days); 0: at once */
} triggers_new_event;

/* Which events: those that pass each of these. Zero-initialised: all. */
typedef struct triggers_filter {
    /* Sources, each as it is stored or, with "*" at its end, the beginning of one; one of them must
     * fit. The same for event types. NULL and 0: any. */
    const char *const *sources;
    size_t source_count;
    const char *const *event_types;
    size_t event_type_count;
    int64_t from_us;  /* created at this time or later, in microseconds since 1970 UTC; 0: any */
    int64_t until_us; /* created before this time; 0: any */
} triggers_filter;

/* Which events to list. Zero-initialise. */
typedef struct triggers_list_request {
    triggers_status status; /* UNSPECIFIED: pending */
    int32_t page_size;      /* 0: 50; at most 1000 */
    const char *page_token; /* the next_page_token of the previous page; NULL: the first page */
    int oldest_first;       /* 0: newest first */
    triggers_filter filter;
} triggers_list_request;

/* Which part of the log to read. Zero-initialise. */
typedef struct triggers_log_request {
    int64_t after_sequence; /* events after this one; 0: from the beginning of the log */
    int32_t page_size;      /* 0: 50; at most 1000 */
    uint32_t wait_ms; /* how long to wait when there is nothing to return; 0: not at all; at most
                         TRIGGERS_MAX_WAIT_MS */
    triggers_filter filter;
} triggers_log_request;

/* Which kinds to list. Zero-initialise. */
typedef struct triggers_kinds_request {
    int32_t page_size;      /* 0: 50; at most 1000 */
    const char *page_token; /* the next_page_token of the previous page; NULL: the first page */
} triggers_kinds_request;

typedef struct triggers_event {
    const char *event_id; /* never NULL; "" when the reply does not carry it */
    const char *source;   /* "" in replies to create, ack and erase, as are the next two */
    const char *event_type;
    const char *payload; /* the bytes as they were sent, none once they were erased, and a NUL
                            after them */
    size_t payload_size;
    triggers_status status;
    int64_t created_at_us;      /* microseconds since 1970 UTC; 0: not in this reply */
    int64_t acknowledged_at_us; /* the same; 0: pending or not in this reply */
    int64_t sequence;           /* its place in the log, from 1; 0: not in this reply */
    int payload_erased;         /* 1: the payload was removed for good, and is empty */
    const char *ordering_key;   /* "": none, or not in this reply; never NULL */
    int64_t deliver_at_us; /* when subscriptions give it out; 0: at once, or not in this reply */
} triggers_event;

/* What events are about. */
typedef struct triggers_kind {
    const char *source;
    const char *event_type;
} triggers_kind;

typedef struct triggers_violation {
    const char *field; /* path in the request, such as "source" or "events[3].payload" */
    const char *description;
} triggers_violation;

typedef struct triggers_error {
    triggers_code code;
    const char *reason;  /* [A-Z0-9_]+ for programs; "" when OK; never NULL */
    const char *message; /* for people; "" when OK; never NULL */
    uint32_t retry_delay_ms;
    const triggers_violation *violations;
    size_t violation_count;
    int64_t first_sequence; /* OUT_OF_RANGE: the first one of the log that is there; otherwise 0 */
} triggers_error;

/* One event of the answer, or in a batch the reason why it failed. */
typedef struct triggers_item {
    triggers_error error; /* code OK: `event` is filled */
    triggers_event event;
} triggers_item;

/* The outcome of a call; everything it points to lives as long as it does.
 * items: create, get, ack, erase: one. Batches: one per event or id, in the order sent. Lists of
 * events: the page. None when `code` is not OK. */
typedef struct triggers_reply {
    triggers_code code;   /* the same as error.code */
    triggers_error error; /* why the call as a whole failed */
    const triggers_item *items;
    size_t item_count;
    const char *next_page_token; /* list, kinds: "" on the last page; never NULL */
    triggers_serving serving;    /* health */
    const char *server_version;  /* health; "" otherwise; never NULL */
    const char *server_store;    /* health: "sqlite" or "postgresql" */
    const char *request_id;      /* as the core used it; "" when it did not answer */
    const char *stats;           /* stats: metrics as Prometheus text; "" otherwise; never NULL */
    const struct ProtobufCMessage *message; /* triggers_call_async: the response; NULL otherwise */
    int64_t next_after;         /* list of events: the position to continue from; 0 otherwise */
    int64_t first_sequence;     /* list of events: the first from which on none was removed */
    const triggers_kind *kinds; /* kinds: the page; NULL otherwise */
    size_t kind_count;
    /* How much the key may do in a second, and how much of it is left, as the HTTP headers
     * RateLimit-Policy and RateLimit say it; "" without limits; never NULL. */
    const char *rate_limit_policy;
    const char *rate_limit;
} triggers_reply;

/* Takes the reply, which it must free (any time, any thread). */
typedef void triggers_callback(triggers_reply *reply, void *user_data);

/* The version of this library, such as "0.1.0". */
TRIGGERS_API const char *triggers_version(void);

/* The name of a code as google.rpc spells it, such as "NOT_FOUND". */
TRIGGERS_API const char *triggers_code_name(triggers_code code);

/* 1 when the same request may succeed later: UNAVAILABLE, RESOURCE_EXHAUSTED, ABORTED and
 * DEADLINE_EXCEEDED; otherwise 0. CANCELLED, UNKNOWN (which also stands for codes of a newer core),
 * INTERNAL and DATA_LOSS are not the request's fault either: do not drop it because of them. */
TRIGGERS_API int triggers_code_is_retryable(triggers_code code);

/* Makes a new event id ("evt_…", UUIDv7) with its NUL. */
TRIGGERS_API void triggers_make_event_id(char event_id[TRIGGERS_ID_SIZE]);

/* Limits what clients hold for their calls to `bytes`: requests until they have left and need not
 * be sent again, answers while they arrive, and replies until they are freed. Messages over 16 KiB
 * take at most about half of it; the rest is for small ones. A call for which there is no room ends
 * with RESOURCE_EXHAUSTED: with the reason CLIENT_BUSY it was not sent, with ANSWER_TOO_LARGE it
 * may have been carried out. NULL without memory. Free it after the clients and all their replies.
 */
TRIGGERS_API triggers_memory *triggers_memory_new(size_t bytes);
TRIGGERS_API void triggers_memory_free(triggers_memory *memory); /* NULL is allowed */

/* Opens a client and starts to connect; the core need not be reachable yet. `options` may be NULL.
 * On failure (bad URL: INVALID_ARGUMENT; unreadable CA file; no memory) *client is NULL and `error`
 * (of error_size bytes, may be NULL) gets a text. */
TRIGGERS_API triggers_code triggers_client_open(triggers_client **client,
                                                const triggers_client_options *options, char *error,
                                                size_t error_size);

/* Ends calls in flight with CANCELLED, waits for their callbacks and frees. NULL is allowed. */
TRIGGERS_API void triggers_client_close(triggers_client *client);

/* Ends the calls in flight that were started with this tag: their replies are CANCELLED with the
 * reason CALL_CANCELLED, and the core may or may not have carried them out. A call whose answer has
 * already arrived keeps it. Does not wait for the callbacks, and does not concern calls that start
 * later. The tag is compared, never dereferenced; NULL matches nothing. Callbacks may call this
 * too. */
TRIGGERS_API void triggers_cancel(triggers_client *client, const void *tag);

TRIGGERS_API void triggers_reply_free(triggers_reply *reply); /* NULL is allowed */

/* A call that the core answers with UNAVAILABLE, RESOURCE_EXHAUSTED or ABORTED is sent again, with
 * the same event ids, after a growing random wait that is no shorter than the core's advice, as
 * long as its deadline leaves room; after that, this answer is the reply. A call whose connection
 * is lost is sent again too, on the next one; with several addresses, so is a call that a stopping
 * core refuses, and one without an answer for 5 s. A call that finds no connection waits for one
 * until its deadline, and then is UNAVAILABLE with the reason CORE_UNREACHABLE.
 *
 * With TRIGGERS_NO_BACKOFF those three answers are the reply at once, and a call waits for a
 * connection at most a second. With TRIGGERS_SEND_ONCE, in addition, a call that was given to a
 * connection is never sent again: when the connection is lost, the reply is UNAVAILABLE with the
 * reason CONNECTION_LOST, and the call may or may not have been carried out.
 *
 * The core ends a try after TRIGGERS_MAX_TRY_MS with DEADLINE_EXCEEDED, which is the reply. A
 * longer timeout only adds time for waits before that: for a connection and between tries.
 *
 * UNAUTHENTICATED and PERMISSION_DENIED are the reply at once, unless there is another key (see
 * api_key_source): the key is not good, or not for this.
 */

TRIGGERS_API triggers_reply *triggers_create(triggers_client *client,
                                             const triggers_new_event *event,
                                             const triggers_call_options *options);
TRIGGERS_API void triggers_create_async(triggers_client *client, const triggers_new_event *event,
                                        const triggers_call_options *options,
                                        triggers_callback *callback, void *user_data);

TRIGGERS_API triggers_reply *triggers_create_batch(triggers_client *client,
                                                   const triggers_new_event *events, size_t count,
                                                   const triggers_call_options *options);
TRIGGERS_API void triggers_create_batch_async(triggers_client *client,
                                              const triggers_new_event *events, size_t count,
                                              const triggers_call_options *options,
                                              triggers_callback *callback, void *user_data);

TRIGGERS_API triggers_reply *triggers_get(triggers_client *client, const char *event_id,
                                          const triggers_call_options *options);
TRIGGERS_API void triggers_get_async(triggers_client *client, const char *event_id,
                                     const triggers_call_options *options,
                                     triggers_callback *callback, void *user_data);

/* `request` may be NULL: the newest 50 pending events. */
TRIGGERS_API triggers_reply *triggers_list(triggers_client *client,
                                           const triggers_list_request *request,
                                           const triggers_call_options *options);
TRIGGERS_API void triggers_list_async(triggers_client *client, const triggers_list_request *request,
                                      const triggers_call_options *options,
                                      triggers_callback *callback, void *user_data);

/* Reads the log: the events of every status in the order in which they were stored. Whoever
 * continues from the reply's next_after misses none and gets none twice. OUT_OF_RANGE: events after
 * the position were removed. `request` may be NULL: the first 50. A call that waits (wait_ms) needs
 * a timeout that is longer; without one in `options` it has the client's and wait_ms. */
TRIGGERS_API triggers_reply *triggers_list_events(triggers_client *client,
                                                  const triggers_log_request *request,
                                                  const triggers_call_options *options);
TRIGGERS_API void triggers_list_events_async(triggers_client *client,
                                             const triggers_log_request *request,
                                             const triggers_call_options *options,
                                             triggers_callback *callback, void *user_data);

/* Lists the kinds of events that there are, or were, in the order in which they first came.
 * `request` may be NULL: the first 50. */
TRIGGERS_API triggers_reply *triggers_list_kinds(triggers_client *client,
                                                 const triggers_kinds_request *request,
                                                 const triggers_call_options *options);
TRIGGERS_API void triggers_list_kinds_async(triggers_client *client,
                                            const triggers_kinds_request *request,
                                            const triggers_call_options *options,
                                            triggers_callback *callback, void *user_data);

/* Walks a list to its end, fetching page after page; one thread at a time.
 *
 *     triggers_inbox *inbox = triggers_inbox_open(client, NULL, NULL);
 *     const triggers_event *event;
 *     while ((event = triggers_inbox_next(inbox))) …
 *     if (triggers_inbox_error(inbox)->code != TRIGGERS_OK) …
 *     triggers_inbox_close(inbox);
 */
typedef struct triggers_inbox triggers_inbox;

/* `request` is as in triggers_list, except that its page_token is not used; its page_size is that
 * of each page, and the names of its filter must live until the close. Of the options only the
 * timeout is used, for each page. NULL without memory. */
TRIGGERS_API triggers_inbox *triggers_inbox_open(triggers_client *client,
                                                 const triggers_list_request *request,
                                                 const triggers_call_options *options);
/* The next event, which lives until the next call or close; NULL at the end or after a failure. */
TRIGGERS_API const triggers_event *triggers_inbox_next(triggers_inbox *inbox);
/* Why the last page could not be fetched; its code is OK otherwise. Lives like an event. */
TRIGGERS_API const triggers_error *triggers_inbox_error(const triggers_inbox *inbox);
TRIGGERS_API void triggers_inbox_close(triggers_inbox *inbox); /* NULL is allowed */

/* Follows the log from a position on: each event once, in order, and then each that comes; one
 * thread at a time.
 *
 *     triggers_log_request request = {.after_sequence = position};
 *     triggers_follower *follower = triggers_follower_open(client, &request, NULL);
 *     const triggers_event *event;
 *     while ((event = triggers_follower_next(follower))) …
 *     position = triggers_follower_position(follower);
 *     if (triggers_follower_error(follower)->code != TRIGGERS_OK) …
 *     triggers_follower_close(follower);
 */
typedef struct triggers_follower triggers_follower;

/* `request` is as in triggers_list_events, except that wait_ms 0 means the longest; the names of
 * its filter must live until the close. Of the options the timeout is used, for each page and
 * longer than wait_ms, and the tag, with which triggers_cancel ends a wait. NULL without memory. */
TRIGGERS_API triggers_follower *triggers_follower_open(triggers_client *client,
                                                       const triggers_log_request *request,
                                                       const triggers_call_options *options);
/* The next event, which lives until the next call or close; waits until there is one. NULL after a
 * failure or a cancelled wait: asked again, it goes on where it was. */
TRIGGERS_API const triggers_event *triggers_follower_next(triggers_follower *follower);
/* Where another follower is to start: after the event that was given last. */
TRIGGERS_API int64_t triggers_follower_position(const triggers_follower *follower);
/* Why there was no next event; its code is OK otherwise. Lives like an event. */
TRIGGERS_API const triggers_error *triggers_follower_error(const triggers_follower *follower);
TRIGGERS_API void triggers_follower_close(triggers_follower *follower); /* NULL is allowed */

TRIGGERS_API triggers_reply *triggers_ack(triggers_client *client, const char *event_id,
                                          const triggers_call_options *options);
TRIGGERS_API void triggers_ack_async(triggers_client *client, const char *event_id,
                                     const triggers_call_options *options,
                                     triggers_callback *callback, void *user_data);

TRIGGERS_API triggers_reply *triggers_ack_batch(triggers_client *client,
                                                const char *const *event_ids, size_t count,
                                                const triggers_call_options *options);
TRIGGERS_API void triggers_ack_batch_async(triggers_client *client, const char *const *event_ids,
                                           size_t count, const triggers_call_options *options,
                                           triggers_callback *callback, void *user_data);

/* Removes the payload of the event for good; it cannot be undone. All else stays: the event keeps
 * its place in the log and its status, and its create sent again answers as before. Erasing again
 * changes nothing. The reply has the event's id and sequence. */
TRIGGERS_API triggers_reply *triggers_erase(triggers_client *client, const char *event_id,
                                            const triggers_call_options *options);
TRIGGERS_API void triggers_erase_async(triggers_client *client, const char *event_id,
                                       const triggers_call_options *options,
                                       triggers_callback *callback, void *user_data);

TRIGGERS_API triggers_reply *triggers_health(triggers_client *client,
                                             const triggers_call_options *options);
TRIGGERS_API void triggers_health_async(triggers_client *client,
                                        const triggers_call_options *options,
                                        triggers_callback *callback, void *user_data);

/* The core's metrics, for monitoring. */
TRIGGERS_API triggers_reply *triggers_stats(triggers_client *client,
                                            const triggers_call_options *options);
TRIGGERS_API void triggers_stats_async(triggers_client *client,
                                       const triggers_call_options *options,
                                       triggers_callback *callback, void *user_data);

/* Any call, with messages of protobuf-c: `method` is its full name, such as
 * "triggers.v1.EventService/GetEvent", `request` its request, which is read before the function
 * returns. A call that waits has a timeout as that of triggers_list_events. INVALID_ARGUMENT:
 * METHOD_UNKNOWN when this library knows no such method, REQUEST_INVALID when the request is that
 * of another. */
struct ProtobufCMessage;
TRIGGERS_API void triggers_call_async(triggers_client *client, const char *method,
                                      const struct ProtobufCMessage *request,
                                      const triggers_call_options *options,
                                      triggers_callback *callback, void *user_data);

/* The same, and waits for the reply. */
TRIGGERS_API triggers_reply *triggers_call(triggers_client *client, const char *method,
                                           const struct ProtobufCMessage *request,
                                           const triggers_call_options *options);

/* Reads a triggers.v1.Event in such a response; the texts are the message's. */
TRIGGERS_API void triggers_event_read(const struct ProtobufCMessage *message,
                                      triggers_event *event);

/* ---- working on a subscription's events ----
 *
 * A consumer pulls events, hands each to a handler on one of its threads, and settles it as the
 * handler says. It prolongs leases while handlers run, and goes on by itself after the core or its
 * store was unavailable.
 *
 *     static void handle(const triggers_delivery *delivery, triggers_outcome *outcome, void *data)
 *     {
 *         if (!send_mail(delivery->event.payload)) {
 *             outcome->kind = TRIGGERS_OUTCOME_NACK;
 *             snprintf(outcome->reason, sizeof(outcome->reason), "no mail server");
 *         }
 *     }
 *     triggers_consumer_options options = {
 *         .subscription = "mail", .handle = handle, .concurrency = 8};
 *     triggers_consumer *consumer;
 *     if (triggers_consumer_open(&consumer, client, puller, &options, error, sizeof(error)) …
 *     … wait for a signal …
 *     triggers_consumer_close(consumer);
 *
 * An event may be handled more than once: by another consumer when a lease was lost, or again when
 * the core did not learn in time what became of it. */

#define TRIGGERS_MAX_CONCURRENCY 1000
#define TRIGGERS_MAX_REASON 1000 /* bytes */

/* An event that was given out. It lives until its handler returns. */
typedef struct triggers_delivery {
    triggers_event event;
    const char *ack_id;          /* settles this delivery; opaque */
    uint32_t attempt;            /* how often the event was given out, this time included */
    int64_t lease_expires_at_us; /* as it was pulled; microseconds since 1970 UTC */
} triggers_delivery;

/* Whether the lease of a delivery is lost: 1 or 0. In its handler, on any thread. */
TRIGGERS_API int triggers_delivery_lost(const triggers_delivery *delivery);

/* What becomes of a delivery. */
typedef enum triggers_outcome_kind {
    TRIGGERS_OUTCOME_ACK = 0, /* done */
    TRIGGERS_OUTCOME_NACK,    /* failed: it comes again after a pause, or becomes a dead letter */
    TRIGGERS_OUTCOME_RELEASE, /* not begun: it comes again at once, and the attempt is not counted
                               */
    TRIGGERS_OUTCOME_KEEP     /* keep the lease, and release it when the consumer stops */
} triggers_outcome_kind;

typedef struct triggers_outcome {
    triggers_outcome_kind kind;
    /* Of TRIGGERS_OUTCOME_NACK: */
    char reason[TRIGGERS_MAX_REASON + 1]; /* for people; what is no UTF-8 is cut off */
    int delayed;                          /* 1: the pause is delay_seconds, to 43200 */
    uint32_t delay_seconds;
    int dead_letter; /* 1: no further attempt */
} triggers_outcome;

/* Zero-initialise; `subscription` and `handle` are needed. */
typedef struct triggers_consumer_options {
    const char *subscription;
    uint32_t concurrency;   /* handlers at once, to TRIGGERS_MAX_CONCURRENCY; 0: 1 */
    uint32_t prefetch;      /* deliveries to hold besides those that are handled, to 1000: for
                               handlers that are quicker than a call, and for those that keep */
    uint32_t lease_seconds; /* 0: as the subscription says */
    uint64_t max_events;    /* stop when so many were handled; 0: go on */
    int no_wait;            /* 1: stop when there is nothing to give out */

    /* Deals with a delivery; may block. The outcome is zeroed, which means done. Several run at
     * once. */
    void (*handle)(const triggers_delivery *delivery, triggers_outcome *outcome, void *user_data);
    /* The rest may be NULL. They run on a thread of the consumer, one at a time, and hold it up.
     * The lease of a delivery is lost: somebody else may have it, or it was settled. Its handler
     * still runs, and its outcome will not matter. */
    void (*lost)(const triggers_delivery *delivery, void *user_data);
    /* A call failed, of which only the first of a row is told, and is made again unless the
     * consumer stops; or, with a delivery (else NULL), its outcome could not be stored. */
    void (*failed)(const triggers_error *error, const triggers_delivery *delivery, void *user_data);
    /* It has stopped, and all is settled. */
    void (*ended)(void *user_data);
    void *user_data;
} triggers_consumer_options;

/* How many deliveries had which end. */
typedef struct triggers_consumer_counts {
    uint64_t acked;
    uint64_t nacked;
    uint64_t released;
    uint64_t lost; /* begun, but the lease was lost, or the outcome could not be sent */
} triggers_consumer_counts;

typedef struct triggers_consumer triggers_consumer;

/* Starts to work; no core need be reachable yet. `client` must outlive the consumer. `puller` is
 * another one, which the consumer takes, on failure too, and closes when it stops: as its
 * connection ends, the core gives nothing to a pull that nobody waits for any more. On failure
 * (INVALID_ARGUMENT, RESOURCE_EXHAUSTED) *consumer is NULL and `error` gets a text. */
TRIGGERS_API triggers_code triggers_consumer_open(triggers_consumer **consumer,
                                                  triggers_client *client, triggers_client *puller,
                                                  const triggers_consumer_options *options,
                                                  char *error, size_t error_size);
/* Nothing more is begun: what runs is finished and settled, the rest released. Does not wait; any
 * thread, a handler too. */
TRIGGERS_API void triggers_consumer_stop(triggers_consumer *consumer);
/* Waits until it has stopped: by triggers_consumer_stop, max_events or no_wait, or as a call failed
 * for good, as when there is no such subscription. `counts` may be NULL. Returns why it failed, or
 * OK; lives until the close. Not from a handler. */
TRIGGERS_API const triggers_error *triggers_consumer_wait(triggers_consumer *consumer,
                                                          triggers_consumer_counts *counts);
/* Stops, waits and frees. NULL is allowed; not from a handler. */
TRIGGERS_API void triggers_consumer_close(triggers_consumer *consumer);

#ifdef __cplusplus
}
#endif

#endif
