/* text_kit: compiling and encoding in a few words, for the tests of text. */
#ifndef TEXT_KIT_H
#define TEXT_KIT_H

#include "text/text.h"

#define KIT_IDS 4096u

struct kit {
    struct buf section;
    struct text text;
};

/* Compiles tokenizer.json, or vocab.txt with its configuration (NULL: none), and opens the section.
 * On failure k->section is empty. */
vecmill_status kit_json(struct kit *k, const char *json, vecmill_err *err);
vecmill_status kit_vocab(struct kit *k, const char *vocab, const char *config, vecmill_err *err);
void kit_done(struct kit *k);

/* The ids of a C string as "2 5 3", in a buffer that the next call overwrites. */
const char *kit_ids(const struct kit *k, const char *text, uint32_t max_tokens);

/* text_stream_next, which must succeed; returns the number of tokens. */
uint32_t kit_next(struct text_stream *s, int32_t *ids, uint32_t max, bool *more);

/* A small tokenizer.json whose parts can be replaced: every `part` is a whole member. NULL: as in an
 * uncased BERT over KIT_VOCAB. The result lives until the next call. */
#define KIT_VOCAB                                                                                  \
    "\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3,\"b\":4,\"##b\":5,\"[MASK]\":6,"       \
    "\"foo\":7,\"Foo\":8}"
struct kit_parts {
    const char *head; /* members in front: "version" and so on */
    const char *added, *normalizer, *pre_tokenizer, *post_processor, *model;
};
const char *kit_make(struct kit_parts parts);

#endif
