/* Messages of the protocol as the JSON of protobuf, with the names of the .proto files: what the
 * generic call of a scenario sends and gets. */
#ifndef TRIGGERS_CONFORMANCE_MESSAGES_H
#define TRIGGERS_CONFORMANCE_MESSAGES_H

#include <protobuf-c/protobuf-c.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a message of this type; protobuf_c_message_free_unpacked frees it. Ends the program when
 * the text is none. */
ProtobufCMessage *messages_read(const ProtobufCMessageDescriptor *type, const char *text,
                                size_t size);

/* Writes a message, without what has its default; `free` frees it. */
char *messages_write(const ProtobufCMessage *message);

#ifdef __cplusplus
}
#endif

#endif
