/* Numbers as text: every float32 that is written reads back as itself, in few digits, as JSON. */
#include "job/sink.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *text_of(float value)
{
    static char text[SINK_FLOAT_MAX + 1];
    const size_t n = sink_float_text(value, text);
    assert_true(n <= SINK_FLOAT_MAX);
    text[n] = 0;
    return text;
}

static void known_numbers(void **state)
{
    (void)state;
    static const struct {
        float value;
        const char *text;
    } known[] = {{0.0f, "0"},
                 {-0.0f, "-0"},
                 {1.0f, "1"},
                 {-1.0f, "-1"},
                 {0.5f, "0.5"},
                 {0.1f, "0.1"},
                 {-0.25f, "-0.25"},
                 {0.3f, "0.3"},
                 {1e-5f, "9.99999975e-06"},
                 {1.5e-5f, "0.000015"},
                 {100.0f, "100"},
                 {16777216.0f, "16777216"},
                 {99999992.0f, "99999992"},
                 {1e8f, "100000000"},
                 {1e10f, "1e+10"},
                 {0.0625f, "0.0625"},
                 {0.99999994f, "0.99999994"},
                 {3.14159274f, "3.1415927"},
                 {NAN, "null"},
                 {INFINITY, "null"},
                 {-INFINITY, "null"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_string_equal(text_of(known[i].value), known[i].text);
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?(e[+-][0-9]+)? */
static bool is_json_number(const char *text)
{
    if (*text == '-') text++;
    if (*text < '0' || *text > '9') return false;
    if (*text == '0' && text[1] >= '0' && text[1] <= '9') return false;
    text += strspn(text, "0123456789");
    if (*text == '.') {
        const size_t n = strspn(++text, "0123456789");
        if (n == 0) return false;
        text += n;
    }
    if (*text == 'e') {
        text += 1 + (text[1] == '+' || text[1] == '-');
        const size_t n = strspn(text, "0123456789");
        if (n == 0) return false;
        text += n;
    }
    return *text == 0;
}

static void check_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value)) return;
    const char *text = text_of(value);
    const float back = strtof(text, NULL);
    if (memcmp(&back, &value, sizeof value) != 0 || !is_json_number(text))
        fail_msg("bits %08X: \"%s\" reads back as %.9g", (unsigned)bits, text, (double)back);
}

static void all_of_them_come_back(void **state)
{
    (void)state;
    /* A prime step through all patterns, and all neighbours of powers of two and ten. */
    uint32_t bits = 0;
    for (int i = 0; i < 1000000; i++, bits += 4294957u)
        check_bits(bits);
    for (uint32_t exponent = 0; exponent < 255; exponent++)
        for (uint32_t near = 0; near < 64; near++) {
            check_bits((exponent << 23) + near);
            check_bits((exponent << 23) - near);
        }
    for (int power = -12; power <= 12; power++) {
        const float value = (float)pow(10, power);
        uint32_t middle;
        memcpy(&middle, &value, sizeof middle);
        for (uint32_t near = 0; near < 2000; near++)
            check_bits(middle - 1000 + near);
    }
}

static void components_are_short(void **state)
{
    (void)state;
    /* Nine digits always do; most need fewer, and none more. */
    size_t digits = 0, n = 0;
    for (int i = 1; i < 100000; i++, n++) {
        const char *text = text_of(0.2f * sinf((float)i));
        const char *first = text + strspn(text, "-0.");
        const size_t significant = strspn(first, "0123456789.");
        assert_true(significant <= 9 + (strchr(first, '.') != NULL));
        digits += significant;
    }
    assert_true(digits < 9 * n - n / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_numbers),
        cmocka_unit_test(all_of_them_come_back),
        cmocka_unit_test(components_are_short),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("job-numbers: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
