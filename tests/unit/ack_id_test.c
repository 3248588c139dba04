/* Ack ids, and the hash that keeps anybody from making one up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/siphash.h"
#include "subscriptions/ack_id.h"

static const uint8_t key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* The hashes of "", 00, 00 01, 00 01 02 and so on that the authors of SipHash published, as their
 * 64-bit numbers; the one of 15 bytes is in the paper. */
static void the_hash_gives_the_published_values(void **state)
{
    (void)state;
    static const uint64_t published[] = {
        0x726FDB47DD0E0E31, 0x74F839C593DC67FD, 0x0D6C8009D9A94F5A, 0x85676696D7FB7E2D,
        0xCF2794E0277187B7, 0x18765564CD99A68D, 0xCBC9466E58FEE3CE, 0xAB0200F58B01D137,
        0x93F5F5799A932462, 0x9E0082DF0BA9E4B0, 0x7A5DBBC594DDB9F3, 0xF4B32F46226BADA7,
        0x751E8FBC860EE5FB, 0x14EA5627C0843D90, 0xF723CA908E7AF2EE, 0xA129CA6149BE45E5,
        0x3F2ACC7F57C29BDB,
    };
    uint8_t bytes[16];
    for (size_t size = 0; size < sizeof(published) / sizeof(published[0]); size++) {
        assert_int_equal(siphash(key, bytes, size), published[size]);
        if (size < sizeof(bytes))
            bytes[size] = (uint8_t)size;
    }
}

static const struct ack_id ids[] = {
    {1, 0, {1, 0, false}, 1},
    {7, 3, {44, 0xDEADBEEF, true}, 123456789},
    {INT64_MAX, INT64_MAX, {INT64_MAX, UINT32_MAX, true}, INT64_MAX},
};
#define ID_COUNT (sizeof(ids) / sizeof(ids[0]))

static void every_id_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ID_COUNT; i++) {
        char text[ACK_ID_SIZE];
        struct ack_id id;
        ack_id_format(&ids[i], key, text);
        assert_true(strlen(text) < ACK_ID_SIZE);
        assert_int_equal(strspn(text,
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-_"),
                         strlen(text));
        assert_int_equal(ack_id_parse(text, ids[i].subscription, key, &id), ACK_ID_RIGHT);
        assert_int_equal(id.subscription, ids[i].subscription);
        assert_int_equal(id.epoch, ids[i].epoch);
        assert_int_equal(id.lease.number, ids[i].lease.number);
        assert_int_equal(id.lease.token, ids[i].lease.token);
        assert_int_equal(id.lease.again, ids[i].lease.again);
        assert_int_equal(id.sequence, ids[i].sequence);
    }
}

static enum ack_id_fault parse(const char *text, const struct ack_id *as)
{
    struct ack_id id;
    return ack_id_parse(text, as->subscription, key, &id);
}

static void no_other_text_is_accepted(void **state)
{
    (void)state;
    static const char others[] = "ABab01-_+/= \n\x80";
    for (size_t i = 0; i < ID_COUNT; i++) {
        char text[2 * ACK_ID_SIZE];
        ack_id_format(&ids[i], key, text);
        size_t length = strlen(text);
        for (size_t at = 0; at < length; at++) {
            char right = text[at];
            for (const char *other = others; *other; other++) {
                text[at] = *other;
                if (*other != right)
                    assert_int_not_equal(parse(text, &ids[i]), ACK_ID_RIGHT);
            }
            text[at] = '\0';
            assert_int_not_equal(parse(text, &ids[i]), ACK_ID_RIGHT);
            text[at] = right;
        }
        for (const char *other = others; *other; other++) {
            text[length] = *other;
            text[length + 1] = '\0';
            assert_int_equal(parse(text, &ids[i]), ACK_ID_MALFORMED);
        }
        memset(text + length, 'A', sizeof(text) - length - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(parse(text, &ids[i]), ACK_ID_MALFORMED);
    }
}

static void bits_that_say_nothing_are_not_accepted(void **state)
{
    (void)state;
    char text[ACK_ID_SIZE];
    ack_id_format(&ids[0], key, text);
    size_t length = strlen(text); /* 14 bytes: the last character has 4 bits of its own */
    assert_int_equal(length, 19);
    text[length - 1]++;
    assert_int_equal(parse(text, &ids[0]), ACK_ID_MALFORMED);
    text[length - 1]--;
    assert_int_equal(parse(text, &ids[0]), ACK_ID_RIGHT);
    strcat(text, "=");
    assert_int_equal(parse(text, &ids[0]), ACK_ID_MALFORMED);
}

static void ids_of_others_are_not_accepted(void **state)
{
    (void)state;
    char text[ACK_ID_SIZE];
    struct ack_id id;
    ack_id_format(&ids[1], key, text);
    assert_int_equal(ack_id_parse(text, 8, key, &id), ACK_ID_FOREIGN);
    uint8_t other[16] = {0};
    assert_int_equal(ack_id_parse(text, 7, other, &id), ACK_ID_MALFORMED);
    assert_int_equal(ack_id_parse("", 7, key, &id), ACK_ID_MALFORMED);
    assert_int_equal(ack_id_parse("AQ", 7, key, &id), ACK_ID_MALFORMED);
    assert_int_equal(ack_id_parse("evt_00000000000000000000000000", 7, key, &id), ACK_ID_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_gives_the_published_values),
        cmocka_unit_test(every_id_comes_back),
        cmocka_unit_test(no_other_text_is_accepted),
        cmocka_unit_test(bits_that_say_nothing_are_not_accepted),
        cmocka_unit_test(ids_of_others_are_not_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
