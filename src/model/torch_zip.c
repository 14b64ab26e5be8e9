#include "torch_zip.h"

#include "model.h"
#include "tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(TORCH_ENTRIES_MAX == MODEL_TENSORS_MAX + 256, "entries that are no tensors");

/* Signatures, and bytes of the records without what varies. */
#define LOCAL         0x04034b50u
#define CENTRAL       0x02014b50u
#define END           0x06054b50u
#define END64         0x06064b50u
#define LOCATOR       0x07064b50u
#define LOCAL_BYTES   30u
#define CENTRAL_BYTES 46u
#define END_BYTES     22u
#define END64_BYTES   56u
#define LOCATOR_BYTES 20u

#define FLAG_ENCRYPTED  0x2041u /* bits 0, 6 and 13 */
#define FLAG_DESCRIPTOR 0x8u    /* the sizes follow the bytes; the local header has zeros */

/* ---- the end records ---- */

struct end {
    uint64_t n, bytes, at;
};

/* Bytes of the file at an offset; all of them or E_MODEL. */
static vecmill_status read_at(int fd, void *data, size_t bytes, uint64_t at, const char *path,
                              vecmill_err *err)
{
    size_t got = 0;
    VM_TRY(io_read_at(fd, data, bytes, at, &got, path, VECMILL_E_MODEL, err));
    if (got == bytes) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: the file was cut while it was read: %zu bytes at %" PRIu64 ", %zu expected",
                   model_path_shown(path), got, at, bytes);
}

/* zip64's record, where there is a locator; *end has the plain record's figures, which are all ones
 * where they do not fit. *at: where the records begin. */
static vecmill_status read_end64(int fd, uint64_t locator_at, const char *path, struct end *end,
                                 uint64_t *at, vecmill_err *err)
{
    const char *shown = model_path_shown(path);
    unsigned char bytes[END64_BYTES];
    struct cur c;
    VM_TRY(read_at(fd, bytes, LOCATOR_BYTES, locator_at, path, err));
    cur_init(&c, bytes, LOCATOR_BYTES);
    if (cur_u32(&c) != LOCATOR) return VECMILL_OK;
    cur_skip(&c, 4);
    const uint64_t end64_at = cur_u64(&c);
    if (locator_at < END64_BYTES || end64_at != locator_at - END64_BYTES) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the zip64 end record is said to be at %" PRIu64
                       ", its locator is at %" PRIu64,
                       shown, end64_at, locator_at);
    }
    VM_TRY(read_at(fd, bytes, END64_BYTES, end64_at, path, err));
    cur_init(&c, bytes, END64_BYTES);
    const uint32_t signature = cur_u32(&c);
    cur_skip(&c, 20);
    const uint64_t n_here = cur_u64(&c);
    struct end end64 = {.n = cur_u64(&c)};
    end64.bytes = cur_u64(&c);
    end64.at = cur_u64(&c);
    if (signature != END64 || n_here != end64.n) {
        return err_set(err, VECMILL_E_MODEL, "%s: there is no zip64 end record at %" PRIu64, shown,
                       end64_at);
    }
    if ((end->n != UINT16_MAX && end->n != end64.n) ||
        (end->bytes != UINT32_MAX && end->bytes != end64.bytes) ||
        (end->at != UINT32_MAX && end->at != end64.at)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the end record says %" PRIu64 " entries in %" PRIu64
                       " bytes, zip64's %" PRIu64 " in %" PRIu64,
                       shown, end->n, end->bytes, end64.n, end64.bytes);
    }
    *end = end64;
    *at = end64_at;
    return VECMILL_OK;
}

