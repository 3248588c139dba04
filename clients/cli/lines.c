/* Reading by blocks into one buffer, in which a line must fit. */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cli.h"

bool lines_open(struct lines *lines, const char *path)
{
    *lines = (struct lines){.fd = STDIN_FILENO};
    if (strcmp(path, "-") != 0)
        lines->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (lines->fd < 0) {
        cli_complain("cannot open %s: %s", path, strerror(errno));
        return false;
    }
    lines->data = malloc(LINE_MAX_SIZE);
    if (lines->data)
        return true;
    cli_complain("out of memory");
    lines_close(lines);
    return false;
}

void lines_close(struct lines *lines)
{
    if (lines->fd != STDIN_FILENO)
        close(lines->fd);
    free(lines->data);
}

/* Reads more input into the buffer; false after saying why on stderr. */
static bool read_more(struct lines *lines)
{
    if (lines->start > 0) {
        memmove(lines->data, lines->data + lines->start, lines->end - lines->start);
        lines->end -= lines->start;
        lines->start = 0;
    }
    ssize_t got;
    do {
        got = read(lines->fd, lines->data + lines->end, LINE_MAX_SIZE - lines->end);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        cli_complain("cannot read the input: %s", strerror(errno));
        return false;
    }
    lines->at_end = got == 0;
    lines->end += (size_t)got;
    return true;
}

/* Makes the buffer hold a whole line, or be full, or be at the end. `line_end` gets the index of
 * the line break, or of the end. */
static bool fill(struct lines *lines, size_t *line_end)
{
    size_t searched = lines->start;
    for (;;) {
        char *found = memchr(lines->data + searched, '\n', lines->end - searched);
        *line_end = found ? (size_t)(found - lines->data) : lines->end;
        bool full = lines->end - lines->start == LINE_MAX_SIZE;
        if (found || full || lines->at_end)
            return true;
        searched = lines->end - lines->start; /* where the line break will be */
        if (!read_more(lines))
            return false;
    }
}

/* Drops everything up to the next line break. */
static enum line_result skip_line(struct lines *lines)
{
    for (;;) {
        size_t end;
        lines->start = lines->end;
        if (!fill(lines, &end))
            return LINES_FAILED;
        if (end < lines->end || lines->at_end) {
            lines->start = end < lines->end ? end + 1 : end;
            return LINE_TOO_LONG;
        }
    }
}

enum line_result lines_next(struct lines *lines, const char **line, size_t *size)
{
    size_t end;
    if (!fill(lines, &end))
        return LINES_FAILED;
    if (lines->start == lines->end)
        return LINES_END;
    lines->number++;
    if (end == lines->end && !lines->at_end)
        return skip_line(lines);
    *line = lines->data + lines->start;
    *size = end - lines->start;
    if (*size > 0 && (*line)[*size - 1] == '\r')
        --*size;
    json_skip_mark(line, size);
    lines->start = end < lines->end ? end + 1 : end;
    return LINE_READ;
}

bool lines_ready(const struct lines *lines)
{
    struct pollfd input = {.fd = lines->fd, .events = POLLIN};
    return lines->at_end || lines->start < lines->end || poll(&input, 1, 0) > 0;
}
