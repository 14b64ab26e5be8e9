/* norm_precompiled: SentencePiece's table of replacements, as `tokenizers` applies it
 * (normalizers/precompiled.rs; crate spm_precompiled 0.1.4): for each extended grapheme cluster of less
 * than six bytes, or else for each of its characters, the shortest entry that begins it replaces
 * all of it. SentencePiece itself takes the longest entry, character by character.
 *
 * The member precompiled_charsmap is base64 of: the trie's bytes (32 bits, little-endian), the trie,
 * the replacements, each with a NUL after it. The trie is a double array (Darts-clone) of units of
 * 32 bits: bits 0 to 7 label, 8 has a leaf, 9 and 10 to 30 offset; of a leaf, 0 to 30 value. */
#include "stage_kinds.h"
#include "text_unicode.h"

#include <stddef.h>

#define CHARSMAP_MAX (4u << 20) /* bytes of base64 */
#define WHOLE_BYTES  6u         /* a cluster of less is looked up as a whole */

/* ---- reading ---- */

static int digit_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes base64 in place; false: it is none. */
static bool decode_base64(char *text, size_t *bytes)
{
    size_t n = *bytes, out = 0;
    uint32_t bits = 0, n_bits = 0;
    if (n % 4 != 0) return false;
    while (n > 0 && *bytes - n < 2 && text[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        const int digit = digit_of((unsigned char)text[i]);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        n_bits += 6;
        if (n_bits < 8) continue;
        n_bits -= 8;
        text[out++] = (char)(bits >> n_bits & 0xFF);
    }
    *bytes = out;
    return true;
}

/* The bytes of the longest replacement. */
static size_t longest(const void *strings, size_t bytes)
{
    size_t most = 0;
    for (size_t at = 0; at < bytes;) {
        const char *from = (const char *)strings + at, *end = memchr(from, 0, bytes - at);
        const size_t n = end ? (size_t)(end - from) : bytes - at;
        most = num_max(most, n);
        at += n + 1;
    }
    return most;
}

static vecmill_status keep_charsmap(struct spec *s, struct spec_stage *stage, char *text,
                                    const struct json_value *value, const char *where,
                                    vecmill_err *err)
{
    uint64_t replaced = 0;
    uint32_t trie = 0;
    size_t bytes = json_decode(value, text, &replaced);
    const bool is_base64 = decode_base64(text, &bytes);
    if (is_base64 && bytes >= sizeof trie) memcpy(&trie, text, sizeof trie);
    if (!is_base64 || bytes < sizeof trie || trie % 4 != 0 || trie == 0 ||
        trie > bytes - sizeof trie) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %s.precompiled_charsmap is no base64 of a table: %zu bytes, its trie "
                       "has %u",
                       s->file, where, bytes, trie);
    }
    const size_t n_strings = bytes - sizeof trie - trie;
    const char *strings = text + sizeof trie + trie;
    if (!utf8_valid(strings, n_strings)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %s.precompiled_charsmap has replacements that are not valid UTF-8",
                       s->file, where);
    }
    if (longest(strings, n_strings) > STAGE_STRING_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %s.precompiled_charsmap has a replacement of %zu bytes, the most is %u",
                       s->file, where, longest(strings, n_strings), STAGE_STRING_MAX);
    }
    VM_TRY(stage_keep(s, stage, false, text + sizeof trie, trie, err));
    return stage_keep(s, stage, true, strings, n_strings, err);
}

vecmill_status norm_precompiled_read(struct spec *s, struct spec_stage *stage,
                                     const struct json_value *part, const char *where,
                                     vecmill_err *err)
{
    struct json_value map = {.kind = JSON_KIND_ABSENT};
    const struct json_field fields[] = {JSON_MAY("type", UNREAD, 0),
                                        JSON_MUST("precompiled_charsmap", ANY, 0)};
    void *text = NULL;
    VM_TRY(spec_read_part(s, part, where, fields, 2, &map, err));
    if (map.kind != JSON_KIND_STRING || map.bytes > CHARSMAP_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %s.precompiled_charsmap has %zu bytes, allowed is a string of at most "
                       "CHARSMAP_MAX, %u",
                       s->file, where, map.bytes, CHARSMAP_MAX);
    }
    VM_TRY(mem_new(map.bytes, "a table of replacements", &text, err));
    const vecmill_status status = keep_charsmap(s, stage, text, &map, where, err);
    mem_free(text);
    return status;
}

