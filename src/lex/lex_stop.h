/* lex_stop: words that are left out. Private to lex. */
#ifndef LEX_STOP_H
#define LEX_STOP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"

struct stop {
    struct stop_word {
        const char *text;
        size_t bytes;
    } * words; /* [n], sorted */
    size_t n;
    char *text; /* of them all */
};

/* n words, or, of none, those of a language (stop_words.inc), which may have none. In lower case here.
 * Pair: stop_done. */
vecmill_status stop_init(struct stop *stop, const char *const *words, size_t n,
                         const char *language, vecmill_err *err);
void stop_done(struct stop *stop);

bool stop_has(const struct stop *stop, const char *word, size_t bytes);

#endif
