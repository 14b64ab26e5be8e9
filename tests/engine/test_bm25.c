/* Weights of words against FastEmbed's, which tools/make_golden_bm25.py wrote; options that are refused;
 * and what a text must not do to the next one. */
#include "vecmill.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

#define GOLDEN     "tests/data/lex/bm25.json"
#define TEXT_MOST  8192u
#define STOPS_MOST 8u
#define N_MOST     64u

/* One document's result. */
struct answer {
    uint32_t indices[N_MOST];
    float weights[N_MOST];
    size_t n, n_words, n_taken;
    uint64_t replaced;
    vecmill_status status;
};

static vecmill_status take(void *context, size_t d, const vecmill_result *result,
                           const vecmill_part *parts, uint32_t n_parts, vecmill_err *err)
{
    struct answer *a = (struct answer *)context + d;
    (void)err;
    a->n_taken++;
    a->status = result->status;
    assert_int_equal(result->kind, VECMILL_KIND_SPARSE);
    assert_int_equal(n_parts, result->status == VECMILL_OK);
    if (n_parts == 0) return VECMILL_OK;
    assert_true(parts->n <= N_MOST && parts->n == result->count && parts->bytes == result->bytes &&
                parts->bytes == parts->n * 8 && parts->kind == VECMILL_KIND_SPARSE);
    a->n = parts->n;
    a->n_words = result->n_tokens;
    a->replaced = result->replaced_bytes;
    if (parts->n > 0) {
        memcpy(a->indices, parts->data, parts->n * 4);
        memcpy(a->weights, (const char *)parts->data + parts->n * 4, parts->n * 4);
    }
    return VECMILL_OK;
}

static vecmill_bm25 *opened(const vecmill_bm25_options *options)
{
    vecmill_bm25 *bm25 = NULL;
    vecmill_err err = {0};
    if (vecmill_bm25_open(options, &bm25, &err) != VECMILL_OK) fail_msg("%s", err.message);
    return bm25;
}

