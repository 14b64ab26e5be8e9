#include "pack.h"

#include "alloc.h"
#include "cur.h"
#include "num.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const unsigned char magic[8] = {'v', 'e', 'c', 'm', 'i', 'l', 'l', 1};

#define KEY_AT   32u
#define TABLE_AT 288u
#define ENTRY    48u
#define HASH_AT  24u

_Static_assert(TABLE_AT == KEY_AT + PACK_KEY_BYTES, "the table follows the key");
_Static_assert(TABLE_AT + PACK_SECTIONS_MAX * ENTRY <= PACK_ALIGN, "the header is one page");

static const unsigned char zeros[PACK_ALIGN];

/* Of the whole header, with its own eight bytes taken as zero. */
static uint64_t header_hash(const void *data)
{
    unsigned char header[PACK_ALIGN];
    memcpy(header, data, PACK_ALIGN);
    memset(header + HASH_AT, 0, 8);
    return XXH3_64bits(header, PACK_ALIGN);
}

/* ---- writing ---- */

/* Everything before the file is open. */
static vecmill_status prepare(const char *key, struct pack_writer *w, vecmill_err *err)
{
    size_t n = strlen(key);
    if (n >= PACK_KEY_BYTES) {
        return err_set(err, VECMILL_E_LIMIT, "a pack's key of %zu bytes is over PACK_KEY_BYTES, %u",
                       n, PACK_KEY_BYTES - 1);
    }
    *w = (struct pack_writer){.pos = PACK_ALIGN, .out.fd = -1};
    memcpy(w->key, key, n);
    w->hash = XXH3_createState();
    if (!w->hash) return err_set(err, VECMILL_E_MEMORY, "no memory for a checksum's state");
    return VECMILL_OK;
}

/* Leaves room for the header, whose content is known at the end. */
static vecmill_status begin(struct pack_writer *w, vecmill_err *err)
{
    const vecmill_status status = io_out_write(&w->out, zeros, PACK_ALIGN, err);
    if (status != VECMILL_OK) pack_drop(w);
    return status;
}

vecmill_status pack_writer_open(const char *path, const char *key, unsigned wait_ms,
                                struct pack_writer *w, vecmill_err *err)
{
    VM_TRY(prepare(key, w, err));
    const vecmill_status status = io_out_open(path, wait_ms, VECMILL_E_IO, &w->out, err);
    if (status == VECMILL_OK) return begin(w, err);
    pack_drop(w);
    return status;
}

vecmill_status pack_writer_onto(int fd, const char *shown, const char *key, struct pack_writer *w,
                                vecmill_err *err)
{
    const vecmill_status status = prepare(key, w, err);
    if (status != VECMILL_OK) {
        close(fd);
        return status;
    }
    w->out = (struct io_out){.fd = fd, .failure = VECMILL_E_IO};
    (void)snprintf(w->out.path, sizeof w->out.path, "%s", shown);
    return begin(w, err);
}

/* Zeros up to a multiple of `align` in the file, not counted in a section. */
static vecmill_status fill(struct pack_writer *w, size_t align, vecmill_err *err)
{
    size_t n = num_up((size_t)w->pos, align) - (size_t)w->pos;
    VM_TRY(io_out_write(&w->out, zeros, n, err));
    w->pos += n;
    return VECMILL_OK;
}

vecmill_status pack_begin(struct pack_writer *w, const char *name, vecmill_err *err)
{
    size_t n = strlen(name);
    assert(n > 0 && n < PACK_NAME_BYTES);
    if (w->n_sections == PACK_SECTIONS_MAX) {
        return err_set(err, VECMILL_E_LIMIT, "section %s is one more than PACK_SECTIONS_MAX, %u",
                       name, PACK_SECTIONS_MAX);
    }
    VM_TRY(fill(w, PACK_ALIGN, err));
    struct pack_section *s = &w->sections[w->n_sections++];
    *s = (struct pack_section){.offset = w->pos};
    memcpy(s->name, name, n);
    XXH3_64bits_reset(w->hash);
    return VECMILL_OK;
}

