/* Filling and naming of statuses. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

/* Ends `text` (which holds `length` bytes) before a UTF-8 sequence that was cut off. */
static void drop_cut_character(char *text, size_t length)
{
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t wanted = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (length - (start - 1) < wanted)
        text[start - 1] = '\0';
}

bool status_fail(struct status *status, enum status_code code, const char *reason,
                 const char *format, ...)
{
    CHECK(code > STATUS_OK && code < STATUS_CODE_COUNT && reason[0]);
    *status = (struct status){.code = code, .reason = reason};
    va_list args;
    va_start(args, format);
    int length = vsnprintf(status->message, sizeof(status->message), format, args);
    va_end(args);
    if (length >= (int)sizeof(status->message))
        drop_cut_character(status->message, sizeof(status->message) - 1);
    return false;
}

const char *status_code_name(enum status_code code)
{
    static const char *const names[] = {
#define NAME(name, number, http) [number] = #name,
        STATUS_CODES(NAME)
#undef NAME
    };
    _Static_assert(sizeof(names) / sizeof(names[0]) == STATUS_CODE_COUNT, "the codes are numbered");
    size_t index = (size_t)code;
    return index < STATUS_CODE_COUNT ? names[index] : "UNKNOWN";
}

unsigned status_code_http(enum status_code code)
{
    static const unsigned statuses[] = {
#define HTTP(name, number, http) [number] = (http),
        STATUS_CODES(HTTP)
#undef HTTP
    };
    size_t index = (size_t)code;
    return index < STATUS_CODE_COUNT ? statuses[index] : 500;
}
