/* Sessions on small models: options, packs, failures of building, and what a call promises.
 *
 * Models are made by tools/make_toy_model.py (argv[1]); the worker program is argv[2]. The link
 * replaces the calls by which base/alloc.c takes memory, so that taking any after open is seen. */
#include "base/base.h"
#include "vecmill_bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static const char *maker, *worker;
static int n_taken; /* calls that took memory */

void *__real_aligned_alloc(size_t align, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__real_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__real_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset);

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    n_taken++;
    return __real_aligned_alloc(align, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    n_taken++;
    return __real_realloc(memory, bytes);
}

void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    n_taken++;
    return __real_mmap(at, bytes, prot, flags, fd, offset);
}

/* What mmap is called where offsets have 64 bits (-D_FILE_OFFSET_BITS=64). */
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset)
{
    n_taken++;
    return __real_mmap64(at, bytes, prot, flags, fd, offset);
}

/* ---- small things ---- */

static void in_folder(char out[IO_PATH_MAX], const char *name)
{
    assert_int_equal(io_join(folder, name, out, NULL), VECMILL_OK);
}

static void make_model(const char *name, const char *arguments)
{
    char command[3 * IO_PATH_MAX];
    snprintf(command, sizeof(command), "python3 '%s' '%s/%s' %s > /dev/null", maker, folder, name,
             arguments);
    assert_int_equal(system(command), 0);
}

static vecmill_options options_for(const char *model, const char *cache)
{
    static char paths[2][IO_PATH_MAX];
    vecmill_options o;
    vecmill_options_init(&o);
    in_folder(paths[0], model);
    in_folder(paths[1], cache);
    o.model_dir = paths[0];
    o.cache_dir = paths[1];
    o.worker_path = worker;
    return o;
}

