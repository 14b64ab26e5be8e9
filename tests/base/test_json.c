/* The JSON reader: what Python's json takes is taken and means the same, whole, cut and changed;
 * faults have their place; strings, numbers and tables of keys keep their contracts. */
#include "base/base.h"

#include <float.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- against Python ---- */

#include "json_golden.inc"

static const struct golden {
    const char *text;
    size_t bytes;
    const char *file, *line; /* the value, as tools/make_golden_json.py writes it; NULL: refused */
    uint64_t cuts, changes;
} golden[] = {
#define ROW(...) {__VA_ARGS__},
    GOLDEN_ROWS(ROW)};

struct written {
    char text[4096];
    size_t bytes;
};

static void put(struct written *w, const char *data, size_t bytes)
{
    assert_true(bytes < sizeof w->text - w->bytes);
    memcpy(w->text + w->bytes, data, bytes);
    w->bytes += bytes;
    w->text[w->bytes] = '\0';
}

static void put_string(struct written *w, const struct json_value *v)
{
    char meaning[1024], hex[3];
    uint64_t replaced = 0;
    const size_t n = json_decode(v, meaning, &replaced);
    put(w, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        snprintf(hex, sizeof hex, "%02x", (unsigned char)meaning[i]);
        put(w, hex, 2);
    }
    put(w, "\"", 1);
}

static void put_value(struct written *w, const struct json_value *v)
{
    struct json_each each = json_begin(v);
    struct json_value key, member;
    switch (v->kind) {
    case JSON_KIND_NULL:
    case JSON_KIND_BOOLEAN:
        put(w, v->raw, 1);
        break;
    case JSON_KIND_NUMBER:
    case JSON_KIND_NONFINITE:
        put(w, v->kind == JSON_KIND_NUMBER ? "#" : "!", 1);
        put(w, v->raw, v->bytes);
        put(w, ";", 1);
        break;
    case JSON_KIND_STRING:
        put_string(w, v);
        break;
    default:
        put(w, v->raw, 1);
        while (json_each(&each, &key, &member)) {
            if (v->kind == JSON_KIND_OBJECT) put_string(w, &key);
            put_value(w, &member);
        }
        put(w, v->raw + v->bytes - 1, 1);
    }
}

static vecmill_status read_line(const char *text, size_t bytes, struct json_value *top,
                                vecmill_err *err)
{
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, text, bytes, NULL, VECMILL_E_INPUT);
    r.is_lenient = true;
    VM_TRY(json_next(&r, &key, top, err));
    VM_TRY(json_pass(&r, top, err));
    return json_end(&r, err);
}

/* The value as the golden file has it; NULL: refused. The text is read in memory of exactly its
 * size. */
static const char *judge(const char *text, size_t bytes, bool is_file, struct written *w)
{
    struct json_value top;
    vecmill_err err = {.message = ""};
    char *exact = malloc(bytes ? bytes : 1);
    memcpy(exact, text, bytes);
    const vecmill_status status =
        is_file ? json_check(exact, bytes, "f.json", VECMILL_E_INPUT, &top, &err)
                : read_line(exact, bytes, &top, &err);
    w->bytes = 0;
    if (status == VECMILL_OK)
        put_value(w, &top);
    else
        assert_true(status == VECMILL_E_INPUT && err.status == status &&
                    strstr(err.message, is_file ? "f.json: line " : "JSON") != NULL);
    free(exact);
    return status == VECMILL_OK ? w->text : NULL;
}

static void expect(const struct golden *g, const char *want, bool is_file)
{
    struct written w;
    const char *is = judge(g->text, g->bytes, is_file, &w);
    if ((is == NULL) != (want == NULL) || (is != NULL && strcmp(is, want) != 0))
        fail_msg("%s as a %s is %s, Python says %s", g->text, is_file ? "file" : "line",
                 is ? is : "refused", want ? want : "refused");
}

static void means_what_python_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        expect(&golden[i], golden[i].file, true);
        expect(&golden[i], golden[i].line, false);
    }
}

