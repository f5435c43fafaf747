#include "test.h"

#include "base/hex.h"
#include "core/crypto.h"

#include <string.h>

static void assert_hex(const uint8_t digest[SHA256_SIZE], const char *want)
{
    char text[2 * SHA256_SIZE + 1];
    hex_encode(digest, SHA256_SIZE, text);
    assert_string_equal(text, want);
}

static void test_sha256(void **state)
{
    uint8_t out[SHA256_SIZE];
    crypto_sha256(slice_text("abc"), out);
    assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_sha256(slice_of(NULL, 0), out);
    assert_hex(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, test case 2, in one piece and in several. */
static void test_hmac_of_parts(void **state)
{
    static const char want[] = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const struct slice whole[] = {slice_text("what do ya want for nothing?")};
    const struct slice parts[] = {slice_text("what do ya "), slice_of(NULL, 0),
                                  slice_text("want for nothing?")};
    uint8_t out[SHA256_SIZE];
    crypto_hmac_sha256(slice_text("Jefe"), whole, COUNT_OF(whole), out);
    assert_hex(out, want);
    crypto_hmac_sha256(slice_text("Jefe"), parts, COUNT_OF(parts), out);
    assert_hex(out, want);
}

static void test_hmac_of_nothing(void **state)
{
    uint8_t out[SHA256_SIZE];
    crypto_hmac_sha256(slice_of(NULL, 0), NULL, 0, out);
    assert_hex(out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_random_differs(void **state)
{
    uint8_t a[32] = {0}, b[32] = {0};
    crypto_random(a, sizeof a);
    crypto_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    assert_true(crypto_random_u64() != crypto_random_u64());
}

static void test_equal(void **state)
{
    assert_true(crypto_equal(slice_text("secret"), slice_text("secret")));
    assert_true(crypto_equal(slice_of(NULL, 0), slice_text("")));
    assert_false(crypto_equal(slice_text("secret"), slice_text("secreT")));
    assert_false(crypto_equal(slice_text("secret"), slice_text("secre")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),          cmocka_unit_test(test_hmac_of_parts),
        cmocka_unit_test(test_hmac_of_nothing), cmocka_unit_test(test_random_differs),
        cmocka_unit_test(test_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
