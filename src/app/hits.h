/* hits: the best rows for a query, and how they are shown. */
#ifndef APP_HITS_H
#define APP_HITS_H

#include "app.h"

#define HITS_TEXT_MAX 4096u /* bytes of a row's text that are kept */

struct hit {
    double score;
    uint64_t row;
    char *id;   /* JSON, heap; NULL: none */
    char *text; /* heap; NULL: none */
    size_t text_bytes;
    bool is_cut;
};

struct hits {
    struct hit *at; /* [top]; until hits_sort: a heap with the worst at 0 */
    size_t n, top;
};

/* Keeps it if it is among the best; of equal scores the lower row is better. Frees what is not kept. */
void hits_keep(struct hits *h, struct hit hit);

/* The best first; and by row, until hits_sort is called again. */
void hits_sort(struct hits *h);
void hits_sort_by_row(struct hits *h);

/* Copies the beginning of a text, HITS_TEXT_MAX bytes at most, cut between characters. E_MEMORY. */
vecmill_status hits_copy_text(const char *text, size_t bytes, struct hit *hit, vecmill_err *err);

/* Sorted hits as lines, a blank one first unless is_first; or as one line of JSON, where texts are
 * members if has_texts. */
void hits_print(const struct hits *h, struct app_out *out, vecmill_doc query, bool is_first);
void hits_print_json(const struct hits *h, struct app_out *out, vecmill_doc query, bool has_texts);

/* Frees ids and texts; n is 0 then. */
void hits_clear(struct hits *h);

#endif
