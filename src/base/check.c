/* The end of a program that has found itself to be wrong. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Neither the log nor stdio's buffers, whose locks this thread may hold. */
void check_failed(const char *file, int line, const char *expression)
{
    char text[512];
    int length = snprintf(text, sizeof(text), "%s:%d: check failed: %s\n", file, line, expression);
    if (length > (int)sizeof(text) - 1)
        length = (int)sizeof(text) - 1;
    ssize_t written = write(STDERR_FILENO, text, (size_t)length);
    (void)written;
    abort();
}
