/* needs: dep_text */
/* Text from anywhere, over a small tokenizer with added tokens of each kind; and sections from
 * anywhere. The first byte chooses: 'S': the rest is a section, which is refused or used; 'E': the rest
 * is triples { u16 offset, u8 bits } that are turned over in a good section, which is then used so; 'F':
 * the same for the section of a tokenizer with stages, which the next byte chooses. Any
 * other: its low five bits are the most tokens, and the rest is text, encoded in each configuration and
 * again with room for all, of which the first has to be the beginning, as many at a time, and with
 * their places. */
#include "text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTION_BYTES_MAX (1u << 20)
#define N_CONFIGURATIONS  8u
#define FIRST_STAGED      4u
#define ALL_TOKENS        (1u << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define ADDED(id, content, single, normalized)                                                     \
    "{\"id\":" #id ",\"content\":\"" content "\",\"single_word\":" #single                         \
    ",\"lstrip\":false,\"rstrip\":false,\"normalized\":" #normalized ",\"special\":false}"
#define TOKENIZER(clean, chinese, strip, lower, added)                                             \
    "{\"added_tokens\":[" added                                                                    \
    "],\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":" #clean                         \
    ",\"handle_chinese_chars\":" #chinese ",\"strip_accents\":" #strip ",\"lowercase\":" #lower    \
    "},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":{\"type\":"            \
    "\"BertProcessing\",\"sep\":[\"[SEP]\",2],\"cls\":[\"[CLS]\",1]},\"model\":{\"unk_token\":"    \
    "\"[UNK]\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":9,\"vocab\":{"    \
    "\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3,\"##b\":4,\"##c\":5,\"abc\":6,\"\xCC\x81\":7,"    \
    "\"##\xE3\x80\xAE\":8,\"##\xD6\xB0\":9,\".\":10,\"[MASK]\":11,\"foo\":12,\"ff\":13,"           \
    "\"fo of\":14,\"\xEF\xBF\xBD\":15}}}"

#define MARK "\xE2\x96\x81"
#define STAGED(normalizer, pre_tokenizer, added, model)                                            \
    "{\"added_tokens\":[" added "],\"normalizer\":" normalizer ",\"pre_tokenizer\":" pre_tokenizer \
    ",\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",2],\"cls\":[\"[CLS]\",1]" \
    "},"                                                                                           \
    "\"model\":" model "}"
#define NORMALIZERS(parts)    "{\"type\":\"Sequence\",\"normalizers\":[" parts "]}"
#define PRE_TOKENIZERS(parts) "{\"type\":\"Sequence\",\"pretokenizers\":[" parts "]}"
#define QWEN2                                                                                      \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| "              \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define BPE                                                                                        \
    "{\"type\":\"BPE\",\"unk_token\":\"[UNK]\",\"fuse_unk\":true,\"vocab\":{\"[UNK]\":0,\"[CLS]"   \
    "\":1,"                                                                                        \
    "\"[SEP]\":2,\"a\":3,\"b\":4,\"ab\":5,\"\xC4\xA0\":6,\"\xC4\xA0"                               \
    "a\":7,\"\xC3\xA9\":8,\"" MARK "\":9,\"" MARK                                                  \
    "a\":10,\"[MASK]\":11},\"merges\":[\"a b\",\"\xC4\xA0 a\",\"" MARK " a\"]}"
#define UNIGRAM                                                                                    \
    "{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"[UNK]\",0],[\"[CLS]\",0],[\"[SEP]\",0],["    \
    "\"a\",-1"                                                                                     \
    "],[\"b\",-2],[\"ab\",-2.5],[\"" MARK "\",-3],[\"" MARK "a\",-3.5],[\"" MARK "foo\",-4],"      \
    "[\"\xC3\xA9\",-5],[\".\",-2],[\"[MASK]\",0]]}"

/* %s: a table as base64. */
#define PRECOMPILED                                                                                \
    STAGED("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"%s\"}",                           \
           PRE_TOKENIZERS(                                                                         \
               "{\"type\":\"Whitespace\"},{\"type\":\"Digits\",\"individual_digits\":false},"      \
               "{\"type\":\"Punctuation\",\"behavior\":\"MergedWithNext\"}"),                      \
           ADDED(11, "[MASK]", false, false), UNIGRAM)

