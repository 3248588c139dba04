/* What a link has written, taken apart as its peer would. */
#ifndef TRIGGERS_TESTS_FUZZ_LINK_WRITTEN_H
#define TRIGGERS_TESTS_FUZZ_LINK_WRITTEN_H

#include "base/buffer.h"
#include "sp/link.h"

/* Appends a message, or the last part of one that has `size` bytes in all. */
void put_message(struct buffer *messages, const void *part, size_t part_size, size_t size);

/* Appends the messages that have been written whole; how many there are. It must be well-formed,
 * but may be cut off. Payloads are unmasked where they lie. */
size_t read_written(struct buffer *written, const struct link_address *address,
                    enum link_protocol protocol, struct buffer *messages);

#endif
