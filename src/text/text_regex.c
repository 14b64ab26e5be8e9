/* text_regex: patterns by their text; two scanners with parameters, and three small ones. */
#include "text_regex.h"

#include "base/base.h"
#include "text_unicode.h"

#include <string.h>

/* Contractions: 's 't 're 've 'm 'll 'd. */
enum contraction { NO_CONTRACTION, EXACT, ANY_CASE, ANY_CASE_AFTER };

/* Words, numbers, the rest, white space: GPT-2's expression and its descendants. */
struct words {
    enum contraction contraction;
    bool any_lead;   /* a word may begin with one character that is no letter, number, CR, LF;
                      * otherwise with one space */
    bool marks;      /* \p{M} is part of a word, and not of the rest */
    bool cased;      /* upper case before lower case: two words otherwise */
    uint32_t digits; /* of a number; 0: any, and one space before it */
    bool lines;      /* CR and LF end a run of the rest, and white space is cut after them */
    bool slash;      /* / as CR and LF after the rest */
};

/* A run of one class, `least` to `most` characters. */
struct run {
    uint32_t class;
    unsigned char byte; /* class 0: this one character */
    uint32_t least, most;
};

struct pattern {
    const char *text;
    size_t (*match)(const struct pattern *p, const unsigned char *data, size_t bytes, size_t at);
    struct words words;
    struct run run;
    bool is_local;
};

static uint32_t class_at(const unsigned char *data, size_t bytes, size_t at, size_t *next)
{
    if (at >= bytes) {
        *next = at;
        return 0;
    }
    uint32_t cp;
    *next = at + utf8_char(data + at, &cp);
    return unicode_kind(cp);
}

/* The end of the run of characters that have one of the bits in `any` and none of `none`; at most
 * `most` of them. */
static size_t run_end(const unsigned char *data, size_t bytes, size_t at, uint32_t any,
                      uint32_t none, uint32_t most)
{
    size_t next;
    for (; most && at < bytes; most--, at = next) {
        const uint32_t class = class_at(data, bytes, at, &next);
        if (!(class & any) || class & none) break;
    }
    return at;
}

/* The bytes of the letter at data[at]; 0: another one. any: in any case; U+017F is an s then. */
static size_t letter_bytes(const unsigned char *data, size_t bytes, size_t at, char letter,
                           bool any)
{
    if (at >= bytes) return 0;
    if (data[at] == (unsigned char)letter || (any && data[at] == (unsigned char)(letter - 32)))
        return 1;
    if (any && letter == 's' && at + 1 < bytes && data[at] == 0xC5 && data[at + 1] == 0xBF)
        return 2;
    return 0;
}

/* The end of a contraction at `at`, or `at`. */
static size_t contraction_end(const unsigned char *data, size_t bytes, size_t at, bool any)
{
    static const char *const list[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    if (at >= bytes || data[at] != '\'') return at;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        size_t end = at + 1, n = 1;
        for (const char *c = list[i]; *c && n; c++) {
            n = letter_bytes(data, bytes, end, *c, any);
            end += n;
        }
        if (n) return end;
    }
    return at;
}

/* [upper]*[lower]+ at `at` (0: no match), or else [upper]+[lower]*, where some letters are both. */
static size_t cased_end(const unsigned char *data, size_t bytes, size_t at, bool lower_needed)
{
    const uint32_t upper = UNICODE_LU | UNICODE_LT | UNICODE_LM | UNICODE_LO | UNICODE_M;
    const uint32_t lower = UNICODE_LL | UNICODE_LM | UNICODE_LO | UNICODE_M;
    const size_t middle = run_end(data, bytes, at, upper, 0, UINT32_MAX);
    const size_t end = run_end(data, bytes, middle, lower, 0, UINT32_MAX);
    if (!lower_needed) return middle > at ? end : at;
    if (end > middle) return end;
    size_t last = at; /* after the last letter of the run that is lower case too */
    for (size_t i = at, next; i < middle; i = next) {
        if (class_at(data, bytes, i, &next) & lower) last = next;
    }
    return last;
}

