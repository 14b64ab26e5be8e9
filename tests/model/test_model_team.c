/* Passes by teams of threads, and models pooled by their first token: no bit depends on the number of
 * threads, on what else is in the pass, or on whether the last layer is computed whole or for first rows
 * alone. The level is VECMILL_ISA's, the precision VECMILL_TEST_PRECISION's. */
#include "model/work.h"
#include "model_toy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DOCS = 40, LONGEST = 200, TOKENS = 1500, VOCAB = 160 };

static const uint32_t team_sizes[] = {1, 2, 3, 5};
static const struct kern *kern;

/* A pass: documents end to end. */
struct made_pass {
    uint32_t n;
    uint32_t starts[DOCS + 1];
    int32_t ids[TOKENS];
};

static uint32_t seed;

static uint32_t next_random(void)
{
    seed ^= seed << 13; /* xorshift32 (Marsaglia 2003) */
    seed ^= seed >> 17;
    return seed ^= seed << 5;
}

static void add_document(struct made_pass *p, uint32_t n_tokens)
{
    const uint32_t at = p->starts[p->n];
    assert_true(p->n < DOCS && at + n_tokens <= TOKENS);
    for (uint32_t i = 0; i < n_tokens; i++)
        p->ids[at + i] = (int32_t)(next_random() % VOCAB);
    p->starts[++p->n] = at + n_tokens;
}

/* Passes of different shape: many documents, some of one token; one long; three, with blocks that no team
 * shares out evenly; one of a token. */
enum { PASSES = 4 };

static void make_pass(uint32_t which, struct made_pass *p)
{
    memset(p, 0, sizeof *p);
    seed = 77 + which;
    if (which == 0) {
        while (p->n < DOCS)
            add_document(p, p->n % 9 == 0 ? 1 : 1 + next_random() % 70);
    } else if (which == 1) {
        add_document(p, LONGEST);
    } else if (which == 2) {
        add_document(p, 97);
        add_document(p, LONGEST);
        add_document(p, 2);
    } else {
        add_document(p, 1);
    }
}

static void open_toy(struct toy *toy, struct toy_loaded *loaded, const char *arguments)
{
    vecmill_err err = {0};
    char all[256];
    toy_open(toy);
    snprintf(all, sizeof all, "--vocab %d --positions %d %s", VOCAB, LONGEST, arguments);
    toy_make(toy, all);
    if (toy_compile(toy, kern, &err) != VECMILL_OK) fail_msg("%s", err.message);
    toy_load(toy, kern, loaded);
    toy_plan(loaded, TOKENS, LONGEST);
}

static void close_toy(struct toy *toy, struct toy_loaded *loaded)
{
    toy_unload(loaded);
    toy_remove(toy);
}

static float *some_vectors(const struct toy_loaded *loaded)
{
    float *v = (float *)calloc((size_t)DOCS * model_describe(loaded->model)->dim, sizeof *v);
    assert_non_null(v);
    return v;
}

/* The pass's vectors by one thread, each document in a separate pass. */
static void each_alone(struct toy_loaded *loaded, const struct made_pass *p, float *vectors)
{
    const uint32_t h = model_describe(loaded->model)->dim;
    toy_threads(loaded, 1);
    for (uint32_t d = 0; d < p->n; d++) {
        const uint32_t starts[2] = {0, p->starts[d + 1] - p->starts[d]};
        toy_forward(loaded, p->ids + p->starts[d], starts, 1, vectors + (size_t)d * h);
    }
}

static void same_bits_by_every_team(const char *arguments)
{
    struct toy toy;
    struct toy_loaded loaded;
    open_toy(&toy, &loaded, arguments);
    const uint32_t h = model_describe(loaded.model)->dim;
    float *alone = some_vectors(&loaded), *together = some_vectors(&loaded);
    for (uint32_t which = 0; which < PASSES; which++) {
        struct made_pass p;
        make_pass(which, &p);
        each_alone(&loaded, &p, alone);
        for (size_t t = 0; t < sizeof team_sizes / sizeof *team_sizes; t++) {
            toy_threads(&loaded, team_sizes[t]);
            /* Threads take other items each time; plain C takes its time. */
            for (int again = kern->level == KERN_REF ? 3 : 0; again < 5; again++) {
                memset(together, 0xff, (size_t)p.n * h * sizeof *together);
                toy_forward(&loaded, p.ids, p.starts, p.n, together);
                if (memcmp(alone, together, (size_t)p.n * h * sizeof *together) != 0)
                    fail_msg("%s: pass %u has other bits by %u threads", arguments, which,
                             team_sizes[t]);
            }
        }
    }
    free(alone);
    free(together);
    close_toy(&toy, &loaded);
}

