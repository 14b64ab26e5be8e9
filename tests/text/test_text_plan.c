/* The plan of compiling a tokenizer: what is taken stays under text_compile_most, which only looks at
 * the files; a failed allocation leaves nothing behind; files that no plan was made for are refused by
 * the plan's name. The calls that take memory are wrapped by the linker. */
#include "text/text.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define NEVER 1000000

static size_t live, peak;
static int left = NEVER; /* calls of our code that take memory, until one fails */
static char folder[] = "/tmp/vecmill-test-XXXXXX";

void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void __real_free(void *memory);
void __wrap_free(void *memory);
void *__real_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);

static void add(size_t bytes)
{
    live += bytes;
    peak = live > peak ? live : peak;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    void *m = left-- == 0 ? NULL : __real_aligned_alloc(alignment, bytes);
    if (m) add(malloc_usable_size(m));
    return m;
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    const size_t before = memory ? malloc_usable_size(memory) : 0;
    void *m = left-- == 0 ? NULL : __real_realloc(memory, bytes);
    if (!m) return NULL;
    live -= before;
    add(malloc_usable_size(m));
    return m;
}

void __wrap_free(void *memory)
{
    if (memory) live -= malloc_usable_size(memory);
    __real_free(memory);
}

void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    void *m = left-- == 0 ? MAP_FAILED : __real_mmap64(at, bytes, prot, flags, fd, offset);
    if (m != MAP_FAILED) add(bytes);
    return m;
}

int __wrap_munmap(void *at, size_t bytes)
{
    live -= bytes;
    return __real_munmap(at, bytes);
}

/* ---- made-up files ---- */

static void path_of(char path[IO_PATH_MAX], const char *name)
{
    assert_int_equal(io_join(folder, name, path, NULL), VECMILL_OK);
}

