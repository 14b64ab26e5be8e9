/* encoding: text in any encoding, as UTF-8.
 *
 * Promises: bytes that mean nothing become bytes that are no UTF-8, to be replaced and counted with others of
 * that kind: one bad part for each, of as many bytes (three for a unit of UTF-32). The encodings of Unicode,
 * Latin-1 and Windows-1252 are decoded here, all others by iconv(3), which takes its own memory when it is
 * opened. Does not know what a line is. */
#ifndef JOB_ENCODING_H
#define JOB_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

enum encoding_kind {
    ENCODING_ANY, /* not named: UTF-8, or what the first bytes say */
    ENCODING_UTF8,
    ENCODING_UTF16, /* in the order that a mark says, or that shows */
    ENCODING_UTF16LE,
    ENCODING_UTF16BE,
    ENCODING_UTF32,
    ENCODING_UTF32LE,
    ENCODING_UTF32BE,
    ENCODING_LATIN1,
    ENCODING_CP1252,
    ENCODING_OTHER /* one of iconv's */
};

/* What iconv takes of the heap for one conversion: 38 to 71 kB by mallinfo2 with glibc 2.36 (cp1250,
 * big5-hkscs; tables are mapped files). */
#define ENCODING_ICONV_BYTES ((size_t)128 << 10)

/* The encoding of that name, in letters of any case, as Python or iconv name it; NULL is ENCODING_ANY.
 * E_USAGE: it is unknown. */
vecmill_status encoding_find(const char *name, enum encoding_kind *kind, vecmill_err *err);

/* "UTF-16LE"; for one of iconv's "the one that was named". */
const char *encoding_words(enum encoding_kind kind);

/* The same for all names of one encoding that are known here; 0 for NULL. */
uint64_t encoding_hash(const char *name);

struct decoder {
    enum encoding_kind kind; /* neither ANY, nor UTF16 or UTF32 without an order */
    void *iconv;             /* of ENCODING_OTHER */
};

/* name: of ENCODING_OTHER. E_USAGE. Pair: decoder_close, which accepts zeros. */
vecmill_status decoder_open(struct decoder *d, enum encoding_kind kind, const char *name,
                            vecmill_err *err);
void decoder_close(struct decoder *d);

#define DECODER_ROOM 32u /* bytes of out that must be free */

/* Decodes as much of `in` as is whole and fits into out; *taken is how much. is_end: nothing comes after it,
 * so what is not whole is bad; call until it returns 0. Returns the bytes written; 0: more of `in` is needed,
 * or all was returned. */
size_t decoder_run(struct decoder *d, const unsigned char *in, size_t bytes, bool is_end,
                   size_t *taken, unsigned char *out, size_t room);

#endif
