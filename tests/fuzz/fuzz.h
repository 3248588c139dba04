/* What the fuzz targets share: a claim that must hold, and taking an input apart. */
#ifndef TRIGGERS_TESTS_FUZZ_H
#define TRIGGERS_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the run with the claim's text; libFuzzer keeps the input. */
#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim)) {                                                                            \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #claim);                    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Called by libFuzzer for every input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Called once, where a target has something to set up. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* The rest of an input. */
struct input {
    const uint8_t *next;
    size_t left;
};

/* The next byte; 0 at the end. */
static inline uint8_t input_byte(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->next++;
}

/* What comes before the next line feed or NUL, or everything; malloc'd to its exact size, so that
 * the sanitizers see every byte read behind it, with a NUL. */
char *input_text(struct input *input);

#endif
