/* The core as in triggersd without socket and disk: dispatcher, services, writer and readers over a
 * store whose outcomes follow from the ids that it is asked for, so that an input always does the
 * same. */
#ifndef TRIGGERS_TESTS_FUZZ_CORE_H
#define TRIGGERS_TESTS_FUZZ_CORE_H

#include <protobuf-c/protobuf-c.h>

/* Once, before the first call. */
void core_start(void);

/* The methods of both services, in one list; NULL behind the last. `name` is what an envelope calls
 * it and belongs to the core. */
const ProtobufCMethodDescriptor *core_method(size_t index, const char **name);

/* Makes one call and waits for its answer. Ends the run unless there is exactly one answer, which
 * decodes, keeps the rules of envelope.proto, and holds the response message of `method` when the
 * code is OK; NULL: whatever method the envelope names, of which the body is not looked into. */
void core_call(const uint8_t *bytes, size_t size, const ProtobufCMethodDescriptor *method);

#endif
