/* Doubling growth up to the cap, and the forms of text and time that every printer needs. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/text.h"

/* Less unused room is not worth a reallocation. */
#define TRIM_FROM 1024

void buffer_init(struct buffer *buffer, size_t cap)
{
    *buffer = (struct buffer){.cap = cap};
}

void buffer_fini(struct buffer *buffer)
{
    free(buffer->data);
    if (buffer->charge)
        charge_release(buffer->charge, buffer->room);
    *buffer = (struct buffer){.cap = buffer->cap};
}

static bool resize(struct buffer *buffer, size_t room)
{
    CHECK(room > buffer->size);
    struct charge *charge = buffer->charge;
    size_t more = room > buffer->room ? room - buffer->room : 0;
    if (charge && !charge_add(charge, more)) {
        buffer->over_budget = true;
        return false;
    }
    char *data = realloc(buffer->data, room);
    if (!data) {
        if (charge)
            charge_release(charge, more);
        return false;
    }
    if (charge && room < buffer->room)
        charge_release(charge, buffer->room - room);
    buffer->data = data;
    buffer->room = room;
    return true;
}

void buffer_reserve(struct buffer *buffer, size_t size)
{
    if (size > buffer->room && size <= buffer->cap)
        (void)!resize(buffer, size);
}

void buffer_trim(struct buffer *buffer)
{
    if (buffer->room - buffer->size > TRIM_FROM)
        (void)!resize(buffer, buffer->size + 1);
}

/* Makes room for `size` more bytes and a NUL. */
static bool reserve(struct buffer *buffer, size_t size)
{
    if (buffer->failed || size > buffer->cap || buffer->size > buffer->cap - size) {
        buffer->failed = true;
        return false;
    }
    size_t wanted = buffer->size + size + 1;
    if (wanted <= buffer->room)
        return true;
    size_t room = buffer->room ? buffer->room : 256;
    while (room < wanted)
        room *= 2;
    buffer->failed = !resize(buffer, room);
    return !buffer->failed;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t size)
{
    CHECK(bytes || size == 0);
    if (!reserve(buffer, size))
        return;
    if (size > 0)
        memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    CHECK(buffer->size < buffer->room && buffer->size <= buffer->cap);
    buffer->data[buffer->size] = '\0';
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length >= 0 && reserve(buffer, (size_t)length)) {
        vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, again);
        buffer->size += (size_t)length;
        CHECK(buffer->size < buffer->room);
    }
    va_end(again);
}

static void append_escape(struct buffer *buffer, unsigned char byte)
{
    switch (byte) {
    case '"': buffer_append(buffer, "\\\"", 2); break;
    case '\\': buffer_append(buffer, "\\\\", 2); break;
    case '\n': buffer_append(buffer, "\\n", 2); break;
    case '\r': buffer_append(buffer, "\\r", 2); break;
    case '\t': buffer_append(buffer, "\\t", 2); break;
    default: buffer_append_format(buffer, "\\u%04x", byte); break;
    }
}

void buffer_append_json_string(struct buffer *buffer, const char *text, size_t size)
{
    buffer_append(buffer, "\"", 1);
    size_t start = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        buffer_append(buffer, text + start, i - start);
        append_escape(buffer, byte);
        start = i + 1;
    }
    buffer_append(buffer, text + start, size - start);
    buffer_append(buffer, "\"", 1);
}

#define LONGEST_ESCAPE 6 /* \uXXXX */

static bool is_plain(uint32_t character, enum shown_form form)
{
    if (form == SHOWN_JSON_STRING && (character == '"' || character == '\\'))
        return false;
    bool space = character == '\n' || character == '\r' || character == '\t';
    return text_is_shown(character) || (form == SHOWN_JSON && space);
}

static void append_hidden(struct buffer *buffer, unsigned char byte, uint32_t character,
                          enum shown_form form)
{
    bool is_byte = character < 0x80 || character == TEXT_NO_CHARACTER;
    if (form == SHOWN_TEXT && is_byte)
        buffer_append_format(buffer, "\\x%02x", byte);
    else if (character == TEXT_NO_CHARACTER)
        buffer_append_text(buffer, "\\ufffd");
    else if (character < 0x80)
        append_escape(buffer, byte);
    else
        buffer_append_format(buffer, "\\u%04x", (unsigned)character);
}

void buffer_append_shown(struct buffer *buffer, const char *text, size_t size, enum shown_form form,
                         size_t max)
{
    const char *end = text + size;
    const char *quote = form == SHOWN_JSON_STRING ? "\"" : "";
    buffer_append_text(buffer, quote);
    size_t start = buffer->size;
    while (text < end && !buffer->failed) {
        uint32_t character;
        size_t length = text_next(text, end, &character);
        if (buffer->size - start + LONGEST_ESCAPE > max) {
            buffer_append_text(buffer, "...");
            break;
        }
        if (is_plain(character, form))
            buffer_append(buffer, text, length);
        else
            append_hidden(buffer, (unsigned char)*text, character, form);
        text += length;
    }
    buffer_append_text(buffer, quote);
}

static char *put_digits(char *out, int value, int count, char end)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
    out[count] = end;
    return out + count + 1;
}

/* A page has fifty of them: with strftime they would take a tenth of the bridge's time for it. */
void buffer_append_json_time(struct buffer *buffer, int64_t time_us)
{
    int64_t micros = time_us % 1000000;
    if (micros < 0)
        micros += 1000000;
    time_t seconds = (time_t)((time_us - micros) / 1000000);
    struct tm utc;
    if (!gmtime_r(&seconds, &utc)) {
        buffer->failed = true;
        return;
    }
    char text[64] = "\"";
    char *end = text + 1;
    int year = utc.tm_year + 1900;
    if (year >= 0 && year <= 9999)
        end = put_digits(end, year, 4, '-');
    else /* RFC 3339 has no such time */
        end += sprintf(end, "%d-", year);
    end = put_digits(end, utc.tm_mon + 1, 2, '-');
    end = put_digits(end, utc.tm_mday, 2, 'T');
    end = put_digits(end, utc.tm_hour, 2, ':');
    end = put_digits(end, utc.tm_min, 2, ':');
    end = put_digits(end, utc.tm_sec, 2, '.');
    end = put_digits(end, (int)micros, 6, 'Z');
    *end++ = '"';
    CHECK(end <= text + sizeof(text));
    buffer_append(buffer, text, (size_t)(end - text));
}