static uint64_t add_verdicts(uint64_t h, const char *text, size_t bytes)
{
    struct written w;
    for (int is_file = 1; is_file >= 0; is_file--) {
        const char *is = judge(text, bytes, is_file != 0, &w);
        for (is = is ? is : "-"; *is != 0; is++)
            h = (h ^ (unsigned char)*is) * 0x100000001b3u;
    }
    return h;
}

static void cut_and_changed_as_in_python(void **state)
{
    (void)state;
    static const char bytes[] = GOLDEN_BYTES;
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        const struct golden *g = &golden[i];
        uint64_t cuts = 0xcbf29ce484222325u, changes = cuts;
        char copy[256];
        for (size_t n = 0; n < g->bytes; n++)
            cuts = add_verdicts(cuts, g->text, n);
        memcpy(copy, g->text, g->bytes);
        for (size_t at = 0; at < g->bytes; at++) {
            for (size_t b = 0; b + 1 < sizeof bytes; b++) {
                copy[at] = bytes[b];
                changes = add_verdicts(changes, copy, g->bytes);
            }
            copy[at] = g->text[at];
        }
        if (cuts != g->cuts) fail_msg("%s: its beginnings are not what Python says", g->text);
        if (changes != g->changes) fail_msg("%s: its changes are not what Python says", g->text);
    }
}

/* ---- places, depth ---- */

static void faults_have_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "f.json: line 1 column 1: not valid JSON, expected a value (the file is cut short)"},
        {"{\n\"a\": 1,\n \"b\" 2}", "f.json: line 3 column 6: not valid JSON, expected a colon"},
        {"[1,\n", "f.json: line 2 column 1: not valid JSON, expected a value (the file is cut"},
        {"{} x", "f.json: line 1 column 4: not valid JSON, expected nothing behind the value"},
        {"[\"a\xC3\xA9\xFF\"]", "f.json: line 1 column 6: not valid JSON, expected valid UTF-8"},
        {"[\"ab\\ud800c\"]", "f.json: line 1 column 11: not valid JSON, expected a surrogate's"},
        {"[\"a\\udc00\"]", "f.json: line 1 column 4: not valid JSON, expected a surrogate's other"},
        {"{\"a\\u0000\":1}", "f.json: line 1 column 4: not valid JSON, expected no NUL in a key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_value root;
        vecmill_err err;
        assert_int_equal(json_check(cases[i].text, strlen(cases[i].text), "f.json", VECMILL_E_MODEL,
                                    &root, &err),
                         VECMILL_E_MODEL);
        if (strncmp(err.message, cases[i].says, strlen(cases[i].says)) != 0)
            fail_msg("%s: %s", cases[i].text, err.message);
    }
}

static void depth_has_a_maximum(void **state)
{
    (void)state;
    char text[2 * JSON_DEPTH_MAX + 3];
    struct json_value root;
    vecmill_err err;
    for (size_t depth = 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        const bool fits = depth <= JSON_DEPTH_MAX;
        assert_int_equal(json_check(text, 2 * depth, "f", VECMILL_E_MODEL, &root, &err),
                         fits ? VECMILL_OK : VECMILL_E_MODEL);
        if (fits) assert_int_equal(json_count(&root), depth > 1);
    }
    assert_non_null(strstr(err.message, "not valid JSON, nested deeper than 64 (JSON_DEPTH_MAX)"));
    assert_int_equal(read_line(text, sizeof text, &root, &err), VECMILL_E_INPUT);
    assert_string_equal(err.message, "JSON at byte 65 is nested deeper than 64 (JSON_DEPTH_MAX)");
}

/* ---- strings and numbers ---- */

static struct json_value checked(const char *text)
{
    struct json_value root;
    vecmill_err err;
    if (json_check(text, strlen(text), "f", VECMILL_E_INPUT, &root, &err) != VECMILL_OK)
        fail_msg("%s: %s", text, err.message);
    return root;
}

