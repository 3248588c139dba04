/* Lines of a file or of stdin, each with a cap on its length. */
#ifndef TRIGGERS_CLI_LINES_H
#define TRIGGERS_CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define LINE_MAX_SIZE ((size_t)2 << 20)

struct lines {
    int fd;
    char *data; /* LINE_MAX_SIZE bytes */
    size_t start, end;
    size_t number; /* of the line last returned, from 1 */
    bool at_end;
};

enum line_result { LINE_READ, LINE_TOO_LONG, LINES_END, LINES_FAILED };

/* Opens a file, or stdin for "-"; false after saying why on stderr. */
bool lines_open(struct lines *lines, const char *path);
void lines_close(struct lines *lines);

/* The next line, without its line break and without a byte order mark before it, which concatenated
 * files may have; valid until the next call. LINE_TOO_LONG: one was skipped. LINES_FAILED: after
 * saying why on stderr. */
enum line_result lines_next(struct lines *lines, const char **line, size_t *size);

/* Whether lines_next would wait for no input, or only for the rest of a line. */
bool lines_ready(const struct lines *lines);

#endif
