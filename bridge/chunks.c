/* Data is skipped; lines are checked byte by byte. */
#include "chunks.h"

#include "base/check.h"

void chunks_begin(struct chunks *chunks)
{
    *chunks = (struct chunks){.state = CHUNKS_SIZE};
}

static uint64_t digit_value(char digit)
{
    return digit <= '9' ? (uint64_t)(digit - '0') : (uint64_t)((digit | 0x20) - 'a' + 10);
}

static void end_line(struct chunks *chunks)
{
    if (chunks->state == CHUNKS_TRAILER)
        chunks->state = chunks->in_line == 0 ? CHUNKS_NONE : CHUNKS_TRAILER;
    else if (chunks->state == CHUNKS_END)
        chunks->state = CHUNKS_SIZE;
    else
        chunks->state = chunks->left > 0 ? CHUNKS_DATA : CHUNKS_TRAILER;
    chunks->in_line = 0;
}

/* Reads a byte of a line; false when the line ends without CR. */
static bool scan_byte(struct chunks *chunks, char byte)
{
    bool after_cr = chunks->after_cr;
    chunks->after_cr = byte == '\r';
    if (byte == '\n') {
        end_line(chunks);
        return after_cr;
    }
    if (byte == '\r')
        return true;
    chunks->in_line++;
    if (byte == ';' && chunks->state == CHUNKS_SIZE)
        chunks->state = CHUNKS_EXTENSION;
    else if (chunks->state == CHUNKS_SIZE)
        chunks->left = chunks->left << 4 | digit_value(byte);
    return true;
}

static size_t skip_data(struct chunks *chunks, size_t size)
{
    size_t skipped = chunks->left < size ? (size_t)chunks->left : size;
    CHECK(chunks->left > 0);
    CHECK(skipped > 0);
    chunks->left -= skipped;
    if (chunks->left == 0)
        chunks->state = CHUNKS_END;
    return skipped;
}

size_t chunks_scan(struct chunks *chunks, const char *bytes, size_t size)
{
    size_t used = 0;
    while (!chunks->malformed && used < size && chunks->state != CHUNKS_NONE) {
        if (chunks->state == CHUNKS_DATA)
            used += skip_data(chunks, size - used);
        else
            chunks->malformed = !scan_byte(chunks, bytes[used++]);
    }
    return used;
}
