/* Compiling: what is refused, and that the message names the field; folders, vocab.txt with its
 * configuration. */
#include "text_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TOKEN(id, content, flags)                                                                  \
    "{\"id\":" #id ",\"content\":\"" content "\"," flags ",\"special\":false}"
#define PLAIN         "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false"
#define NORMALIZED    "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":true"
#define STRIPPING     "\"single_word\":false,\"lstrip\":true,\"rstrip\":false,\"normalized\":false"
#define ADDED(tokens) "\"added_tokens\":[" tokens "]"
#define MODEL(members)                                                                             \
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":"     \
    "\"##\",\"max_input_chars_per_word\":100," members "}"
#define WITH_PREFIX(prefix)                                                                        \
    "\"model\":{\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"" prefix                   \
    "\",\"max_input_chars_per_word\":100," KIT_VOCAB "}"
#define TEMPLATE(single, specials)                                                                 \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" single                      \
    "],\"pair\":[],\"special_tokens\":{" specials "}}"
#define SEQUENCE "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"
#define CLS      "{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}}"

/* Asserts that compiling fails as E_MODEL with a message that holds `part`. */
static void assert_refused(const char *json, const char *part)
{
    struct kit k;
    vecmill_err err = {0};
    vecmill_status status = kit_json(&k, json, &err);
    if (status != VECMILL_E_MODEL || !strstr(err.message, part))
        fail_msg("status %d, message \"%s\", want \"%s\"", (int)status, err.message, part);
    assert_int_equal(err.status, status);
}

static void assert_vocab_refused(const char *vocab, const char *config, const char *part)
{
    struct kit k;
    vecmill_err err = {0};
    vecmill_status status = kit_vocab(&k, vocab, config, &err);
    if (status != VECMILL_E_MODEL || !strstr(err.message, part))
        fail_msg("status %d, message \"%s\", want \"%s\"", (int)status, err.message, part);
}

/* The ids of a template are what the reference adds, though a token has another one. */
static void a_template_has_ids_of_its_own(void **state)
{
    (void)state;
    struct kit k;
    vecmill_err err = {0};
    const char *json = kit_make((struct kit_parts){
        .post_processor = TEMPLATE(
            CLS "," SEQUENCE, "\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[7],\"tokens\":[\"[CLS]\"]}")});
    if (kit_json(&k, json, &err) != VECMILL_OK) fail_msg("%s", err.message);
    assert_string_equal(kit_ids(&k, "ab", 99), "7 3 5");
    kit_done(&k);
}

