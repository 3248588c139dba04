/* A body grows by doubling; zlib's memory is charged to the request, too. */
#include "body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/check.h"

/* The room that a body gets at first. */
#define FIRST_ROOM 1024

/* What a create may have besides its payload. */
#define CREATE_SLACK 65536

#define WINDOW_BITS 15 /* enough for every sender */
#define GZIP_FORMAT 16 /* added to the bits of a window: zlib.h, inflateInit2 */

/* JSON rarely shrinks to a twentieth; a body that does nothing but expand is not read to its end.
 */
#define RATIO_MAX 100
#define RATIO_FROM (1u << 20)

struct gunzip {
    z_stream stream;
    struct charge *charge;
    size_t charged;
    bool ended; /* a member has ended; another may follow (RFC 1952 section 2.2) */
};

static void gunzip_free(struct gunzip *gunzip)
{
    if (!gunzip)
        return;
    inflateEnd(&gunzip->stream);
    charge_release(gunzip->charge, gunzip->charged);
    free(gunzip);
}

void body_drop(struct request *request)
{
    free(request->body);
    charge_release(&request->charge, request->body_room);
    request->body = NULL;
    request->body_size = 0;
    request->body_room = 0;
    request->body_cap = 0;
    gunzip_free(request->gunzip);
    request->gunzip = NULL;
}

/* How much room to make when `size` bytes are there: twice as much as before, so that little is
 * moved, but no more than the whole body if its length is known. */
static size_t next_room(const struct request *request, size_t size)
{
    uint64_t stated = headers_content_length(&request->headers);
    size_t room = request->body_room > FIRST_ROOM / 2 ? 2 * request->body_room : FIRST_ROOM;
    if (stated >= size && room > stated)
        room = (size_t)stated;
    return room > size ? room : size;
}

/* A body of this size is useful only when there is room for its call. A quarter is left for those
 * ahead of it. */
static size_t body_spare(const struct request *request, size_t size)
{
    size_t call = request_call_room(size);
    size_t quarter = request->bridge->memory.budget.ceiling / 4;
    return call > quarter ? call : quarter;
}

/* Makes room for `size` bytes in request->body. */
static enum memory_result make_room(struct request *request, size_t size)
{
    CHECK(request->body_size <= request->body_room);
    if (size <= request->body_room)
        return MEMORY_TAKEN;
    size_t room = next_room(request, size);
    enum memory_result result = memory_take(&request->bridge->memory, &request->room,
                                            room - request->body_room, body_spare(request, room));
    if (result != MEMORY_TAKEN)
        return result;
    char *body = realloc(request->body, room);
    if (!body) {
        charge_release(&request->charge, room - request->body_room);
        return MEMORY_REFUSED;
    }
    request->body = body;
    request->body_room = room;
    return MEMORY_TAKEN;
}

static enum body_result keep_piece(struct request *request, const char *bytes, size_t size)
{
    bool kept = request->body_cap > 0 && !request->answer.status;
    CHECK(!kept || request->body_size <= request->body_cap);
    bool fits = kept && size <= request->body_cap - request->body_size;
    enum memory_result room = fits ? make_room(request, request->body_size + size) : MEMORY_REFUSED;
    if (room == MEMORY_WAITS)
        return BODY_WAITS;
    request->received += size;
    if (!kept)
        return request->received <= BODY_DISCARD_MAX ? BODY_TAKEN : BODY_CLOSES;
    if (room == MEMORY_TAKEN) {
        CHECK(size <= request->body_room - request->body_size);
        memcpy(request->body + request->body_size, bytes, size);
        request->body_size += size;
        return BODY_TAKEN;
    }
    if (fits)
        request_fail_overloaded(request);
    else
        request_fail(request, 413, "BODY_TOO_LARGE", "The body is too large");
    body_drop(request);
    return BODY_TAKEN;
}

/* ---- gzip ---- */

static voidpf take_memory(voidpf pointer, uInt count, uInt size)
{
    struct gunzip *gunzip = pointer;
    size_t bytes = (size_t)count * size;
    CHECK(bytes > 0 && bytes <= UINT32_MAX);
    void *memory = charge_add(gunzip->charge, bytes) ? malloc(bytes) : NULL;
    gunzip->charged += memory ? bytes : 0;
    return memory;
}

static void release_memory(voidpf pointer, voidpf memory)
{
    (void)pointer;
    free(memory);
}

static void begin_gunzip(struct request *request)
{
    CHECK(!request->gunzip && request->body_cap > 0);
    struct gunzip *gunzip = calloc(1, sizeof(*gunzip));
    if (gunzip) {
        gunzip->charge = &request->charge;
        gunzip->stream.zalloc = take_memory;
        gunzip->stream.zfree = release_memory;
        gunzip->stream.opaque = gunzip;
        request->gunzip = gunzip;
    }
    if (!gunzip || inflateInit2(&gunzip->stream, WINDOW_BITS + GZIP_FORMAT) != Z_OK) {
        request_fail_overloaded(request);
        body_drop(request);
    }
}

