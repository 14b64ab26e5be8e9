#include "engine/item.h"

#include <string.h>
#include <xxhash.h>

/* Bytes of a text that a session must be given: those that are looked at, and one that shows that
 * there are more. */
static size_t looked_at(const struct resolved *r, uint64_t bytes)
{
    return (size_t)num_min(bytes, r->long_policy == VECMILL_LONG_SPLIT ? UINT64_MAX
                                                                       : VECMILL_TEXT_BYTES + 1);
}

void item_of(const struct resolved *r, const vecmill_doc *doc, struct item *item)
{
    const struct crew_piece text = {doc->text, looked_at(r, doc->bytes)};
    if (!resolved_scores(r)) {
        *item = (struct item){.pieces = {text}, .n_pieces = 1};
        return;
    }
    *item = (struct item){.pieces = {{&item->first_bytes, sizeof item->first_bytes},
                                     text,
                                     {doc->pair, looked_at(r, doc->pair_bytes)}},
                          .n_pieces = 3,
                          .first_bytes = text.bytes};
}

uint64_t item_most(const struct resolved *r, uint64_t max_document)
{
    const size_t one = looked_at(r, max_document);
    if (!resolved_scores(r)) return resolved_prefix(r) + one;
    return sizeof(uint64_t) + num_min(max_document, 2 * (uint64_t)one);
}

uint64_t item_hash(const struct item *item)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < item->n_pieces; i++)
        if (item->pieces[i].bytes > 0)
            hash = XXH3_64bits_withSeed(item->pieces[i].data, item->pieces[i].bytes, hash);
    return hash;
}

bool item_is(const struct item *item, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    size_t left = bytes;
    for (uint32_t i = 0; i < item->n_pieces; i++) {
        const struct crew_piece *p = &item->pieces[i];
        if (p->bytes > left || (p->bytes > 0 && memcmp(at, p->data, p->bytes) != 0)) return false;
        at += p->bytes;
        left -= p->bytes;
    }
    return left == 0;
}

bool item_doc(bool is_pair, const void *data, size_t bytes, vecmill_doc *doc)
{
    uint64_t first;
    *doc = (vecmill_doc){.text = data, .bytes = bytes};
    if (!is_pair) return true;
    if (bytes < sizeof first) return false;
    memcpy(&first, data, sizeof first);
    if (first > bytes - sizeof first) return false;
    const char *texts = (const char *)data + sizeof first;
    *doc = (vecmill_doc){.text = texts,
                         .bytes = (size_t)first,
                         .kind = VECMILL_DOC_PAIR,
                         .pair = texts + first,
                         .pair_bytes = bytes - sizeof first - (size_t)first};
    return true;
}

/* Of a pair the first text is empty. */
#define PROBE_FIRST "\0\0\0\0\0\0\0\0"
static const char probe[] =
    PROBE_FIRST "The weather was fine, and the train arrived at the station on time.";

struct crew_piece item_probe(const struct resolved *r, uint64_t max_document)
{
    const size_t first = sizeof PROBE_FIRST - 1, text = sizeof probe - 1 - first;
    const size_t bytes = (size_t)num_min(text, max_document);
    return resolved_scores(r) ? (struct crew_piece){probe, first + bytes}
                              : (struct crew_piece){probe + first, bytes};
}
