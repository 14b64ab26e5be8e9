/* pairs: texts and scores, to measure accuracy by. */
#ifndef BENCH_PAIRS_H
#define BENCH_PAIRS_H

#include "base/base.h"
#include "vecmill.h"

/* Pairs of texts and how alike people found them: a CSV file (RFC 4180) of text, text, number, without a
 * header, as the STS benchmark's. E_INPUT: not there, over a maximum, fewer than two pairs, or a record
 * that is none, whose line is named. Pair: pairs_close, which accepts zeros. */
#define PAIRS_BYTES_MAX (64u << 20)
#define PAIRS_MAX       100000u
struct pairs {
    struct buf file;   /* its bytes; quotes are taken off in place */
    vecmill_doc *docs; /* [2 * n]: both of pair 0, both of pair 1; in `file` */
    double *scores;    /* [n], finite */
    size_t n;
};
vecmill_status pairs_open(const char *path, struct pairs *p, vecmill_err *err);
void pairs_close(struct pairs *p);

#endif