static void fail_malformed(struct request *request, const char *why)
{
    char detail[128];
    snprintf(detail, sizeof(detail), "The body is not valid gzip: %s", why);
    request_fail(request, 400, "MALFORMED_GZIP", detail);
}

/* Expands as much as there is room for. False after having answered. */
static bool expand_some(struct request *request, size_t room)
{
    struct gunzip *gunzip = request->gunzip;
    z_stream *stream = &gunzip->stream;
    CHECK(room > request->body_size && room <= request->body_room);
    stream->next_out = (Bytef *)request->body + request->body_size;
    stream->avail_out = (uInt)(room - request->body_size);
    uInt given = stream->avail_in;
    int code = inflate(stream, Z_NO_FLUSH);
    request->received += given - stream->avail_in;
    request->body_size = room - stream->avail_out;
    gunzip->ended = code == Z_STREAM_END;
    if (code == Z_MEM_ERROR)
        request_fail_overloaded(request);
    else if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        fail_malformed(request, stream->msg ? stream->msg : "it needs a dictionary");
    else if (request->body_size > request->body_cap)
        request_fail(request, 413, "BODY_TOO_LARGE", "The body is too large when it is expanded");
    else if (request->body_size > RATIO_FROM && request->body_size / RATIO_MAX > request->received)
        request_fail(request, 413, "BODY_TOO_LARGE",
                     "The body expands to more than 100 times what was sent");
    return !request->answer.status;
}

/* Room for one byte more than is allowed shows that the body is too long. */
static enum memory_result make_room_to_expand(struct request *request, size_t *room)
{
    size_t most = request->body_cap + 1;
    enum memory_result result = make_room(request, request->body_size + 1);
    *room = request->body_room < most ? request->body_room : most;
    return result;
}

/* Expands until the input is used up and the output has room left. */
static enum body_result expand_all(struct request *request)
{
    struct gunzip *gunzip = request->gunzip;
    z_stream *stream = &gunzip->stream;
    do {
        if (gunzip->ended && stream->avail_in == 0)
            break;
        if (gunzip->ended)
            CHECK(inflateReset(stream) == Z_OK);
        size_t room;
        enum memory_result result = make_room_to_expand(request, &room);
        if (result == MEMORY_WAITS)
            return BODY_WAITS;
        if (result == MEMORY_REFUSED)
            request_fail_overloaded(request);
        if (result == MEMORY_REFUSED || !expand_some(request, room)) {
            body_drop(request);
            return BODY_TAKEN;
        }
    } while (stream->avail_in > 0 || stream->avail_out == 0);
    return BODY_TAKEN;
}

/* `size` becomes the size of what was not read. */
static enum body_result expand(struct request *request, const char *bytes, size_t *size)
{
    z_stream *stream = &request->gunzip->stream;
    CHECK(*size <= UINT32_MAX);
    stream->next_in = (Bytef *)bytes;
    stream->avail_in = (uInt)*size;
    enum body_result result = expand_all(request);
    *size = result == BODY_WAITS ? stream->avail_in : 0;
    return result;
}

/* ---- from its beginning to its end ---- */

static void refuse_coding(struct request *request)
{
    request_fail(request, 415, "CONTENT_ENCODING_UNSUPPORTED",
                 "Content-Encoding must be gzip, or identity for a body that is not compressed");
    request->answer.wrong_coding = true;
}

void body_begin(struct request *request)
{
    CHECK(request->body_cap == 0 && !request->gunzip);
    bool batch = request->route->body == BODY_LIST;
    enum media_type type = headers_media_type(&request->headers);
    enum content_coding coding = headers_content_coding(&request->headers);
    size_t cap =
        batch ? REQUEST_BATCH_MAX : (size_t)request->bridge->settings.max_payload + CREATE_SLACK;
    if (type == MEDIA_OTHER || (type == MEDIA_NDJSON && !batch))
        request_fail(request, 415, "CONTENT_TYPE_UNSUPPORTED",
                     batch ? "Content-Type must be application/json or application/x-ndjson"
                           : "Content-Type must be application/json");
    else if (coding == CODING_OTHER)
        refuse_coding(request);
    else if (headers_content_length(&request->headers) > cap)
        request_fail(request, 413, "BODY_TOO_LARGE", "The body is too large");
    else
        request->body_cap = cap;
    if (request->body_cap > 0 && coding == CODING_GZIP)
        begin_gunzip(request);
}

enum body_result body_add(struct request *request, const char *bytes, size_t *size)
{
    if (request->gunzip)
        return expand(request, bytes, size);
    enum body_result result = keep_piece(request, bytes, *size);
    if (result != BODY_WAITS)
        *size = 0;
    return result;
}

bool body_end(struct request *request)
{
    size_t none = 0;
    if (!request->gunzip)
        return true;
    if (expand(request, "", &none) == BODY_WAITS)
        return false;
    if (request->gunzip && !request->gunzip->ended)
        fail_malformed(request, "it ends too early");
    gunzip_free(request->gunzip);
    request->gunzip = NULL;
    return true;
}