static vecmill_status read_end(int fd, uint64_t file_bytes, const char *path, struct end *out,
                               vecmill_err *err)
{
    const char *shown = model_path_shown(path);
    unsigned char bytes[END_BYTES];
    if (file_bytes < END_BYTES) {
        return err_set(err, VECMILL_E_MODEL, "%s: %" PRIu64 " bytes, a zip archive has %u or more",
                       shown, file_bytes, END_BYTES);
    }
    uint64_t at = file_bytes - END_BYTES;
    VM_TRY(read_at(fd, bytes, sizeof bytes, at, path, err));
    struct cur c;
    cur_init(&c, bytes, sizeof bytes);
    const uint32_t signature = cur_u32(&c);
    const uint16_t disk = cur_u16(&c), first_disk = cur_u16(&c), n_here = cur_u16(&c);
    struct end end = {0};
    end.n = cur_u16(&c);
    end.bytes = cur_u32(&c);
    end.at = cur_u32(&c);
    if (signature != END || cur_u16(&c) != 0) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: does not end with a zip archive's end record (cut short, or bytes "
                       "were added)",
                       shown);
    }
    if (disk != 0 || first_disk != 0 || n_here != end.n) {
        return err_set(err, VECMILL_E_MODEL, "%s: is one part of a zip archive in several", shown);
    }
    if (at >= LOCATOR_BYTES) VM_TRY(read_end64(fd, at - LOCATOR_BYTES, path, &end, &at, err));
    if (end.bytes > at || end.at != at - end.bytes) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the directory of %" PRIu64 " bytes at %" PRIu64
                       " does not end at its end record, at %" PRIu64,
                       shown, end.bytes, end.at, at);
    }
    if (end.n > TORCH_ENTRIES_MAX) {
        return err_set(err, VECMILL_E_MODEL, "%s: %" PRIu64 " entries, TORCH_ENTRIES_MAX is %u",
                       shown, end.n, TORCH_ENTRIES_MAX);
    }
    if (end.bytes > TORCH_DIRECTORY_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: a directory of %" PRIu64 " bytes, TORCH_DIRECTORY_MAX is %u", shown,
                       end.bytes, TORCH_DIRECTORY_MAX);
    }
    if (end.n > end.bytes / CENTRAL_BYTES) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %" PRIu64 " entries in a directory of %" PRIu64
                       " bytes, an entry takes %u",
                       shown, end.n, end.bytes, CENTRAL_BYTES);
    }
    *out = end;
    return VECMILL_OK;
}

/* ---- names ---- */

/* Relative, with one folder or more, and no part that is empty, "." or "..". */
static bool is_safe(const char *name, size_t bytes)
{
    size_t part = 0, parts = 0;
    bool dots = true;
    for (size_t i = 0; i <= bytes; i++) {
        if (i == bytes || name[i] == '/') {
            if (part == 0 || (dots && part <= 2)) return false;
            part = 0;
            dots = true;
            parts++;
            continue;
        }
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f || name[i] == '\\') return false;
        dots = dots && name[i] == '.';
        part++;
    }
    return parts >= 2;
}

static vecmill_status check_name(struct torch_zip *zip, const struct torch_entry *entry,
                                 const char *shown, vecmill_err *err)
{
    const char *name = entry->name;
    if (!is_safe(name, entry->name_bytes)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"%.*s\" is no name of a file in the archive's folder", shown,
                       (int)num_min(entry->name_bytes, 64), name);
    }
    const char *slash = memchr(name, '/', entry->name_bytes);
    const uint32_t folder = (uint32_t)(slash - name) + 1;
    if (zip->n == 0) zip->folder_bytes = folder;
    if (folder == zip->folder_bytes && memcmp(name, zip->entries->name, folder) == 0)
        return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: \"%.*s\" is outside the archive's folder \"%.*s\"",
                   shown, (int)num_min(entry->name_bytes, 64), name,
                   (int)num_min(zip->folder_bytes, 64), zip->entries->name);
}

/* ---- entries ---- */

/* Takes what is 32 bits of ones in the entry from its zip64 field, in this order. */
static bool read_extra(struct cur *extra, uint64_t *bytes, uint64_t *packed, uint64_t *header)
{
    uint64_t *const wide[] = {bytes, packed, header};
    bool missing = *bytes == UINT32_MAX || *packed == UINT32_MAX || *header == UINT32_MAX;
    while (!extra->failed && cur_left(extra) >= 4) {
        const uint16_t id = cur_u16(extra), size = cur_u16(extra);
        const void *data = cur_take(extra, size);
        if (!data || id != 1) continue;
        struct cur field;
        cur_init(&field, data, size);
        for (size_t i = 0; i < 3; i++) {
            if (*wide[i] == UINT32_MAX) *wide[i] = cur_u64(&field);
        }
        if (field.failed || !missing) return !field.failed;
        missing = false;
    }
    return !missing;
}