static void no_bit_depends_on_the_team(void **state)
{
    (void)state;
    static const char *const toys[] = {
        "--seed 21 --layers 2 --heads 4 --hidden 64 --intermediate 200",
        "--seed 22 --layers 3 --heads 3 --hidden 33 --intermediate 7", /* fewer heads than parts */
        "--seed 23 --layers 1 --heads 1 --hidden 32 --intermediate 64",
        "--seed 20 --layers 1 --pooling mean+lasttoken --after Dense:200:Tanh,LayerNorm,Normalize",
        "--seed 24 --pooling cls --layers 1 --heads 2 --hidden 64 --intermediate 40",
        "--seed 25 --pooling cls --layers 3 --heads 8 --hidden 128 --intermediate 100",
        "--seed 26 --pooling cls --layers 1 --heads 6 --hidden 96 --intermediate 40",
        "--seed 27 --pooling cls --layers 3 --heads 6 --hidden 96 --intermediate 40",
    };
    for (size_t i = 0; i < sizeof toys / sizeof *toys; i++)
        same_bits_by_every_team(toys[i]);
}

/* The last layer of one row a document against the last layer of all: a twin with the same weights that
 * pools by the mean leaves all rows in its workspace. */
static void first_rows_are_those_of_the_whole(const char *shape, uint32_t hidden)
{
    struct toy of_cls, of_mean;
    struct toy_loaded cls, mean;
    struct made_pass p;
    char arguments[200];
    snprintf(arguments, sizeof arguments, "--no-normalize --hidden %u %s", hidden, shape);
    open_toy(&of_mean, &mean, arguments);
    snprintf(arguments, sizeof arguments, "--no-normalize --pooling cls --hidden %u %s", hidden,
             shape);
    open_toy(&of_cls, &cls, arguments);
    assert_int_equal(model_describe(cls.model)->ending.poolings[0], MODEL_POOL_CLS);
    assert_int_equal(model_describe(mean.model)->ending.poolings[0], MODEL_POOL_MEAN);
    float *first = some_vectors(&cls), *means = some_vectors(&mean);
    for (uint32_t which = 0; which < PASSES; which++) {
        struct arena a;
        struct work w;
        make_pass(which, &p);
        toy_forward(&cls, p.ids, p.starts, p.n, first);
        toy_forward(&mean, p.ids, p.starts, p.n, means);
        arena_init(&a, mean.memory, mean.memory_bytes);
        work_layout(&w, &a, arch_named("bert"), model_describe(mean.model), kern, &mean.extent);
        assert_true(arena_ok(&a));
        for (uint32_t d = 0; d < p.n; d++) {
            const float *row = w.x + (size_t)p.starts[d] * hidden;
            if (memcmp(row, first + (size_t)d * hidden, hidden * sizeof *row) != 0)
                fail_msg("%s, hidden %u: document %u of pass %u", shape, hidden, d, which);
        }
    }
    free(first);
    free(means);
    close_toy(&of_cls, &cls);
    close_toy(&of_mean, &mean);
}

static void first_rows_have_the_bits_of_the_whole(void **state)
{
    (void)state;
    first_rows_are_those_of_the_whole("--seed 31 --layers 1 --heads 2 --intermediate 40", 64);
    first_rows_are_those_of_the_whole("--seed 32 --layers 3 --heads 8 --intermediate 300", 128);
    first_rows_are_those_of_the_whole("--seed 33 --layers 1 --heads 6 --intermediate 40", 96);
    first_rows_are_those_of_the_whole("--seed 34 --layers 3 --heads 6 --intermediate 40", 96);
}

int main(void)
{
    if (!toy_level()) {
        printf("skipped: this machine has no %s\n", getenv("VECMILL_ISA"));
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_bit_depends_on_the_team),
        cmocka_unit_test(first_rows_have_the_bits_of_the_whole),
    };
    kern = toy_kern();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("model-team: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(*tests)) - failed,
           failed);
    return failed;
}
