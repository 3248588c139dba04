/* The callbacks that http.c gives to MHD_start_daemon are kept and called by connection_serve. */
#include "fake_microhttpd.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "loop.h"

static struct {
    MHD_AccessHandlerCallback handle;
    void *handle_argument;
    MHD_RequestCompletedCallback completed;
    void *completed_argument;
} callbacks;

/* Reads the options that http.c sets and keeps the one that matters. */
static void read_options(va_list args)
{
    for (;;) {
        enum MHD_OPTION option = va_arg(args, enum MHD_OPTION);
        if (option == MHD_OPTION_END)
            return;
        void *first = va_arg(args, void *);
        if (option == MHD_OPTION_ARRAY)
            continue;
        void *second = va_arg(args, void *);
        if (option == MHD_OPTION_NOTIFY_COMPLETED) {
            callbacks.completed = (MHD_RequestCompletedCallback)first;
            callbacks.completed_argument = second;
        }
    }
}

struct MHD_Daemon *MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accept,
                                    void *accept_argument, MHD_AccessHandlerCallback handle,
                                    void *handle_argument, ...)
{
    (void)flags;
    (void)port;
    (void)accept;
    (void)accept_argument;
    callbacks.handle = handle;
    callbacks.handle_argument = handle_argument;
    va_list args;
    va_start(args, handle_argument);
    read_options(args);
    va_end(args);
    MUST(callbacks.completed);
    return NULL;
}

const char *http_field(const struct http_fields *fields, const char *name)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (strcasecmp(fields->list[i].name, name) == 0)
            return fields->list[i].value;
    }
    return NULL;
}

int MHD_get_connection_values(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                              MHD_KeyValueIterator iterator, void *iterator_argument)
{
    const struct http_fields *fields =
        kind == MHD_HEADER_KIND ? &connection->headers : &connection->query;
    for (size_t i = 0; i < fields->count; i++) {
        if (iterator(iterator_argument, kind, fields->list[i].name, fields->list[i].value) ==
            MHD_NO)
            break;
    }
    return (int)fields->count;
}

struct MHD_Response *MHD_create_response_from_buffer_with_free_callback_cls(
    size_t size, void *buffer, MHD_ContentReaderFreeCallback free_body, void *free_argument)
{
    struct MHD_Response *response = calloc(1, sizeof(*response));
    MUST(response);
    response->body = buffer;
    response->body_size = size;
    response->free_body = free_body;
    response->free_argument = free_argument;
    return response;
}

struct MHD_Response *MHD_create_response_from_callback(uint64_t size, size_t block,
                                                       MHD_ContentReaderCallback read_body,
                                                       void *argument,
                                                       MHD_ContentReaderFreeCallback free_body)
{
    (void)size;
    (void)block;
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(0, NULL, free_body, argument);
    response->read_body = read_body;
    return response;
}

/* As the library does, into as much room as there happens to be. */
static void read_to_end(struct MHD_Response *response)
{
    char piece[100];
    while (response->read_body) {
        ssize_t size =
            response->read_body(response->free_argument, response->body_size, piece, sizeof(piece));
        if (size == MHD_CONTENT_READER_END_OF_STREAM)
            return;
        MUST(size > 0 && (size_t)size <= sizeof(piece));
        response->body_size += (size_t)size;
    }
}

enum MHD_Result MHD_add_response_header(struct MHD_Response *response, const char *name,
                                        const char *value)
{
    MUST(response->headers.count < HTTP_MAX_FIELDS);
    response->headers.list[response->headers.count++] =
        (struct http_field){strdup(name), strdup(value)};
    return MHD_YES;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                   struct MHD_Response *response)
{
    MUST(!connection->response);
    connection->status = status;
    connection->response = response;
    return MHD_YES;
}

/* The bridge gives its reference up right after queueing; the connection holds the response. */
void MHD_destroy_response(struct MHD_Response *response)
{
    (void)response;
}

/* All requests come over one connection. */
const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *connection,
                                                        enum MHD_ConnectionInfoType type, ...)
{
    (void)type;
    static struct connections connections = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    static struct loop loop = {.connections = &connections};
    static struct connection peer = {.magic = CONNECTION_MAGIC, .loop = &loop, .host = "10.0.0.1"};
    static const union MHD_ConnectionInfo info = {.socket_context = &peer};
    peer.http = connection;
    return &info;
}

void MHD_suspend_connection(struct MHD_Connection *connection)
{
    (void)connection;
    MUST(false); /* its client is closed: there is nothing to wait for */
}

static enum MHD_Result handle(struct MHD_Connection *connection, const char *upload, size_t size,
                              void **context)
{
    size_t left = size;
    enum MHD_Result result =
        callbacks.handle(callbacks.handle_argument, connection, connection->path,
                         connection->method, connection->version, upload, &left, context);
    MUST(left == 0);
    return result;
}

void connection_serve(struct MHD_Connection *connection)
{
    void *context = NULL;
    size_t half = connection->body_size / 2;
    size_t rest = connection->body_size - half;
    enum MHD_Result result = handle(connection, NULL, 0, &context);
    if (result == MHD_YES && !connection->response && half > 0)
        result = handle(connection, connection->body, half, &context);
    if (result == MHD_YES && !connection->response && rest > 0)
        result = handle(connection, connection->body + half, rest, &context);
    if (result == MHD_YES && !connection->response)
        result = handle(connection, NULL, 0, &context);
    MUST(result == MHD_YES && connection->response);
    callbacks.completed(callbacks.completed_argument, connection, &context,
                        MHD_REQUEST_TERMINATED_COMPLETED_OK);
    MUST(!context);
}

void connection_fini(struct MHD_Connection *connection)
{
    struct MHD_Response *response = connection->response;
    read_to_end(response);
    for (size_t i = 0; i < response->headers.count; i++) {
        free(response->headers.list[i].name);
        free(response->headers.list[i].value);
    }
    if (response->free_body)
        response->free_body(response->free_argument);
    free(response);
}
