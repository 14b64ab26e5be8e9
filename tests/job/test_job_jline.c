/* JSON lines against jansson, which is the oracle: the same texts are accepted and refused, and mean
 * the same. Where the two differ on purpose is listed below. */
#include "job/jline.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* After the layout of the public JSON parsing suites: what must be taken, what must not. */
static const char *const accepted[] = {"{}",
                                       "[]",
                                       "[[]]",
                                       "[{}]",
                                       "{\"a\":[]}",
                                       " [ ] ",
                                       "\t{ }\r",
                                       "\"\"",
                                       "\"a\"",
                                       "0",
                                       "-0",
                                       "1",
                                       "-1",
                                       "10",
                                       "1.0",
                                       "1.5e3",
                                       "1E+2",
                                       "1e-2",
                                       "0e0",
                                       "0.1",
                                       "-0.0",
                                       "123456789",
                                       "true",
                                       "false",
                                       "null",
                                       "[null]",
                                       "[true,false,null]",
                                       "[1,2,3]",
                                       "[1 , 2]",
                                       "{\"a\":1}",
                                       "{\"a\" : 1 }",
                                       "{\"a\":1,\"b\":2}",
                                       "{\"\":0}",
                                       "{\"a\":{\"b\":{\"c\":[1,[2,[3]]]}}}",
                                       "\"\\\"\"",
                                       "\"\\\\\"",
                                       "\"\\/\"",
                                       "\"\\b\\f\\n\\r\\t\"",
                                       "\"\\u0041\"",
                                       "\"\\u00e9\\u20ac\"",
                                       "\"\\uD834\\uDD1E\"",
                                       "\"\\u0000\"",
                                       "\"\\uFFFF\"",
                                       "\"\xC3\xA9\"",
                                       "\"\xE2\x82\xAC\"",
                                       "\"\xF0\x9D\x84\x9E\"",
                                       "\"\x7F\"",
                                       "\"/\"",
                                       "[\"\\u0060\\u012a\\u12AB\"]",
                                       "[1,\"a\",{\"b\":null}]",
                                       "[20e1]",
                                       "[123e45]",
                                       "[-123]",

                                       "{\"text\":\"a\",\"id\":\"b\"}",
                                       "[[[[[[[[[[[[]]]]]]]]]]]]",
                                       "[\"a\",\"b\"]",
                                       "{\"x\":[{\"id\":\"x\"}],\"id\":\"y\"}",
                                       "[ 4]",
                                       "[0e+1]",
                                       "[0e1]",
                                       "[1e1]"};

static const char *const refused[] = {"",
                                      " ",
                                      "[",
                                      "]",
                                      "{",
                                      "}",
                                      "[1",
                                      "[1,",
                                      "[,1]",
                                      "[1,]",
                                      "[1,,2]",
                                      "[1 2]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{,}",
                                      "{\"a\" 1}",
                                      "{a:1}",
                                      "{'a':1}",
                                      "{1:1}",
                                      "{\"a\":1 \"b\":2}",
                                      "{\"a\":1]",
                                      "[1}",
                                      "[[]",
                                      "[]]",
                                      "{}}",
                                      "[]{}",
                                      "1 2",
                                      "nul",
                                      "nulll",
                                      "True",
                                      "tru",
                                      "fals",
                                      "truee",
                                      "Nan",
                                      "NaNN",
                                      "-NaN",
                                      "Inf",
                                      "+Infinity",
                                      "-infinity",
                                      "1Infinity",
                                      "-",
                                      "+1",
                                      "01",
                                      "-01",
                                      "1.",
                                      ".5",
                                      "-.5",
                                      "1e",
                                      "1e+",
                                      "1.e1",
                                      "0x10",
                                      "1_000",
                                      "1a",
                                      "--1",
                                      "1.2.3",
                                      "0e",
                                      "2.e3",
                                      "\"",
                                      "\"a",
                                      "\"a\\\"",
                                      "\"\\x41\"",
                                      "\"\\u00\"",
                                      "\"\\u00G0\"",
                                      "\"\\u\"",
                                      "\"\\\"",
                                      "\"\\a\"",
                                      "\"\\'\"",
                                      "'a'",
                                      "\"a\nb\"",
                                      "\"a\tb\"",
                                      "\"\x01\"",
                                      "\"\x1F\"",
                                      "[\"a\"",
                                      "[\"a\",",
                                      "[\"\"],",
                                      "{\"a\":\"b\"}#",
                                      "/**/{}",
                                      "{}//",
                                      "[1]x",
                                      "\xEF\xBB\xBF{}",
                                      "\xC3\xA9",
                                      "[\x0B]",
                                      "[\x0C]",
                                      "{\"a\":1,\"b\"",
                                      "*",
                                      "{\"a\":1,,}",
                                      "[\"x\"",
                                      "{\"a\"\"b\"}",
                                      "[-]",
                                      "[1e1e1]",
                                      "[+1]",
                                      "[ ,\"\"]",
                                      "{\"x\"::1}",
                                      "[:1]"};

