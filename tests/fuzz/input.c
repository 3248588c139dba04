/* Texts out of an input. */
#include <string.h>

#include "fuzz.h"

static size_t text_length(const struct input *input)
{
    size_t length = 0;
    while (length < input->left && input->next[length] != '\n' && input->next[length] != '\0')
        length++;
    return length;
}

char *input_text(struct input *input)
{
    size_t length = text_length(input);
    char *text = malloc(length + 1);
    MUST(text);
    memcpy(text, input->next, length);
    text[length] = '\0';
    length += length < input->left; /* the separator */
    input->next += length;
    input->left -= length;
    return text;
}