/* One entry of the directory. */
static vecmill_status read_entry(struct torch_zip *zip, struct cur *c, const char *shown,
                                 vecmill_err *err)
{
    struct torch_entry *entry = &zip->entries[zip->n];
    const size_t from = c->pos;
    const uint32_t signature = cur_u32(c);
    cur_skip(c, 4);
    const uint16_t flags = cur_u16(c), method = cur_u16(c);
    cur_skip(c, 8);
    uint64_t packed = cur_u32(c);
    entry->bytes = cur_u32(c);
    entry->name_bytes = cur_u16(c);
    const uint16_t extra_bytes = cur_u16(c), comment_bytes = cur_u16(c);
    cur_skip(c, 8);
    entry->header = cur_u32(c);
    entry->name = cur_take(c, entry->name_bytes);
    const void *extra_data = cur_take(c, extra_bytes);
    cur_skip(c, comment_bytes);
    if (c->failed || signature != CENTRAL) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: entry %u of the directory, at byte %zu of %zu, is damaged", shown,
                       zip->n, from, c->bytes);
    }
    struct cur extra;
    cur_init(&extra, extra_data, extra_bytes);
    if (entry->name_bytes > TORCH_NAME_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: entry %u has a name of %u bytes, TORCH_NAME_MAX is %u", shown, zip->n,
                       entry->name_bytes, TORCH_NAME_MAX);
    }
    VM_TRY(check_name(zip, entry, shown, err));
    const char *name = entry->name;
    const int name_bytes = (int)num_min(entry->name_bytes, 64);
    if (flags & FLAG_ENCRYPTED) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"%.*s\" is encrypted", shown, name_bytes, name);
    }
    if (method != 0) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"%.*s\" is compressed (method %u); torch.save stores, so unpack the "
                       "archive and save it again",
                       shown, name_bytes, name, method);
    }
    if (!read_extra(&extra, &entry->bytes, &packed, &entry->header)) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"%.*s\" has a damaged zip64 field", shown,
                       name_bytes, name);
    }
    if (packed != entry->bytes) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"%.*s\" is stored in %" PRIu64 " bytes and has %" PRIu64, shown,
                       name_bytes, name, packed, entry->bytes);
    }
    zip->n++;
    return VECMILL_OK;
}

/* The header in front of an entry's bytes says the same, and leads to where they begin. */
static vecmill_status read_local(int fd, const struct torch_zip *zip, struct torch_entry *entry,
                                 const char *path, vecmill_err *err)
{
    const char *shown = model_path_shown(path), *name = entry->name;
    const int name_bytes = (int)num_min(entry->name_bytes, 64);
    const uint32_t head = LOCAL_BYTES + entry->name_bytes;
    unsigned char bytes[LOCAL_BYTES + TORCH_NAME_MAX];
    if (head > zip->directory_at || entry->header > zip->directory_at - head) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"%.*s\" is said to be at %" PRIu64
                       ", the directory begins at %" PRIu64,
                       shown, name_bytes, name, entry->header, zip->directory_at);
    }
    VM_TRY(read_at(fd, bytes, head, entry->header, path, err));
    struct cur c;
    cur_init(&c, bytes, head);
    const uint32_t signature = cur_u32(&c);
    cur_skip(&c, 2);
    const uint16_t flags = cur_u16(&c), method = cur_u16(&c);
    cur_skip(&c, 8);
    const uint32_t packed = cur_u32(&c), whole = cur_u32(&c);
    const uint16_t local_name = cur_u16(&c), extra = cur_u16(&c);
    const bool sized = !(flags & FLAG_DESCRIPTOR) && whole != UINT32_MAX;
    if (signature != LOCAL || (flags & FLAG_ENCRYPTED) || method != 0 ||
        local_name != entry->name_bytes ||
        memcmp(bytes + LOCAL_BYTES, name, entry->name_bytes) != 0 ||
        (sized && (whole != entry->bytes || packed != entry->bytes))) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"%.*s\" is another entry where its bytes are, at %" PRIu64
                       ", than in the directory",
                       shown, name_bytes, name, entry->header);
    }
    entry->at = entry->header + head + extra;
    if (entry->at > zip->directory_at || entry->bytes > zip->directory_at - entry->at) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"%.*s\" has %" PRIu64 " bytes at %" PRIu64
                       ", the directory begins at %" PRIu64,
                       shown, name_bytes, name, entry->bytes, entry->at, zip->directory_at);
    }
    return VECMILL_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct torch_entry *x = a, *y = b;
    return x->header < y->header ? -1 : x->header > y->header;
}