static json_t *oracle(const char *text, size_t bytes)
{
    json_error_t error;
    return json_loadb(text, bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
}

/* One text through both; what the strings at "text" and at the top mean. */
static void compare(const char *text, size_t bytes)
{
    struct jline line;
    vecmill_err err = {.message = ""};
    const bool mine = jline_scan(text, bytes, "text", "id", &line, &err) == VECMILL_OK;
    json_t *value = oracle(text, bytes);
    if (mine != (value != NULL))
        fail_msg("\"%.*s\": jline says %s (%s), jansson %s", (int)bytes, text, mine ? "yes" : "no",
                 err.message, value != NULL ? "yes" : "no");
    if (mine) {
        const struct json_value *string =
            line.top.kind == JSON_KIND_STRING ? &line.top : &line.field;
        const json_t *theirs = json_is_object(value) ? json_object_get(value, "text") : value;
        assert_int_equal(string->kind == JSON_KIND_STRING, json_is_string(theirs));
        if (string->kind == JSON_KIND_STRING) {
            char out[512];
            uint64_t replaced = 0;
            const size_t n = json_decode(string, out, &replaced);
            assert_int_equal(replaced, 0);
            assert_int_equal(n, json_string_length(theirs));
            assert_memory_equal(out, json_string_value(theirs), n);
        }
        assert_int_equal(line.id.kind == JSON_KIND_ABSENT, json_object_get(value, "id") == NULL);
    } else {
        assert_int_equal(err.status, VECMILL_E_INPUT);
        assert_true(err.message[0] != 0);
    }
    json_decref(value);
}

static void the_same_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        struct jline line;
        if (jline_scan(accepted[i], strlen(accepted[i]), "text", "id", &line, NULL) != VECMILL_OK)
            fail_msg("refused: %s", accepted[i]);
        compare(accepted[i], strlen(accepted[i]));
    }
}

static void the_same_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct jline line;
        if (jline_scan(refused[i], strlen(refused[i]), "text", "id", &line, NULL) == VECMILL_OK)
            fail_msg("accepted: %s", refused[i]);
        compare(refused[i], strlen(refused[i]));
    }
}

static void every_cut_and_every_byte_is_the_same(void **state)
{
    (void)state;
    static const char text[] =
        "{\"id\":[1.5e-3,true],\"te\\u0078t\":\"a\\n\\ud83d\\ude00\",\"z\":{}}";
    static const char bytes[] = "{}[]\",:\\/tn0-.eEuUaA \t\x01\x7F";
    char copy[sizeof text];
    for (size_t n = 0; n < sizeof text; n++)
        compare(text, n);
    size_t n_compared = 0;
    for (size_t at = 0; at + 1 < sizeof text; at++)
        for (size_t b = 0; b + 1 < sizeof bytes; b++) {
            memcpy(copy, text, sizeof text);
            copy[at] = bytes[b];
            /* A pair of surrogates broken by the change is the one difference: see below. */
            if (at >= 34 && at < 46) continue;
            compare(copy, sizeof text - 1);
            n_compared++;
        }
    print_message("%zu changed texts compared\n", n_compared);
}

