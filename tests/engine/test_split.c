/* Long documents as windows: their shape, their numbers against windows cut by hand, and that a row's
 * bits depend on its text alone, in sessions and in pools.
 *
 * Models are made by tools/make_toy_model.py (argv[1]); the worker program is argv[2]. */
#include "engine/split.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIM      32u
#define LONGEST  64u /* of the toys */
#define SPECIALS 2u
#define N_DOCS   60u
#define ROOM     (1u << 15) /* bytes of a text */
#define WAIT     300000u    /* ms: a hang ends the test */

static char folder[64];
static const char *maker, *worker;

/* ---- small things ---- */

static void make_model(const char *name, const char *arguments)
{
    char command[3 * IO_PATH_MAX];
    snprintf(command, sizeof command,
             "python3 '%s' '%s/%s' --layers 2 --hidden 32 --heads 4 --intermediate 64 --vocab 160 "
             "--positions 64 %s >/dev/null",
             maker, folder, name, arguments);
    assert_int_equal(system(command), 0);
}

/* The same words through stages, which BERT's normalizer alone does not need. */
static void make_staged(const char *name)
{
    char command[3 * IO_PATH_MAX];
    snprintf(command, sizeof command,
             "cd '%s/%s' && python3 -c \"import json; t = json.load(open('tokenizer.json')); "
             "t['normalizer'] = {'type': 'Lowercase'}; json.dump(t, open('tokenizer.json', 'w'))\"",
             folder, name);
    assert_int_equal(system(command), 0);
}

static vecmill_options options_for(const char *model, vecmill_long policy)
{
    static char paths[2][IO_PATH_MAX];
    vecmill_options o;
    vecmill_options_init(&o);
    assert_int_equal(io_join(folder, model, paths[0], NULL), VECMILL_OK);
    assert_int_equal(io_join(folder, "cache", paths[1], NULL), VECMILL_OK);
    o.model_dir = paths[0];
    o.cache_dir = paths[1];
    o.worker_path = worker;
    o.long_policy = policy;
    return o;
}

