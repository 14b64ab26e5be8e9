#include "lex_stop.h"

#include <stdlib.h>
#include <string.h>

#include "lex_chars.h"

static const struct {
    const char *language, *words; /* each followed by a space */
} lists[] = {
#include "stop_words.inc"
};

static int by_text(const void *left, const void *right)
{
    const struct stop_word *a = left, *b = right;
    const int order = memcmp(a->text, b->text, num_min(a->bytes, b->bytes));
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static const char *list_of(const char *language)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (strcmp(lists[i].language, language) == 0) return lists[i].words;
    return "";
}

/* Characters in lower case, each of at most 4 bytes, which may be more than it had. */
static size_t put_lower(const char *word, size_t bytes, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes;) {
        uint32_t cp;
        bool is_bad;
        i += utf8_next((const unsigned char *)word + i, bytes - i, &cp, &is_bad);
        n += utf8_put(chars_lower(cp), (unsigned char *)out + n);
    }
    return n;
}

static vecmill_status take(struct stop *stop, size_t bytes, size_t n, vecmill_err *err)
{
    void *text = NULL, *words = NULL;
    size_t most;
    if (!num_mul(bytes, 4, &most)) most = SIZE_MAX;
    vecmill_status status = mem_new(most, "stop words", &text, err);
    if (status == VECMILL_OK)
        status = mem_new_array(n, sizeof *stop->words, "stop words", &words, err);
    if (status != VECMILL_OK) {
        mem_free(text);
        return status;
    }
    *stop = (struct stop){.words = words, .text = text};
    return VECMILL_OK;
}

static size_t add(struct stop *stop, const char *word, size_t bytes, size_t at)
{
    const size_t lower = put_lower(word, bytes, stop->text + at);
    stop->words[stop->n++] = (struct stop_word){.text = stop->text + at, .bytes = lower};
    return at + lower;
}

vecmill_status stop_init(struct stop *stop, const char *const *words, size_t n,
                         const char *language, vecmill_err *err)
{
    const char *list = words ? "" : list_of(language);
    size_t bytes = strlen(list), at = 0, count = n;
    for (size_t i = 0; words && i < n; i++)
        bytes += strlen(words[i]);
    for (const char *c = list; *c; c++)
        count += *c == ' ';
    VM_TRY(take(stop, bytes, count, err));
    for (size_t i = 0; words && i < n; i++)
        at = add(stop, words[i], strlen(words[i]), at);
    for (const char *end; (end = strchr(list, ' ')) != NULL; list = end + 1)
        at = add(stop, list, (size_t)(end - list), at);
    if (stop->n > 1) qsort(stop->words, stop->n, sizeof *stop->words, by_text);
    return VECMILL_OK;
}

void stop_done(struct stop *stop)
{
    mem_free(stop->words);
    mem_free(stop->text);
    *stop = (struct stop){0};
}

bool stop_has(const struct stop *stop, const char *word, size_t bytes)
{
    const struct stop_word key = {.text = word, .bytes = bytes};
    return stop->n > 0 && bsearch(&key, stop->words, stop->n, sizeof key, by_text) != NULL;
}
