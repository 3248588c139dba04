/* Any bytes as an envelope: one answer, which decodes. */
#include "core.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    core_start();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    core_call(data, size, NULL);
    return 0;
}