static vecmill_session *open_ok(const vecmill_options *o)
{
    vecmill_session *s = NULL;
    vecmill_err err;
    if (vecmill_session_open(o, &s, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    return s;
}

static void open_fails(const vecmill_options *o, vecmill_status status, const char *part)
{
    vecmill_session *s = (vecmill_session *)(uintptr_t)1;
    vecmill_err err;
    vecmill_status got = vecmill_session_open(o, &s, &err);
    if (got == VECMILL_OK) fail_msg("opened, wanted: %s", part);
    if (got != status || !strstr(err.message, part)) {
        fail_msg("status %d: %s (wanted %d, %s)", (int)got, err.message, (int)status, part);
    }
    assert_true(s == (vecmill_session *)(uintptr_t)1);
    assert_int_equal(err.status, status);
}

/* Files in the packs' folder but what was seen of them; the name of the last one that is a pack. */
static int count_packs(const char *cache, char pack[IO_PATH_MAX])
{
    char dir[IO_PATH_MAX], packs[IO_PATH_MAX];
    in_folder(dir, cache);
    assert_int_equal(io_join(dir, "packs", packs, NULL), VECMILL_OK);
    int n = 0;
    DIR *d = opendir(packs);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        const char *ending = strrchr(e->d_name, '.');
        if (e->d_name[0] == '.' || (ending && strcmp(ending, ".seen") == 0)) continue;
        n++;
        assert_int_equal(io_join(packs, e->d_name, pack, NULL), VECMILL_OK);
    }
    closedir(d);
    return n;
}

static ino_t inode(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

static vecmill_doc doc(const char *text)
{
    return (vecmill_doc){.text = text, .bytes = strlen(text)};
}

/* ---- opening ---- */

static void options_are_checked(void **state)
{
    (void)state;
    vecmill_options o = options_for("toy", "cache"), bad;
    bad = o;
    bad.struct_bytes--;
    open_fails(&bad, VECMILL_E_USAGE, "vecmill_options has");
    bad = o;
    bad.model_dir = NULL;
    open_fails(&bad, VECMILL_E_USAGE, "no model folder");
    bad = o;
    bad.precision = (vecmill_precision)3;
    open_fails(&bad, VECMILL_E_USAGE, "precision is 3, over VECMILL_INT8, 2");
    bad = o;
    bad.threads = VECMILL_MAX_THREADS + 1;
    open_fails(&bad, VECMILL_E_USAGE, "threads is 257, over VECMILL_MAX_THREADS, 256");
    bad = o;
    bad.long_policy = (vecmill_long)3;
    open_fails(&bad, VECMILL_E_USAGE, "long_policy is 3, over VECMILL_LONG_SPLIT, 2");
    bad = o;
    bad.batch_tokens = VECMILL_MAX_BATCH_TOKENS + 1;
    open_fails(&bad, VECMILL_E_USAGE, "65537, over VECMILL_MAX_BATCH_TOKENS, 65536");
    bad = o;
    bad.max_length = 65;
    open_fails(&bad, VECMILL_E_USAGE, "65 tokens, outside 3 to 64");
    bad.max_length = 2;
    open_fails(&bad, VECMILL_E_USAGE, "2 tokens, outside 3 to 64");
    bad = o;
    bad.isa = "sse9";
    open_fails(&bad, VECMILL_E_USAGE, "sse9");
    bad = o;
    bad.model_dir = "/nowhere/at/all";
    open_fails(&bad, VECMILL_E_MODEL, "/nowhere/at/all");
}

static void facts_are_the_models(void **state)
{
    (void)state;
    vecmill_options o = options_for("toy", "cache");
    o.max_length = 20;
    o.batch_tokens = 100;
    vecmill_session *s = open_ok(&o);
    vecmill_facts f = {.struct_bytes = sizeof(f)};
    vecmill_session_describe(s, &f);
    assert_int_equal(f.dim, 32);
    assert_int_equal(f.layers, 2);
    assert_int_equal(f.heads, 4);
    assert_int_equal(f.intermediate, 64);
    assert_int_equal(f.vocab, 160);
    assert_int_equal(f.most_length, 64);
    assert_int_equal(f.max_length, 20);
    assert_int_equal(f.batch_tokens, 100);
    assert_int_equal(f.normalized, 1);
    assert_int_equal(f.precision, VECMILL_FP32);
    assert_int_equal(f.threads, 1);
    assert_string_equal(f.pooling, "mean");
    assert_true(io_exists(f.pack_path));
    assert_true(f.arena_bytes > 0 && f.pack_bytes > 0);
    assert_true(vecmill_session_flops(s, 10) > 0);
    /* An older caller's smaller struct is filled as far as it reaches. */
    unsigned char small[sizeof(size_t) + 4 + 4] = {0};
    const size_t reach = sizeof(size_t) + 4;
    memcpy(small, &reach, sizeof(reach));
    vecmill_session_describe(s, (vecmill_facts *)(void *)small);
    assert_int_equal(small[sizeof(size_t)], 32);
    assert_int_equal(small[reach], 0);
    vecmill_session_close(s);
    vecmill_session_close(NULL);
}

static void a_pack_is_built_once_and_anew_when_files_change(void **state)
{
    (void)state;
    char pack[IO_PATH_MAX], file[IO_PATH_MAX];
    vecmill_options o = options_for("toy", "once");
    vecmill_session_close(open_ok(&o));
    assert_int_equal(count_packs("once", pack), 1);
    ino_t first = inode(pack);
    vecmill_session_close(open_ok(&o));
    assert_int_equal(inode(pack), first);
    /* Other times alone are no change. */
    in_folder(file, "toy/tokenizer.json");
    assert_int_equal(utimensat(AT_FDCWD, file, NULL, 0), 0);
    vecmill_session_close(open_ok(&o));
    assert_int_equal(inode(pack), first);
    FILE *f = fopen(file, "a");
    assert_non_null(f);
    fputs("\n", f);
    fclose(f);
    vecmill_session_close(open_ok(&o));
    assert_int_equal(count_packs("once", pack), 1);
    assert_true(inode(pack) != first);
}

static void a_damaged_pack_is_built_anew(void **state)
{
    (void)state;
    char pack[IO_PATH_MAX];
    vecmill_options o = options_for("toy", "damaged");
    vecmill_session_close(open_ok(&o));
    assert_int_equal(count_packs("damaged", pack), 1);
    /* The header, the tokenizer's section, the configuration's, first and last byte of the weights,
     * the length. */
    struct pack p;
    assert_int_equal(pack_open(pack, &p, NULL), VECMILL_OK);
    assert_string_equal(p.sections[1].name, "model.config");
    assert_string_equal(p.sections[2].name, "model.weights");
    const off_t weights = (off_t)p.sections[2].offset;
    const off_t places[] = {40, 4096 + 10, (off_t)p.sections[1].offset + 5, weights,
                            weights + (off_t)p.sections[2].bytes - 1};
    const size_t n = sizeof(places) / sizeof(*places);
    pack_close(&p);
    for (size_t i = 0; i < n + 1; i++) {
        ino_t before = inode(pack);
        int fd = open(pack, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        if (i < n) {
            char c;
            assert_int_equal(pread(fd, &c, 1, places[i]), 1);
            c ^= 1;
            assert_int_equal(pwrite(fd, &c, 1, places[i]), 1);
        } else {
            assert_int_equal(ftruncate(fd, 5000), 0);
        }
        close(fd);
        vecmill_session *s = open_ok(&o);
        vecmill_facts f = {.struct_bytes = sizeof(f)};
        vecmill_session_describe(s, &f);
        if (!strstr(f.warning, "built anew")) fail_msg("place %zu: warning '%s'", i, f.warning);
        vecmill_session_close(s);
        assert_true(inode(pack) != before);
        s = open_ok(&o);
        vecmill_session_describe(s, &f);
        assert_string_equal(f.warning, "");
        vecmill_session_close(s);
    }
    assert_int_equal(count_packs("damaged", pack), 1);
}

/* What is kept beside a pack saves time, and may be anything. */
static void what_was_seen_is_never_required(void **state)
{
    (void)state;
    char pack[IO_PATH_MAX], seen[IO_PATH_MAX + 8];
    vecmill_options o = options_for("toy", "seen");
    for (int i = 0; i < 2; i++) /* built, then found */
        vecmill_session_close(open_ok(&o));
    assert_int_equal(count_packs("seen", pack), 1);
    snprintf(seen, sizeof(seen), "%s.seen", pack);
    const ino_t first = inode(pack);
    for (int i = 0; i < 4; i++) {
        if (i == 0) assert_int_equal(unlink(seen), 0);
        if (i == 1) assert_int_equal(truncate(seen, 50), 0);
        if (i == 2) assert_int_equal(truncate(seen, 5000), 0);
        if (i == 3) {
            assert_int_equal(unlink(seen), 0);
            assert_int_equal(mkdir(seen, 0700), 0);
        }
        vecmill_session_close(open_ok(&o));
        assert_int_equal(inode(pack), first);
    }
    assert_int_equal(rmdir(seen), 0);
}

/* Where no pack can be kept one is built in memory, of the same bits. */
static void a_pack_in_memory(void **state)
{
    (void)state;
    vecmill_doc doc = {.text = "some words of a text", .bytes = 20};
    float kept[32], in_memory[32];
    vecmill_options o = options_for("toy", "kept");
    vecmill_facts f = {.struct_bytes = sizeof(f)};
    char place[IO_PATH_MAX], identity[33];
    vecmill_session *s = open_ok(&o);
    assert_int_equal(vecmill_embed(s, &doc, 1, kept, NULL, NULL), VECMILL_OK);
    vecmill_session_describe(s, &f);
    snprintf(identity, sizeof(identity), "%s", f.identity);
    vecmill_session_close(s);
    in_folder(place, "a file");
    close(open(place, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    o = options_for("toy", "a file");
    s = open_ok(&o);
    vecmill_session_describe(s, &f);
    assert_non_null(strstr(f.warning, "in memory"));
    assert_string_equal(f.identity, identity);
    assert_int_equal(vecmill_embed(s, &doc, 1, in_memory, NULL, NULL), VECMILL_OK);
    assert_memory_equal(kept, in_memory, sizeof(kept));
    vecmill_session_close(s);
}

static void many_builders_make_one_pack(void **state)
{
    (void)state;
    enum { N = 6 };
    pid_t children[N];
    char pack[IO_PATH_MAX];
    vecmill_options o = options_for("toy", "many");
    for (int i = 0; i < N; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            vecmill_session *s;
            _exit(vecmill_session_open(&o, &s, NULL) == VECMILL_OK ? 0 : 1);
        }
    }
    for (int i = 0; i < N; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count_packs("many", pack), 1);
}

static void write_script(const char *name, const char *text, char path[IO_PATH_MAX])
{
    in_folder(path, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fchmod(fileno(f), 0700), 0);
    fclose(f);
}

static void a_builder_that_dies_is_named(void **state)
{
    (void)state;
    char path[IO_PATH_MAX];
    vecmill_options o = options_for("toy", "dying");
    o.worker_path = "/nowhere/vecmill-worker";
    open_fails(&o, VECMILL_E_USAGE, "/nowhere/vecmill-worker");
    o.worker_path = path;
    write_script("killed.sh", "#!/bin/sh\nkill -9 $$\n", path);
    open_fails(&o, VECMILL_E_INTERNAL, "signal 9 (KILL)");
    write_script("silent.sh", "#!/bin/sh\nexit 0\n", path);
    open_fails(&o, VECMILL_E_INTERNAL, "without an answer");
    write_script("garbage.sh", "#!/bin/sh\nhead -c 100000 /dev/zero | tr '\\0' '\\377'\n", path);
    open_fails(&o, VECMILL_E_INTERNAL, "????");
    write_script("liar.sh", "#!/bin/sh\nprintf '\\0'\n", path);
    open_fails(&o, VECMILL_E_MODEL, "right after it was built");
    write_script("noexec", "not a program", path);
    open_fails(&o, VECMILL_E_INTERNAL, "cannot be started");
}

static void a_host_that_ignores_children_is_coped_with(void **state)
{
    (void)state;
    vecmill_options o = options_for("toy", "ignored");
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    assert_int_equal(sigaction(SIGCHLD, &ignore, &before), 0);
    vecmill_session_close(open_ok(&o));
    assert_int_equal(sigaction(SIGCHLD, &before, NULL), 0);
}

static void the_worker_alone_does_nothing(void **state)
{
    (void)state;
    char command[2 * IO_PATH_MAX];
    snprintf(command, sizeof(command), "'%s' 2> /dev/null", worker);
    int status = system(command);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    /* Not our child: it must not work for a parent that is gone. */
    snprintf(command, sizeof(command), "'%s' pack 1 ref fp32 '%s/toy' '%s/orphan.pack' key", worker,
             folder, folder);
    status = system(command);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 4);
}

static void a_vocabulary_larger_than_the_table_is_refused(void **state)
{
    (void)state;
    char command[4 * IO_PATH_MAX];
    make_model("small", "--vocab 170");
    make_model("mixed", "--vocab 160");
    snprintf(command, sizeof(command),
             "cp '%s/small/tokenizer.json' '%s/small/vocab.txt' '%s/mixed/'", folder, folder,
             folder);
    assert_int_equal(system(command), 0);
    vecmill_options o = options_for("mixed", "cache");
    open_fails(&o, VECMILL_E_MODEL,
               "the tokenizer has 170 tokens, the word embeddings have 160 rows");
}

static void a_tokenizer_without_special_tokens_is_refused(void **state)
{
    (void)state;
    char command[4 * IO_PATH_MAX];
    make_model("bare", "--vocab 160");
    snprintf(command, sizeof(command),
             "cd '%s/bare' && python3 -c \"import json; t = json.load(open('tokenizer.json')); "
             "t['post_processor'] = None; json.dump(t, open('tokenizer.json', 'w'))\"",
             folder);
    assert_int_equal(system(command), 0);
    vecmill_options o = options_for("bare", "cache");
    open_fails(&o, VECMILL_E_MODEL, "adds no special token");
}

static void nothing_is_left_open(void **state)
{
    (void)state;
    vecmill_options o = options_for("toy", "cache");
    vecmill_session_close(open_ok(&o));
    int before = open("/dev/null", O_RDONLY);
    close(before);
    for (int i = 0; i < 100; i++) {
        vecmill_session_close(open_ok(&o));
    }
    int after = open("/dev/null", O_RDONLY);
    close(after);
    assert_int_equal(after, before);
    int n_threads = 0;
    DIR *d = opendir("/proc/self/task");
    assert_non_null(d);
    while (readdir(d)) {
        n_threads++;
    }
    closedir(d);
    assert_int_equal(n_threads - 2, 1);
}

/* ---- computing ---- */

#define N_DOCS 200
#define DIM    32

/* Texts of 0 to about 40 tokens; some empty, some with NUL, some invalid. */
static void make_docs(vecmill_doc docs[N_DOCS])
{
    static char text[N_DOCS][256];
    uint32_t seed = 7;
    for (int i = 0; i < N_DOCS; i++) {
        size_t n = 0;
        seed = seed * 1664525u + 1013904223u;
        int words = (int)(seed >> 16) % 40;
        for (int w = 0; w < words; w++) {
            seed = seed * 1664525u + 1013904223u;
            static const char *const some[] = {"the", "water", "a",    "many",
                                               ",",   "first", "\xff", "you"};
            n += (size_t)snprintf(text[i] + n, sizeof(text[i]) - n, "%s ", some[seed >> 24 & 7]);
        }
        if (n > 3 && i % 7 == 0) text[i][n / 2] = '\0';
        docs[i] = (vecmill_doc){.text = text[i], .bytes = n};
    }
    docs[3] = (vecmill_doc){.text = NULL, .bytes = 0};
}

/* Rows that no token has (a table filled up to a round number) change no bit. */
static void a_table_larger_than_the_vocabulary(void **state)
{
    (void)state;
    vecmill_doc docs[N_DOCS];
    static float want[N_DOCS][DIM], got[N_DOCS][DIM];
    make_docs(docs);
    make_model("padded", "--vocab 160 --pad-vocab 8");
    vecmill_options o = options_for("toy", "cache");
    vecmill_session *s = open_ok(&o);
    assert_int_equal(vecmill_embed(s, docs, N_DOCS, want[0], NULL, NULL), VECMILL_OK);
    vecmill_session_close(s);
    o = options_for("padded", "cache");
    s = open_ok(&o);
    assert_int_equal(vecmill_embed(s, docs, N_DOCS, got[0], NULL, NULL), VECMILL_OK);
    vecmill_session_close(s);
    assert_memory_equal(want, got, sizeof want);
}

static void bits_depend_on_the_text_alone(void **state)
{
    (void)state;
    vecmill_doc docs[N_DOCS], shuffled[N_DOCS];
    static float want[N_DOCS][DIM], got[N_DOCS][DIM];
    vecmill_options o = options_for("toy", "cache");
    vecmill_session *s = open_ok(&o);
    make_docs(docs);
    assert_int_equal(vecmill_embed(s, docs, N_DOCS, want[0], NULL, NULL), VECMILL_OK);
    for (int i = 0; i < N_DOCS; i++) {
        shuffled[i] = docs[(i * 77 + 5) % N_DOCS];
        assert_int_equal(vecmill_embed(s, &docs[i], 1, got[0], NULL, NULL), VECMILL_OK);
        assert_memory_equal(got[0], want[i], sizeof(want[i]));
    }
    vecmill_session_close(s);
    static const uint32_t batches[] = {1, 2, 17, 48, 100, 333, 4096};
    for (size_t b = 0; b < sizeof(batches) / sizeof(*batches); b++) {
        o.batch_tokens = batches[b];
        s = open_ok(&o);
        assert_int_equal(vecmill_embed(s, shuffled, N_DOCS, got[0], NULL, NULL), VECMILL_OK);
        for (int i = 0; i < N_DOCS; i++) {
            assert_memory_equal(got[i], want[(i * 77 + 5) % N_DOCS], sizeof(want[i]));
        }
        vecmill_session_close(s);
    }
}

/* The first components of each whole row, scaled or not, by arithmetic in double. */
static void expect_cut(const float *whole, const float *cut, uint32_t dim, bool scaled)
{
    for (int i = 0; i < N_DOCS; i++) {
        double length = 0;
        for (uint32_t k = 0; k < dim; k++)
            length += (double)whole[i * DIM + (int)k] * (double)whole[i * DIM + (int)k];
        for (uint32_t k = 0; k < dim; k++) {
            const double x = (double)whole[i * DIM + (int)k],
                         y = (double)cut[(uint32_t)i * dim + k];
            if (!scaled) assert_true(x == y);
            const double want = scaled ? x / sqrt(length) : x;
            assert_true(want - y < 1e-6 && y - want < 1e-6);
        }
    }
}

/* Of a model that normalizes and of one that does not: what is cut, and what is scaled. Passes of one
 * document and of many give the same bits, and a session with other dimensions is another by its identity. */
static void vectors_are_cut_and_scaled_as_asked(void **state)
{
    (void)state;
    static const struct {
        uint32_t dim;
        vecmill_normalize when;
        bool scaled; /* where the model does not normalize */
        bool scaled_toy;
    } cases[] = {
        {0, VECMILL_NORMALIZE_AUTO, false, true}, {DIM, VECMILL_NORMALIZE_AUTO, false, true},
        {DIM, VECMILL_NORMALIZE_NO, false, true}, {DIM, VECMILL_NORMALIZE_YES, true, true},
        {5, VECMILL_NORMALIZE_AUTO, true, true},  {5, VECMILL_NORMALIZE_NO, false, false},
        {1, VECMILL_NORMALIZE_YES, true, true},   {DIM - 1, VECMILL_NORMALIZE_AUTO, true, true},
    };
    static float whole[2][N_DOCS * DIM], cut[N_DOCS * DIM], again[DIM];
    static const char *const models[] = {"raw", "toy"};
    vecmill_doc docs[N_DOCS];
    make_docs(docs);
    make_model("raw", "--no-normalize --layers 2 --hidden 32 --heads 4 --intermediate 64 "
                      "--vocab 160 --positions 64");
    for (int m = 0; m < 2; m++) {
        vecmill_options o = options_for(models[m], "cache");
        vecmill_session *s = open_ok(&o);
        vecmill_facts plain = {.struct_bytes = sizeof plain};
        vecmill_session_describe(s, &plain);
        char plain_identity[33];
        snprintf(plain_identity, sizeof plain_identity, "%s", plain.identity);
        assert_int_equal(vecmill_embed(s, docs, N_DOCS, whole[m], NULL, NULL), VECMILL_OK);
        vecmill_session_close(s);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const uint32_t dim = cases[i].dim ? cases[i].dim : DIM;
            const bool scaled = m ? cases[i].scaled_toy : cases[i].scaled;
            o.dimensions = cases[i].dim;
            o.normalize = cases[i].when;
            s = open_ok(&o);
            vecmill_facts f = {.struct_bytes = sizeof f};
            vecmill_session_describe(s, &f);
            assert_int_equal(f.dim, dim);
            assert_int_equal(f.hidden, DIM);
            assert_int_equal(f.normalized, scaled);
            const bool is_plain = dim == DIM && (m || !scaled);
            assert_int_equal(strcmp(f.identity, plain_identity) == 0, is_plain);
            assert_int_equal(vecmill_embed(s, docs, N_DOCS, cut, NULL, NULL), VECMILL_OK);
            if (is_plain)
                assert_memory_equal(cut, whole[m], sizeof cut);
            else
                expect_cut(whole[m], cut, dim, scaled);
            for (int d = 0; d < N_DOCS; d += 13) {
                assert_int_equal(vecmill_embed(s, &docs[d], 1, again, NULL, NULL), VECMILL_OK);
                assert_memory_equal(again, cut + (uint32_t)d * dim, dim * sizeof(float));
            }
            vecmill_session_close(s);
        }
    }
    vecmill_options o = options_for("raw", "cache");
    o.dimensions = DIM + 1;
    open_fails(&o, VECMILL_E_USAGE, "33 dimensions, and the vectors of");
    o.dimensions = 0;
    o.normalize = (vecmill_normalize)3;
    open_fails(&o, VECMILL_E_USAGE, "normalize is 3, over VECMILL_NORMALIZE_NO, 2");
}

/* Vectors that are wider or narrower than the encoder: whole, cut, and averaged over windows; and a pack
 * of other weights after the encoder is another. */
static void vectors_of_another_width(void **state)
{
    (void)state;
    enum { WIDE = 2 * DIM, NARROW = 7 };
    static const struct {
        const char *model, *after, *pooling;
        uint32_t dim;
    } models[] = {
        {"wide", "--pooling cls+max --after LayerNorm", "cls+max", WIDE},
        {"narrow", "--after Dense:7:Tanh,Normalize", "mean", NARROW},
        {"narrow", "--seed 2 --after Dense:7:Tanh,Normalize", "mean", NARROW},
    };
    static float whole[N_DOCS * WIDE], other[N_DOCS * WIDE];
    char identity[33] = "";
    vecmill_doc docs[N_DOCS];
    make_docs(docs);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const uint32_t dim = models[i].dim, cut = dim - 2;
        vecmill_facts f = {.struct_bytes = sizeof f};
        make_model(models[i].model, models[i].after);
        vecmill_options o = options_for(models[i].model, "cache");
        vecmill_session *s = open_ok(&o);
        vecmill_session_describe(s, &f);
        assert_int_equal(f.dim, dim);
        assert_int_equal(f.hidden, DIM);
        assert_string_equal(f.pooling, models[i].pooling);
        assert_int_equal(f.normalized, dim == NARROW);
        assert_true(strcmp(f.identity, identity) != 0);
        snprintf(identity, sizeof identity, "%s", f.identity);
        assert_int_equal(vecmill_embed(s, docs, N_DOCS, whole, NULL, NULL), VECMILL_OK);
        vecmill_session_close(s);
        o.long_policy = VECMILL_LONG_SPLIT; /* the same, for what fits one window */
        s = open_ok(&o);
        for (int d = 0; d < N_DOCS; d++) {
            vecmill_result r;
            assert_int_equal(vecmill_embed(s, &docs[d], 1, other, &r, NULL), VECMILL_OK);
            if (r.n_tokens <= f.max_length)
                assert_memory_equal(other, whole + (uint32_t)d * dim, dim * sizeof(float));
        }
        vecmill_session_close(s);
        o.long_policy = VECMILL_LONG_TRUNCATE;
        o.normalize = VECMILL_NORMALIZE_NO;
        o.dimensions = cut;
        s = open_ok(&o);
        assert_int_equal(vecmill_embed(s, docs, N_DOCS, other, NULL, NULL), VECMILL_OK);
        for (uint32_t d = 0; d < N_DOCS; d++)
            assert_memory_equal(other + d * cut, whole + d * dim, cut * sizeof(float));
        vecmill_session_close(s);
        o.dimensions = dim + 1;
        open_fails(&o, VECMILL_E_USAGE, "dimensions, and the vectors of");
    }
}

/* All tokens of a text are those of vecmill_tokenize as far as those go, each made of the bytes it says. */
static void tokens_have_their_places(void **state)
{
    (void)state;
    static const char text[] = "The water, \xC3\xA9 [MASK] zzz";
    char longer[1200] = "";
    for (int i = 0; i < 60; i++)
        strcat(longer, i % 2 ? "water " : "The ");
    const vecmill_doc docs[] = {doc(text), doc(""), doc(longer)};
    vecmill_options o = options_for("toy", "cache");
    vecmill_session *s = open_ok(&o);
    for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
        static vecmill_token tokens[512], few[3];
        int32_t ids[64];
        size_t n_ids, n, n_text, n_few;
        vecmill_result r;
        assert_int_equal(vecmill_tokenize(s, docs[i], ids, 64, &n_ids, &r, NULL), VECMILL_OK);
        assert_int_equal(vecmill_tokens(s, docs[i], 1, tokens, 512, &n, NULL), VECMILL_OK);
        assert_int_equal(vecmill_tokens(s, docs[i], 0, NULL, 0, &n_text, NULL), VECMILL_OK);
        assert_int_equal(vecmill_tokens(s, docs[i], 1, few, 3, &n_few, NULL), VECMILL_OK);
        assert_int_equal(n_few, n);
        assert_memory_equal(few, tokens, (n < 3 ? n : 3) * sizeof *few);
        assert_int_equal(n, n_text + 2);
        assert_int_equal(n > n_ids, r.truncated);
        for (size_t k = 0; k + 1 < n_ids; k++)
            assert_int_equal(tokens[k].id, ids[k]);
        assert_int_equal(tokens[n - 1].id, ids[n_ids - 1]);
        for (size_t k = 0; k < n; k++) {
            const bool special = k == 0 || k == n - 1;
            assert_int_equal(tokens[k].word == UINT32_MAX, special);
            if (special || k == 1) continue;
            assert_true(tokens[k].start >= tokens[k - 1].end && tokens[k].end <= docs[i].bytes);
            assert_true(tokens[k].start < tokens[k].end);
            assert_true(tokens[k].word == tokens[k - 1].word ||
                        tokens[k].word == tokens[k - 1].word + 1);
        }
    }
    vecmill_session_close(s);
}

