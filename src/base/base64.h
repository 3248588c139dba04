/* Bytes as text: base64 of RFC 4648. */
#ifndef TRIGGERS_BASE_BASE64_H
#define TRIGGERS_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* Appends `size` bytes in the standard alphabet (section 4), padded. */
void base64_append(struct buffer *buffer, const uint8_t *bytes, size_t size);

/* Reads a text in that alphabet or in the one for URLs (section 5), padded or not, as the JSON of
 * protobuf has it. `bytes` needs three quarters of the text's length and may be the text itself.
 * False when it is no such text: `bytes` is then of no use. */
bool base64_read(const char *text, uint8_t *bytes, size_t *size);

#endif