/* A word at `at`, with the character before it when there may be one; or `at`. */
static size_t word_end(const struct words *w, const unsigned char *data, size_t bytes, size_t at)
{
    size_t next;
    const uint32_t class = class_at(data, bytes, at, &next);
    const uint32_t letters = UNICODE_L | (w->marks ? UNICODE_M : 0);
    const bool leads =
        w->any_lead ? !(class & (UNICODE_L | UNICODE_N)) && data[at] != '\r' && data[at] != '\n'
                    : data[at] == ' ';
    for (int lower = 1; lower >= (w->cased ? 0 : 1); lower--) {
        for (int led = leads; led >= 0; led--) {
            const size_t from = led ? next : at;
            const size_t end = w->cased ? cased_end(data, bytes, from, lower)
                                        : run_end(data, bytes, from, letters, 0, UINT32_MAX);
            if (end == from) continue;
            return w->contraction == ANY_CASE_AFTER ? contraction_end(data, bytes, end, true) : end;
        }
    }
    return at;
}

static size_t lines_end(const unsigned char *data, size_t bytes, size_t at, bool slash)
{
    while (at < bytes && (data[at] == '\r' || data[at] == '\n' || (slash && data[at] == '/')))
        at++;
    return at;
}

/* White space at `at`: with `lines` up to its last CR or LF; otherwise \s+(?!\S), or \s+. */
static size_t space_end(const struct words *w, const unsigned char *data, size_t bytes, size_t at)
{
    size_t end = at, last = at, line = at, next;
    while (end < bytes && class_at(data, bytes, end, &next) & UNICODE_S) {
        if (data[end] == '\r' || data[end] == '\n') line = next;
        last = end;
        end = next;
    }
    if (w->lines && line > at) return line;
    return end == bytes || last == at ? end : last;
}

static size_t match_words(const struct pattern *p, const unsigned char *data, size_t bytes,
                          size_t at)
{
    const struct words *w = &p->words;
    const uint32_t rest = UINT32_MAX,
                   no_rest = UNICODE_S | UNICODE_L | UNICODE_N | (w->marks ? UNICODE_M : 0);
    size_t end = at;
    if (w->contraction == EXACT || w->contraction == ANY_CASE) {
        end = contraction_end(data, bytes, at, w->contraction == ANY_CASE);
        if (end > at) return end;
    }
    end = word_end(w, data, bytes, at);
    if (end > at) return end;
    const size_t after = at + (data[at] == ' ');
    const size_t number = w->digits ? at : after;
    end = run_end(data, bytes, number, UNICODE_N, 0, w->digits ? w->digits : UINT32_MAX);
    if (end > number) return end;
    end = run_end(data, bytes, after, rest, no_rest, UINT32_MAX);
    if (end > after) return w->lines ? lines_end(data, bytes, end, w->slash) : end;
    return space_end(w, data, bytes, at);
}

/* <\|startoftext\|>|<\|endoftext\|>|contractions|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+ */
static size_t match_clip(const struct pattern *p, const unsigned char *data, size_t bytes,
                         size_t at)
{
    static const char *const marks[] = {"<|startoftext|>", "<|endoftext|>"};
    (void)p;
    for (int i = 0; i < 2; i++) {
        const size_t n = strlen(marks[i]);
        if (bytes - at >= n && memcmp(data + at, marks[i], n) == 0) return at + n;
    }
    size_t end = contraction_end(data, bytes, at, false);
    if (end > at) return end;
    end = run_end(data, bytes, at, UNICODE_L, 0, UINT32_MAX);
    if (end > at) return end;
    end = run_end(data, bytes, at, UNICODE_N, 0, 1);
    if (end > at) return end;
    return run_end(data, bytes, at, UINT32_MAX, UNICODE_S | UNICODE_L | UNICODE_N, UINT32_MAX);
}

/* \w+|[^\w\s]+ of the crate `regex`. */
static size_t match_word_or_rest(const struct pattern *p, const unsigned char *data, size_t bytes,
                                 size_t at)
{
    size_t end = at, next;
    int words = -1;
    (void)p;
    for (; end < bytes; end = next) {
        uint32_t cp = data[end];
        next = end + 1;
        if (cp >= 0x80) {
            bool bad;
            next = end + utf8_next(data + end, bytes - end, &cp, &bad);
        }
        const int word = unicode_word(cp);
        if (!word && unicode_space(cp)) break;
        if (words >= 0 && word != words) break;
        words = word;
    }
    return end;
}

