/* Messages on stderr. */
#ifndef TRIGGERS_CLI_COMPLAIN_H
#define TRIGGERS_CLI_COMPLAIN_H

#include <stdarg.h>

#include "base/status.h"

/* One line on stderr, beginning with the program's name. Any thread. */
void cli_complain(const char *format, ...) PRINTF_LIKE(1, 2);

/* The same, with `hint` after it as it is. */
void complain_with_hint(const char *format, va_list args, const char *hint) PRINTF_LIKE(1, 0);

#endif
