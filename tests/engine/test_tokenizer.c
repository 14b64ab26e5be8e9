/* vecmill_tokenizer: a tokenizer without its model gives a session's ids; pairs; what it refuses. */
#include "vecmill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LENGTH 64u /* of the toy: its position table */

static const char *maker, *worker;
static char dir[] = "/tmp/vecmill-tokenizer-XXXXXX";

static vecmill_options options(void)
{
    vecmill_options o;
    vecmill_options_init(&o);
    o.model_dir = dir;
    o.worker_path = worker;
    o.cache_dir = dir;
    return o;
}

static vecmill_tokenizer *opened(const vecmill_options *o)
{
    vecmill_tokenizer *t = NULL;
    vecmill_err err;
    if (vecmill_tokenizer_open(o, &t, &err) != VECMILL_OK) fail_msg("%s", err.message);
    return t;
}

static vecmill_doc text_of(const char *text)
{
    return (vecmill_doc){.text = text, .bytes = strlen(text)};
}

static void ids_are_a_session_s(void **state)
{
    (void)state;
    const char *const texts[] = {
        "the cat", "", "who could have made it \xff",
        "the of and a to in is it that for was on are as with his they at be "
        "this from have or by one had not but what all were when we there can "
        "an your which their said if do will each about how up out them then"};
    const vecmill_options o = options();
    vecmill_session *s = NULL;
    vecmill_err err;
    if (vecmill_session_open(&o, &s, &err) != VECMILL_OK) fail_msg("%s", err.message);
    vecmill_tokenizer *t = opened(&o);
    assert_int_equal(vecmill_tokenizer_max_length(t), LENGTH);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int32_t want[LENGTH], got[LENGTH];
        uint8_t types[LENGTH];
        size_t n_want = 0, n = 0;
        vecmill_result r, r_want;
        const vecmill_doc doc = text_of(texts[i]);
        assert_int_equal(vecmill_tokenize(s, doc, want, LENGTH, &n_want, &r_want, &err),
                         VECMILL_OK);
        assert_int_equal(vecmill_tokenizer_encode(t, doc, got, types, &n, &r, &err), VECMILL_OK);
        assert_int_equal(n, n_want);
        assert_memory_equal(got, want, n * sizeof *got);
        assert_memory_equal(&r, &r_want, sizeof r);
        for (size_t k = 0; k < n; k++) {
            size_t bytes = 0, bytes_want = 0;
            assert_int_equal(types[k], 0);
            assert_ptr_not_equal(vecmill_tokenizer_text(t, got[k], &bytes), NULL);
            assert_ptr_not_equal(vecmill_token_text(s, got[k], &bytes_want), NULL);
            assert_int_equal(bytes, bytes_want);
        }
    }
    vecmill_tokenizer_close(t);
    vecmill_session_close(s);
}

/* [CLS] a [SEP] b [SEP] with types 0 and 1 (BERT 3.1); the longer text is cut. */
static void pairs_have_types(void **state)
{
    (void)state;
    vecmill_options o = options();
    int32_t one[8], two[8], ids[8];
    uint8_t types[8];
    size_t n_one, n_two, n;
    vecmill_err err;
    o.max_length = 8;
    vecmill_tokenizer *t = opened(&o);
    assert_int_equal(vecmill_tokenizer_encode(t, text_of("the cat"), one, NULL, &n_one, NULL, &err),
                     VECMILL_OK);
    assert_int_equal(vecmill_tokenizer_encode(t, text_of("of"), two, NULL, &n_two, NULL, &err),
                     VECMILL_OK);
    vecmill_doc pair = text_of("of");
    pair.kind = VECMILL_DOC_PAIR;
    pair.pair = "the of and to in is it";
    pair.pair_bytes = strlen(pair.pair);
    vecmill_result r;
    assert_int_equal(vecmill_tokenizer_encode(t, pair, ids, types, &n, &r, &err), VECMILL_OK);
    assert_int_equal(n, 8);
    assert_true(r.truncated);
    assert_memory_equal(ids, two, n_two * sizeof *ids); /* [CLS] of [SEP] */
    assert_int_equal(ids[n_two], one[1]);               /* the */
    assert_int_equal(ids[7], one[n_one - 1]);           /* [SEP] */
    for (size_t i = 0; i < n; i++)
        assert_int_equal(types[i], i >= n_two);
    vecmill_tokenizer_close(t);
}

struct seen {
    int32_t ids[LENGTH];
    uint32_t n, specials, pieces, end;
    size_t normalized;
};