static vecmill_session *open_ok(const vecmill_options *o)
{
    vecmill_session *s = NULL;
    vecmill_err err;
    if (vecmill_session_open(o, &s, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    return s;
}

static void embed(vecmill_session *s, const vecmill_doc *docs, size_t n, float *rows,
                  vecmill_result *results)
{
    vecmill_err err;
    if (vecmill_embed(s, docs, n, rows, results, &err) != VECMILL_OK)
        fail_msg("embed: %s", err.message);
}

/* Words first .. first + n of an endless text; each is one token of the toys. */
static size_t put_words(char *out, size_t room, uint32_t first, uint32_t n)
{
    static const char *const words[] = {"the",  "which", "many", "first", "would", ",", "time",
                                        "been", "a",     "7",    "other", "z",     "."};
    const uint32_t n_words = sizeof words / sizeof words[0];
    size_t at = 0;
    out[0] = 0;
    for (uint32_t i = first; i < first + n; i++)
        at += (size_t)snprintf(out + at, room - at, "%s ", words[(i * i + i / 7) % n_words]);
    assert_true(at + 1 < room);
    return at;
}

/* The row of n words by its definition: windows cut by hand, embedded one by one by a session that does
 * not split, averaged in double. Returns all tokens computed. */
static uint64_t expect(vecmill_session *plain, uint32_t n, uint32_t max_length, bool normalize,
                       double row[DIM])
{
    static char text[ROOM];
    const uint32_t content = max_length - SPECIALS, stride = content - content / 4;
    double total = 0, length = 0;
    uint64_t n_tokens = 0;
    memset(row, 0, DIM * sizeof *row);
    for (uint32_t first = 0;; first += stride) {
        const uint32_t size = n - first < content ? n - first : content;
        vecmill_doc doc = {.text = text, .bytes = put_words(text, sizeof text, first, size)};
        float vector[DIM];
        vecmill_result r;
        embed(plain, &doc, 1, vector, &r);
        assert_int_equal(r.n_tokens, size + SPECIALS);
        assert_int_equal(r.truncated, 0);
        n_tokens += r.n_tokens;
        total += size;
        for (uint32_t k = 0; k < DIM; k++)
            row[k] += (double)size * (double)vector[k];
        if (first + size == n) break;
    }
    for (uint32_t k = 0; k < DIM; k++)
        row[k] /= total;
    for (uint32_t k = 0; k < DIM; k++)
        length += row[k] * row[k];
    for (uint32_t k = 0; normalize && k < DIM; k++)
        row[k] /= sqrt(length);
    return n_tokens;
}

/* ---- shape ---- */

/* Each token is in a window, windows but the last are full, and the last has more than the overlap. */
static void windows_cover_the_text(void **state)
{
    (void)state;
    for (uint32_t longest = 3; longest < 80; longest++) {
        const struct split_shape shape = split_shape(longest, SPECIALS);
        assert_int_equal(shape.content, longest - 2);
        assert_int_equal(shape.overlap, (longest - 2) / 4);
        assert_int_equal(shape.stride, shape.content - shape.overlap);
        for (uint64_t n = 0; n < 400; n++) {
            const uint64_t windows = split_windows(&shape, n);
            const uint64_t last = (windows - 1) * shape.stride;
            assert_true(windows >= 1 && last + shape.content >= n);
            if (windows == 1) continue;
            assert_true(n - last > shape.overlap);
            assert_true(last - shape.stride + shape.content <
                        n); /* the one before does not end it */
        }
    }
}

static void guesses_are_near(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t tokens;
    } cases[] = {
        {"", 0},         {" \t\n", 0},      {"a", 1},
        {"ab", 1},       {"abc", 2},        {"abcd", 2},
        {"a b", 2},      {"ab1", 2},        {"a1b", 3},
        {"1234", 4},     {"!?", 2},         {"a.", 2},
        {"\xC3\xA9", 1}, {"x\xC3\xA9y", 3}, {"\xE4\xB8\xAD\xE6\x96\x87", 2},
        {"Ab cD", 2},    {"@[`{", 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(split_guess_tokens(cases[i].text, strlen(cases[i].text)), cases[i].tokens);
    assert_int_equal(split_guess_tokens(NULL, 0), 0);
}

/* ---- numbers ---- */

static void compare(const char *model, bool normalize, uint32_t max_length)
{
    static char text[ROOM];
    vecmill_options o = options_for(model, VECMILL_LONG_TRUNCATE);
    o.max_length = max_length;
    vecmill_session *plain = open_ok(&o);
    o.long_policy = VECMILL_LONG_SPLIT;
    vecmill_session *split = open_ok(&o);
    const uint32_t content = (max_length ? max_length : LONGEST) - SPECIALS;
    const uint32_t stride = content - content / 4;
    const uint32_t sizes[] = {0,
                              1,
                              content - 1,
                              content,
                              content + 1,
                              content + stride - 1,
                              content + stride,
                              content + stride + 1,
                              5 * content + 3,
                              1000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        vecmill_doc doc = {.text = text, .bytes = put_words(text, sizeof text, 0, sizes[i])};
        float row[DIM], fits[DIM];
        double want[DIM];
        vecmill_result r;
        embed(split, &doc, 1, row, &r);
        assert_int_equal(r.status, VECMILL_OK);
        assert_int_equal(r.truncated, 0);
        if (sizes[i] <= content) {
            assert_int_equal(r.n_tokens, sizes[i] + SPECIALS);
            embed(plain, &doc, 1, fits, NULL);
            if (memcmp(row, fits, sizeof row) != 0)
                fail_msg("%s, %u tokens, %u words: other bits", model, max_length, sizes[i]);
            continue;
        }
        assert_int_equal(r.n_tokens, expect(plain, sizes[i], content + SPECIALS, normalize, want));
        for (uint32_t k = 0; k < DIM; k++)
            if (fabs((double)row[k] - want[k]) > 1e-6)
                fail_msg("%s, %u words, element %u: %.9g, want %.9g", model, sizes[i], k,
                         (double)row[k], want[k]);
    }
    vecmill_session_close(split);
    vecmill_session_close(plain);
}

static void rows_are_means_of_windows(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, 3,  4, 6,
                                       7, 17, 63}; /* windows of 1 token, no overlap, ... */
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        compare("mean", true, lengths[i]);
        compare("cls", true, lengths[i]);
        compare("raw", false, lengths[i]);
    }
}

/* A word of many pieces that begins in one window and ends in another counts as its pieces. */
static void words_may_lie_across_a_border(void **state)
{
    (void)state;
    char text[256] = "";
    vecmill_options o = options_for("mean", VECMILL_LONG_SPLIT);
    o.max_length = 12; /* 10 text tokens a window, 8 further on the next */
    vecmill_session *s = open_ok(&o);
    for (int i = 0; i < 25; i++)
        strcat(text, "q");
    float row[DIM];
    vecmill_result r;
    const vecmill_doc doc = {.text = text, .bytes = strlen(text)};
    embed(s, &doc, 1, row, &r);
    assert_int_equal(r.n_tokens, 12 + 12 + 2 + 9); /* 0 .. 10, 8 .. 18, 16 .. 25 */
    int32_t ids[12];
    size_t n = 0;
    assert_int_equal(vecmill_tokenize(s, doc, ids, 12, &n, &r, NULL), VECMILL_OK);
    assert_int_equal(n, 12); /* the first window's */
    assert_int_equal(r.truncated, 1);
    vecmill_session_close(s);
}

/* ---- bits ---- */

static char texts[N_DOCS][ROOM];
static vecmill_doc docs[N_DOCS];
static float expected[N_DOCS][DIM]; /* alone, in a session of its own */
static vecmill_result expected_results[N_DOCS];

static void make_docs(void)
{
    for (uint32_t i = 0; i < N_DOCS; i++) {
        const uint32_t n = i % 5 == 0 ? 100 + i * i : i % 5 == 1 ? 50 + i : i % 3 == 0 ? 0 : i;
        size_t bytes = put_words(texts[i], ROOM, i, n);
        if (i % 7 == 0 && bytes > 9) memcpy(texts[i] + bytes / 2, "\xFF\0q", 3);
        docs[i] = (vecmill_doc){.text = texts[i], .bytes = bytes};
    }
    docs[2] = (vecmill_doc){.text = NULL, .bytes = 0};
}

static void expect_row(const float *row, const vecmill_result *r, uint32_t i)
{
    if (memcmp(row, expected[i], sizeof expected[i]) != 0) fail_msg("row %u differs", i);
    assert_int_equal(r->status, VECMILL_OK);
    assert_int_equal(r->n_tokens, expected_results[i].n_tokens);
    assert_int_equal(r->truncated, 0);
    assert_int_equal(r->replaced_bytes, expected_results[i].replaced_bytes);
}

static void bits_depend_on_the_text_alone(void **state)
{
    (void)state;
    static const uint32_t batches[] = {1, 2, 65, 100, 333, 960, 4096};
    uint32_t n_split = 0;
    static float rows[N_DOCS][DIM];
    static vecmill_result results[N_DOCS];
    for (uint32_t i = 0; i < N_DOCS; i++)
        n_split += expected_results[i].n_tokens > LONGEST;
    assert_in_range(n_split, N_DOCS / 4, N_DOCS / 2);
    for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        vecmill_options o = options_for("mean", VECMILL_LONG_SPLIT);
        vecmill_doc shuffled[N_DOCS];
        o.batch_tokens = batches[b];
        vecmill_session *s = open_ok(&o);
        for (uint32_t i = 0; i < N_DOCS; i++)
            shuffled[i] = docs[(i * 7 + 5) % N_DOCS];
        memset(rows, 0xEE, sizeof rows);
        embed(s, shuffled, N_DOCS, rows[0], results);
        for (uint32_t i = 0; i < N_DOCS; i++)
            expect_row(rows[i], &results[i], (i * 7 + 5) % N_DOCS);
        for (uint32_t i = 0; i < N_DOCS; i += 11) {
            embed(s, &docs[i], 1, rows[0], results);
            expect_row(rows[0], results, i);
        }
        vecmill_session_close(s);
    }
}

