#include "api_key.h"

#include <string.h>

#include "base/clock.h"

#define ASK_AGAIN_MS 60000
#define ASK_LEAST_MS 1000

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

/* False: there is none, and the key is what it was. */
static bool ask(struct api_key *key)
{
    char text[TRIGGERS_KEY_SIZE] = "";
    bool given = key->source(text, key->source_data) != 0;
    text[sizeof(text) - 1] = '\0';
    given = given && is_well_formed(text);
    if (given)
        set(key, text);
    explicit_bzero(text, sizeof(text));
    key->asked_ms = clock_monotonic_ms();
    return given;
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
    if (key->source && !ask(key))
        return status_fail(status, STATUS_UNAUTHENTICATED, "API_KEY_MISSING",
                           "api_key_source gave no key");
    return true;
}

bool api_key_init(struct api_key *key, const triggers_client_options *options,
                  struct status *status)
{
    key->source = options->api_key_source;
    key->source_data = options->api_key_data;
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

static unsigned version_of(struct api_key *key)
{
    pthread_mutex_lock(&key->mutex);
    unsigned version = key->version;
    pthread_mutex_unlock(&key->mutex);
    return version;
}

bool api_key_renew(struct api_key *key, unsigned version)
{
    if (!key->source)
        return false;
    int64_t now_ms = clock_monotonic_ms();
    if (version_of(key) == version &&
        (key->refused_ms == 0 || now_ms >= key->refused_ms + ASK_LEAST_MS)) {
        key->refused_ms = now_ms;
        (void)ask(key);
    }
    return version_of(key) != version;
}

int64_t api_key_look(struct api_key *key)
{
    if (!key->source)
        return INT64_MAX;
    if (clock_monotonic_ms() >= key->asked_ms + ASK_AGAIN_MS)
        (void)ask(key);
    return key->asked_ms + ASK_AGAIN_MS;
}
