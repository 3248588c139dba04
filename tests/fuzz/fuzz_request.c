/* The first byte chooses a method, the rest is the body of its request. */
#include <stdlib.h>

#include "core.h"
#include "fuzz.h"
#include "triggers/rpc/v1/envelope.pb-c.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    core_start();
    return 0;
}

static size_t count_methods(void)
{
    const char *name;
    size_t count = 0;
    while (core_method(count, &name))
        count++;
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    const char *name;
    const ProtobufCMethodDescriptor *method =
        core_method(input_byte(&input) % count_methods(), &name);
    Triggers__Rpc__V1__Request request = TRIGGERS__RPC__V1__REQUEST__INIT;
    request.method = (char *)name;
    request.body.data = (uint8_t *)input.next;
    request.body.len = input.left;
    uint8_t *envelope = malloc(triggers__rpc__v1__request__get_packed_size(&request));
    MUST(envelope);
    core_call(envelope, triggers__rpc__v1__request__pack(&request, envelope), method);
    free(envelope);
    return 0;
}
