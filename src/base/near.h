/* near: how far a word is from a known one, to offer what may have been meant. */
#ifndef BASE_NEAR_H
#define BASE_NEAR_H

#include <stdbool.h>

#define NEAR_MAX 200 /* bytes of a word; a longer one is this far from everything */

/* The edit distance in which two neighbours that changed places are one edit (optimal string
 * alignment). ASCII case does not count. */
unsigned near_distance(const char *a, const char *b);

/* Whether a distance is a slip of the fingers: up to a third of the word's bytes, and up to two. */
bool near_is_slip(unsigned distance, const char *word);

#endif
