#include "complain.h"

#include <stdio.h>
#include <string.h>

#include "print.h"

#define MESSAGE_SIZE 1024

void complain_with_hint(const char *format, va_list args, const char *hint)
{
    char message[MESSAGE_SIZE];
    vsnprintf(message, sizeof(message), format, args);
    flockfile(stderr);
    fputs("triggers: ", stderr);
    print_clean(stderr, message, strlen(message));
    fprintf(stderr, "%s\n", hint);
    funlockfile(stderr);
}

void cli_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain_with_hint(format, args, "");
    va_end(args);
}
