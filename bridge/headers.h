/* The headers of a request that the bridge uses, and whether its framing can be trusted. */
#ifndef TRIGGERS_BRIDGE_HEADERS_H
#define TRIGGERS_BRIDGE_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEADERS_PREFIX_SIZE 256

/* The most bytes of an Authorization that are passed on. */
#define HEADERS_AUTHORIZATION_MAX 256

/* Values belong to the connection and live as long as the request; NULL: not sent. Of a header sent
 * several times the last one counts. */
struct headers {
    const char *content_length;
    const char *transfer_encoding;
    const char *host;
    const char *content_type;
    const char *content_encoding;
    const char *accept_encoding;
    const char *expect;
    const char *origin;
    const char *fetch_site; /* Sec-Fetch-Site: browsers only */
    const char *request_id;
    const char *traceparent;
    const char *last_event_id; /* Last-Event-ID */
    const char *idempotency_key;
    const char *x_idempotency_key; /* X-Idempotency-Key, the name that some clients use */
    const char *forwarded_prefix;
    const char *forwarded_for; /* X-Forwarded-For */
    const char *authorization;
    const char *cors_method;  /* Access-Control-Request-Method */
    const char *cors_headers; /* Access-Control-Request-Headers */
    unsigned content_lengths; /* how many were sent */
    unsigned transfer_encodings;
    unsigned hosts;
    unsigned origins;
    unsigned idempotency_keys;
    unsigned x_idempotency_keys;
    unsigned authorizations;
    bool needs_type; /* set by the owner: a body from a browser must state its type */
};

/* Sets what one header of a request says; NULL is as good as "". */
void headers_note(struct headers *headers, const char *name, const char *value);

/* Whether the bridge or libmicrohttpd uses a header. */
bool headers_are_read(const char *name);

/* The most bytes of a header's value that are of use; SIZE_MAX: all of them. */
size_t headers_most(const char *name);

/* NULL, or what is wrong with how the request states where its body ends (RFC 9112 sections 3.2,
 * 5.1 and 6.3). libmicrohttpd accepts such requests, and a proxy that reads them differently could
 * be made to let others pass unseen. */
const char *headers_framing_error(const struct headers *headers, const char *version);

/* The length of the body, as stated; 0 when it is not stated. */
uint64_t headers_content_length(const struct headers *headers);

enum media_type { MEDIA_OTHER, MEDIA_JSON, MEDIA_NDJSON };

/* The kind of a Content-Type, without its parameters. A missing one counts as JSON, as in the
 * service that this one replaces, unless it is needed (needs_type). CloudEvents are MEDIA_OTHER,
 * whatever their format. */
enum media_type headers_media_type(const struct headers *headers);

enum content_coding { CODING_IDENTITY, CODING_GZIP, CODING_OTHER };

/* How the body is coded, as Content-Encoding says. Names of character encodings, which some clients
 * put there, are ignored. */
enum content_coding headers_content_coding(const struct headers *headers);

/* Whether Accept-Encoding prefers gzip to an uncompressed answer (RFC 9110 section 12.5.3). */
bool headers_accept_gzip(const struct headers *headers);

bool headers_expect_continue(const struct headers *headers);

/* Copies the prefix that a proxy removed from the path, as X-Forwarded-Prefix says, without a slash
 * at the end; "" when there is none. The prefixes of several proxies are joined. One that is not a
 * path of letters, digits and "-._~%" is ignored. */
void headers_copy_prefix(const struct headers *headers, char prefix[HEADERS_PREFIX_SIZE]);

/* Whether a list of header names asked for by a preflight can be echoed: token characters, commas
 * and blanks, at most 1024 of them. */
bool headers_name_list_valid(const char *names);

/* Whether a request id can be echoed: 1 to 128 visible ASCII characters. */
bool headers_request_id_valid(const char *text);

#endif
