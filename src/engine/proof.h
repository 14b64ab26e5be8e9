/* proof: whether a pack still holds what was written into it: the checksums of all its sections,
 * the weights' too.
 *
 * Reading them takes 0.2 s a gigabyte, so it is done once for each file, by device, inode, size and
 * times (seen.h); and again where there is reason to. Reads through a fixed buffer and maps
 * nothing. Private to engine. */
#ifndef ENGINE_PROOF_H
#define ENGINE_PROOF_H

#include "engine/model_ref.h"

struct proof {
    const struct model_ref *ref; /* borrowed */
    int fd;                      /* of the pack; -1: not open */
    bool is_made;
    struct stat file; /* as it was then */
    struct pack_section sections[PACK_SECTIONS_MAX];
    uint32_t n_sections;
    void *buffer;
    XXH3_state_t *hash;
};

/* Memory that an open proof has. */
size_t proof_bytes(void);

/* Opens the model's pack. It is proven already where that was seen before. E_MODEL: it is none, or
 * of other files; E_MEMORY. Pair: proof_close, which accepts one that was never opened if its fd is
 * -1. */
vecmill_status proof_open(struct proof *proof, const struct model_ref *ref, vecmill_err *err);
void proof_close(struct proof *proof);

/* Whether the file is the one that was proven, and nobody has written to it since. */
bool proof_holds(const struct proof *proof);

/* Reads all of it and compares. E_MODEL: it is damaged, or cannot be read. */
vecmill_status proof_make(struct proof *proof, vecmill_err *err);

#endif