/* A pass of as many documents as there can be: all empty. */
static void empty_documents_fill_a_pass(void **state)
{
    (void)state;
    enum { N = 1500 };
    static vecmill_doc many[N];
    static float rows[N][DIM], one[DIM];
    static vecmill_result results[N];
    const vecmill_options o = options_for("mean", VECMILL_LONG_SPLIT);
    vecmill_session *s = open_ok(&o);
    many[N - 1] = docs[5]; /* split, behind them */
    embed(s, many, 1, one, NULL);
    embed(s, many, N, rows[0], results);
    for (uint32_t i = 0; i + 1 < N; i++)
        assert_memory_equal(rows[i], one, sizeof one);
    expect_row(rows[N - 1], &results[N - 1], 5);
    vecmill_session_close(s);
}

static void pools_give_the_same_bits(void **state)
{
    (void)state;
    static const uint32_t workers[] = {1, 3};
    for (size_t w = 0; w < 2; w++) {
        vecmill_options o = options_for("mean", VECMILL_LONG_SPLIT);
        vecmill_pool_options p;
        vecmill_pool *pool = NULL;
        vecmill_err err, why;
        vecmill_pool_options_init(&p);
        p.workers = workers[w];
        if (vecmill_pool_open(&o, &p, &pool, &err) != VECMILL_OK) fail_msg("%s", err.message);
        for (uint32_t given = 0, done = 0; done < 3 * N_DOCS;) {
            int accepted = 0, taken = 0;
            if (given < 3 * N_DOCS)
                assert_int_equal(vecmill_pool_submit(pool, docs[given % N_DOCS], &accepted, &err),
                                 VECMILL_OK);
            given += (uint32_t)accepted;
            if (accepted) continue;
            float row[DIM];
            vecmill_result r;
            assert_int_equal(vecmill_pool_take(pool, WAIT, row, &r, &why, &taken, &err),
                             VECMILL_OK);
            if (!taken) fail_msg("document %u did not come within %u ms", done, WAIT);
            expect_row(row, &r, done++ % N_DOCS);
        }
        vecmill_pool_close(pool);
    }
}

