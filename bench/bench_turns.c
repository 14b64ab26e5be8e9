/* bench_turns: builds of the library against each other, in one process, pass by pass.
 *
 *     bench_turns MODEL_DIR TEXTS SECONDS BUILD...
 *     P=int8 taskset -c 0 build/bench/bench_turns MODEL_DIR sentences.txt 30 /other/build build
 *
 * Each BUILD is a folder with libvecmill.so and vecmill-worker; its packs go to BUILD/bench_turns. The texts,
 * a document a line, are embedded in passes of at most 480 tokens, each pass by each library, the first one
 * changing, on one thread. The peak of multiply-adds is measured before and after every pass, and the pass's
 * operations a second are printed as a share of the larger; a pass during which the clock moved by more than
 * 1.5 % is left out. So two builds are compared within half a second, at the clock of that moment, where two
 * runs of `vecmill bench` may be 5 % apart. Time is the processor's. P: fp32, bf16 or int8.
 *
 * Knows of the library what vecmill.h says, and looks the functions up by name. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "texts.h"
#include "vecmill_bench.h"

enum { BUILDS_MOST = 16, PASS_TOKENS = 480, PASSES_MOST = 100000, IDS_MOST = 8192 };
#define PEAK_S 0.01
#define STEADY 0.985

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_turns: %s: %s\n", what, why);
    exit(1);
}

#define CHECK(call, what)                                                                          \
    do {                                                                                           \
        if ((call) != VECMILL_OK) die(what, err.message);                                          \
    } while (0)

/* One build, and what came out of it. */
struct build {
    const char *folder;
    vecmill_session *session;
    __typeof__(&vecmill_embed) embed;
    __typeof__(&vecmill_tokenize) tokenize;
    __typeof__(&vecmill_session_flops) flops;
    __typeof__(&vecmill_session_peak) peak;
    double *shares; /* [n], of the passes that count */
    size_t n;
    bool differs; /* in some bit from the build whose turn was first */
};

/* One pass, and its operations in all. */
struct pass {
    const vecmill_doc *docs; /* [n] */
    size_t n;
    double operations;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *memory(size_t n, size_t each)
{
    void *m;
    vecmill_err err;
    CHECK(mem_new_array(n, each, "a benchmark's array", &m, &err), "memory");
    return m;
}

/* A function of the library; dlsym's object pointer is copied into it, as POSIX has it. */
static void find(void *library, const char *name, void *function)
{
    void *const at = dlsym(library, name);
    if (!at) die(name, dlerror());
    memcpy(function, &at, sizeof at);
}

/* All builds are of one model: *dim is the same. */
static void open_build(struct build *b, const char *folder, const char *model, int precision,
                       uint32_t *dim)
{
    char path[IO_PATH_MAX];
    vecmill_options options;
    vecmill_err err = {.status = VECMILL_OK};
    __typeof__(&vecmill_options_init) init;
    __typeof__(&vecmill_session_open) open;
    __typeof__(&vecmill_session_describe) describe;
    *b = (struct build){.folder = folder, .shares = memory(PASSES_MOST, sizeof(double))};
    snprintf(path, sizeof path, "%s/libvecmill.so", folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) die(path, dlerror());
    find(library, "vecmill_options_init", &init);
    find(library, "vecmill_session_open", &open);
    find(library, "vecmill_session_describe", &describe);
    find(library, "vecmill_embed", &b->embed);
    find(library, "vecmill_tokenize", &b->tokenize);
    find(library, "vecmill_session_flops", &b->flops);
    find(library, "vecmill_session_peak", &b->peak);
    snprintf(path, sizeof path, "%s/bench_turns", folder);
    init(&options);
    options.model_dir = model;
    options.cache_dir = path;
    options.precision = (vecmill_precision)precision;
    CHECK(open(&options, &b->session, &err), folder);
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    describe(b->session, &facts);
    *dim = facts.dim;
}

/* Documents from `at` on until they fill a pass; at least one. */
static struct pass next_pass(const struct build *b, const struct texts *texts, size_t at)
{
    static int32_t ids[IDS_MOST];
    struct pass pass = {.docs = texts->docs + at};
    size_t tokens = 0;
    for (; at + pass.n < texts->n; pass.n++) {
        size_t n;
        vecmill_result result;
        vecmill_err err = {.status = VECMILL_OK};
        CHECK(b->tokenize(b->session, pass.docs[pass.n], ids, IDS_MOST, &n, &result, &err),
              "a text");
        if (pass.n > 0 && tokens + n > PASS_TOKENS) break;
        tokens += n;
        pass.operations += b->flops(b->session, (uint32_t)n);
    }
    return pass;
}

static void run_pass(struct build *b, const struct pass *pass, float *vectors)
{
    vecmill_err err = {.status = VECMILL_OK};
    const double before = b->peak(b->session, PEAK_S), begin = now_s();
    CHECK(b->embed(b->session, pass->docs, pass->n, vectors, NULL, &err), b->folder);
    const double took = now_s() - begin, after = b->peak(b->session, PEAK_S);
    const double high = before > after ? before : after, low = before + after - high;
    if (low >= STEADY * high && b->n < PASSES_MOST)
        b->shares[b->n++] = pass->operations / took / high;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_build(struct build *b)
{
    if (b->n == 0) {
        printf("%-30s no pass at a steady clock\n", b->folder);
        return;
    }
    qsort(b->shares, b->n, sizeof *b->shares, compare);
    printf("%-30s %5zu passes, share of the peak: median %.4f, tenths %.4f to %.4f%s\n", b->folder,
           b->n, b->shares[b->n / 2], b->shares[b->n / 10], b->shares[b->n * 9 / 10],
           b->differs ? ", OTHER BITS" : "");
}

int main(int argc, char **argv)
{
    static const char *const precisions[] = {"fp32", "bf16", "int8"};
    static struct build builds[BUILDS_MOST];
    const char *p = getenv("P");
    int precision = 0;
    if (argc < 5 || argc - 4 > BUILDS_MOST) die("usage", "MODEL_DIR TEXTS SECONDS BUILD...");
    while (p && strcmp(p, precisions[precision]) != 0)
        if (++precision == 3) die(p, "is no precision");
    const size_t n_builds = (size_t)argc - 4;
    uint32_t dim = 0;
    for (size_t i = 0; i < n_builds; i++)
        open_build(&builds[i], argv[4 + i], argv[1], precision, &dim);
    const struct texts texts = texts_read("bench_turns", argv[2]);
    float *first = memory((size_t)PASS_TOKENS * dim, sizeof(float));
    float *vectors = memory((size_t)PASS_TOKENS * dim, sizeof(float));
    const double begin = now_s(), seconds = strtod(argv[3], NULL);
    size_t at = 0;
    for (size_t turn = 0; turn == 0 || now_s() - begin < seconds; turn++) {
        const struct pass pass = next_pass(&builds[0], &texts, at);
        at = (at + pass.n) % texts.n;
        for (size_t i = 0; i < n_builds; i++) {
            struct build *b = &builds[(i + turn) % n_builds];
            float *to = i == 0 ? first : vectors;
            run_pass(b, &pass, to);
            b->differs |= i > 0 && memcmp(first, to, pass.n * dim * sizeof *to) != 0;
        }
    }
    for (size_t i = 0; i < n_builds; i++)
        print_build(&builds[i]);
    return 0;
}
