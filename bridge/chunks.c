/* What is seen is libmicrohttpd's buffer as process_request_body and get_next_header_line of 0.9.75
 * leave it: chunks as they came, then trailers from the buffer's start, each CR and LF after them
 * overwritten with a NUL. */
#include "chunks.h"

#include <string.h>

/* Bytes of the last chunk's line that are looked at. Fewer than libmicrohttpd always has behind
 * what it receives: for a chunked body it keeps two headers there. */
#define LAST_LINE_MAX 64

static bool is_crlf(const char *bytes)
{
    return bytes[0] == '\r' && bytes[1] == '\n';
}

/* What follows the line, which must end within `size` bytes and with CRLF; else NULL. */
static const char *pass_line(const char *line, size_t size)
{
    const char *end = memchr(line, '\n', size);
    return end && end > line + 1 && end[-1] == '\r' ? end + 1 : NULL;
}

void chunks_begin(struct chunks *chunks, const char *buffer, uint64_t turn)
{
    *chunks = (struct chunks){.buffer = buffer, .turn = turn};
    chunks->ends_well = buffer && pass_line(buffer, LAST_LINE_MAX);
}

/* The line of a chunk's size, behind the end of the chunk before if that came with it. */
static bool is_between(const char *start, const char *piece)
{
    const char *line = piece - start >= 2 && is_crlf(start) ? start + 2 : start;
    return pass_line(line, (size_t)(piece - line)) == piece;
}

bool chunks_check(struct chunks *chunks, const char *piece, size_t size, uint64_t turn)
{
    if (!chunks->buffer)
        return true;
    const char *end = piece + size;
    const char *start = chunks->end && chunks->turn == turn ? chunks->end : chunks->buffer;
    chunks->end = end;
    chunks->turn = turn;
    chunks->ends_well = is_crlf(end) && pass_line(end + 2, LAST_LINE_MAX);
    return piece <= start || is_between(start, piece);
}

struct trailers {
    const char *start;
    const char *line; /* the next one; NULL: one was not where it should be */
};

/* The last header of the head is among them, in front, when a line came in pieces. */
static enum MHD_Result pass_trailer(void *argument, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    (void)kind;
    struct trailers *trailers = argument;
    if (name < trailers->start)
        return MHD_YES;
    trailers->line = name == trailers->line ? value + strlen(value) + strlen("\r\n") : NULL;
    return trailers->line ? MHD_YES : MHD_NO;
}

bool chunks_check_end(const struct chunks *chunks, struct MHD_Connection *connection, uint64_t turn)
{
    struct trailers trailers = {chunks->buffer, chunks->buffer};
    if (!chunks->buffer)
        return true;
    MHD_get_connection_values(connection, MHD_FOOTER_KIND, pass_trailer, &trailers);
    const char *line = trailers.line;
    if (!line || line[0] != '\0' || line[1] != '\0')
        return false;
    return chunks->turn != turn || chunks->ends_well;
}
