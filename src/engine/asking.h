/* asking: a pair as the one text that a language model is asked (struct model_question).
 *
 * Its head and tail are the same for every pair, and tokenized apart from what is between them. Private to
 * engine. */
#ifndef ENGINE_ASKING_H
#define ENGINE_ASKING_H

#include "engine/resolve.h"

/* Tokens of head and tail at most: a byte each. */
#define ASKING_TOKENS_MAX 1024u

struct asking {
    uint32_t n_head, n_tail;
    int32_t ids[ASKING_TOKENS_MAX]; /* of the head, then of the tail */
};

/* Tokenizes head and tail. scratch: text_scratch_bytes. */
void asking_open(const struct text *text, void *scratch, const struct model_question *question,
                 struct asking *asking);

/* Bytes of what is between head and tail, with the instruction in force, at most. */
size_t asking_bytes(const struct resolved *resolved, const struct model_question *question);

/* Writes it to `out`; returns its bytes. */
size_t asking_write(const struct resolved *resolved, const struct model_question *question,
                    const struct text_part parts[2], char *out);

#endif
