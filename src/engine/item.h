/* item: a document as a pool sends it to a worker.
 *
 * A text is its bytes; the crew puts the prompt before them. A pair is the number of bytes of its first
 * text, u64, then both texts. What a session does not look at is left out. Private to engine. */
#ifndef ENGINE_ITEM_H
#define ENGINE_ITEM_H

#include "crew/crew.h"
#include "engine/resolve.h"

#define ITEM_PIECES 3u

/* Borrows the document's texts. Not to be moved: a piece points into it. */
struct item {
    struct crew_piece pieces[ITEM_PIECES];
    uint32_t n_pieces;
    uint64_t first_bytes;
};

/* The document is one that resolved_check_doc accepts. */
void item_of(const struct resolved *resolved, const vecmill_doc *doc, struct item *item);

/* Bytes of an item with its prompt, at most. */
uint64_t item_most(const struct resolved *resolved, uint64_t max_document);

/* Of the pieces' bytes; and whether an item's bytes, after its prompt, are those of the pieces. */
uint64_t item_hash(const struct item *item);
bool item_is(const struct item *item, const void *data, size_t bytes);

/* The document of an item's bytes, which it borrows. False: they are no pair. */
bool item_doc(bool is_pair, const void *data, size_t bytes, vecmill_doc *doc);

/* A document like any other, without a prompt, for the crew's probe: what it is does not matter, only
 * that it is computed. Static. */
struct crew_piece item_probe(const struct resolved *resolved, uint64_t max_document);

#endif
