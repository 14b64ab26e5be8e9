/* Lines of JSON: which are taken, what their two members are, and the id before a fault. What a
 * text means is held to Python's json in tests/base/test_json.c. */
#include "job/jline.h"

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

static vecmill_status scan(const char *text, struct jline *line, vecmill_err *err)
{
    return jline_scan(text, strlen(text), "text", NULL, "id", line, err);
}

static void these_are_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        struct jline line;
        if (scan(accepted[i], &line, NULL) != VECMILL_OK) fail_msg("refused: %s", accepted[i]);
        assert_int_not_equal(line.top.kind, JSON_KIND_ABSENT);
    }
}

static void these_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct jline line;
        vecmill_err err = {.message = ""};
        if (scan(refused[i], &line, &err) != VECMILL_E_INPUT) fail_msg("accepted: %s", refused[i]);
        assert_true(err.message[0] != 0);
        assert_int_equal(line.top.kind, JSON_KIND_ABSENT);
        assert_int_equal(line.field.kind, JSON_KIND_ABSENT);
    }
}

static void fields_are_those_of_the_top_object(void **state)
{
    (void)state;
    static const struct {
        const char *text, *means; /* NULL: it has no text */
        enum json_kind id;
    } cases[] = {{"{\"text\":\"a\",\"id\":\"b\"}", "a", JSON_KIND_STRING},
                 {"{\"id\":[1.5e-3],\"te\\u0078t\":\"a\\n\\ud83d\\ude00\",\"z\":{}}",
                  "a\n\xF0\x9F\x98\x80", JSON_KIND_ARRAY},
                 {"{\"x\":[{\"id\":\"x\",\"text\":\"y\"}],\"id\":7}", NULL, JSON_KIND_NUMBER},
                 {"[{\"text\":\"a\"}]", NULL, JSON_KIND_ABSENT},
                 {"{\"text\":\"\\u0000\\\"\"}", NULL, JSON_KIND_ABSENT},
                 {"{\"text\":\"\"}", "", JSON_KIND_ABSENT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jline line;
        assert_int_equal(scan(cases[i].text, &line, NULL), VECMILL_OK);
        assert_int_equal(line.id.kind, cases[i].id);
        if (cases[i].means != NULL)
            assert_true(json_is(&line.field, cases[i].means));
        else if (line.field.kind != JSON_KIND_ABSENT)
            assert_true(json_has_nul(&line.field));
    }
}

/* What is no JSON by the letter, or no UTF-8, and is read in a line of data. */
static void a_line_is_read_leniently(void **state)
{
    (void)state;
    static const char *const lenient[] = {"{\"a\\u0000b\":1}",
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
    for (size_t i = 0; i < sizeof lenient / sizeof *lenient; i++) {
        struct jline line;
        assert_int_equal(scan(lenient[i], &line, NULL), VECMILL_OK);
        assert_int_equal(line.top.bytes, strlen(lenient[i]));
    }
    struct jline line;
    char out[64];
    uint64_t replaced = 0;
    assert_int_equal(scan("\"a\\ud800\\u0041\\udfff\"", &line, NULL), VECMILL_OK);
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
            jline_scan(cases[i].text, strlen(cases[i].text), "text", NULL, "id", &line, NULL),
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
    assert_int_equal(jline_scan(text, sizeof text - 1, "text", NULL, "id", &line, NULL),
                     VECMILL_OK);
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
        cmocka_unit_test(these_are_accepted),
        cmocka_unit_test(these_are_refused),
        cmocka_unit_test(fields_are_those_of_the_top_object),
        cmocka_unit_test(a_line_is_read_leniently),
        cmocka_unit_test(the_id_before_a_fault),
        cmocka_unit_test(spans_are_those_of_the_values),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("job-jline: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