static size_t match_run(const struct pattern *p, const unsigned char *data, size_t bytes, size_t at)
{
    const struct run *r = &p->run;
    size_t end = at;
    uint32_t n = 0;
    for (size_t next; n < r->most && end < bytes; n++, end = next) {
        const uint32_t class = class_at(data, bytes, end, &next);
        if (r->class ? !(class & r->class) : data[end] != r->byte) break;
    }
    return n >= r->least ? end : at;
}

/* \s{2,}|[\n\r\t] */
static size_t match_blanks(const struct pattern *p, const unsigned char *data, size_t bytes,
                           size_t at)
{
    const size_t end = match_run(p, data, bytes, at);
    if (end > at) return end;
    return at + (data[at] == '\n' || data[at] == '\r' || data[at] == '\t');
}

/* [\n\r\t] */
static size_t match_line(const struct pattern *p, const unsigned char *data, size_t bytes,
                         size_t at)
{
    (void)p;
    (void)bytes;
    return at + (data[at] == '\n' || data[at] == '\r' || data[at] == '\t');
}

/* \A +| +\z */
static size_t match_ends(const struct pattern *p, const unsigned char *data, size_t bytes,
                         size_t at)
{
    if (at > 0 && data[at - 1] == ' ') return at; /* the run was tried at its begin */
    const size_t end = match_run(p, data, bytes, at);
    return at == 0 || end == bytes ? end : at;
}

/* [0-9]+ and [0-9] */
static size_t match_ascii_digits(const struct pattern *p, const unsigned char *data, size_t bytes,
                                 size_t at)
{
    uint32_t n = 0;
    while (n < p->run.most && at + n < bytes && data[at + n] >= '0' && data[at + n] <= '9')
        n++;
    return at + n;
}

#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define ANY_LEAD     "[^\\r\\n\\p{L}\\p{N}]?"
#define UPPER        "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SPACES       "\\s+(?!\\S)|\\s+"
#define LINES        "\\s*[\\r\\n]+|" SPACES
#define WORDS(what, ...)                                                                           \
    {                                                                                              \
        .text = what, .match = match_words, .words = __VA_ARGS__, .is_local = true                 \
    }

