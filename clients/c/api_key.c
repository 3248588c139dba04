#include "api_key.h"

#include <string.h>

/* Visible ASCII, so that it can be a header's value (RFC 9110, 5.5). */
static bool is_well_formed(const char *text)
{
    size_t size = 0;
    for (; text[size]; size++) {
        if (text[size] < '!' || text[size] > '~' || size == TRIGGERS_KEY_SIZE - 1)
            return false;
    }
    return size > 0;
}

static void set(struct api_key *key, const char *text)
{
    pthread_mutex_lock(&key->mutex);
    if (strcmp(key->text, text) != 0) {
        explicit_bzero(key->text, sizeof(key->text));
        memcpy(key->text, text, strlen(text) + 1);
        key->version++;
    }
    pthread_mutex_unlock(&key->mutex);
}

/* Asks the source, one thread at a time, so that a key that was given later stays. `refused` is a
 * key that is not good any more; "": none. False: the key is what it was. */
static bool ask(struct api_key *key, const char *refused, struct status *status)
{
    char text[TRIGGERS_KEY_SIZE] = "";
    pthread_mutex_lock(&key->asking);
    memcpy(text, refused, strlen(refused) + 1);
    bool given = key->source(text, key->source_data) != 0;
    text[sizeof(text) - 1] = '\0';
    bool good = given && is_well_formed(text);
    if (good)
        set(key, text);
    pthread_mutex_unlock(&key->asking);
    explicit_bzero(text, sizeof(text));
    if (!given)
        return status_fail(status, STATUS_UNAUTHENTICATED, "KEY_UNAVAILABLE",
                           "api_key_source gave no key");
    return good || status_fail(status, STATUS_INVALID_ARGUMENT, "API_KEY_INVALID",
                               "api_key_source gave no text of a key; accepted are 1 to %d visible "
                               "characters of ASCII",
                               TRIGGERS_KEY_SIZE - 1);
}

static bool is_given(const char *text)
{
    return text && *text;
}

static bool begin(struct api_key *key, const triggers_client_options *options,
                  struct status *status)
{
    const char *text = options->api_key;
    if (is_given(text) && key->source)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "API_KEY_INVALID",
                           "api_key and api_key_source exclude each other");
    if (is_given(text) && !is_well_formed(text))
        return status_fail(status, STATUS_INVALID_ARGUMENT, "API_KEY_INVALID",
                           "api_key is not a key: it has blanks or other characters that no key "
                           "has, or more than %d characters",
                           TRIGGERS_KEY_SIZE - 1);
    if (is_given(text))
        set(key, text);
    return true;
}

bool api_key_init(struct api_key *key, const triggers_client_options *options,
                  struct status *status)
{
    key->source = options->api_key_source;
    key->source_data = options->api_key_data;
    pthread_mutex_init(&key->asking, NULL);
    pthread_mutex_init(&key->mutex, NULL);
    bool begun = begin(key, options, status);
    if (!begun)
        api_key_fini(key);
    return begun;
}

void api_key_fini(struct api_key *key)
{
    explicit_bzero(key->text, sizeof(key->text));
    pthread_mutex_destroy(&key->mutex);
    pthread_mutex_destroy(&key->asking);
}

unsigned api_key_write(struct api_key *key, char value[API_KEY_VALUE_SIZE])
{
    value[0] = '\0';
    pthread_mutex_lock(&key->mutex);
    if (key->text[0]) {
        memcpy(value, API_KEY_BEARER, sizeof(API_KEY_BEARER) - 1);
        memcpy(value + sizeof(API_KEY_BEARER) - 1, key->text, strlen(key->text) + 1);
    }
    unsigned version = key->version;
    pthread_mutex_unlock(&key->mutex);
    return version;
}

bool api_key_ask(struct api_key *key, struct status *status)
{
    return !key->source || ask(key, "", status);
}

static unsigned copy(struct api_key *key, char text[TRIGGERS_KEY_SIZE])
{
    pthread_mutex_lock(&key->mutex);
    memcpy(text, key->text, sizeof(key->text));
    unsigned version = key->version;
    pthread_mutex_unlock(&key->mutex);
    return version;
}

bool api_key_renew(struct api_key *key, unsigned version)
{
    char text[TRIGGERS_KEY_SIZE];
    struct status ignored;
    bool other = copy(key, text) != version;
    if (!other && key->source)
        other = ask(key, text, &ignored) && copy(key, text) != version;
    explicit_bzero(text, sizeof(text));
    return other;
}