static const char *const configurations[N_CONFIGURATIONS] = {
    TOKENIZER(true, true, null, true, ADDED(11, "[MASK]", false, false)),
    TOKENIZER(false, true, true, false,
              ADDED(11, "[MASK]", true, false) "," ADDED(15, "\xEF\xBF\xBD", true, false)),
    TOKENIZER(true, false, true, true,
              ADDED(12, "foo", true, true) "," ADDED(13, "ff", false, true) "," ADDED(14, "fo of",
                                                                                      false, true)),
    TOKENIZER(false, false, false, false,
              ADDED(12, "foo", true, false) "," ADDED(13, "ff", false, true)),
    STAGED(NORMALIZERS(
               "{\"type\":\"NFKC\"},{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true},"
               "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\" \"}"),
           "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"prepend_scheme\":\"first\"}",
           ADDED(11, "[MASK]", true, false) "," ADDED(12, "foo", true, true), UNIGRAM),
    STAGED("{\"type\":\"NFC\"}",
           PRE_TOKENIZERS("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" QWEN2
                          "\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
                          "\"add_prefix_space\":true,\"use_regex\":true}"),
           ADDED(11, "[MASK]", false, true), BPE),
    STAGED(NORMALIZERS(
               "{\"type\":\"Lowercase\"},{\"type\":\"NFD\"},{\"type\":\"StripAccents\"},{\"type\":"
               "\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}"),
           "null", ADDED(11, "[MASK]", false, false) "," ADDED(12, "a b", false, true), BPE),
    NULL, /* PRECOMPILED */
};

