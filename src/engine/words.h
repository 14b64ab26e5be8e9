/* words: the tokens that a model treats apart (struct model_words), as ids of its vocabulary. Private to
 * engine. */
#ifndef ENGINE_WORDS_H
#define ENGINE_WORDS_H

#include "engine/resolve.h"

/* What is known without a vocabulary: how far queries are expanded. */
void words_begin(struct resolved *resolved);

/* Fills the lists of ids, the marker and the token of expansion, of texts of resolved->role. A word that
 * is only left out, and that the vocabulary does not have, cannot come, and is passed over. E_MODEL: a
 * marker or a token of expansion is not in the vocabulary. */
vecmill_status words_settle(const struct pack *pack, const struct text *text,
                            struct resolved *resolved, vecmill_err *err);

#endif
