/* Ends a program whose check has failed. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Writes without the log and stdio's buffers, as this thread may hold their locks. */
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