static void long_documents_are_counted_or_fail(void **state)
{
    (void)state;
    char longer[400] = "";
    for (int i = 0; i < 80; i++) {
        strcat(longer, "the ");
    }
    vecmill_doc docs[] = {doc("a"), doc(longer), doc("b"), doc(longer), doc("c")};
    float rows[5][DIM], again[5][DIM], zero[DIM] = {0};
    vecmill_result r[5];
    vecmill_options o = options_for("toy", "cache");
    vecmill_session *s = open_ok(&o);
    assert_int_equal(vecmill_embed(s, docs, 5, rows[0], r, NULL), VECMILL_OK);
    assert_int_equal(r[0].n_tokens, 3);
    assert_int_equal(r[0].truncated, 0);
    assert_int_equal(r[1].n_tokens, 64);
    assert_int_equal(r[1].truncated, 1);
    assert_int_equal(r[1].status, VECMILL_OK);
    vecmill_session_close(s);
    o.long_policy = VECMILL_LONG_ERROR;
    s = open_ok(&o);
    memset(again, 0xEE, sizeof(again));
    assert_int_equal(vecmill_embed(s, docs, 5, again[0], r, NULL), VECMILL_OK);
    assert_int_equal(r[1].status, VECMILL_E_LIMIT);
    assert_int_equal(r[1].n_tokens, 0);
    assert_int_equal(r[4].status, VECMILL_OK);
    for (int i = 0; i < 5; i++) {
        assert_memory_equal(again[i], i % 2 ? zero : rows[i], sizeof(zero));
    }
    int32_t ids[64];
    size_t n = 99;
    vecmill_err err;
    assert_int_equal(vecmill_tokenize(s, docs[1], ids, 64, &n, NULL, &err), VECMILL_E_LIMIT);
    assert_int_equal(vecmill_tokenize(s, docs[0], ids, 2, &n, NULL, &err), VECMILL_E_LIMIT);
    assert_int_equal(n, 99);
    assert_int_equal(vecmill_tokenize(s, docs[0], ids, 3, &n, NULL, &err), VECMILL_OK);
    assert_int_equal(n, 3);
    size_t bytes;
    const char *token = vecmill_token_text(s, ids[1], &bytes);
    assert_non_null(token);
    assert_int_equal(bytes, 1);
    assert_int_equal(token[0], 'a');
    assert_null(vecmill_token_text(s, -1, &bytes));
    assert_null(vecmill_token_text(s, 160, &bytes));
    vecmill_session_close(s);
}