static FILE *create(const char *name)
{
    char path[IO_PATH_MAX];
    path_of(path, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    return f;
}

static void remove_files(void)
{
    static const char *const names[] = {"tokenizer.json", "vocab.txt", "tokenizer_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[IO_PATH_MAX];
        path_of(path, names[i]);
        unlink(path);
    }
}

/* Distinct texts of `letters` letters, in no order; the first are the special ones. */
static const char *token(uint32_t i, unsigned letters)
{
    static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    static char text[TEXT_TOKEN_BYTES_MAX + 1];
    if (i < 5) return specials[i];
    uint64_t n = (uint64_t)i * 2654435761u % 4294967291u;
    for (unsigned at = 0; at < letters; at++) {
        text[at] = (char)('a' + n % 26);
        n = at + 1 < 7 ? n / 26 : (n * 6364136223846793005u + 1442695040888963407u) >> 7;
    }
    text[letters] = '\0';
    return text;
}

struct made {
    uint32_t n;
    unsigned letters;
    const char *gap; /* before each token: pretty or not */
    uint32_t id_step;
};

static void make_json(struct made m)
{
    remove_files();
    FILE *f = create("tokenizer.json");
    fprintf(f, "{\"version\":\"1.0\",\"added_tokens\":[");
    for (uint32_t i = 0; i < 5; i++) {
        fprintf(f,
                "%s{\"id\":%u,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,"
                "\"rstrip\":false,\"normalized\":false,\"special\":true}",
                i ? "," : "", i * m.id_step, token(i, 0));
    }
    fprintf(f,
            "],\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"
            "\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},"
            "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":{\"type\":"
            "\"BertProcessing\",\"sep\":[\"[SEP]\",%u],\"cls\":[\"[CLS]\",%u]},"
            "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
            "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":{",
            3 * m.id_step, 2 * m.id_step);
    for (uint32_t i = 0; i < m.n; i++)
        fprintf(f, "%s%s\"%s\":%u", i ? "," : "", m.gap, token(i, m.letters), i * m.id_step);
    fprintf(f, "}}}");
    fclose(f);
}

static FILE *begin_json(const char *type)
{
    remove_files();
    FILE *f = create("tokenizer.json");
    fprintf(f,
            "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":null,"
            "\"post_processor\":null,\"decoder\":null,\"model\":{\"type\":\"%s\"",
            type);
    return f;
}

static void make_unigram(struct made m)
{
    FILE *f = begin_json("Unigram");
    fprintf(f, ",\"unk_id\":1,\"vocab\":[");
    for (uint32_t i = 0; i < m.n; i++)
        fprintf(f, "%s%s[\"%s\",-%u]", i ? "," : "", m.gap, token(i, m.letters), i % 10);
    fprintf(f, "]}}");
    fclose(f);
}

/* All tokens of up to three letters out of n, and each way to merge them. */
static void make_bpe(struct made m)
{
    FILE *f = begin_json("BPE");
    uint32_t id = 0;
    fprintf(f, ",\"vocab\":{");
    for (unsigned x = 0; x < m.n; x++)
        fprintf(f, "%s\"%c\":%u", x ? "," : "", 'A' + x, id++);
    for (unsigned x = 0; x < m.n * m.n; x++)
        fprintf(f, ",\"%c%c\":%u", 'A' + x / m.n, 'A' + x % m.n, id++);
    for (unsigned x = 0; x < m.n * m.n * m.n; x++)
        fprintf(f, ",\"%c%c%c\":%u", 'A' + x / m.n / m.n, 'A' + x / m.n % m.n, 'A' + x % m.n, id++);
    fprintf(f, "},\"merges\":[");
    for (unsigned x = 0; x < m.n * m.n; x++)
        fprintf(f, "%s%s\"%c %c\"", x ? "," : "", m.gap, 'A' + x / m.n, 'A' + x % m.n);
    for (unsigned x = 0; x < m.n * m.n * m.n; x++) {
        const int a = 'A' + x / m.n / m.n, b = 'A' + x / m.n % m.n, c = 'A' + x % m.n;
        fprintf(f, ",%s\"%c%c %c\",%s\"%c %c%c\"", m.gap, a, b, c, m.gap, a, b, c);
    }
    fprintf(f, "]}}");
    fclose(f);
}

static void make_vocab(struct made m)
{
    remove_files();
    FILE *f = create("vocab.txt");
    for (uint32_t i = 0; i < m.n; i++)
        fprintf(f, "%s\n", token(i, m.letters));
    fclose(f);
    f = create("tokenizer_config.json");
    fprintf(f, "{\"do_lower_case\":true,\"model_max_length\":512}");
    fclose(f);
}

static vecmill_status compile(vecmill_err *err, size_t *section_bytes)
{
    struct buf section;
    buf_init(&section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    const vecmill_status status = text_compile(folder, &section, err);
    *section_bytes = section.bytes;
    buf_done(&section);
    return status;
}

/* Compiles within the plan; what sorting takes inside the C library is not seen here. */
static void within(const char *what, const char *name)
{
    char path[IO_PATH_MAX];
    struct stat st;
    size_t most = 0, bytes;
    vecmill_err err;
    path_of(path, name);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(text_compile_most(folder, &most, &err), VECMILL_OK);
    assert_int_equal(live, 0);
    peak = 0;
    if (compile(&err, &bytes) != VECMILL_OK) fail_msg("%s: %s", what, err.message);
    assert_int_equal(live, 0);
    printf("%-24s file %8lld, section %8zu, planned %9zu, taken %9zu\n", what,
           (long long)st.st_size, bytes, most, peak);
    assert_true(peak <= most);
}

/* ---- tests ---- */

static void files_stay_within_their_plan(void **state)
{
    (void)state;
    make_json((struct made){5, 4, "", 1});
    within("5 tokens", "tokenizer.json");
    make_json((struct made){1500, 5, "", 1});
    within("1,500 tokens", "tokenizer.json");
    make_json((struct made){8300, 5, "", 1}); /* buckets of 16,384 */
    within("8,300 short tokens", "tokenizer.json");
    make_json((struct made){30522, 5, " ", 1});
    within("30,522 tokens", "tokenizer.json");
    make_json((struct made){132000, 6, "", 1}); /* buckets of 262,144 */
    within("132,000 short tokens", "tokenizer.json");
    make_json((struct made){120000, 20, "\n      ", 1});
    within("120,000 long tokens", "tokenizer.json");
    make_json((struct made){40000, 20, "", 1});
    within("40,000 long, compact", "tokenizer.json");
    make_unigram((struct made){6, 4, "", 1});
    within("Unigram, 6 tokens", "tokenizer.json");
    make_unigram((struct made){33000, 5, "", 1});
    within("Unigram, 33,000 short", "tokenizer.json");
    make_unigram((struct made){120000, 20, "\n      ", 1});
    within("Unigram, 120,000 long", "tokenizer.json");
    make_bpe((struct made){1, 0, "", 1});
    within("BPE, 3 tokens", "tokenizer.json");
    make_bpe((struct made){20, 0, "\n ", 1});
    within("BPE, 16,400 merges", "tokenizer.json");
    make_bpe((struct made){26, 0, "\n      ", 1});
    within("BPE, 35,828 merges", "tokenizer.json");
    make_vocab((struct made){30522, 7, "", 1});
    within("vocab.txt, 30,522", "vocab.txt");
    make_vocab((struct made){120000, 20, "", 1});
    within("vocab.txt, 120,000", "vocab.txt");
}

static void each_fails(int least)
{
    vecmill_err err;
    size_t bytes;
    int n = 0;
    for (bool failed = true; failed; n++) {
        left = n;
        const vecmill_status status = compile(&err, &bytes);
        failed = left < 0;
        left = NEVER;
        assert_int_equal(status, failed ? VECMILL_E_MEMORY : VECMILL_OK);
        assert_int_equal(bytes == 0, failed);
        assert_int_equal(live, 0);
    }
    printf("%d allocations failed, one at a time\n", n - 1);
    assert_true(n > least);
}

static void each_allocation_fails(void **state)
{
    (void)state;
    make_json((struct made){400, 12, "", 1});
    each_fails(10);
    make_vocab((struct made){400, 12, "", 1});
    each_fails(10);
    make_unigram((struct made){400, 12, "", 1});
    each_fails(10);
    make_bpe((struct made){4, 0, "", 1});
    each_fails(10);
}

static void refused(const char *part)
{
    vecmill_err err;
    size_t bytes;
    assert_int_equal(compile(&err, &bytes), VECMILL_E_MODEL);
    if (!strstr(err.message, part)) fail_msg("%s (wanted %s)", err.message, part);
    assert_int_equal(live, 0);
}

static void what_no_plan_was_made_for_is_refused(void **state)
{
    (void)state;
    make_json((struct made){3000, 5, "", 100}); /* ids up to 299,900 in 45 kB */
    refused("SPEC_TOKENS_PLAN");
    make_json((struct made){3000, 300, "", 1}); /* a node of the trie for almost each byte */
    refused("SECTION_PLAN");
    remove_files();
    FILE *f = create("vocab.txt");
    for (int i = 0; i < 9000; i++)
        fputc('\n', f);
    fclose(f);
    refused("SPEC_TOKENS_PLAN");
}

static void a_folder_without_a_tokenizer_has_no_plan(void **state)
{
    (void)state;
    vecmill_err err;
    size_t most = 7;
    remove_files();
    assert_int_equal(text_compile_most(folder, &most, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "neither tokenizer.json nor vocab.txt"));
    assert_int_equal(most, 7);
    FILE *f = create("tokenizer.json");
    assert_int_equal(ftruncate(fileno(f), TEXT_FILE_MAX + 1), 0);
    fclose(f);
    assert_int_equal(text_compile_most(folder, &most, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "TEXT_FILE_MAX"));
    assert_int_equal(most, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_stay_within_their_plan),
        cmocka_unit_test(each_allocation_fails),
        cmocka_unit_test(what_no_plan_was_made_for_is_refused),
        cmocka_unit_test(a_folder_without_a_tokenizer_has_no_plan),
    };
    const int n = sizeof tests / sizeof tests[0];
    if (!mkdtemp(folder)) return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_files();
    rmdir(folder);
    printf("text-plan: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