vecmill_status pack_write(struct pack_writer *w, const void *data, size_t bytes, vecmill_err *err)
{
    assert(w->n_sections > 0);
    VM_TRY(io_out_write(&w->out, data, bytes, err));
    XXH3_64bits_update(w->hash, data, bytes);
    w->pos += bytes;
    w->sections[w->n_sections - 1].bytes += bytes;
    return VECMILL_OK;
}

vecmill_status pack_pad(struct pack_writer *w, size_t align, vecmill_err *err)
{
    assert(align <= PACK_ALIGN);
    size_t bytes = (size_t)w->sections[w->n_sections - 1].bytes;
    return pack_write(w, zeros, num_up(bytes, align) - bytes, err);
}

vecmill_status pack_end(struct pack_writer *w, vecmill_err *err)
{
    (void)err;
    w->sections[w->n_sections - 1].hash = XXH3_64bits_digest(w->hash);
    return VECMILL_OK;
}

/* A user who can write to a pack determines vectors. A file system without permissions may refuse
 * this. */
static void keep_from_others(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && (st.st_mode & S_IWOTH) != 0) (void)fchmod(fd, st.st_mode & 07775);
}

vecmill_status pack_commit(struct pack_writer *w, vecmill_err *err)
{
    unsigned char header[PACK_ALIGN] = {0};
    vecmill_status status = fill(w, PACK_ALIGN, err);
    if (status != VECMILL_OK) goto done;
    memcpy(header, magic, sizeof magic);
    cur_put_u32(header + 8, PACK_VERSION);
    cur_put_u32(header + 12, w->n_sections);
    cur_put_u64(header + 16, w->pos);
    memcpy(header + KEY_AT, w->key, PACK_KEY_BYTES);
    for (uint32_t i = 0; i < w->n_sections; i++) {
        unsigned char *e = header + TABLE_AT + (size_t)i * ENTRY;
        memcpy(e, w->sections[i].name, PACK_NAME_BYTES);
        cur_put_u64(e + 24, w->sections[i].offset);
        cur_put_u64(e + 32, w->sections[i].bytes);
        cur_put_u64(e + 40, w->sections[i].hash);
    }
    cur_put_u64(header + HASH_AT, header_hash(header));
    status = io_out_write_at(&w->out, header, sizeof header, 0, err);
    if (w->out.part[0]) keep_from_others(w->out.fd);
    if (status == VECMILL_OK && w->out.part[0]) status = io_out_commit(&w->out, err);
done:
    pack_drop(w);
    return status;
}

void pack_drop(struct pack_writer *w)
{
    if (w->hash) XXH3_freeState(w->hash);
    w->hash = NULL;
    if (w->out.part[0])
        io_out_drop(&w->out);
    else
        io_out_leave(&w->out);
}

/* ---- reading ---- */

/* Checks one entry of the table against the file's size. */
static vecmill_status read_section(struct cur *c, uint64_t file_bytes, struct pack_section *s,
                                   vecmill_err *err)
{
    const char *name = cur_take(c, PACK_NAME_BYTES);
    uint64_t offset = cur_u64(c), bytes = cur_u64(c), hash = cur_u64(c);
    if (c->failed || name[0] == '\0' || name[PACK_NAME_BYTES - 1] != '\0') {
        return err_set(err, VECMILL_E_MODEL, "pack: a section without a name");
    }
    if (offset % PACK_ALIGN != 0 || offset < PACK_ALIGN || offset > file_bytes ||
        bytes > file_bytes - offset) {
        return err_set(err, VECMILL_E_MODEL,
                       "pack: section %s of %llu bytes at %llu does not lie in a file of %llu",
                       name, (unsigned long long)bytes, (unsigned long long)offset,
                       (unsigned long long)file_bytes);
    }
    *s = (struct pack_section){.offset = offset, .bytes = bytes, .hash = hash};
    memcpy(s->name, name, PACK_NAME_BYTES);
    return VECMILL_OK;
}

