/* sniff: what the first bytes of an input say that it is, whatever its name says.
 *
 * Promises: looks at bytes and at nothing else, so that a file, a pipe and what was packed are treated
 * alike; what is known by name is a row of one table; what is guessed is guessed from counts that plain
 * text cannot have. Does not know where the bytes come from. */
#ifndef JOB_SNIFF_H
#define JOB_SNIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encoding.h"

#define SNIFF_BYTES 4096u /* of the front that are looked at, fewer where the input is shorter */

enum sniff_kind { SNIFF_GZIP, SNIFF_FOREIGN };

struct sniff_magic {
    const char *what;   /* "a ZIP archive" */
    const char *advice; /* what to do with it */
    enum sniff_kind kind;
    uint16_t at;
    uint16_t bytes;
    const char *magic;
    bool is_wordy; /* the magic may begin a text: it counts only before bytes that are none */
};

/* The row of the table that the bytes match; NULL: none. */
const struct sniff_magic *sniff_magic(const unsigned char *data, size_t bytes);

/* E_INPUT with what the row says; inside: "", or " inside gzip". */
vecmill_status sniff_refuse(const char *name, const struct sniff_magic *row, const char *inside,
                            vecmill_err *err);

/* Whether a stream's first bytes, of which there may be more, are enough to look at: they match, or hold a
 * line that can be nothing but text. So what somebody types is read at once. */
bool sniff_is_enough(const unsigned char *data, size_t bytes);

/* What a mark at the front says; ENCODING_ANY: there is none. */
enum encoding_kind sniff_mark(const unsigned char *data, size_t bytes);

/* UTF-16 or UTF-32 without a mark, by the NULs between its letters; ENCODING_ANY: no sign of it. */
enum encoding_kind sniff_encoding(const unsigned char *data, size_t bytes);

/* The order of UTF-16 or UTF-32 that is known to be one of them: by its NULs, else little-endian. */
enum encoding_kind sniff_order(enum encoding_kind kind, const unsigned char *data, size_t bytes);

/* How much of it is no text in percent, where that is so much that it cannot be text; else 0. */
unsigned sniff_noise(const unsigned char *data, size_t bytes);

#endif