static void odd_documents_are_documents(void **state)
{
    (void)state;
    static const char *const texts[] = {NULL, "", " \t\n", "\0", "a\0b", "\xff\xfe"};
    static const size_t sizes[] = {0, 0, 3, 1, 3, 2};
    vecmill_doc docs[6];
    for (int i = 0; i < 6; i++)
        docs[i] = (vecmill_doc){.text = texts[i], .bytes = sizes[i]};
    float rows[6][DIM];
    vecmill_result r[6];
    vecmill_options o = options_for("toy", "cache");
    vecmill_session *s = open_ok(&o);
    assert_int_equal(vecmill_embed(s, docs, 6, rows[0], r, NULL), VECMILL_OK);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(r[i].status, VECMILL_OK);
        assert_true(r[i].n_tokens >= 2);
        float sum = 0;
        for (int k = 0; k < DIM; k++) {
            sum += rows[i][k] * rows[i][k];
        }
        assert_true(sum > 0.999f && sum < 1.001f);
    }
    assert_int_equal(r[5].replaced_bytes, 2);
    assert_int_equal(vecmill_embed(s, NULL, 0, NULL, NULL, NULL), VECMILL_OK);
    vecmill_session_close(s);
}

static void nothing_is_taken_after_open(void **state)
{
    (void)state;
    vecmill_doc docs[N_DOCS];
    static float rows[N_DOCS][DIM];
    vecmill_options o = options_for("toy", "cache");
    n_taken = 0;
    vecmill_session *s = open_ok(&o);
    assert_true(n_taken > 0); /* the wrappers are in force */
    make_docs(docs);
    n_taken = 0;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(vecmill_embed(s, docs, N_DOCS, rows[0], NULL, NULL), VECMILL_OK);
    }
    assert_int_equal(n_taken, 0);
    vecmill_session_close(s);
    /* Nor by several threads. */
    o.threads = 3;
    s = open_ok(&o);
    n_taken = 0;
    assert_int_equal(vecmill_embed(s, docs, N_DOCS, rows[0], NULL, NULL), VECMILL_OK);
    assert_int_equal(n_taken, 0);
    vecmill_session_close(s);
    /* Nor for a long document in windows. */
    static char text[1 << 16];
    memset(text, ',', sizeof(text));
    docs[7] = (vecmill_doc){.text = text, .bytes = sizeof(text)};
    o.long_policy = VECMILL_LONG_SPLIT;
    s = open_ok(&o);
    n_taken = 0;
    vecmill_result results[N_DOCS];
    assert_int_equal(vecmill_embed(s, docs, N_DOCS, rows[0], results, NULL), VECMILL_OK);
    assert_true(results[7].n_tokens > sizeof(text));
    assert_int_equal(n_taken, 0);
    vecmill_session_close(s);
}

