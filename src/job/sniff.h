/* sniff: what the first bytes of an input are, whatever its name says.
 *
 * Promises: only bytes are looked at, so a file, a pipe and unpacked bytes are treated alike. A known format
 * is a row of one table; guesses are made from counts that plain text cannot have. Does not know where the
 * bytes come from. */
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

/* Whether a stream's first bytes are enough to decide: they match a row, or hold a line that can only be
 * text. So a line that is typed is read at once. */
bool sniff_is_enough(const unsigned char *data, size_t bytes);

/* The encoding of a byte order mark at the front; ENCODING_ANY: there is none. */
enum encoding_kind sniff_mark(const unsigned char *data, size_t bytes);

/* UTF-16 or UTF-32 without a mark, by the NULs between its letters; ENCODING_ANY: no sign of it. */
enum encoding_kind sniff_encoding(const unsigned char *data, size_t bytes);

/* The order of UTF-16 or UTF-32 that is known to be one of them: by its NULs, else little-endian. */
enum encoding_kind sniff_order(enum encoding_kind kind, const unsigned char *data, size_t bytes);

/* How many percent of the bytes are no text, if they are too many for a text; else 0. */
unsigned sniff_noise(const unsigned char *data, size_t bytes);

#endif
