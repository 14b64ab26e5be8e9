/* text_model: a tokenizer's model: words of normalized text to token ids.
 *
 * A kind of model is one file, model_<type>.c, and one row of TEXT_MODELS. What is around a model
 * (normalizers, pre-tokenizers, added tokens, the template) knows no kind by its name. */
#ifndef TEXT_MODEL_H
#define TEXT_MODEL_H

#include "text_spec.h"

/* A token, and the bytes of its word that it covers. */
struct model_piece {
    uint32_t id, start, end;
};

struct text_model {
    const char *type; /* "type" of "model" in tokenizer.json */

    /* Fills the spec's vocabulary and s->model_description from the member "model". */
    vecmill_status (*read)(struct spec *s, const struct json_value *model, vecmill_err *err);

    /* Appends the model's table: 8-aligned, offsets from its own start. */
    vecmill_status (*compile)(const struct spec *s, struct buf *out, vecmill_err *err);

    /* Checks a table as untrusted bytes; after it the functions below are safe. Every id that
     * encode can give is below `vocab`. */
    vecmill_status (*check)(const unsigned char *table, size_t bytes, uint32_t vocab,
                            vecmill_err *err);

    /* Bytes of scratch to encode words of at most `bytes` bytes. */
    size_t (*scratch)(size_t bytes);

    /* A word's pieces in order, left in scratch (*pieces, until the next call); returns their
     * number. scratch is aligned to 64, the word is valid UTF-8 and not empty. Cannot fail; time
     * n log n, or n times the longest token. */
    size_t (*encode)(const unsigned char *table, const unsigned char *word, size_t bytes,
                     void *scratch, const struct model_piece **pieces);

    /* Whether no piece of a word spans the boundary between code points a and b, so that the word's
     * pieces are those of its two parts, encoded separately. false: not known. */
    bool (*splits)(const unsigned char *table, uint32_t a, uint32_t b);
};

/* The kinds, a file each. */
extern const struct text_model text_model_wordpiece, text_model_unigram, text_model_bpe;

/* All kinds, ended by NULL; a section holds the index. */
extern const struct text_model *const TEXT_MODELS[];

/* The kind of a member "model" by its "type", or by its other members where it has none, as the
 * reference finds it (models/mod.rs). E_MODEL: none that is understood. */
vecmill_status text_model_of(const struct spec *s, const struct json_value *model,
                             const struct text_model **kind, vecmill_err *err);

/* The most memory of a model_description, from the size of tokenizer.json. In addition `read` and
 * `compile` hold as much for a time as the vocabulary's keys take. */
size_t text_model_description_most(size_t file_bytes);

#endif
