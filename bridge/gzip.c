/* Both directions use zlib, whose memory is charged to the request. */
#include "gzip.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/check.h"

#define GZIP_FORMAT 16 /* added to the bits of a window: zlib.h, inflateInit2 */

/* ---- bodies ---- */

#define WINDOW_BITS 15 /* enough for every sender */

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

void gunzip_begin(struct request *request)
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
        request_drop_body(request);
    }
}

void gunzip_free(struct gunzip *gunzip)
{
    if (!gunzip)
        return;
    inflateEnd(&gunzip->stream);
    charge_release(gunzip->charge, gunzip->charged);
    free(gunzip);
}

static void fail_malformed(struct request *request, const char *why)
{
    char detail[128];
    snprintf(detail, sizeof(detail), "The body is not valid gzip: %s", why);
    request_fail(request, 400, "MALFORMED_GZIP", detail);
}

/* Expands as much as there is room for. False after having answered. */
static bool expand(struct request *request, size_t room)
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
static enum memory_result make_room(struct request *request, size_t *room)
{
    size_t most = request->body_cap + 1;
    enum memory_result result = request_make_room(request, request->body_size + 1);
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
        enum memory_result result = make_room(request, &room);
        if (result == MEMORY_WAITS)
            return BODY_WAITS;
        if (result == MEMORY_REFUSED)
            request_fail_overloaded(request);
        if (result == MEMORY_REFUSED || !expand(request, room)) {
            request_drop_body(request);
            return BODY_TAKEN;
        }
    } while (stream->avail_in > 0 || stream->avail_out == 0);
    return BODY_TAKEN;
}

enum body_result gunzip_add(struct request *request, const char *bytes, size_t *size)
{
    z_stream *stream = &request->gunzip->stream;
    CHECK(*size <= UINT32_MAX);
    stream->next_in = (Bytef *)bytes;
    stream->avail_in = (uInt)*size;
    enum body_result result = expand_all(request);
    *size = result == BODY_WAITS ? stream->avail_in : 0;
    return result;
}

bool gunzip_end(struct request *request)
{
    size_t none = 0;
    if (gunzip_add(request, "", &none) == BODY_WAITS)
        return false;
    if (request->gunzip && !request->gunzip->ended)
        fail_malformed(request, "it ends too early");
    gunzip_free(request->gunzip);
    request->gunzip = NULL;
    return true;
}

/* ---- answers ---- */

/* Fast, with a quarter of the memory of zlib's defaults; the result is a few per cent longer. */
#define ANSWER_LEVEL 1
#define ANSWER_WINDOW_BITS 13
#define ANSWER_MEMORY 6

/* The memory of a stream with these (zconf.h), and some for the rest of it. */
#define ANSWER_COST ((1u << (ANSWER_WINDOW_BITS + 2)) + (1u << (ANSWER_MEMORY + 9)) + 8192)

#define ANSWER_STEP 65536 /* of the text, in one go */

struct gzip {
    z_stream stream;
    size_t left; /* bytes of the text not yet given to the stream */
    char *owned; /* the text's memory; NULL: static */
    bool ended;
};

/* Compresses a part of the text. */
static void compress_step(struct gzip *gzip)
{
    z_stream *stream = &gzip->stream;
    if (stream->avail_in == 0) {
        stream->avail_in = (uInt)(gzip->left < ANSWER_STEP ? gzip->left : ANSWER_STEP);
        CHECK(stream->avail_in <= gzip->left);
        gzip->left -= stream->avail_in;
    }
    int code = deflate(stream, gzip->left > 0 ? Z_NO_FLUSH : Z_FINISH);
    CHECK(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR);
    gzip->ended = code == Z_STREAM_END;
}

size_t gzip_read(struct gzip *gzip, char *out, size_t size)
{
    CHECK(size > 0);
    gzip->stream.next_out = (Bytef *)out;
    gzip->stream.avail_out = (uInt)size;
    /* What compresses well takes several steps for a byte. */
    while (gzip->stream.avail_out == size && !gzip->ended)
        compress_step(gzip);
    return size - gzip->stream.avail_out;
}

void gzip_free(struct gzip *gzip)
{
    deflateEnd(&gzip->stream);
    free(gzip->owned);
    free(gzip);
}

static struct gzip *gzip_new(const struct answer *answer)
{
    struct gzip *gzip = calloc(1, sizeof(*gzip));
    if (!gzip)
        return NULL;
    gzip->stream.next_in = answer->file ? (Bytef *)answer->file : (Bytef *)answer->body.data;
    gzip->left = answer->file ? answer->file_size : answer->body.size;
    if (deflateInit2(&gzip->stream, ANSWER_LEVEL, Z_DEFLATED, ANSWER_WINDOW_BITS + GZIP_FORMAT,
                     ANSWER_MEMORY, Z_DEFAULT_STRATEGY) == Z_OK)
        return gzip;
    gzip_free(gzip);
    return NULL;
}

struct gzip *gzip_begin(struct answer *answer, struct charge *charge)
{
    struct gzip *gzip = charge_add(charge, ANSWER_COST) ? gzip_new(answer) : NULL;
    if (!gzip)
        return NULL;
    gzip->owned = answer->body.data;
    answer->body.data = NULL;
    return gzip;
}