bool norm_precompiled_check(const struct stage *stage)
{
    return stage->flags == 0 && stage->a_bytes >= 4 && stage->a_bytes % 4 == 0 &&
           utf8_valid(stage->b, stage->b_bytes) &&
           longest(stage->b, stage->b_bytes) <= STAGE_STRING_MAX;
}

/* ---- running ---- */

static uint32_t unit_at(const struct stage *stage, uint32_t node)
{
    uint32_t unit;
    if (node >= stage->a_bytes / 4) return 0; /* label 0, no leaf: nothing goes on there */
    memcpy(&unit, stage->a + (size_t)node * 4, sizeof unit);
    return unit;
}

static uint32_t offset_of(uint32_t unit)
{
    return unit >> 10 << ((unit & 1u << 9) >> 6);
}

/* The replacement of the shortest entry that begins data[0 .. bytes); false: there is none. */
static bool look_up(const struct stage *stage, const unsigned char *data, size_t bytes,
                    const unsigned char **text, size_t *n_text)
{
    uint32_t node = offset_of(unit_at(stage, 0));
    for (size_t i = 0; i < bytes && data[i]; i++) {
        node ^= data[i];
        const uint32_t unit = unit_at(stage, node);
        if ((unit & (1u << 31 | 0xFF)) != data[i]) return false;
        node ^= offset_of(unit);
        if (!(unit >> 8 & 1)) continue;
        const size_t at = unit_at(stage, node) & ~(1u << 31);
        if (at >= stage->b_bytes) return false;
        const unsigned char *end = memchr(stage->b + at, 0, stage->b_bytes - at);
        *text = stage->b + at;
        *n_text = end ? (size_t)(end - *text) : stage->b_bytes - at;
        return (**text & 0xC0) != 0x80; /* within a character: a corrupt section */
    }
    return false;
}

static size_t count_chars(const unsigned char *data, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += (data[i] & 0xC0) != 0x80;
    return n;
}

/* Writes a replacement of n_old characters, with the reference's changes: of the new characters the
 * last ones are added, or the last one removes the rest. Nothing in place of something at the
 * text's begin removes nothing. */
static void replace(struct stage_flow *f, size_t n_old, const unsigned char *text, size_t n_text)
{
    const size_t n_new = count_chars(text, n_text);
    if (n_new == 0) {
        if (f->out->bytes > 0) stage_skip(f, n_old);
        return;
    }
    for (size_t i = 0, k = 0; i < n_text; k++) {
        uint32_t cp;
        int change = k >= n_old ? 1 : 0;
        i += utf8_char(text + i, &cp);
        if (k + 1 == n_new && n_new < n_old) change = -(int)(n_old - n_new);
        stage_give(f, cp, change);
    }
}

/* The end of the cluster that begins at `at`. */
static size_t cluster_end(const struct stage_text *in, size_t at)
{
    uint32_t cp, next;
    int state = 0;
    size_t end = at + utf8_char(in->data + at, &cp);
    while (end < in->bytes) {
        const size_t n = utf8_char(in->data + end, &next);
        const bool plain = next < 0x300 && cp < 0x300;
        if (plain && !(cp == '\r' && next == '\n')) break;
        if (!plain && !unicode_joins(cp, next, &state)) break;
        end += n;
        cp = next;
    }
    return end;
}

void norm_precompiled_run(const struct stage *stage, const struct stage_text *in,
                          struct stage_text *out, struct stage_context *context)
{
    struct stage_flow f = {in, out, 0};
    (void)context;
    for (size_t at = 0; at < in->bytes && !out->full;) {
        const size_t end = cluster_end(in, at);
        const unsigned char *text;
        size_t n_text;
        if (end - at < WHOLE_BYTES && look_up(stage, in->data + at, end - at, &text, &n_text)) {
            replace(&f, count_chars(in->data + at, end - at), text, n_text);
            at = end;
            continue;
        }
        while (at < end && !out->full) {
            uint32_t cp;
            const size_t n = utf8_char(in->data + at, &cp);
            if (look_up(stage, in->data + at, n, &text, &n_text))
                replace(&f, 1, text, n_text);
            else
                stage_give(&f, cp, 0);
            at += n;
        }
    }
}
