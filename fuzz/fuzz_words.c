/* needs: dep_lex */
/* fuzz_words: any bytes as a text whose words are weighed.
 *
 * The first byte chooses the language, and whether words are stemmed. What comes back must be in order and
 * positive, and the same again; a query has the same indices. */
#include "lex/lex.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const languages[] = {"english", "german", "finnish", "russian",
                                        "turkish", "arabic", "greek",   "swedish",
                                        "tamil",   "french", "spanish", "hungarian"};
#define N_LANGUAGES (sizeof languages / sizeof *languages)

static void check(bool is_right)
{
    if (!is_right) abort();
}

static struct lex *opened(uint8_t choice)
{
    static struct lex *kept[2 * N_LANGUAGES];
    struct lex **lex = &kept[choice % (2 * N_LANGUAGES)];
    const struct lex_options options = {
        .language = languages[choice % N_LANGUAGES],
        .is_stemmed = choice % (2 * N_LANGUAGES) < N_LANGUAGES,
        .k = 1.2,
        .b = 0.75,
        .avg_len = 256,
        .word_most = 40,
    };
    if (!*lex) check(lex_open(&options, lex, NULL) == VECMILL_OK);
    return *lex;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct lex *lex = opened(data[0]);
    struct lex_words words;
    const char *text = (const char *)data + 1;
    check(lex_encode(lex, text, size - 1, false, &words, NULL) == VECMILL_OK);
    const size_t n = words.n;
    check(n <= size / 2 + 1 && words.n_read <= size / 2 + 1 && n <= words.n_read &&
          words.replaced < size);
    uint32_t *before = malloc((n + 1) * sizeof *before);
    check(before != NULL);
    for (size_t i = 0; i < n; i++) {
        before[i] = words.indices[i];
        check(isfinite(words.weights[i]) && words.weights[i] > 0 && words.weights[i] < 2.2f);
        check(i == 0 || before[i - 1] < before[i]);
    }
    check(lex_encode(lex, text, size - 1, true, &words, NULL) == VECMILL_OK && words.n == n);
    for (size_t i = 0; i < n; i++)
        check(words.indices[i] == before[i] && words.weights[i] == 1);
    free(before);
    return 0;
}