static void strings_are_compared_copied_and_shown(void **state)
{
    (void)state;
    const struct json_value o = checked("{\"k\":\"a\\u00e9\xC3\xA9z\",\"nul\":\"a\\u0000b\","
                                        "\"esc\":\"\\\\u0000\",\"n\":-1.5,\"\\u006b2\":[]}");
    const struct json_value k = json_get(&o, "k"), nul = json_get(&o, "nul");
    const struct json_value n = json_get(&o, "n"), none = json_get(&o, "zz");
    const struct json_value esc = json_get(&o, "esc");
    char out[16];
    assert_int_equal(json_count(&o), 5);
    assert_int_equal(json_get(&o, "k2").kind, JSON_KIND_ARRAY);
    assert_int_equal(none.kind, JSON_KIND_ABSENT);
    assert_int_equal(json_get(&n, "k").kind, JSON_KIND_ABSENT);
    assert_true(json_is(&k, "a\xC3\xA9\xC3\xA9z"));
    assert_false(json_is(&k, "a\xC3\xA9\xC3\xA9") || json_is(&k, "a\xC3\xA9\xC3\xA9zz"));
    assert_false(json_is(&nul, "a") || json_is(&n, "-1.5") || json_is(&none, ""));
    assert_true(json_has_nul(&nul));
    assert_false(json_has_nul(&k) || json_has_nul(&n) || json_has_nul(&esc));
    assert_true(json_string_into(&k, out, 7) && strcmp(out, "a\xC3\xA9\xC3\xA9z") == 0);
    assert_false(json_string_into(&k, out, 6) || json_string_into(&nul, out, 16));
    assert_false(json_string_into(&n, out, 16));
    /* no character is cut in two, escaped or not */
    static const char *const shown[] = {
        "", "", "a", "a", "a\xC3\xA9", "a\xC3\xA9", "a\xC3\xA9\xC3\xA9", "a\xC3\xA9\xC3\xA9z"};
    for (size_t most = 1; most < 8; most++)
        assert_string_equal(json_show(&k, out, most), shown[most]);
    assert_string_equal(json_show(&nul, out, 16), "a?b");
    assert_string_equal(json_show(&n, out, 16), "-1.5");
    assert_string_equal(json_show(&n, out, 3), "-1");
    assert_string_equal(json_show(&none, out, 16), "");
    const struct json_value plain = checked("\"ab\""), escaped = checked("\"\\u0061\\u0062\"");
    const struct json_value longer = checked("\"abc\"");
    assert_true(json_same(&plain, &escaped) && json_hash(&plain) == json_hash(&escaped));
    assert_false(json_same(&plain, &longer) || json_same(&longer, &plain));
}

static void every_byte_is_quoted(void **state)
{
    (void)state;
    char text[128], out[128 * 6 + 3], back[128];
    for (int i = 0; i < 128; i++)
        text[i] = (char)i;
    out[json_quote(text, sizeof text, out)] = '\0';
    const struct json_value v = checked(out);
    uint64_t replaced = 0;
    assert_int_equal(json_decode(&v, back, &replaced), sizeof text);
    assert_memory_equal(back, text, sizeof text);
}

static void integers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_u64, is_i64;
        uint64_t u64;
        int64_t i64;
    } cases[] = {{"0", true, true, 0, 0},
                 {"-0", true, true, 0, 0},
                 {"-1", false, true, 0, -1},
                 {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
                 {"9223372036854775808", true, false, (uint64_t)INT64_MAX + 1, 0},
                 {"-9223372036854775808", false, true, 0, INT64_MIN},
                 {"-9223372036854775809", false, false, 0, 0},
                 {"18446744073709551615", true, false, UINT64_MAX, 0},
                 {"18446744073709551616", false, false, 0, 0},
                 {"184467440737095516150", false, false, 0, 0},
                 {"1.0", false, false, 0, 0},
                 {"1e0", false, false, 0, 0},
                 {"\"1\"", false, false, 0, 0},
                 {"null", false, false, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct json_value v = checked(cases[i].text);
        uint64_t u = 0;
        int64_t s = 0;
        assert_int_equal(json_u64(&v, &u), cases[i].is_u64);
        assert_int_equal(json_i64(&v, &s), cases[i].is_i64);
        assert_true(u == cases[i].u64 && s == cases[i].i64);
    }
}

static void doubles_are_the_nearest(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {{"0", 0},
                 {"-1.5", -1.5},
                 {"1e-12", 1e-12},
                 {"0.1", 0.1},
                 {"1000000000000000019884624838656", 1000000000000000019884624838656.0},
                 {"1.7976931348623157e308", DBL_MAX},
                 {"1e-999", 0}};
    const char *locales[] = {"C", "de_DE.UTF-8"}; /* where there is one, its point is a comma */
    for (size_t l = 0; l < 2; l++) {
        if (setlocale(LC_NUMERIC, locales[l]) == NULL) continue;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const struct json_value v = checked(cases[i].text);
            double d = -7;
            assert_true(json_double(&v, &d) && memcmp(&d, &cases[i].value, sizeof d) == 0);
        }
    }
    setlocale(LC_NUMERIC, "C");
    char many[JSON_NUMBER_MAX + 2];
    memset(many, '1', sizeof many);
    many[JSON_NUMBER_MAX + 1] = '\0';
    const struct json_value word = checked("\"1\""), huge = checked("1e999"), all = checked(many);
    const struct json_value fits = {JSON_KIND_NUMBER, many, JSON_NUMBER_MAX};
    double d = -7;
    assert_false(json_double(&word, &d) || json_double(&huge, &d) || json_double(&all, &d));
    assert_true(d == -7.0 && json_double(&fits, &d) && d > 1e126);
}