vecmill_status pack_check(const void *data, size_t bytes, struct pack *pack, vecmill_err *err)
{
    struct cur c;
    cur_init(&c, data, bytes);
    if (bytes < PACK_ALIGN) {
        return err_set(err, VECMILL_E_MODEL, "pack: holds %zu bytes, its header alone takes %u",
                       bytes, PACK_ALIGN);
    }
    if (memcmp(cur_take(&c, sizeof magic), magic, sizeof magic) != 0) {
        return err_set(err, VECMILL_E_MODEL, "pack: does not begin with the mark of a pack");
    }
    uint32_t version = cur_u32(&c), n = cur_u32(&c);
    uint64_t total = cur_u64(&c), hash = cur_u64(&c);
    if (version != PACK_VERSION) {
        return err_set(err, VECMILL_E_MODEL, "pack: has version %u, this program reads %u", version,
                       PACK_VERSION);
    }
    if (total != bytes) {
        return err_set(err, VECMILL_E_MODEL, "pack: says it holds %llu bytes, the file has %zu",
                       (unsigned long long)total, bytes);
    }
    if (hash != header_hash(data)) {
        return err_set(err, VECMILL_E_MODEL, "pack: the checksum of its header is wrong");
    }
    if (n > PACK_SECTIONS_MAX) {
        return err_set(err, VECMILL_E_MODEL, "pack: has %u sections, the maximum is %u", n,
                       PACK_SECTIONS_MAX);
    }
    const char *key = cur_take(&c, PACK_KEY_BYTES);
    if (key[PACK_KEY_BYTES - 1] != '\0') {
        return err_set(err, VECMILL_E_MODEL, "pack: its key is not terminated");
    }
    memcpy(pack->key, key, PACK_KEY_BYTES);
    for (uint32_t i = 0; i < n; i++) {
        VM_TRY(read_section(&c, total, &pack->sections[i], err));
    }
    pack->n_sections = n;
    return VECMILL_OK;
}

vecmill_status pack_open(const char *path, struct pack *pack, vecmill_err *err)
{
    struct pack p = {0};
    VM_TRY(io_map_file(path, &p.map, VECMILL_E_NOTFOUND, VECMILL_E_MODEL, err));
    vecmill_status status = pack_check(p.map.data, p.map.bytes, &p, err);
    if (status == VECMILL_OK) {
        *pack = p;
    } else {
        io_unmap(&p.map);
    }
    return status;
}

static const struct pack_section *section(const struct pack *pack, const char *name)
{
    for (uint32_t i = 0; i < pack->n_sections; i++) {
        if (strcmp(pack->sections[i].name, name) == 0) return &pack->sections[i];
    }
    return NULL;
}

vecmill_status pack_find(const struct pack *pack, const char *name, const void **data,
                         size_t *bytes, vecmill_err *err)
{
    const struct pack_section *s = section(pack, name);
    if (!s) return err_set(err, VECMILL_E_MODEL, "pack: has no section %s", name);
    *data = pack->map.data + s->offset;
    *bytes = (size_t)s->bytes;
    return VECMILL_OK;
}

vecmill_status pack_verify(const struct pack *pack, const char *name, vecmill_err *err)
{
    const struct pack_section *s = section(pack, name);
    if (!s) return err_set(err, VECMILL_E_MODEL, "pack: has no section %s", name);
    uint64_t hash = XXH3_64bits(pack->map.data + s->offset, (size_t)s->bytes);
    if (hash != s->hash) {
        return err_set(err, VECMILL_E_MODEL,
                       "pack: the checksum of section %s is %016llx, the table says %016llx", name,
                       (unsigned long long)hash, (unsigned long long)s->hash);
    }
    return VECMILL_OK;
}

vecmill_status pack_verify_small(const struct pack *pack, size_t most, vecmill_err *err)
{
    for (uint32_t i = 0; i < pack->n_sections; i++) {
        if (pack->sections[i].bytes > most) continue;
        VM_TRY(pack_verify(pack, pack->sections[i].name, err));
    }
    return VECMILL_OK;
}

void pack_close(struct pack *pack)
{
    io_unmap(&pack->map);
    *pack = (struct pack){0};
}