/* Differences: jline keeps what jansson has no place for, and leaves UTF-8 to who reads the text. */
static void where_the_two_differ(void **state)
{
    (void)state;
    static const char *const mine_only[] = {"{\"a\\u0000b\":1}",
                                            "123456789012345678901234567890",
                                            "1e999",
                                            "NaN",
                                            "Infinity",
                                            "-Infinity",
                                            "{\"a\":[NaN,{\"b\":-Infinity}]}",
                                            "\"\\ud800\"",
                                            "\"\\udc00\\ud800\"",
                                            "\"\xFF\"",
                                            "\"\xC0\x80\"",
                                            "\"\xED\xA0\x80\""};
    for (size_t i = 0; i < sizeof mine_only / sizeof *mine_only; i++) {
        struct jline line;
        const size_t bytes = strlen(mine_only[i]);
        json_t *value = oracle(mine_only[i], bytes);
        assert_null(value);
        assert_int_equal(jline_scan(mine_only[i], bytes, "text", "id", &line, NULL), VECMILL_OK);
        assert_int_equal(line.top.bytes, bytes);
    }
    struct jline line;
    const char half[] = "\"a\\ud800\\u0041\\udfff\"";
    char out[64];
    uint64_t replaced = 0;
    assert_int_equal(jline_scan(half, sizeof half - 1, "", "", &line, NULL), VECMILL_OK);
    const size_t n = json_decode(&line.top, out, &replaced);
    assert_int_equal(n, 8);
    assert_memory_equal(out,
                        "a\xEF\xBF\xBD"
                        "A\xEF\xBF\xBD",
                        8);
    assert_int_equal(replaced, 12);
}

/* Whose row has no vector is said by the id, if it is certain to be one. */
static void the_id_before_a_fault(void **state)
{
    (void)state;
    static const struct {
        const char *text, *id; /* NULL: none */
    } cases[] = {{"{\"id\":7,\"text\":", "7"},
                 {"{\"id\":7,\"text\":\"a", "7"},
                 {"{\"id\":7}x", "7"},
                 {"{\"id\":\"a b\"", NULL},
                 {"{\"id\":7", NULL},
                 {"{\"id\":7 ", "7"},
                 {"{\"id\"", NULL},
                 {"{\"text\":\"a\"\"id\":7}", NULL},
                 {"{\"id\":1,\"id\":2}", NULL},
                 {"[{\"id\":1},", NULL},
                 {"{\"a\":{\"id\":1},", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jline line;
        assert_int_equal(
            jline_scan(cases[i].text, strlen(cases[i].text), "text", "id", &line, NULL),
            VECMILL_E_INPUT);
        assert_int_equal(line.field.kind, JSON_KIND_ABSENT);
        assert_int_equal(line.id.kind == JSON_KIND_ABSENT, cases[i].id == NULL);
        if (cases[i].id == NULL) continue;
        assert_int_equal(line.id.bytes, strlen(cases[i].id));
        assert_memory_equal(line.id.raw, cases[i].id, line.id.bytes);
    }
}

static void spans_are_those_of_the_values(void **state)
{
    (void)state;
    const char text[] = " {\"a\":{\"id\":1},\"id\" : [ 1, {\"x\":2} ] ,\"text\":-1.50 } ";
    struct jline line;
    assert_int_equal(jline_scan(text, sizeof text - 1, "text", "id", &line, NULL), VECMILL_OK);
    assert_int_equal(line.top.kind, JSON_KIND_OBJECT);
    assert_int_equal(line.top.bytes, sizeof text - 1 - 2);
    assert_int_equal(line.id.kind, JSON_KIND_ARRAY);
    assert_int_equal(line.id.bytes, 14);
    assert_memory_equal(line.id.raw, "[ 1, {\"x\":2} ]", 14);
    assert_int_equal(line.field.kind, JSON_KIND_NUMBER);
    assert_int_equal(line.field.bytes, 5);
    assert_memory_equal(line.field.raw, "-1.50", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_is_accepted),
        cmocka_unit_test(the_same_is_refused),
        cmocka_unit_test(every_cut_and_every_byte_is_the_same),
        cmocka_unit_test(where_the_two_differ),
        cmocka_unit_test(the_id_before_a_fault),
        cmocka_unit_test(spans_are_those_of_the_values),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("job-jline: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