/* ---- tables ---- */

struct target {
    struct json_value any, text;
    uint32_t small;
    uint64_t large;
    float real;
    bool flag;
    size_t own_bytes;
    size_t n_others;
};

static vecmill_status read_own(const struct json_reading *reading, const struct json_field *field,
                               const struct json_value *value, vecmill_err *err)
{
    if (value->kind == JSON_KIND_NULL)
        return err_set(err, reading->failure, "%s: \"%s\" is null", reading->name, field->key);
    *(size_t *)((char *)reading->target + field->at) = value->bytes;
    return VECMILL_OK;
}

static vecmill_status see_other(const struct json_reading *reading, const struct json_value *key,
                                const struct json_value *value, vecmill_err *err)
{
    ((struct target *)reading->target)->n_others++;
    if (value->kind != JSON_KIND_BOOLEAN) return VECMILL_OK;
    char shown[16];
    return err_set(err, reading->failure, "%s: what is %s", reading->name,
                   json_show(key, shown, sizeof shown));
}

#define AT(member) offsetof(struct target, member)
static const struct json_field fields[] = {
    JSON_MUST("small", U32, AT(small), .least = 2, .most = 9, .most_name = "SMALL_MAX"),
    JSON_MAY("large", U64, AT(large), .least = 1, .most = UINT64_MAX),
    JSON_MAY("real", FLOAT, AT(real), .low = 0.5, .high = 2),
    JSON_MAY("flag", BOOL, AT(flag)),
    JSON_MAY("text", STRING, AT(text)),
    JSON_MAY("any", ANY, AT(any)),
    JSON_MAY("own", OWN, AT(own_bytes), .own = read_own, .takes_null = true),
    JSON_MAY("skip", UNREAD, 0),
};

static vecmill_status read_table(const char *text, json_field_other *other, struct target *t,
                                 vecmill_err *err)
{
    const struct json_value o = checked(text);
    const struct json_reading reading = {
        .name = "f", .failure = VECMILL_E_MODEL, .target = t, .other = other};
    *t = (struct target){.large = 77, .flag = true};
    return json_fields(&o, fields, sizeof fields / sizeof *fields, &reading, err);
}

static void a_table_is_filled(void **state)
{
    (void)state;
    struct target t;
    vecmill_err err;
    assert_int_equal(
        read_table(
            "{\"x\":1,\"skip\":[0],\"own\":[1, 2],\"any\":null,\"text\":\"a\",\"flag\":false,"
            "\"real\":1e0,\"large\":18446744073709551615,\"sm\\u0061ll\":9}",
            see_other, &t, &err),
        VECMILL_OK);
    assert_int_equal(t.small, 9);
    assert_true(t.large == UINT64_MAX && t.real == 1.0f && !t.flag);
    assert_true(json_is(&t.text, "a") && t.any.kind == JSON_KIND_NULL);
    assert_int_equal(t.own_bytes, 6);
    assert_int_equal(t.n_others, 1);
    assert_int_equal(
        read_table("{\"large\":null,\"flag\":null,\"small\":2,\"y\":true}", NULL, &t, &err),
        VECMILL_OK);
    assert_true(t.large == 77 && t.flag && t.text.kind == JSON_KIND_ABSENT);
}

