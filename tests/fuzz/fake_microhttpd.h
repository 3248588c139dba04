/* libmicrohttpd's part of one request, without sockets: the functions that the bridge calls stand
 * here in place of the library's. */
#ifndef TRIGGERS_TESTS_FUZZ_FAKE_MICROHTTPD_H
#define TRIGGERS_TESTS_FUZZ_FAKE_MICROHTTPD_H

#include <microhttpd.h>
#include <stddef.h>

#define HTTP_MAX_FIELDS 32

/* A name and a value, as the library hands them out. */
struct http_field {
    char *name;
    char *value; /* NULL: a query parameter without "=" */
};

struct http_fields {
    struct http_field list[HTTP_MAX_FIELDS];
    size_t count;
};

/* What the library has read, and what the bridge has answered. */
struct MHD_Connection {
    const char *method;
    const char *path;
    const char *version;
    struct http_fields headers;
    struct http_fields query;
    const char *body;
    size_t body_size;

    unsigned status; /* 0: not answered */
    struct MHD_Response *response;
};

struct MHD_Response {
    struct http_fields headers; /* borrowed from nobody: copies */
    const char *body;
    size_t body_size;
    MHD_ContentReaderCallback read_body; /* NULL: `body` has it */
    MHD_ContentReaderFreeCallback free_body;
    void *free_argument;
};

/* The value of a header; NULL when there is none. */
const char *http_field(const struct http_fields *fields, const char *name);

/* Has the bridge handle the request as the library would: headers, body in two pieces, end. Free
 * the response afterwards with connection_fini. */
void connection_serve(struct MHD_Connection *connection);
void connection_fini(struct MHD_Connection *connection);

#endif