static void the_kit_s_tokenizer_compiles(void **state)
{
    (void)state;
    struct kit k;
    vecmill_err err = {0};
    if (kit_json(&k, kit_make((struct kit_parts){0}), &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    assert_string_equal(kit_ids(&k, "ab [MASK]", 99), "1 3 5 0 0 0 2");
    kit_done(&k);
}

static void bad_json(void **state)
{
    (void)state;
    assert_refused("", "tokenizer.json: line 1");
    assert_refused("{\n\"version\":\n,", "tokenizer.json: line 3");
    assert_refused("[]", "not an object");
    assert_refused("{}", "model is missing");
    assert_refused("{\"model\":{\"type\":\"WordPiece\",\"type\":\"WordPiece\"}}", "duplicate");
}

static void unknown_members_and_types(void **state)
{
    (void)state;
    static const struct {
        struct kit_parts parts;
        const char *message;
    } cases[] = {
        {{.head = "\"version\":\"1.0\",\"extra\":1"}, "the file has a member \"extra\""},
        {{.head = "\"version\":\"2.0\""}, "version is \"2.0\""},
        {{.head = "\"truncation\":{\"direction\":\"Left\"}"}, "truncation.direction is \"Left\""},
        {{.head = "\"truncation\":{\"side\":1}"}, "truncation has a member \"side\""},
        {{.head = "\"truncation\":3"}, "truncation is not an object"},
        {{.head = "\"padding\":{\"how\":1}"}, "padding has a member \"how\""},
        {{.head = "\"padding\":[]"}, "padding is not an object"},
        {{.normalizer = "\"normalizer\":{\"type\":\"Nmt\"}"}, "normalizer.type is \"Nmt\""},
        {{.normalizer = "\"normalizer\":{\"type\":\"BertNormalizer\",\"x\":1}"},
         "normalizer has a member \"x\""},
        {{.normalizer = "\"normalizer\":{\"type\":\"BertNormalizer\"}"}, "\"clean_text\""},
        {{.normalizer = "\"normalizer\":3"}, "normalizer is not an object"},
        {{.pre_tokenizer = "\"pre_tokenizer\":{\"type\":\"FixedLength\"}"},
         "pre_tokenizer.type is \"FixedLength\""},
        {{.pre_tokenizer = "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\",\"y\":1}"},
         "pre_tokenizer has a member \"y\""},
        {{.post_processor = "\"post_processor\":{\"type\":\"Other\"}"},
         "post_processor.type is \"Other\""},
        {{.post_processor = "\"post_processor\":{\"type\":\"BertProcessing\",\"z\":1}"},
         "post_processor has a member \"z\""},
        {{.post_processor =
              "\"post_processor\":{\"type\":\"BertProcessing\",\"trim_offsets\":true}"},
         "post_processor has a member \"trim_offsets\""},
        {{.post_processor = "\"post_processor\":{\"type\":\"RobertaProcessing\",\"z\":1}"},
         "post_processor has a member \"z\""},
        {{.model = "\"model\":{\"type\":\"WordLevel\"}"}, "model.type is \"WordLevel\""},
        {{.model = MODEL("\"merges\":[],\"vocab\":{}")}, "model has a member \"merges\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(kit_make(cases[i].parts), cases[i].message);
}

#define NORMALIZER(body)                                                                           \
    {                                                                                              \
        .normalizer = "\"normalizer\":" body                                                       \
    }
#define PRE_TOKENIZER(body)                                                                        \
    {                                                                                              \
        .pre_tokenizer = "\"pre_tokenizer\":" body                                                 \
    }

static void bad_stages(void **state)
{
    (void)state;
    static const struct {
        struct kit_parts parts;
        const char *message;
    } cases[] = {
        {NORMALIZER("{\"type\":\"NFC\",\"x\":1}"), "normalizer has a member \"x\""},
        {NORMALIZER("{\"type\":\"Sequence\"}"), "normalizer.normalizers is not an array"},
        {NORMALIZER("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},3]}"),
         "normalizer.normalizers[1] is not an object"},
        {NORMALIZER("{\"type\":\"Sequence\",\"normalizers\":[{}]}"),
         "normalizer.normalizers[0] has no type"},
        {NORMALIZER("{\"type\":\"Strip\",\"strip_left\":true}"), "\"strip_right\" is missing"},
        {NORMALIZER("{\"type\":\"Prepend\"}"), "\"prepend\" is missing"},
        {NORMALIZER("{\"type\":\"Prepend\",\"prepend\":3}"), "normalizer.prepend is not a string"},
        {NORMALIZER("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a|b\"},\"content\":\"\"}"),
         "normalizer.pattern is the regular expression \"a|b\""},
        {NORMALIZER("{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}"),
         "normalizer.pattern is an empty string"},
        {NORMALIZER("{\"type\":\"Replace\",\"pattern\":{},\"content\":\"\"}"),
         "normalizer.pattern is neither a String nor a Regex"},
        {NORMALIZER("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAA\"}"),
         "normalizer.precompiled_charsmap is no base64"},
        {NORMALIZER("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAA==\"}"),
         "normalizer.precompiled_charsmap is no base64 of a table: 4 bytes, its trie has 4"},
        {NORMALIZER("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAD/\"}"),
         "replacements that are not valid UTF-8"},
        {PRE_TOKENIZER("{\"type\":\"Metaspace\"}"), "\"replacement\" is missing"},
        {PRE_TOKENIZER("{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"),
         "pre_tokenizer.replacement is not one character"},
        {PRE_TOKENIZER(
             "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}"),
         "pre_tokenizer.prepend_scheme is \"last\""},
        {PRE_TOKENIZER("{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"first\","
                       "\"add_prefix_space\":false}"),
         "add_prefix_space false and prepend_scheme first"},
        {PRE_TOKENIZER("{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Kept\","
                       "\"invert\":false}"),
         "pre_tokenizer.behavior is \"Kept\""},
        {PRE_TOKENIZER(
             "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\A +| +\\\\z\"},\"behavior\":"
             "\"Isolated\",\"invert\":false}"),
         "understood for Replace only"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(kit_make(cases[i].parts), cases[i].message);
    char deep[1024] = "";
    for (int i = 0; i < 10; i++)
        strcat(deep, "{\"type\":\"Sequence\",\"normalizers\":[");
    strcat(deep, "{\"type\":\"NFC\"}");
    for (int i = 0; i < 10; i++)
        strcat(deep, "]}");
    char normalizer[1100];
    snprintf(normalizer, sizeof normalizer, "\"normalizer\":%s", deep);
    assert_refused(kit_make((struct kit_parts){.normalizer = normalizer}),
                   "more than 8 sequences inside each other");
    char many[2048] = "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}";
    for (unsigned i = 0; i < TEXT_STAGES_MAX; i++)
        strcat(many, ",{\"type\":\"NFC\"}");
    strcat(many, "]}");
    assert_refused(kit_make((struct kit_parts){.normalizer = many}), "TEXT_STAGES_MAX, 32");
}

static void bad_vocabularies(void **state)
{
    (void)state;
    static const struct {
        const char *model, *message;
    } cases[] = {
        {MODEL("\"vocab\":[]"), "model.vocab is missing"},
        {MODEL("\"vocab\":{}"), "the vocabulary is empty"},
        {MODEL("\"vocab\":{\"[UNK]\":0,\"a\":\"1\"}"), "the id of token \"a\""},
        {MODEL("\"vocab\":{\"[UNK]\":0,\"a\":0}"), "both have id 0"},
        {MODEL("\"vocab\":{\"[UNK]\":0,\"a\":-1}"), "has id -1"},
        {MODEL("\"vocab\":{\"[UNK]\":0,\"a\":1048576}"), "has id 1048576"},
        {MODEL("\"vocab\":{\"a\":0}"), "model.unk_token is \"[UNK]\""},
        {"\"model\":{\"unk_token\":\"a\",\"continuing_subword_prefix\":\"##\","
         "\"max_input_chars_per_word\":1025,\"vocab\":{\"a\":0}}",
         "\"max_input_chars_per_word\" is 1025"},
        {"\"model\":{\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":9,"
         "\"vocab\":{\"a\":0}}",
         "\"unk_token\" is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(kit_make((struct kit_parts){.model = cases[i].model}), cases[i].message);

    static char model[2048], name[TEXT_TOKEN_BYTES_MAX + 2];
    memset(name, 'x', TEXT_TOKEN_BYTES_MAX + 1);
    snprintf(model, sizeof model, MODEL("\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"%s\":3}"),
             name);
    assert_refused(kit_make((struct kit_parts){.model = model}), "TEXT_TOKEN_BYTES_MAX");
}

static void bad_added_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *added, *message;
    } cases[] = {
        {"\"added_tokens\":{}", "added_tokens is not an array"},
        {ADDED("{}"), "added_tokens[0] has no content"},
        {ADDED("3"), "added_tokens[0] has no content"},
        {ADDED("{\"content\":\"a\",\"x\":1}"), "added_tokens[0] has a member \"x\""},
        {ADDED("{\"content\":\"a\",\"id\":3}"), "\"single_word\" is missing"},
        {ADDED(TOKEN(4, "a", PLAIN)), "\"a\" says id 4, by the vocabulary it is 3"},
        {ADDED(TOKEN(10, "new", PLAIN)), "\"new\" says id 10, by the vocabulary it is 9"},
        {ADDED(TOKEN(9, "", PLAIN)), "\"\" has 0 bytes"},
        {ADDED(TOKEN(3, "a", PLAIN) "," TOKEN(3, "a", NORMALIZED)), "\"a\" is there twice"},
        {ADDED(TOKEN(7, "foo", NORMALIZED) "," TOKEN(8, "Foo", NORMALIZED)),
         "are both \"foo\" when normalized"},
        {ADDED(TOKEN(9, "\\u0301", NORMALIZED)), "nothing is left of added token"},
        {ADDED(TOKEN(9, "a b", NORMALIZED) "," TOKEN(10, "new", STRIPPING)), "strips white space"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(kit_make((struct kit_parts){.added = cases[i].added}), cases[i].message);
    assert_refused(kit_make((struct kit_parts){
                       .added = ADDED(TOKEN(4, "new", PLAIN)),
                       .post_processor = "\"post_processor\":null",
                       .model = MODEL("\"vocab\":{\"[UNK]\":0,\"a\":1,\"b\":2,\"far\":4}")}),
                   "id 4, its number of tokens, is taken");

    static char many[1 << 18];
    size_t at = 0;
    for (unsigned i = 0; i <= 1024; i++) {
        at += (size_t)snprintf(many + at, sizeof many - at,
                               "%s{\"id\":%u,\"content\":\"t%u\"," PLAIN ",\"special\":true}",
                               i ? "," : "\"added_tokens\":[", 9 + i, i);
    }
    snprintf(many + at, sizeof many - at, "]");
    assert_refused(kit_make((struct kit_parts){.added = many}),
                   "SPEC_ADDED_PLAN of its size, 1024");
}

static void bad_templates(void **state)
{
    (void)state;
    static const struct {
        const char *post_processor, *message;
    } cases[] = {
        {TEMPLATE(CLS, ""), "names \"[CLS]\", which special_tokens does not have"},
        {TEMPLATE("", ""), "the template has no Sequence A"},
        {TEMPLATE(SEQUENCE "," SEQUENCE, ""), "a further Sequence"},
        {TEMPLATE("{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}", ""), "is \"B\""},
        {TEMPLATE("{\"Sequence\":{\"id\":\"A\",\"type_id\":1}}", ""), "\"type_id\" is 1"},
        {TEMPLATE("3", ""), "neither Sequence nor SpecialToken"},
        {TEMPLATE(CLS "," SEQUENCE, "\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[1],\"tokens\":[]}"),
         "has 1 ids and 0 tokens"},
        {TEMPLATE(CLS "," SEQUENCE, "\"[CLS]\":{\"ids\":[],\"tokens\":[]},"
                                    "\"[CLS]\":{\"ids\":[1,2],\"tokens\":[]}"),
         "has 2 ids and 0 tokens"}, /* the last of two keys counts */
        {TEMPLATE(CLS "," SEQUENCE,
                  "\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[77],\"tokens\":[\"[CLS]\"]}"),
         "says id 77, by the vocabulary it is 1"},
        {TEMPLATE(CLS "," SEQUENCE,
                  "\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[1],\"tokens\":[\"[NO]\"]}"),
         "is \"[NO]\", which is not among the 9 tokens"},
        {TEMPLATE(CLS "," SEQUENCE,
                  "\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[\"1\"],\"tokens\":[\"[CLS]\"]}"),
         "not an integer id"},
        {TEMPLATE(CLS "," CLS "," CLS "," CLS "," CLS "," SEQUENCE,
                  "\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[1,1,1,1],\"tokens\":[\"[CLS]\",\"[CLS]\","
                  "\"[CLS]\",\"[CLS]\"]}"),
         "TEXT_SPECIALS_MAX"},
        {"\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",2],"
         "\"cls\":[\"[CLS]\",2]}",
         "post_processor.cls says id 2"},
        {"\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\"],"
         "\"cls\":[\"[CLS]\",1]}",
         "post_processor.sep is not an array"},
        {"\"post_processor\":{\"type\":\"RobertaProcessing\",\"cls\":[\"[CLS]\",1],"
         "\"trim_offsets\":true,\"add_prefix_space\":false}",
         "post_processor.sep is not an array"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(kit_make((struct kit_parts){.post_processor = cases[i].post_processor}),
                       cases[i].message);
    }
}

static void several_ids_of_a_special_token(void **state)
{
    (void)state;
    struct kit k;
    vecmill_err err = {0};
    const char *json = kit_make((struct kit_parts){
        .post_processor = TEMPLATE(
            CLS "," SEQUENCE "," CLS,
            "\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[1,6],\"tokens\":[\"[CLS]\",\"[MASK]\"]}")});
    if (kit_json(&k, json, &err) != VECMILL_OK) fail_msg("%s", err.message);
    assert_int_equal(k.text.n_specials, 4);
    assert_string_equal(kit_ids(&k, "a b", 99), "1 6 3 4 1 6");
    assert_string_equal(kit_ids(&k, "a b", 5), "1 6 3 1 6");
    kit_done(&k);
}

/* An empty prefix lets any token continue a word; one that no token has lets none. */
static void other_prefixes(void **state)
{
    (void)state;
    struct kit k;
    assert_int_equal(kit_json(&k, kit_make((struct kit_parts){.model = WITH_PREFIX("")}), NULL),
                     VECMILL_OK);
    assert_string_equal(kit_ids(&k, "abba foob", 99), "1 3 4 4 3 7 4 2");
    kit_done(&k);
    assert_int_equal(kit_json(&k, kit_make((struct kit_parts){.model = WITH_PREFIX("@@")}), NULL),
                     VECMILL_OK);
    assert_string_equal(kit_ids(&k, "abba foo", 99), "1 0 7 2");
    kit_done(&k);
}

#define VOCAB                                                                                      \
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##b\n\xC3\xA9\nA\n\xE4\xB8\xAD\xE6\x96\x87\n"

static void vocab_alone(void **state)
{
    (void)state;
    static const struct {
        const char *config, *ids;
    } cases[] = {
        {NULL, "2 5 7 4 1 5 1 1 3"},
        {"{\"do_lower_case\":false}", "2 5 7 4 8 9 1 1 3"},
        {"{\"strip_accents\":false}", "2 5 7 4 8 5 1 1 3"},
        {"{\"tokenize_chinese_chars\":false,\"do_lower_case\":false}", "2 5 7 4 8 9 10 3"},
        {"{\"cls_token\":\"a\",\"sep_token\":{\"content\":\"b\",\"lstrip\":false}}",
         "5 5 6 4 1 5 1 1 6"},
    };
    const char *text = "ab[MASK]\xC3\xA9 A \xE4\xB8\xAD\xE6\x96\x87";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kit k;
        vecmill_err err = {0};
        if (kit_vocab(&k, VOCAB, cases[i].config, &err) != VECMILL_OK) fail_msg("%s", err.message);
        assert_string_equal(kit_ids(&k, text, 99), cases[i].ids);
        kit_done(&k);
    }
}

static void bad_vocab_files(void **state)
{
    (void)state;
    assert_vocab_refused("", NULL, "the vocabulary is empty");
    assert_vocab_refused("[UNK]\n[CLS]\n[SEP]\n[UNK]\n", NULL, "\"[UNK]\" is there twice");
    assert_vocab_refused("[UNK]\n\xC3\n", NULL, "line 2 is not valid UTF-8");
    assert_vocab_refused("[UNK]\n[CLS]\n", NULL, "sep_token is \"[SEP]\"");
    assert_vocab_refused(VOCAB, "{\"mask_token\":\"<m>\"}", "mask_token is \"<m>\"");
    assert_vocab_refused(VOCAB, "{\"mask_token\":7}", "mask_token is neither a string nor a token");
    assert_vocab_refused(VOCAB, "{", "tokenizer_config.json: line 1");
    assert_vocab_refused(VOCAB, "[]", "tokenizer_config.json is not an object");
    assert_vocab_refused(VOCAB, "{\"do_lower_case\":1}", "\"do_lower_case\"");
    assert_vocab_refused(VOCAB, "{\"tokenizer_class\":\"MPNetTokenizer\"}", "\"MPNetTokenizer\"");
    assert_vocab_refused(VOCAB, "{\"do_basic_tokenize\":false}", "do_basic_tokenize is false");
    assert_vocab_refused(VOCAB, "{\"never_split\":[\"a\"]}", "never_split has 1 tokens");
    assert_vocab_refused(VOCAB, "{\"added_tokens_decoder\":{\"7\":{\"content\":\"a\"}}}",
                         "says id \"7\" where the vocabulary has 5");
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[IO_PATH_MAX];
    assert_int_equal(io_join(dir, name, path, NULL), VECMILL_OK);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Older files are refused with the whole command that makes tokenizer.json of them, however long the
 * folder's path is. */
static void older_files_have_a_command(const char *dir)
{
    static const char *const names[] = {"sentencepiece.bpe.model", "spiece.model", "spm.model",
                                        "tokenizer.model", "merges.txt"};
    static const char command[] = " but no tokenizer.json; run there: python -c \"from "
                                  "transformers import AutoTokenizer as A; "
                                  "A.from_pretrained('.').save_pretrained('.')\"";
    static const char needs[] = " (needs sentencepiece, protobuf)";
    char deep[IO_PATH_MAX], path[IO_PATH_MAX], want[512], name[121];
    vecmill_err err;
    struct buf section;
    buf_init(&section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    memset(name, 'd', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_int_equal(io_join(dir, name, deep, NULL), VECMILL_OK);
    assert_int_equal(mkdir(deep, 0700), 0);
    for (size_t i = 0; i < 2 * sizeof names / sizeof *names; i++) {
        const char *in = i % 2 ? deep : dir, *older = names[i / 2];
        write_file(in, older, "");
        assert_int_equal(text_compile(in, &section, &err), VECMILL_E_MODEL);
        snprintf(want, sizeof want, "%s%s: %s%s%s", i % 2 ? "..." : "",
                 i % 2 ? deep + strlen(deep) - 56 : dir, older, command, i / 2 == 4 ? "" : needs);
        assert_string_equal(err.message, want);
        assert_int_equal(io_join(in, older, path, NULL), VECMILL_OK);
        unlink(path);
    }
    rmdir(deep);
    buf_done(&section);
}

static void folders(void **state)
{
    (void)state;
    char dir[] = "/tmp/vecmill-text-XXXXXX", command[64], path[IO_PATH_MAX];
    assert_non_null(mkdtemp(dir));
    vecmill_err err = {0};
    struct buf section;
    struct text text;
    buf_init(&section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    assert_int_equal(buf_add(&section, "kept", 4, NULL), VECMILL_OK);

    assert_int_equal(text_compile(dir, &section, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "neither tokenizer.json nor vocab.txt"));
    older_files_have_a_command(dir);
    write_file(dir, "vocab.txt", "");
    assert_int_equal(text_compile(dir, &section, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, dir));
    assert_non_null(strstr(err.message, "/vocab.txt: is empty"));
    write_file(dir, "vocab.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    assert_int_equal(text_compile(dir, &section, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "/vocab.txt: is a Git LFS pointer"));
    assert_int_equal(section.bytes, 4);

    write_file(dir, "vocab.txt", VOCAB);
    write_file(dir, "tokenizer_config.json", "{\"do_lower_case\":false}");
    assert_int_equal(text_compile(dir, &section, &err), VECMILL_OK);
    assert_int_equal(text_open(section.data + 4, section.bytes - 4, &text, &err), VECMILL_OK);
    int32_t ids[4];
    struct text_result r;
    text_encode(&text, NULL, "A", 1, 4, ids, &r);
    assert_int_equal(r.n_ids, 3);
    assert_int_equal(ids[1], 9);

    section.bytes = 4;
    write_file(dir, "tokenizer.json", "{\n]");
    assert_int_equal(text_compile(dir, &section, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "/tokenizer.json: line 2"));
    assert_int_equal(section.bytes, 4);
    write_file(dir, "tokenizer.json", kit_make((struct kit_parts){0}));
    assert_int_equal(text_compile(dir, &section, NULL), VECMILL_OK);

    section.bytes = 4;
    assert_int_equal(io_join(dir, "tokenizer.json", path, NULL), VECMILL_OK);
    assert_int_equal(truncate(path, (off_t)TEXT_FILE_MAX + 1), 0);
    assert_int_equal(text_compile(dir, &section, &err), VECMILL_E_MODEL);
    assert_int_equal(err.status, VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "67108865"));
    buf_done(&section);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kit_s_tokenizer_compiles),
        cmocka_unit_test(a_template_has_ids_of_its_own),
        cmocka_unit_test(bad_json),
        cmocka_unit_test(unknown_members_and_types),
        cmocka_unit_test(bad_stages),
        cmocka_unit_test(bad_vocabularies),
        cmocka_unit_test(bad_added_tokens),
        cmocka_unit_test(bad_templates),
        cmocka_unit_test(several_ids_of_a_special_token),
        cmocka_unit_test(other_prefixes),
        cmocka_unit_test(vocab_alone),
        cmocka_unit_test(bad_vocab_files),
        cmocka_unit_test(folders),
    };
    const int n = sizeof tests / sizeof tests[0];
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("text-compile: %d passed, %d failed\n", n - failed, failed);
    return failed ? 1 : 0;
}
