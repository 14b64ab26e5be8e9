/* split: documents longer than the model reads, as overlapping windows whose vectors are averaged
 * (docs/MODEL.md, "Long documents").
 *
 * Promises: a document's row depends on its text, the model and max_length, not on what it is computed
 * with; one that fits has the bits it has without splitting. The text is read once, and the memory
 * is the same for every length of it: one window's ids, a stream, and one row of sums. Does not know:
 * where documents come from. Private to engine. */
#ifndef ENGINE_SPLIT_H
#define ENGINE_SPLIT_H

#include "engine/resolve.h"

/* The part of a window that its neighbour has as well: a token near a border sees little on one side
 * of it, and is in the other window, where it sees an eighth of a window at least. It costs a third
 * more work than no overlap. */
#define SPLIT_OVERLAP_PART 4u

struct split_shape {
    uint32_t content; /* text tokens of a window that is full */
    uint32_t overlap; /* of these, what the next window begins with */
    uint32_t stride;  /* from a window's first token to the next one's */
};

/* max_length > n_specials (asserted). */
struct split_shape split_shape(uint32_t max_length, uint32_t n_specials);

/* Of a model: tokens that see no others need no overlap. */
struct split_shape split_shape_of(const struct resolved *resolved);

/* Windows of a document of n_tokens text tokens. */
uint64_t split_windows(const struct split_shape *shape, uint64_t n_tokens);

/* Tokens of a text, guessed from its characters: one for each digit, mark and character outside ASCII,
 * and one for each two letters. For the planning of work, where proportions count: 0.63 to 1.63 times
 * the truth for English, code, numbers, made-up words, base64, Chinese, Russian (all-MiniLM-L6-v2;
 * by bytes alone it would be 0.22 to 0.69). */
uint64_t split_guess_tokens(const char *text, size_t bytes);

struct split_window; /* one of a pass */

struct split {
    /* the session's, borrowed */
    const struct resolved *resolved;
    const struct text *text;
    const struct model *model;
    struct team *team;
    void *workspace, *text_scratch;
    int32_t *ids;     /* [pass_tokens + max_length] */
    char *buffer;     /* of a text and its prompt; NULL: texts come with it */
    uint32_t *starts; /* [pass_tokens + 1] */

    /* in the session's arena */
    void *stream;                 /* text_stream_bytes() */
    struct split_window *windows; /* of a pass */
    float *rows;                  /* [windows, config.dim]: their vectors */
    double *sum;     /* [config.dim]: of the document whose windows are being added up */
    int32_t *prompt; /* [prompt_tokens]: what windows but the first begin with */
};

/* Lays out what splitting takes besides a session without it. */
void split_lay_out(struct arena *a, const struct resolved *resolved, struct split *split);

/* To be called once before split_embed. */
void split_begin(struct split *split);

/* vecmill_embed under VECMILL_LONG_SPLIT. */
vecmill_status split_embed(struct split *split, const vecmill_doc *docs, size_t n_docs,
                           float *vectors, vecmill_result *results, vecmill_err *err);

#endif