/* The working memory is planned when a session opens, and does not know how long documents are. */
static void memory_is_the_sessions(void **state)
{
    (void)state;
    vecmill_facts with = {.struct_bytes = sizeof with}, without = with;
    vecmill_options o = options_for("mean", VECMILL_LONG_SPLIT);
    vecmill_session *s = open_ok(&o);
    vecmill_session_describe(s, &with);
    vecmill_session_close(s);
    o.long_policy = VECMILL_LONG_TRUNCATE;
    s = open_ok(&o);
    vecmill_session_describe(s, &without);
    vecmill_session_close(s);
    const uint64_t n = with.batch_tokens / SPECIALS;
    const uint64_t least = n * DIM * sizeof(float) + DIM * sizeof(double) + text_stream_bytes();
    assert_in_range(with.arena_bytes - without.arena_bytes, least, least + n * 24 + 1024);
}

/* A tokenizer with stages takes at most a megabyte without a cut: such a document fails, with a row of
 * zeros, whether its windows before were computed or not, and the others have the bits that they have
 * alone. Also in a pool, where it must not teach what long documents take. */
static void a_document_without_a_cut_is_dropped(void **state)
{
    (void)state;
    enum { DOCS = 5 };
    const size_t most = TEXT_STRETCH_MAX + 4096, front = 4096;
    static const uint32_t windows[] = {3,
                                       70}; /* of a pass: it holds all of those in front, or not */
    char *uncut = malloc(front + most), *blanks = malloc(most);
    char text[2][ROOM];
    assert_non_null(uncut);
    assert_non_null(blanks);
    const size_t begun = put_words(uncut, front, 7, 300);
    uncut[begun] = ' ';
    for (size_t i = begun + 1; i < front + most; i++)
        uncut[i] = (char)('0' + i % 7);
    for (size_t i = 0; i < most; i++)
        blanks[i] = ") ("[i % 3];
    const vecmill_doc list[DOCS] = {{.text = text[0], .bytes = put_words(text[0], ROOM, 0, 500)},
                                    {.text = uncut, .bytes = front + most},
                                    {.text = text[1], .bytes = put_words(text[1], ROOM, 9, 200)},
                                    {.text = blanks, .bytes = most},
                                    {.text = text[1], .bytes = put_words(text[1], ROOM, 9, 150)}};
    vecmill_options o = options_for("staged", VECMILL_LONG_SPLIT);
    float want[DOCS][DIM], rows[DOCS][DIM];
    vecmill_result r[DOCS];
    vecmill_err err;
    vecmill_session *s = open_ok(&o);
    for (int i = 0; i < DOCS; i++) {
        embed(s, &list[i], 1, want[i], &r[i]);
        assert_int_equal(r[i].status, i % 2 ? VECMILL_E_LIMIT : VECMILL_OK);
        for (uint32_t k = 0; i % 2 && k < DIM; k++)
            assert_true(want[i][k] == 0);
    }
    vecmill_session_close(s);
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        o.batch_tokens = windows[i] * LONGEST;
        s = open_ok(&o);
        embed(s, list, DOCS, rows[0], r);
        assert_memory_equal(rows, want, sizeof rows);
        vecmill_session_close(s);
    }
    vecmill_pool_options p;
    vecmill_pool *pool = NULL;
    vecmill_pool_options_init(&p);
    p.workers = 1;
    if (vecmill_pool_open(&o, &p, &pool, &err) != VECMILL_OK) fail_msg("pool: %s", err.message);
    for (int i = 0; i < 4 * DOCS; i++) {
        int accepted = 0, taken = 0;
        vecmill_result one;
        assert_int_equal(vecmill_pool_submit(pool, list[i % DOCS], &accepted, &err), VECMILL_OK);
        assert_true(accepted);
        assert_int_equal(vecmill_pool_take(pool, WAIT, rows[0], &one, NULL, &taken, &err),
                         VECMILL_OK);
        assert_true(taken);
        assert_int_equal(one.status, i % DOCS % 2 ? VECMILL_E_LIMIT : VECMILL_OK);
        assert_memory_equal(rows[0], want[i % DOCS], sizeof *rows);
    }
    vecmill_pool_counts counts = {.struct_bytes = sizeof counts};
    vecmill_pool_count(pool, &counts);
    assert_int_equal(counts.requeued, 0);
    vecmill_pool_close(pool);
    free(blanks);
    free(uncut);
}