/* A table of replacements as base64: Q becomes "ab", and a space disappears. */
static void make_charsmap(char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    enum { UNITS = 1024 };
    uint32_t units[1 + UNITS] = {UNITS * 4, 256u << 10};
    units[1 + (256 ^ 'Q')] = 512u << 10 | 1u << 8 | 'Q';
    units[1 + (256 ^ 'Q' ^ 512)] = 1u << 31;
    units[1 + (256 ^ ' ')] = 768u << 10 | 1u << 8 | ' ';
    units[1 + (256 ^ ' ' ^ 768)] = 1u << 31 | 2; /* its NUL */
    unsigned char bytes[sizeof units + 5] = {0};
    memcpy(bytes, units, sizeof units);
    memcpy(bytes + sizeof units, "ab", 3);
    for (size_t i = 0; i + 3 <= sizeof bytes; i += 3) {
        const uint32_t three =
            (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (int k = 18; k >= 0; k -= 6)
            *out++ = digits[three >> k & 63];
    }
    *out = 0;
}

static struct {
    struct buf section;
    struct text text;
} tokenizers[N_CONFIGURATIONS];

static void compile_once(void)
{
    if (tokenizers[0].section.bytes) return;
    static char charsmap[8192], last[16384];
    make_charsmap(charsmap);
    snprintf(last, sizeof last, PRECOMPILED, charsmap);
    for (size_t i = 0; i < N_CONFIGURATIONS; i++) {
        const char *json = configurations[i] ? configurations[i] : last;
        const struct text_files files = {.json = json, .json_bytes = strlen(json)};
        struct buf *section = &tokenizers[i].section;
        buf_init(section, SECTION_BYTES_MAX, "SECTION_BYTES_MAX");
        if (text_compile_bytes(&files, section, NULL) != VECMILL_OK ||
            text_open(section->data, section->bytes, &tokenizers[i].text, NULL) != VECMILL_OK)
            abort();
    }
}

/* Scratch and memory for a tokenizer; the largest that was needed is kept. */
static void *memory_of(size_t bytes)
{
    static void *memory;
    static size_t most;
    if (bytes <= most && memory) return memory;
    free(memory);
    most = num_up(bytes, 64) + 64;
    memory = aligned_alloc(64, most);
    if (!memory) abort();
    return memory;
}

/* The text's tokens, `most` at a time, are those of the whole. */
static void compare_pieces(const struct text *text, const char *data, size_t bytes, uint32_t most,
                           const int32_t *all, uint32_t n_all)
{
    static _Alignas(64) unsigned char memory[1u << 14];
    int32_t ids[64];
    uint32_t n = 0;
    if (text_stream_bytes() > sizeof memory) abort();
    void *scratch = memory_of(text_scratch_bytes(text));
    struct text_stream *s = text_stream_begin(memory, scratch, text, data, bytes);
    for (bool more = true; more;) {
        uint32_t got;
        if (text_stream_next(s, ids, most, &got, &more, NULL) != VECMILL_OK) abort();
        if (got > n_all - n || (more && got < most)) abort();
        if (memcmp(ids, all + n, got * sizeof ids[0]) != 0) abort();
        n += got;
        if (more != (n < n_all)) abort();
    }
}

struct places {
    const int32_t *all;
    uint32_t n, n_all;
    size_t bytes;
};

static void keep(void *context, const struct text_piece *piece)
{
    struct places *p = context;
    if (p->n == p->n_all || piece->id != p->all[p->n]) abort();
    if (piece->start > piece->end || piece->end > p->bytes) abort();
    p->n++;
}

static void made_text(void *context, const char *made, size_t bytes)
{
    (void)context;
    if (bytes == 0 || !utf8_valid(made, bytes)) abort();
}

static void made_word(void *context, const char *made, size_t bytes, uint32_t start, uint32_t end)
{
    const struct places *p = context;
    made_text(context, made, bytes);
    if (start > end || end > p->bytes) abort();
}

/* With their places they are the same, and the places are in the text; so are those of the words. */
static void compare_places(const struct text *text, const char *data, size_t bytes,
                           const int32_t *all, uint32_t n_all)
{
    struct places p = {.all = all, .n_all = n_all, .bytes = bytes};
    const struct text_watch watch = {
        .normalized = made_text, .word = made_word, .token = keep, .context = &p};
    if (text_pieces(memory_of(text_pieces_bytes(text, bytes)), text, data, bytes, keep, &p, NULL) !=
            VECMILL_OK ||
        p.n != n_all)
        abort();
    p.n = 0;
    if (text_explain(memory_of(text_explain_bytes(text, bytes)), text, data, bytes, &watch, NULL) !=
            VECMILL_OK ||
        p.n != n_all)
        abort();
}

static void encode(const struct text *text, const char *data, size_t bytes, uint32_t most)
{
    static int32_t all[ALL_TOKENS];
    struct text_result whole, r;
    int32_t ids[64];
    void *scratch = memory_of(text_scratch_bytes(text));
    text_encode(text, scratch, data, bytes, ALL_TOKENS, all, &whole);
    text_encode(text, scratch, data, bytes, most, ids, &r);
    uint32_t n = whole.n_ids < most ? whole.n_ids : most;
    if (r.n_ids != n || r.truncated != (whole.n_ids > most || whole.truncated)) abort();
    if (memcmp(ids, all, (n - 1) * sizeof ids[0]) != 0 || ids[n - 1] != all[whole.n_ids - 1])
        abort();
    if (whole.truncated) return;
    compare_pieces(text, data, bytes, most, all + text->n_before, whole.n_ids - text->n_specials);
    compare_places(text, data, bytes, all + text->n_before, whole.n_ids - text->n_specials);
    if (whole.replaced_bytes > bytes || r.replaced_bytes > whole.replaced_bytes) abort();
    if (utf8_valid(data, bytes) != (whole.replaced_bytes == 0)) abort();
}

static void ignore(void *context, const struct text_piece *piece)
{
    (void)context, (void)piece;
}

static volatile char sink; /* bytes are read into it, so that they are read */

static void use_section(const void *section, size_t bytes)
{
    static const char sample[] = "[MASK] foo ABC.\xCC\x81\xE4\xB8\xAD fo of \xFF";
    struct text text;
    vecmill_err err;
    int32_t ids[64];
    struct text_result r;
    if (text_open(section, bytes, &text, &err) != VECMILL_OK || text.n_specials >= 64) return;
    text_encode(&text, memory_of(text_scratch_bytes(&text)), sample, sizeof sample - 1, 64, ids,
                &r);
    (void)text_pieces(memory_of(text_pieces_bytes(&text, sizeof sample - 1)), &text, sample,
                      sizeof sample - 1, ignore, NULL, NULL);
    for (uint32_t i = 0; i < r.n_ids; i++) {
        size_t n = 0;
        const char *t = text_token(&text, ids[i], &n);
        for (size_t k = 0; t && k < n; k++)
            sink = t[k];
    }
}

static void use_edited(const struct buf *good, const uint8_t *edits, size_t bytes)
{
    static unsigned char copy[SECTION_BYTES_MAX];
    memcpy(copy, good->data, good->bytes);
    for (size_t i = 0; bytes - i >= 3; i += 3) {
        size_t at = ((size_t)edits[i] | (size_t)edits[i + 1] << 8) % good->bytes;
        copy[at] ^= edits[i + 2];
    }
    use_section(copy, good->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    compile_once();
    if (bytes == 0) return 0;
    if (data[0] == 'S') {
        use_section(data + 1, bytes - 1);
        return 0;
    }
    if (data[0] == 'E') {
        use_edited(&tokenizers[2].section, data + 1, bytes - 1);
        return 0;
    }
    if (data[0] == 'F') {
        const size_t i = bytes > 1 ? data[1] % (N_CONFIGURATIONS - FIRST_STAGED) : 0;
        if (bytes > 2) use_edited(&tokenizers[FIRST_STAGED + i].section, data + 2, bytes - 2);
        return 0;
    }
    for (size_t i = 0; i < N_CONFIGURATIONS; i++)
        encode(&tokenizers[i].text, (const char *)data + 1, bytes - 1, 3 + (data[0] & 31u));
    return 0;
}