static void encode(vecmill_bm25 *bm25, const char *text, size_t bytes, vecmill_role role,
                   struct answer *a)
{
    const vecmill_doc doc = {.text = text, .bytes = bytes};
    vecmill_err err = {0};
    *a = (struct answer){0};
    if (vecmill_bm25_compute(bm25, &doc, 1, role, take, a, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    assert_int_equal(a->n_taken, 1);
}

/* ---- golden ---- */

static void read_number(const struct json_value *options, const char *key, double *value)
{
    const struct json_value given = json_get(options, key);
    (void)json_double(&given, value);
}

static void compare(const struct json_value *one, const char *key, const uint32_t *got, size_t n,
                    const char *text)
{
    const struct json_value want = json_get(one, key);
    struct json_each each = json_begin(&want);
    struct json_value none, value;
    uint64_t index = 0;
    if (json_count(&want) != n) fail_msg("%s: %zu words, not %zu", text, n, json_count(&want));
    for (size_t i = 0; i < n; i++) {
        assert_true(json_each(&each, &none, &value) && json_u64(&value, &index));
        if (got[i] != index)
            fail_msg("%s: index %zu is %u, not %llu", text, i, got[i], (unsigned long long)index);
    }
}

static double compare_weights(const struct json_value *one, const float *got, size_t n)
{
    const struct json_value want = json_get(one, "values");
    struct json_each each = json_begin(&want);
    struct json_value none, value;
    double off = 0, weight = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(json_each(&each, &none, &value) && json_double(&value, &weight));
        off = fmax(off, fabs((double)got[i] - weight));
    }
    return off;
}

static double check_case(const struct json_value *one)
{
    static char text[TEXT_MOST];
    char language[32], words[STOPS_MOST][32];
    const char *stop[STOPS_MOST];
    struct answer document, query;
    vecmill_bm25_options options;
    uint64_t n_words = 0, replaced = 0;
    double most = 40;
    const struct json_value of_text = json_get(one, "text"), name = json_get(one, "language"),
                            given = json_get(one, "options"), list = json_get(one, "stopwords"),
                            count = json_get(one, "words"),
                            disabled = json_get(&given, "disable_stemmer");
    assert_true(of_text.bytes <= TEXT_MOST && json_string_into(&name, language, sizeof language));
    const size_t bytes = json_decode(&of_text, text, &replaced);
    vecmill_bm25_options_init(&options);
    options.language = language;
    options.stopwords = stop;
    struct json_each each = json_begin(&list);
    struct json_value none, word;
    for (; json_each(&each, &none, &word); options.n_stopwords++) {
        assert_true(options.n_stopwords < STOPS_MOST &&
                    json_string_into(&word, words[options.n_stopwords], 31));
        stop[options.n_stopwords] = words[options.n_stopwords];
    }
    read_number(&given, "k", &options.k);
    read_number(&given, "b", &options.b);
    read_number(&given, "avg_len", &options.avg_len);
    read_number(&given, "token_max_length", &most);
    options.token_max_length = (uint32_t)most;
    options.disable_stemmer = disabled.kind == JSON_KIND_BOOLEAN;
    vecmill_bm25 *bm25 = opened(&options);
    encode(bm25, text, bytes, VECMILL_ROLE_DOCUMENT, &document);
    encode(bm25, text, bytes, VECMILL_ROLE_QUERY, &query);
    vecmill_bm25_close(bm25);
    text[num_min(bytes, 60)] = '\0';
    compare(one, "indices", document.indices, document.n, text);
    compare(one, "query", query.indices, query.n, text);
    assert_true(json_u64(&count, &n_words) && document.n_words == n_words);
    for (size_t i = 0; i < query.n; i++)
        assert_true(query.weights[i] == 1);
    return compare_weights(one, document.weights, document.n);
}

static void golden(void **state)
{
    (void)state;
    struct buf text;
    struct json_value root, none, one;
    vecmill_err err = {0};
    unsigned n = 0;
    double worst = 0;
    buf_init(&text, 1 << 20, GOLDEN);
    if (io_read_file(GOLDEN, &text, VECMILL_E_IO, VECMILL_E_IO, &err) != VECMILL_OK ||
        json_check(text.data, text.bytes, GOLDEN, VECMILL_E_IO, &root, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    const struct json_value cases = json_get(&root, "cases");
    for (struct json_each each = json_begin(&cases); json_each(&each, &none, &one); n++)
        worst = fmax(worst, check_case(&one));
    printf("%u cases, weights off by %.1e at most, 2e-7 are allowed\n", n, worst);
    assert_true(n >= 24 && worst <= 2e-7);
    buf_done(&text);
}

/* ---- the rest ---- */

static void own_stop_words(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    vecmill_bm25_options options;
    struct answer a;
    vecmill_bm25_options_init(&options);
    vecmill_bm25 *english = opened(&options);
    encode(english, "we didn't see THE ships", 23, VECMILL_ROLE_DEFAULT, &a);
    assert_int_equal(a.n, 2); /* see, ship */
    assert_int_equal(a.n_words, 6);
    options.stopwords = none;
    vecmill_bm25 *all = opened(&options);
    encode(all, "we didn't see THE ships", 23, VECMILL_ROLE_DEFAULT, &a);
    assert_int_equal(a.n, 6);
    options.stopwords = NULL;
    options.disable_stemmer = 1;
    vecmill_bm25 *plain = opened(&options);
    encode(plain, "the ships", 9, VECMILL_ROLE_DEFAULT, &a);
    assert_int_equal(a.n, 2);
    options.disable_stemmer = 0;
    options.language = "tamil"; /* a stemmer, and no list */
    vecmill_bm25 *tamil = opened(&options);
    encode(tamil, "the ships", 9, VECMILL_ROLE_DEFAULT, &a);
    assert_int_equal(a.n, 2);
    vecmill_bm25_close(english);
    vecmill_bm25_close(all);
    vecmill_bm25_close(plain);
    vecmill_bm25_close(tamil);
    vecmill_bm25_close(NULL);
}

/* Invalid bytes and NUL separate words; roles of documents; an answer does not depend on the one before. */
static void documents(void **state)
{
    (void)state;
    static const char broken[] = "one\xff\xfetwo\0three \xe4\xb8";
    struct answer first, again, many[4] = {0};
    vecmill_bm25_options options;
    vecmill_err err;
    vecmill_bm25_options_init(&options);
    vecmill_bm25 *bm25 = opened(&options);
    encode(bm25, broken, sizeof broken - 1, VECMILL_ROLE_DOCUMENT, &first);
    assert_true(first.n == 3 && first.n_words == 3 && first.replaced == 4);
    encode(bm25, NULL, 0, VECMILL_ROLE_DOCUMENT, &again);
    assert_true(again.n == 0 && again.n_words == 0);
    encode(bm25, broken, sizeof broken - 1, VECMILL_ROLE_DOCUMENT, &again);
    assert_memory_equal(&first, &again, sizeof first);
    const vecmill_doc docs[4] = {
        {.text = "ships", .bytes = 5},
        {.text = "ships", .bytes = 5, .role = VECMILL_ROLE_DOCUMENT},
        {.text = "", .bytes = 0},
        {.text = "ships", .bytes = 5, .role = VECMILL_ROLE_QUERY},
    };
    assert_int_equal(vecmill_bm25_compute(bm25, docs, 4, VECMILL_ROLE_QUERY, take, many, &err),
                     VECMILL_OK);
    assert_true(many[0].weights[0] == 1 && many[1].weights[0] != 1 && many[2].n == 0);
    assert_true(many[3].weights[0] == 1 && many[3].indices[0] == many[1].indices[0]);
    const vecmill_doc pair = {.kind = VECMILL_DOC_PAIR}, odd = {.role = (vecmill_role)3};
    assert_int_equal(vecmill_bm25_compute(bm25, &pair, 1, VECMILL_ROLE_QUERY, take, many, &err),
                     VECMILL_E_UNSUPPORTED);
    assert_int_equal(vecmill_bm25_compute(bm25, &odd, 1, VECMILL_ROLE_QUERY, take, many, &err),
                     VECMILL_E_USAGE);
    assert_int_equal(vecmill_bm25_compute(bm25, docs, 1, (vecmill_role)3, take, many, &err),
                     VECMILL_E_USAGE);
    /* too long: the document's fault, told before it is read */
    const vecmill_doc large = {.text = "x", .bytes = (size_t)VECMILL_MAX_DOCUMENT + 1};
    assert_int_equal(vecmill_bm25_compute(bm25, &large, 1, VECMILL_ROLE_QUERY, take, many, &err),
                     VECMILL_OK);
    assert_int_equal(many[0].status, VECMILL_E_LIMIT);
    vecmill_bm25_close(bm25);
}

static void refuse(const vecmill_bm25_options *options, vecmill_status status, const char *words)
{
    vecmill_bm25 *bm25 = NULL;
    vecmill_err err = {0};
    assert_int_equal(vecmill_bm25_open(options, &bm25, &err), status);
    assert_null(bm25);
    if (!strstr(err.message, words)) fail_msg("%s", err.message);
}

static void refused(void **state)
{
    (void)state;
    vecmill_bm25_options good, o;
    vecmill_bm25_options_init(&good);
#define REFUSED(member, value, words)                                                              \
    o = good;                                                                                      \
    o.member = (value);                                                                            \
    refuse(&o, VECMILL_E_USAGE, words)
    REFUSED(k, -1, "k is -1, 0 is the least");
    REFUSED(k, (double)NAN, "k is ");
    REFUSED(b, 1.5, "b is 1.5, 0 to 1");
    REFUSED(avg_len, 0, "avg_len is 0, it has to be over 0");
    REFUSED(token_max_length, 0, "at most 0 characters");
    REFUSED(language, "klingon", "no stemmer for \"klingon\"; libstemmer has ");
    REFUSED(struct_bytes, 8, "vecmill_bm25_options");
#undef REFUSED
    struct {
        vecmill_bm25_options o;
        uint64_t later;
    } later = {good, 1};
    later.o.struct_bytes = sizeof later;
    refuse(&later.o, VECMILL_E_UNSUPPORTED, "vecmill_bm25_options");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),
        cmocka_unit_test(own_stop_words),
        cmocka_unit_test(documents),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("engine-bm25", tests, NULL, NULL);
}