static int prepare(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/vecmill-split-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    make_model("mean", "");
    make_model("cls", "--pooling cls --seed 3");
    make_model("raw", "--no-normalize --seed 4");
    make_model("staged", "--seed 5");
    make_staged("staged");
    make_docs();
    const vecmill_options o = options_for("mean", VECMILL_LONG_SPLIT);
    for (uint32_t i = 0; i < N_DOCS; i++) {
        vecmill_session *s = open_ok(&o);
        embed(s, &docs[i], 1, expected[i], &expected_results[i]);
        vecmill_session_close(s);
    }
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_cover_the_text),
        cmocka_unit_test(guesses_are_near),
        cmocka_unit_test(rows_are_means_of_windows),
        cmocka_unit_test(words_may_lie_across_a_border),
        cmocka_unit_test(bits_depend_on_the_text_alone),
        cmocka_unit_test(empty_documents_fill_a_pass),
        cmocka_unit_test(pools_give_the_same_bits),
        cmocka_unit_test(memory_is_the_sessions),
        cmocka_unit_test(a_document_without_a_cut_is_dropped),
    };
    if (argc != 3) return 2;
    vecmill_machine machine = {.struct_bytes = sizeof machine};
    if (vecmill_machine_describe(&machine, NULL) == VECMILL_OK && machine.isa[0] == '\0') {
        printf("skipped: this machine lacks the level VECMILL_ISA names\n");
        return 77;
    }
    maker = argv[1];
    worker = argv[2];
    const int failed = cmocka_run_group_tests(tests, prepare, remove_folder);
    printf("engine-split: %zu passed, %d failed\n", sizeof(tests) / sizeof(*tests) - (size_t)failed,
           failed);
    return failed;
}