static vecmill_status check_overlap(struct torch_zip *zip, const char *shown, vecmill_err *err)
{
    if (zip->n > 1) qsort(zip->entries, zip->n, sizeof *zip->entries, by_place);
    for (uint32_t i = 1; i < zip->n; i++) {
        const struct torch_entry *a = &zip->entries[i - 1], *b = &zip->entries[i];
        if (a->at + a->bytes <= b->header) continue;
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"%.*s\" ends at %" PRIu64 ", and \"%.*s\" begins at %" PRIu64
                       " (overlap)",
                       shown, (int)num_min(a->name_bytes, 48), a->name, a->at + a->bytes,
                       (int)num_min(b->name_bytes, 48), b->name, b->header);
    }
    return VECMILL_OK;
}

static int compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    const int order = memcmp(a, b, num_min(a_bytes, b_bytes));
    if (order != 0) return order;
    return a_bytes < b_bytes ? -1 : a_bytes > b_bytes;
}

static int by_name(const void *a, const void *b)
{
    const struct torch_entry *x = a, *y = b;
    return compare(x->name, x->name_bytes, y->name, y->name_bytes);
}

static vecmill_status sort_names(struct torch_zip *zip, const char *shown, vecmill_err *err)
{
    if (zip->n > 1) qsort(zip->entries, zip->n, sizeof *zip->entries, by_name);
    for (uint32_t i = 1; i < zip->n; i++) {
        const struct torch_entry *a = &zip->entries[i - 1], *b = &zip->entries[i];
        if (by_name(a, b) != 0) continue;
        return err_set(err, VECMILL_E_MODEL, "%s: \"%.*s\" is in the archive twice", shown,
                       (int)num_min(a->name_bytes, 64), a->name);
    }
    return VECMILL_OK;
}

vecmill_status torch_zip_open(int fd, uint64_t file_bytes, const char *path, struct torch_zip *zip,
                              vecmill_err *err)
{
    const char *shown = model_path_shown(path);
    struct end end = {0};
    struct cur c;
    *zip = (struct torch_zip){.n = 0};
    VM_TRY(read_end(fd, file_bytes, path, &end, err));
    zip->directory_at = end.at;
    zip->directory_bytes = end.bytes;
    VM_TRY(mem_new((size_t)end.bytes, "a zip archive's directory", (void **)&zip->directory, err));
    VM_TRY(mem_new_array((size_t)end.n, sizeof *zip->entries, "a zip archive's entries",
                         (void **)&zip->entries, err));
    VM_TRY(read_at(fd, zip->directory, (size_t)end.bytes, end.at, path, err));
    cur_init(&c, zip->directory, (size_t)end.bytes);
    for (uint64_t i = 0; i < end.n; i++) {
        VM_TRY(read_entry(zip, &c, shown, err));
        VM_TRY(read_local(fd, zip, &zip->entries[i], path, err));
    }
    if (cur_left(&c) != 0) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the directory has %zu bytes after its %" PRIu64 " entries", shown,
                       cur_left(&c), end.n);
    }
    VM_TRY(check_overlap(zip, shown, err));
    return sort_names(zip, shown, err);
}

void torch_zip_close(struct torch_zip *zip)
{
    mem_free(zip->entries);
    mem_free(zip->directory);
    *zip = (struct torch_zip){.n = 0};
}

const struct torch_entry *torch_zip_find(const struct torch_zip *zip, const char *name)
{
    const size_t bytes = strlen(name);
    uint32_t low = 0, high = zip->n;
    while (low < high) {
        const uint32_t i = low + (high - low) / 2;
        const struct torch_entry *entry = &zip->entries[i];
        const int order = compare(entry->name + zip->folder_bytes,
                                  entry->name_bytes - zip->folder_bytes, name, bytes);
        if (order == 0) return entry;
        if (order < 0) {
            low = i + 1;
        } else {
            high = i;
        }
    }
    return NULL;
}
