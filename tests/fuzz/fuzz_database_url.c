/* DATABASE_URL: any text is a store or a status with a reason, and a password is never told. */
#include <string.h>

#include "fuzz.h"
#include "store/store.h"

#define MARKER "QzPasswordQz" /* stands where the password does */

static void try_url(const char *url)
{
    struct store *store = NULL;
    struct status status = STATUS_INIT;
    if (store_open(url, &store, &status)) {
        MUST(store && store->description[0]);
        MUST(!strstr(store->description, MARKER));
        store->driver->close(store);
        return;
    }
    MUST(status.code == STATUS_INVALID_ARGUMENT);
    MUST(status.message[0] && status.reason[0]);
    MUST(!strstr(status.message, MARKER));
}

/* scheme://user:password@rest. A text that already holds "://" or "@" in its user is another URL
 * than the one meant, with its password elsewhere. */
static void try_user_part(const char *scheme, struct input *input)
{
    char *user = input_text(input);
    char *before = input_text(input);
    char *behind = input_text(input);
    char *rest = input_text(input);
    char *url = NULL;
    MUST(asprintf(&url, "%s://%s:%s" MARKER "%s@%s", scheme, user, before, behind, rest) >= 0);
    if (!strpbrk(user, "?&=@/#"))
        try_url(url);
    free(url);
    free(rest);
    free(behind);
    free(before);
    free(user);
}

/* scheme://rest?password=…&more */
static void try_query(const char *scheme, struct input *input)
{
    char *start = input_text(input);
    char *behind = input_text(input);
    char *url = NULL;
    MUST(asprintf(&url, "%s://%s?password=" MARKER "%s", scheme, start, behind) >= 0);
    try_url(url);
    free(url);
    free(behind);
    free(start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const schemes[] = {"postgresql", "postgres", "postgresql+asyncpg", "sqlite",
                                          "mysql"};
    struct input input = {data, size};
    if (memmem(data, size, MARKER, strlen(MARKER)))
        return 0; /* it may be told where it is no password */
    uint8_t which = input_byte(&input);
    const char *scheme = schemes[which / 4 % (sizeof(schemes) / sizeof(schemes[0]))];
    if (which % 4 == 0) {
        char *url = input_text(&input);
        try_url(url);
        free(url);
    } else if (which % 4 == 1) {
        try_query(scheme, &input);
    } else {
        try_user_part(scheme, &input);
    }
    return 0;
}