static void a_table_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{}", "f: \"small\" is missing"},
        {"[]", "f: \"small\" is missing"},
        {"{\"small\":null}", "f: \"small\" is missing"},
        {"{\"small\":1}", "f: \"small\" is 1, outside 2 to 9"},
        {"{\"small\":-3}", "f: \"small\" is -3, outside 2 to 9"},
        {"{\"small\":10}", "f: \"small\" is 10, SMALL_MAX is 9"},
        {"{\"small\":99999999999999999999}",
         "f: \"small\" is 99999999999999999999, SMALL_MAX is 9"},
        {"{\"small\":2.0}", "f: \"small\" is not an integer"},
        {"{\"small\":\"2\"}", "f: \"small\" is not an integer"},
        {"{\"small\":2,\"large\":0}", "f: \"large\" is 0, outside 1 to 18446744073709551615"},
        {"{\"small\":2,\"large\":1e1}", "f: \"large\" is not an integer"},
        {"{\"small\":2,\"real\":2.5}", "f: \"real\" is 2.5, outside 0.5 to 2"},
        {"{\"small\":2,\"real\":1e999}", "f: \"real\" is 1e999, outside 0.5 to 2"},
        {"{\"small\":2,\"real\":\"1\"}", "f: \"real\" is not a number"},
        {"{\"small\":2,\"flag\":1}", "f: \"flag\" is neither true nor false"},
        {"{\"small\":2,\"text\":1}", "f: \"text\" is not a string"},
        {"{\"small\":2,\"text\":\"\\u0000\"}", "f: \"text\" holds a NUL character"},
        {"{\"small\":2,\"own\":null}", "f: \"own\" is null"},
        /* the table's order, not the file's */
        {"{\"flag\":1,\"small\":1}", "f: \"small\" is 1, outside 2 to 9"},
        {"{\"small\":1,\"z\":true}", "f: what is z"},
        {"{\"small\":1,\"a\":1,\"\\u0061\":2}", "f: duplicate key \"a\""},
        {"{\"small\":2,\"small\":2}", "f: duplicate key \"small\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct target t;
        vecmill_err err = {.message = ""};
        assert_int_equal(read_table(cases[i].text, see_other, &t, &err), VECMILL_E_MODEL);
        assert_string_equal(err.message, cases[i].says);
    }
}

static void members_have_a_maximum(void **state)
{
    (void)state;
    static char text[16 * (JSON_MEMBERS_MAX + 2)];
    struct target t;
    vecmill_err err;
    for (size_t n = JSON_MEMBERS_MAX; n <= JSON_MEMBERS_MAX + 1; n++) {
        char *at = text + sprintf(text, "{\"small\":5");
        for (size_t i = 1; i < n; i++)
            at += sprintf(at, ",\"k%zu\":1", i);
        strcpy(at, "}");
        assert_int_equal(read_table(text, see_other, &t, &err),
                         n > JSON_MEMBERS_MAX ? VECMILL_E_MODEL : VECMILL_OK);
        assert_int_equal(t.n_others, JSON_MEMBERS_MAX - 1);
    }
    assert_string_equal(err.message, "f: an object has more than JSON_MEMBERS_MAX, 1024, members");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_what_python_says),
        cmocka_unit_test(cut_and_changed_as_in_python),
        cmocka_unit_test(faults_have_their_place),
        cmocka_unit_test(depth_has_a_maximum),
        cmocka_unit_test(strings_are_compared_copied_and_shown),
        cmocka_unit_test(every_byte_is_quoted),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(doubles_are_the_nearest),
        cmocka_unit_test(a_table_is_filled),
        cmocka_unit_test(a_table_refuses),
        cmocka_unit_test(members_have_a_maximum),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("base-json: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
