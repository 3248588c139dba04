/* The text of a key: how it is made, what is refused, and what the store has of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "access/key_text.h"
#include "base/hex.h"

/* Its checksum and hash were computed with Python's zlib and hashlib. */
#define KNOWN "trg_Key000000001_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg0t0ayG"
#define KNOWN_HASH "71d84b1859bad11abcb3dfd9353c8d1873aafd883ffaf6f2c9df7cbcfc3e1850"

static void a_known_key_is_read(void **state)
{
    (void)state;
    uint8_t hash[KEY_HASH_SIZE];
    char shown[2 * KEY_HASH_SIZE + 1];
    assert_true(key_text_is_valid(KNOWN, strlen(KNOWN)));
    assert_memory_equal(key_text_id(KNOWN), "Key000000001", KEY_ID_LENGTH);
    key_text_hash(KNOWN, hash);
    hex_write(hash, sizeof(hash), shown);
    assert_string_equal(shown, KNOWN_HASH);
}

static void keys_that_are_made_are_valid_and_differ(void **state)
{
    (void)state;
    char first[KEY_TEXT_LENGTH + 1], second[KEY_TEXT_LENGTH + 1];
    for (int i = 0; i < 1000; i++) {
        key_text_make(first);
        key_text_make(second);
        assert_int_equal(strlen(first), KEY_TEXT_LENGTH);
        assert_true(key_text_is_valid(first, KEY_TEXT_LENGTH));
        assert_true(key_id_is_valid(key_text_id(first), KEY_ID_LENGTH));
        assert_memory_not_equal(key_text_id(first), key_text_id(second), KEY_ID_LENGTH);
        assert_memory_not_equal(first + 17, second + 17, 43);
    }
}

static void every_digit_is_used_as_often(void **state)
{
    (void)state;
    char text[KEY_TEXT_LENGTH + 1];
    unsigned counts[128] = {0};
    for (int i = 0; i < 20000; i++) {
        key_text_make(text);
        for (size_t at = 17; at < 17 + 43; at++)
            counts[(unsigned char)text[at]]++;
    }
    /* 860,000 in all, 13,871 of each but for a deviation of 117. */
    for (int c = 0; c < 128; c++)
        assert_true(counts[c] == 0 || (counts[c] > 13000 && counts[c] < 14700));
    assert_true(counts['0'] && counts['Z'] && counts['a'] && counts['z']);
}

static void a_changed_character_is_noticed(void **state)
{
    (void)state;
    char text[] = KNOWN;
    for (size_t at = 0; at < KEY_TEXT_LENGTH; at++) {
        for (int c = 0; c < 256; c++) {
            text[at] = (char)c;
            assert_int_equal(key_text_is_valid(text, KEY_TEXT_LENGTH), (char)c == KNOWN[at]);
        }
        text[at] = KNOWN[at];
    }
}

static void other_sizes_are_refused(void **state)
{
    (void)state;
    static const char LONGER[] = KNOWN "0";
    for (size_t size = 0; size < sizeof(LONGER); size++)
        assert_int_equal(key_text_is_valid(LONGER, size), size == KEY_TEXT_LENGTH);
}

static void hashes_match_only_whole(void **state)
{
    (void)state;
    uint8_t left[KEY_HASH_SIZE], right[KEY_HASH_SIZE];
    key_text_hash(KNOWN, left);
    memcpy(right, left, sizeof(right));
    assert_true(key_hashes_match(left, right));
    for (size_t bit = 0; bit < 8 * KEY_HASH_SIZE; bit++) {
        right[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(key_hashes_match(left, right));
        right[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void ids_have_a_form(void **state)
{
    (void)state;
    assert_true(key_id_is_valid("Key000000001", 12));
    assert_false(key_id_is_valid("Key000000001", 11));
    assert_false(key_id_is_valid("Key00000000-", 12));
    assert_false(key_id_is_valid("Key000000001x", 13));
    assert_false(key_id_is_valid("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_key_is_read),
        cmocka_unit_test(keys_that_are_made_are_valid_and_differ),
        cmocka_unit_test(every_digit_is_used_as_often),
        cmocka_unit_test(a_changed_character_is_noticed),
        cmocka_unit_test(other_sizes_are_refused),
        cmocka_unit_test(hashes_match_only_whole),
        cmocka_unit_test(ids_have_a_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