static const struct pattern patterns[] = {
    WORDS(CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES,
          {.contraction = EXACT}),
    {.text = "\\w+|[^\\w\\s]+", .match = match_word_or_rest, .is_local = true},
    WORDS("(?i:" CONTRACTIONS ")|" ANY_LEAD "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" LINES,
          {.contraction = ANY_CASE, .any_lead = true, .digits = 1, .lines = true}),
    WORDS("(?i:" CONTRACTIONS ")|" ANY_LEAD
          "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES,
          {.contraction = ANY_CASE, .any_lead = true, .marks = true, .digits = 1, .lines = true}),
    WORDS("(?i:" CONTRACTIONS ")|" ANY_LEAD
          "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" LINES,
          {.contraction = ANY_CASE, .any_lead = true, .digits = 3, .lines = true}),
    WORDS(ANY_LEAD UPPER "*" LOWER "+(?i:" CONTRACTIONS ")?|" ANY_LEAD UPPER "+" LOWER
                         "*(?i:" CONTRACTIONS
                         ")?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" LINES,
          {.contraction = ANY_CASE_AFTER,
           .any_lead = true,
           .cased = true,
           .digits = 3,
           .lines = true,
           .slash = true}),
    WORDS(ANY_LEAD UPPER "*" LOWER "+|" ANY_LEAD UPPER "+" LOWER
                         "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" LINES,
          {.any_lead = true, .cased = true, .digits = 1, .lines = true, .slash = true}),
    {.text = "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|"
             "[^\\s\\p{L}\\p{N}]+",
     .match = match_clip,
     .is_local = true},
    {.text = " {2,}",
     .match = match_run,
     .run = {.byte = ' ', .least = 2, .most = UINT32_MAX},
     .is_local = true},
    {.text = " +",
     .match = match_run,
     .run = {.byte = ' ', .least = 1, .most = UINT32_MAX},
     .is_local = true},
    {.text = "\\n",
     .match = match_run,
     .run = {.byte = '\n', .least = 1, .most = 1},
     .is_local = true},
    {.text = "\\s{2,}|[\\n\\r\\t]",
     .match = match_blanks,
     .run = {.class = UNICODE_S, .least = 2, .most = UINT32_MAX},
     .is_local = true},
    {.text = "[\\n\\r\\t]", .match = match_line, .is_local = true},
    {.text = "\\A +| +\\z",
     .match = match_ends,
     .run = {.byte = ' ', .least = 1, .most = UINT32_MAX}},
    {.text = "\\s+",
     .match = match_run,
     .run = {.class = UNICODE_S, .least = 1, .most = UINT32_MAX},
     .is_local = true},
    {.text = "\\s",
     .match = match_run,
     .run = {.class = UNICODE_S, .least = 1, .most = 1},
     .is_local = true},
    {.text = "\\p{N}",
     .match = match_run,
     .run = {.class = UNICODE_N, .least = 1, .most = 1},
     .is_local = true},
    {.text = "\\p{N}+",
     .match = match_run,
     .run = {.class = UNICODE_N, .least = 1, .most = UINT32_MAX},
     .is_local = true},
    {.text = "\\p{N}{1,3}",
     .match = match_run,
     .run = {.class = UNICODE_N, .least = 1, .most = 3},
     .is_local = true},
    {.text = "\\d",
     .match = match_run,
     .run = {.class = UNICODE_ND, .least = 1, .most = 1},
     .is_local = true},
    {.text = "\\d+",
     .match = match_run,
     .run = {.class = UNICODE_ND, .least = 1, .most = UINT32_MAX},
     .is_local = true},
    {.text = "\\d{1,3}",
     .match = match_run,
     .run = {.class = UNICODE_ND, .least = 1, .most = 3},
     .is_local = true},
    {.text = "[0-9]", .match = match_ascii_digits, .run = {.most = 1}, .is_local = true},
    {.text = "[0-9]+", .match = match_ascii_digits, .run = {.most = UINT32_MAX}, .is_local = true},
};

uint32_t regex_count(void)
{
    return sizeof patterns / sizeof *patterns;
}

uint32_t regex_named(const char *text, size_t bytes)
{
    for (uint32_t i = 0; i < regex_count(); i++) {
        if (strlen(patterns[i].text) == bytes && memcmp(patterns[i].text, text, bytes) == 0)
            return i;
    }
    return REGEX_NONE;
}

uint32_t regex_gpt2(void)
{
    return 0;
}

uint32_t regex_words(void)
{
    return 1;
}

size_t regex_find(uint32_t regex, const unsigned char *data, size_t bytes, size_t from, size_t *end)
{
    const struct pattern *p = &patterns[regex];
    for (size_t at = from; at < bytes;) {
        *end = p->match(p, data, bytes, at);
        if (*end > at) return at;
        do
            at++;
        while (at < bytes && (data[at] & 0xC0) == 0x80);
    }
    return bytes;
}

size_t regex_after_space(const unsigned char *data, size_t bytes)
{
    size_t next, end = 0, last = 0;
    const uint32_t class = class_at(data, bytes, 0, &next);
    if (class & UNICODE_L) return run_end(data, bytes, 0, UNICODE_L, 0, UINT32_MAX);
    if (class & UNICODE_N) return run_end(data, bytes, 0, UNICODE_N, 0, UINT32_MAX);
    if (!(class & UNICODE_S))
        return run_end(data, bytes, 0, UINT32_MAX, UNICODE_S | UNICODE_L | UNICODE_N, UINT32_MAX);
    while (end < bytes && class_at(data, bytes, end, &next) & UNICODE_S) {
        last = end;
        end = next;
    }
    return end == bytes ? end : last;
}

bool regex_is_local(uint32_t regex)
{
    return patterns[regex].is_local;
}