static void words_fit_their_statuses(void **state)
{
    (void)state;
    static const int codes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    for (int i = 0; i < 11; i++) {
        assert_int_equal(vecmill_status_exit((vecmill_status)i), codes[i]);
    }
    for (int i = 0; i < VECMILL_STATUS_COUNT; i++) {
        assert_true(strlen(vecmill_status_words((vecmill_status)i)) > 0);
    }
    assert_string_equal(vecmill_status_words((vecmill_status)99), "unknown status");
    assert_int_equal(vecmill_status_exit((vecmill_status)-1), 1);
    assert_string_equal(vecmill_version(), VECMILL_VERSION);
}

static int prepare(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/vecmill-session-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    make_model("toy",
               "--layers 2 --hidden 32 --heads 4 --intermediate 64 --vocab 160 --positions 64");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(facts_are_the_models),
        cmocka_unit_test(a_pack_is_built_once_and_anew_when_files_change),
        cmocka_unit_test(a_damaged_pack_is_built_anew),
        cmocka_unit_test(what_was_seen_is_never_required),
        cmocka_unit_test(a_pack_in_memory),
        cmocka_unit_test(many_builders_make_one_pack),
        cmocka_unit_test(a_builder_that_dies_is_named),
        cmocka_unit_test(a_host_that_ignores_children_is_coped_with),
        cmocka_unit_test(the_worker_alone_does_nothing),
        cmocka_unit_test(a_vocabulary_larger_than_the_table_is_refused),
        cmocka_unit_test(a_table_larger_than_the_vocabulary),
        cmocka_unit_test(a_tokenizer_without_special_tokens_is_refused),
        cmocka_unit_test(nothing_is_left_open),
        cmocka_unit_test(bits_depend_on_the_text_alone),
        cmocka_unit_test(vectors_are_cut_and_scaled_as_asked),
        cmocka_unit_test(vectors_of_another_width),
        cmocka_unit_test(tokens_have_their_places),
        cmocka_unit_test(long_documents_are_counted_or_fail),
        cmocka_unit_test(odd_documents_are_documents),
        cmocka_unit_test(nothing_is_taken_after_open),
        cmocka_unit_test(words_fit_their_statuses),
    };
    if (argc != 3) return 2;
    vecmill_machine machine = {.struct_bytes = sizeof(machine)};
    if (vecmill_machine_describe(&machine, NULL) == VECMILL_OK && machine.isa[0] == '\0') {
        printf("skipped: this machine lacks the level VECMILL_ISA names\n");
        return 77;
    }
    maker = argv[1];
    worker = argv[2];
    int failed = cmocka_run_group_tests(tests, prepare, remove_folder);
    printf("engine-session: %zu passed, %d failed\n",
           sizeof(tests) / sizeof(*tests) - (size_t)failed, failed);
    return failed;
}