static void see(void *context, const vecmill_made *made)
{
    struct seen *s = context;
    assert_int_equal(made->struct_bytes, sizeof *made);
    if (made->step == VECMILL_STEP_NORMALIZED) s->normalized += made->bytes;
    if (made->step == VECMILL_STEP_PIECE) {
        assert_true(made->start < made->end && made->start >= s->end && made->id == -1);
        s->end = made->end;
        s->pieces++;
    }
    if (made->step != VECMILL_STEP_TOKEN) return;
    assert_true(s->n < LENGTH);
    assert_int_equal(made->start == made->end, made->is_special);
    s->ids[s->n++] = made->id;
    s->specials += made->is_special != 0;
}

/* The tokens are those of vecmill_tokenize, also with a prompt and cut; the pieces are all there. */
static void steps_end_in_the_ids(void **state)
{
    (void)state;
    static const struct {
        const char *prompt;
        uint32_t max_length, pieces;
        size_t normalized;
    } cases[] = {{NULL, 0, 4, 13}, {"of: ", 0, 6, 17}, {NULL, 4, 4, 13}};
    const vecmill_doc doc = text_of("The cat, CAT\t");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vecmill_options o = options();
        vecmill_session *s = NULL;
        vecmill_err err;
        int32_t want[LENGTH];
        size_t n = 0;
        struct seen seen = {.n = 0}, alone = {.n = 0};
        o.prompt = cases[i].prompt;
        o.max_length = cases[i].max_length;
        if (vecmill_session_open(&o, &s, &err) != VECMILL_OK) fail_msg("%s", err.message);
        assert_int_equal(vecmill_tokenize(s, doc, want, LENGTH, &n, NULL, &err), VECMILL_OK);
        assert_int_equal(vecmill_explain(s, doc, see, &seen, &err), VECMILL_OK);
        assert_int_equal(seen.n, n);
        assert_memory_equal(seen.ids, want, n * sizeof *want);
        assert_int_equal(seen.specials, 2);
        assert_int_equal(seen.pieces, cases[i].pieces);
        assert_int_equal(seen.normalized, cases[i].normalized);
        vecmill_doc pair = doc;
        pair.kind = VECMILL_DOC_PAIR;
        assert_int_equal(vecmill_explain(s, pair, see, &seen, &err), VECMILL_E_UNSUPPORTED);
        vecmill_session_close(s);
        if (cases[i].prompt) continue;
        vecmill_tokenizer *t = opened(&o);
        assert_int_equal(vecmill_tokenizer_explain(t, doc, see, &alone, &err), VECMILL_OK);
        assert_int_equal(alone.n, n);
        assert_memory_equal(alone.ids, want, n * sizeof *want);
        vecmill_tokenizer_close(t);
    }
}

static void what_is_not_there_is_refused(void **state)
{
    (void)state;
    vecmill_tokenizer *t = NULL;
    vecmill_err err;
    vecmill_options o = options();
    o.prompt = "query: ";
    assert_int_equal(vecmill_tokenizer_open(&o, &t, &err), VECMILL_E_UNSUPPORTED);
    o = options();
    o.max_length = 3; /* three special tokens around a pair */
    assert_int_equal(vecmill_tokenizer_open(&o, &t, &err), VECMILL_E_USAGE);
    assert_non_null(strstr(err.message, "a maximum length of 3 tokens, outside 4 to 65536"));
    o = options();
    o.model_dir = "/tmp/no/such/folder";
    assert_int_equal(vecmill_tokenizer_open(&o, &t, &err), VECMILL_E_MODEL);
    o = options();
    t = opened(&o);
    int32_t ids[LENGTH];
    size_t n;
    const vecmill_doc doc = {.kind = VECMILL_DOC_IDS};
    assert_int_equal(vecmill_tokenizer_encode(t, doc, ids, NULL, &n, NULL, &err),
                     VECMILL_E_UNSUPPORTED);
    vecmill_tokenizer_close(t);
    vecmill_tokenizer_close(NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_a_session_s),
        cmocka_unit_test(pairs_have_types),
        cmocka_unit_test(steps_end_in_the_ids),
        cmocka_unit_test(what_is_not_there_is_refused),
    };
    char command[1024];
    if (argc != 3 || !mkdtemp(dir)) return 2;
    maker = argv[1];
    worker = argv[2];
    snprintf(command, sizeof command, "python3 '%s' '%s' > /dev/null", maker, dir);
    if (system(command) != 0) return 2;
    const int n = sizeof tests / sizeof tests[0];
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    (void)!system(command);
    printf("engine-tokenizer: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
