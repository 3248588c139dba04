/* Keys, authorizations, names of tenants, and ranges of addresses: what is accepted comes back the
 * same. The first byte says what the rest is. */
#include <arpa/inet.h>
#include <string.h>

#include "access/key_rules.h"
#include "access/key_text.h"
#include "base/address_range.h"
#include "fuzz.h"

/* Of a valid key no character may be another. */
static void try_key(const char *text, size_t size)
{
    char changed[KEY_TEXT_LENGTH];
    uint8_t hash[KEY_HASH_SIZE], again[KEY_HASH_SIZE];
    if (!key_text_is_valid(text, size))
        return;
    MUST(size == KEY_TEXT_LENGTH && memcmp(text, "trg_", 4) == 0);
    MUST(key_id_is_valid(key_text_id(text), KEY_ID_LENGTH));
    key_text_hash(text, hash);
    for (size_t i = 0; i < size; i++) {
        memcpy(changed, text, sizeof(changed));
        changed[i] ^= 1;
        MUST(!key_text_is_valid(changed, sizeof(changed)));
    }
    key_text_hash(text, again);
    MUST(key_hashes_match(hash, again));
}

/* With the right checksum, what has the form is accepted. */
static void try_made(const char *text, size_t size)
{
    char made[KEY_TEXT_LENGTH + 1];
    key_text_make(made);
    MUST(key_text_is_valid(made, KEY_TEXT_LENGTH));
    for (size_t i = 0; i < size && i < KEY_TEXT_LENGTH; i++)
        made[i] ^= text[i];
    try_key(made, KEY_TEXT_LENGTH);
}

/* What is found in an authorization is a key, at its end. */
static void try_authorization(const char *value, size_t size)
{
    const char *text = key_text_of_authorization(value, size);
    if (!text)
        return;
    MUST(text >= value + 7 && text + KEY_TEXT_LENGTH == value + size);
    MUST(key_text_is_valid(text, KEY_TEXT_LENGTH));
}

/* A tenant's name is fit for a row's id, a path and a log. */
static void try_tenant_name(const char *text, size_t size)
{
    char name[STORE_ACCESS_ID_MAX + 2] = "";
    memcpy(name, text, size < sizeof(name) ? size : sizeof(name) - 1);
    if (!tenant_name_is_valid(name))
        return;
    MUST(strlen(name) >= 1 && strlen(name) <= STORE_ACCESS_ID_MAX);
    MUST(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(name));
    MUST(name[0] != '.' && name[0] != '_' && name[0] != '-');
}

static void try_range(const char *text, size_t size)
{
    struct address_range range, again;
    char shown[INET6_ADDRSTRLEN + 5];
    uint8_t address[16];
    if (!address_range_parse(text, size, &range))
        return;
    MUST(range.prefix <= 128 && address_range_has(&range, range.bytes));
    MUST(address_range_covers(&range, &range));
    MUST(inet_ntop(AF_INET6, range.bytes, shown, sizeof(shown)));
    MUST(address_parse(shown, address) && memcmp(address, range.bytes, sizeof(address)) == 0);
    sprintf(shown + strlen(shown), "/%u", range.prefix);
    MUST(address_range_parse(shown, strlen(shown), &again));
    MUST(memcmp(&again, &range, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(const char *text, size_t size) = {
        try_key, try_made, try_range, try_authorization, try_tenant_name};
    struct input input = {data, size};
    uint8_t which = input_byte(&input) % (sizeof(tries) / sizeof(tries[0]));
    char *text = malloc(input.left > 0 ? input.left : 1); /* its size, for the sanitizers */
    MUST(text);
    memcpy(text, input.next, input.left);
    tries[which](text, input.left);
    free(text);
    return 0;
}
