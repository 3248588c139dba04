/* Messages as the JSON of the REST API. */
#ifndef TRIGGERS_CLI_MESSAGE_JSON_H
#define TRIGGERS_CLI_MESSAGE_JSON_H

#include <protobuf-c/protobuf-c.h>

/* Prints a message on stdout, without an end of line: names of members as in the .proto file, times
 * of RFC 3339, words of enums in lower case without their prefix, null for what is not set. NULL is
 * null. A message with bytes, maps or fractions is not for this. */
void print_message_json(const ProtobufCMessage *message);

#endif
