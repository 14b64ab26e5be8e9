/* proof: see proof.h. */
#include "engine/proof.h"

#include "engine/seen.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)128 << 10)

size_t proof_bytes(void)
{
    return BUFFER_BYTES;
}

static vecmill_status read_table(struct proof *p, vecmill_err *err)
{
    struct pack *pack;
    void *memory = NULL;
    size_t got = 0;
    VM_TRY(io_read_at(p->fd, p->buffer, PACK_ALIGN, 0, &got, p->ref->path, VECMILL_E_MODEL, err));
    VM_TRY(mem_new(sizeof *pack, "a pack's table", &memory, err));
    pack = memory;
    vecmill_status status =
        pack_check(p->buffer, got < PACK_ALIGN ? got : (size_t)p->file.st_size, pack, err);
    if (status == VECMILL_OK && strcmp(pack->key, p->ref->key) != 0)
        status = err_set(err, VECMILL_E_MODEL, "%s: is of other files", p->ref->path);
    memcpy(p->sections, pack->sections, sizeof p->sections);
    p->n_sections = pack->n_sections;
    mem_free(memory);
    return status;
}

vecmill_status proof_open(struct proof *proof, const struct model_ref *ref, vecmill_err *err)
{
    struct seen seen;
    char stamp[SEEN_DIGITS + 1];
    struct proof p = {.ref = ref};
    p.fd = open(ref->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (p.fd < 0) return err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be opened", ref->path);
    vecmill_status status = mem_map(BUFFER_BYTES, "checking the pack", &p.buffer, err);
    if (status == VECMILL_OK && fstat(p.fd, &p.file) != 0)
        status = err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be looked at", ref->path);
    if (status == VECMILL_OK && !(p.hash = XXH3_createState()))
        status = err_set(err, VECMILL_E_MEMORY, "no memory for a checksum's state");
    if (status == VECMILL_OK) status = mem_commit(p.buffer, BUFFER_BYTES, "checking the pack", err);
    if (status == VECMILL_OK) status = read_table(&p, err);
    if (status != VECMILL_OK) {
        proof_close(&p);
        return status;
    }
    model_ref_seen(ref, &seen);
    seen_stamp(&p.file, stamp);
    p.is_made = strcmp(seen.proven, stamp) == 0;
    *proof = p;
    return VECMILL_OK;
}

void proof_close(struct proof *p)
{
    if (p->fd >= 0) close(p->fd);
    if (p->hash) XXH3_freeState(p->hash);
    mem_unmap(p->buffer, BUFFER_BYTES);
    *p = (struct proof){.fd = -1};
}

bool proof_holds(const struct proof *p)
{
    struct stat now;
    char then[SEEN_DIGITS + 1], stamp[SEEN_DIGITS + 1];
    if (!p->is_made || fstat(p->fd, &now) != 0) return false;
    seen_stamp(&p->file, then);
    seen_stamp(&now, stamp);
    return strcmp(then, stamp) == 0;
}

static vecmill_status check_section(struct proof *p, const struct pack_section *s, vecmill_err *err)
{
    XXH3_64bits_reset(p->hash);
    for (uint64_t done = 0; done < s->bytes;) {
        size_t got = 0;
        VM_TRY(io_read_at(p->fd, p->buffer, (size_t)num_min(BUFFER_BYTES, s->bytes - done),
                          s->offset + done, &got, p->ref->path, VECMILL_E_MODEL, err));
        if (got == 0)
            return err_set(err, VECMILL_E_MODEL,
                           "%s: ends inside section %s, after %llu of its %llu bytes", p->ref->path,
                           s->name, (unsigned long long)done, (unsigned long long)s->bytes);
        XXH3_64bits_update(p->hash, p->buffer, got);
        done += got;
    }
    const uint64_t hash = XXH3_64bits_digest(p->hash);
    if (hash == s->hash) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "the checksum of section %s is %016llx, it was written as %016llx: %s", s->name,
                   (unsigned long long)hash, (unsigned long long)s->hash, p->ref->path);
}

vecmill_status proof_make(struct proof *p, vecmill_err *err)
{
    struct seen seen;
    struct stat before;
    p->is_made = false;
    if (fstat(p->fd, &before) != 0)
        return err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be looked at", p->ref->path);
    for (uint32_t i = 0; i < p->n_sections; i++)
        VM_TRY(check_section(p, &p->sections[i], err));
    p->is_made = true;
    p->file = before;
    model_ref_seen(p->ref, &seen);
    seen_stamp(&before, seen.proven);
    if (!model_ref_in_memory(p->ref)) seen_write(p->ref->path, &seen);
    return VECMILL_OK;
}
