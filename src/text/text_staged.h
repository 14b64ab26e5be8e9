/* text_staged: a text to tokens through stages, for every tokenizer but BERT's.
 *
 * The text is taken a stretch at a time: up to the next added token on raw text, or up to a sure
 * cut, where no stage and no token of the model reaches over. A stretch has at most
 * TEXT_STRETCH_MAX bytes. It is repaired, normalized, split at added tokens on normalized text,
 * pre-tokenized, and each word is given to the model. Memory is the caller's scratch, whatever the
 * text. Private to text. */
#ifndef TEXT_STAGED_H
#define TEXT_STAGED_H

#include "text_model.h"
#include "text_section.h"
#include "text_stage.h"

/* An added token that was found. */
struct staged_match {
    size_t start, end; /* with the white space that it strips */
    size_t next;       /* where the search goes on */
    uint32_t index;    /* into the set's `added` */
};

struct staged {
    const struct text *tokens; /* for the texts of tokens */
    struct section_view view;
    struct stage stages[TEXT_STAGES_MAX];
    const struct text_model *model;
    const unsigned char *data;
    size_t bytes;

    /* in the text */
    size_t pos;        /* what is before was put into a stretch, or given out */
    size_t raw_search; /* no added token begins before */
    struct staged_match raw;
    size_t raw_spaces;           /* the end of white space that rstrip looked at; 0: none */
    bool raw_known, raw_pending; /* raw is the next one; it is next to be given */
    bool begins;                 /* the next stretch begins a piece of text between added tokens */

    /* the stretch */
    struct stage_text text; /* normalized */
    struct stage_text one, two, gap;
    bool text_begins, text_ends;
    size_t n_origin;  /* bytes of text from the document's first character, when asked for */
    bool asks_origin; /* by a stage */
    size_t text_at, text_search, text_spaces;
    struct staged_match normalized;
    bool normalized_pending;

    /* its words */
    const struct stage_text *words; /* one, two or gap; NULL: none */
    size_t word_at, word;           /* the next one; the one whose pieces are given */
    const struct model_piece *pieces;
    size_t n_pieces, i_piece;
    uint32_t n_words;
    bool given; /* a token was given out */

    size_t window;        /* bytes of a stretch that are tried first */
    uint64_t n_stretches; /* so far */

    void *scratch; /* the model's, and for normalization */
    size_t scratch_bytes, word_most;

    const struct text_watch
        *watch; /* NULL, or what the steps make is told; then there are places */

    uint64_t replaced;
    bool limit; /* a stretch or word was cut where nothing says that it may be: nothing follows */
    bool grows; /* the reason: a stage made more of the text than there is room for */
};

/* Bytes of scratch for a tokenizer whose model takes model_bytes, aligned to 64; with places, for
 * texts of at most text_bytes. */
size_t staged_scratch_bytes(const struct text *text, bool places, size_t text_bytes);

void staged_begin(struct staged *s, void *scratch, const struct text *text, const void *data,
                  size_t bytes, bool places);

/* The next token; start and end only with places. false: there is none, and s->limit says whether
 * the text was cut before its end. */
bool staged_next(struct staged *s, struct text_piece *piece);

/* The largest word that the model encodes within TEXT_SCRATCH_MAX. */
uint32_t staged_word_most(const struct text_model *model);

/* ---- for the compiler: stages before they are in a section ---- */

size_t staged_prepare_bytes(void);
void staged_prepare(struct staged *s, void *scratch, const struct stage *stages,
                    uint32_t n_normalizers, uint32_t n_stages);

/* An added token's text, normalized, in s until the next call. false: there is no room for it. */
bool staged_normalize(struct staged *s, const char *text, size_t bytes, const char **normalized,
                      size_t *n);

/* Fills the section's words CUTS_LOWER, CUTS_UPPER and CUTS_MORE: where a text may be cut. */
void staged_find_cuts(struct staged *s, const struct text_model *model, const unsigned char *table,
                      uint32_t cuts[static 3]);

#endif
