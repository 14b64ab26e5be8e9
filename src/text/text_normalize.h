/* text_normalize: raw bytes to normalized code points, one at a time, in bounded memory.
 *
 * BertNormalizer's order: clean_text, spaces around Chinese characters, canonical decomposition and
 * reordering with the marks dropped, lower case. Reading stops where an added token matches the raw
 * text. A cursor is a plain value: a copy can look ahead without disturbing the original.
 *
 * Reordering sorts each run of non-starters by class, stably; a run may be of any length. Dropping
 * marks commutes with a stable sort, so only what survives is sorted, and nothing is stored for it:
 * the run is read once for each class that survives in it. */
#ifndef TEXT_NORMALIZE_H
#define TEXT_NORMALIZE_H

#include "text_section.h"
#include "text_unicode.h"

#define NORM_NO_CHAR UINT32_MAX
#define NORM_CLASSES 256u

/* A position in the raw text. */
struct raw_cursor {
    size_t pos;
    size_t start;      /* of the character before pos, once one was read */
    size_t blocked;    /* no added token begins before here: a match over it was refused */
    uint32_t previous; /* code point before pos, NORM_NO_CHAR at the start */
};

/* A position in the cleaned, spaced and decomposed text. */
struct decomposed_cursor {
    struct raw_cursor raw;
    uint8_t i, n; /* queue[i] .. queue[n - 1] are still to be read */
    uint32_t queue[UNICODE_DECOMPOSE_MAX + 2];
};

/* Classes that survive in a run of non-starters, and where the run ends. */
struct norm_run {
    uint64_t classes[NORM_CLASSES / 64];
    struct decomposed_cursor end;
};

struct norm_cursor {
    struct decomposed_cursor next;        /* outside a run: the next position */
    unsigned class;                       /* inside a run: the class being read; 0: outside */
    struct decomposed_cursor begin, scan; /* of the run */
    struct norm_run run;
    uint8_t i, n; /* lower[i] .. lower[n - 1] are still to be read */
    uint32_t lower[UNICODE_LOWER_MAX];
};

/* One document. */
struct norm_source {
    const unsigned char *data;
    size_t bytes;
    uint32_t flags;
    const struct added_set *raw; /* NULL: no added token on the raw text */
    uint64_t replaced;           /* invalid bytes read so far */
    size_t counted;              /* invalid bytes before here are in `replaced` */
    size_t memo_pos;             /* a run that began here was already read, */
    uint8_t memo_i;
    struct norm_run memo; /* with this result; SIZE_MAX: none yet */
};

/* An added token found in the text. */
struct norm_match {
    uint32_t index; /* into the set's `added` */
    size_t end;     /* offset after it in the raw text */
    uint32_t last;  /* its last code point */
};

void norm_source_init(struct norm_source *s, const void *data, size_t bytes, uint32_t flags,
                      const struct added_set *raw);

/* A cursor for the text from `raw` on. */
void norm_begin(struct norm_cursor *c, const struct raw_cursor *raw);

/* The next normalized code point; false at the end of the text or before an added token, where
 * c->next.raw then is. */
bool norm_next(struct norm_source *s, struct norm_cursor *c, uint32_t *cp);

/* The added token that the raw text has at the cursor, with single_word respected. */
bool norm_match_raw(struct norm_source *s, const struct raw_cursor *at, struct norm_match *match);

/* Whether nothing is pending, so that the next code point comes directly from c->next.raw. */
static inline bool norm_is_plain(const struct norm_cursor *c)
{
    return c->class == 0 && c->i == c->n && c->next.i == c->next.n;
}

/* Where in the text the code point that norm_next returned comes from. */
static inline const struct raw_cursor *norm_origin(const struct norm_cursor *c)
{
    return c->class ? &c->scan.raw : &c->next.raw;
}

/* The reference orders a run of marks first and then gives the places of its characters to what comes, one
 * after the other: the n-th of the ordered run has the place of the n-th, whichever it was. */
struct norm_places {
    struct decomposed_cursor begin; /* of the run */
    unsigned class;                 /* that is counted; 0: no run yet */
    struct decomposed_cursor scan;  /* what is counted of this class */
    size_t n;                       /* characters up to there, in order */
    struct decomposed_cursor at;    /* the character of the text with ... */
    size_t n_at;                    /* ... this number in the run */
};

/* The bytes that norm_next's last code point was made of. *p: zero at first; asked for in the order of
 * norm_next. Time is linear in a run for each class in it. */
void norm_place(struct norm_source *s, const struct norm_cursor *c, struct norm_places *p,
                uint32_t *start, uint32_t *end);

#endif
