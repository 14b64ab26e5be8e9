#include "torch_file.h"

#include "model.h"
#include "torch_pickle.h"
#include "torch_zip.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PICKLE "data.pkl"

/* ---- what the file is ---- */

/* Says what is in the place of an archive. */
static vecmill_status check_first(int fd, const char *path, vecmill_err *err)
{
    static const char magic[] = "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const char *shown = model_path_shown(path);
    unsigned char first[256];
    size_t got = 0;
    VM_TRY(io_read_at(fd, first, sizeof first, 0, &got, path, VECMILL_E_MODEL, err));
    if (got >= 4 && memcmp(first, "PK\3\4", 4) == 0) return VECMILL_OK;
    if (got >= sizeof magic - 1 && memcmp(first, magic, sizeof magic - 1) == 0) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: is in torch's format of before 1.6: load it and torch.save it with a "
                       "newer version, or save it as safetensors",
                       shown);
    }
    if (got >= 2 && first[0] == 0x80 && first[1] >= 2 && first[1] <= 5) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: is a pickle by itself; a file of torch.save is a zip archive", shown);
    }
    VM_TRY(stray_check(first, got, shown, VECMILL_E_MODEL, err));
    return err_set(err, VECMILL_E_MODEL,
                   "%s: does not begin as a zip archive, which torch.save writes", shown);
}

static vecmill_status check_byteorder(int fd, const struct torch_zip *zip, const char *path,
                                      vecmill_err *err)
{
    const struct torch_entry *entry = torch_zip_find(zip, "byteorder");
    char text[16] = "";
    size_t got = 0;
    if (!entry) return VECMILL_OK;
    VM_TRY(io_read_at(fd, text, (size_t)num_min(entry->bytes, sizeof text - 1), entry->at, &got,
                      path, VECMILL_E_MODEL, err));
    if (strcmp(text, "little") == 0) return VECMILL_OK;
    for (size_t i = 0; i < got; i++) {
        if (text[i] < ' ' || text[i] > '~') text[i] = '?';
    }
    return err_set(err, VECMILL_E_MODEL, "%s: its byte order is \"%s\", not \"little\"",
                   model_path_shown(path), text);
}

/* The archive's directory, and the entry of the pickle. Pair: torch_zip_close, also after a
 * failure. */
static vecmill_status open_archive(int fd, uint64_t file_bytes, const char *path,
                                   struct torch_zip *zip, const struct torch_entry **pickle,
                                   vecmill_err *err)
{
    const char *shown = model_path_shown(path);
    *zip = (struct torch_zip){.n = 0};
    VM_TRY(check_first(fd, path, err));
    VM_TRY(torch_zip_open(fd, file_bytes, path, zip, err));
    if (torch_zip_find(zip, "constants.pkl")) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: is a TorchScript program, not a state dict (torch.save of "
                       "model.state_dict())",
                       shown);
    }
    *pickle = torch_zip_find(zip, PICKLE);
    if (!*pickle) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: there is no " PICKLE " in the archive of %u files", shown, zip->n);
    }
    if ((*pickle)->bytes > TORCH_PICKLE_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: a pickle of %" PRIu64 " bytes, TORCH_PICKLE_MAX is %u", shown,
                       (*pickle)->bytes, TORCH_PICKLE_MAX);
    }
    return check_byteorder(fd, zip, path, err);
}

/* ---- tensors ---- */

/* Tensors that a pickle of this many bytes can describe, and a few more. */
#define TENSOR_LEAST 40u /* its name, storage, offset, size and stride, each as short as can be */
static size_t most_tensors(size_t pickle)
{
    return num_min(pickle / TENSOR_LEAST + 8, MODEL_TENSORS_MAX);
}

/* The number of tensors, and bytes for their names with a NUL each. */
static vecmill_status count_tensors(const struct torch_pickle *p, size_t *n, size_t *names,
                                    vecmill_err *err)
{
    struct torch_items items = {0};
    struct torch_tensor t;
    bool found = true;
    *n = *names = 0;
    for (;;) {
        VM_TRY(torch_pickle_next(p, &items, &found, &t, err));
        if (!found) break;
        ++*n;
        *names += t.name_bytes + 1;
    }
    if (*n > MODEL_TENSORS_MAX) {
        return err_set(err, VECMILL_E_MODEL, "%s: %zu tensors, MODEL_TENSORS_MAX is %u", p->shown,
                       *n, MODEL_TENSORS_MAX);
    }
    /* Both are planned by the pickle's bytes. A name takes five more than its own. */
    if (*n > most_tensors(p->bytes) || *names > p->bytes) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %zu tensors with %zu bytes of names in a pickle of %zu bytes", p->shown,
                       *n, *names, p->bytes);
    }
    return VECMILL_OK;
}

/* Where a tensor is in the file. */
static vecmill_status place(const struct torch_zip *zip, const struct torch_tensor *from,
                            struct tensor *t, vecmill_err *err)
{
    const uint64_t width = tensor_dtype_bits(from->dtype) / 8;
    char name[sizeof "data/" + TORCH_KEY_MAX];
    uint64_t bytes;
    snprintf(name, sizeof name, "data/%s", from->key);
    const struct torch_entry *entry = torch_zip_find(zip, name);
    if (!entry) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.64s\" is in storage %s, which the archive does not have",
                       t->file->shown, t->name, from->key);
    }
    if (__builtin_mul_overflow(from->storage, width, &bytes) || bytes != entry->bytes) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.64s\": %" PRIu64 " elements of %s in storage %s of %" PRIu64
                       " bytes",
                       t->file->shown, t->name, from->storage, tensor_dtype_name(from->dtype),
                       from->key, entry->bytes);
    }
    t->dtype = from->dtype;
    t->rank = from->rank;
    memcpy(t->shape, from->shape, sizeof t->shape);
    t->elements = from->elements;
    t->begin = entry->at + from->offset * width;
    t->end = t->begin + from->elements * width;
    return VECMILL_OK;
}

static vecmill_status read_tensors(const struct torch_pickle *p, const struct torch_zip *zip,
                                   struct tensor_file *file, vecmill_err *err)
{
    struct torch_items items = {0};
    struct torch_tensor from;
    bool found = true;
    size_t n, names;
    VM_TRY(count_tensors(p, &n, &names, err));
    VM_TRY(mem_new_array(n, sizeof *file->tensors, "the list of tensors", (void **)&file->tensors,
                         err));
    VM_TRY(mem_new(names, "the names of tensors", (void **)&file->names, err));
    char *end = file->names;
    for (;;) {
        VM_TRY(torch_pickle_next(p, &items, &found, &from, err));
        if (!found) break;
        struct tensor *t = &file->tensors[file->n_tensors];
        *t = (struct tensor){.name = end, .file = file};
        memcpy(end, from.name, from.name_bytes);
        end += from.name_bytes;
        *end++ = '\0';
        VM_TRY(place(zip, &from, t, err));
        file->n_tensors++;
    }
    return tensor_file_sort(file, err);
}

static vecmill_status open_pickle(int fd, const struct torch_zip *zip,
                                  const struct torch_entry *entry, struct tensor_file *file,
                                  vecmill_err *err)
{
    const size_t bytes = (size_t)entry->bytes;
    struct torch_pickle p = {.words = NULL};
    void *data = NULL;
    size_t got = 0;
    VM_TRY(mem_new(bytes, "a pickle", &data, err));
    vecmill_status status =
        io_read_at(fd, data, bytes, entry->at, &got, file->path, VECMILL_E_MODEL, err);
    if (status == VECMILL_OK) status = torch_pickle_open(data, got, file->shown, &p, err);
    if (status == VECMILL_OK) status = read_tensors(&p, zip, file, err);
    torch_pickle_close(&p);
    mem_free(data);
    return status;
}

/* ---- the format ---- */

static vecmill_status open_torch(int fd, uint64_t file_bytes, struct tensor_file *file,
                                 vecmill_err *err)
{
    struct torch_zip zip;
    const struct torch_entry *pickle = NULL;
    vecmill_status status = open_archive(fd, file_bytes, file->path, &zip, &pickle, err);
    if (status == VECMILL_OK) status = open_pickle(fd, &zip, pickle, file, err);
    torch_zip_close(&zip);
    return status;
}

static vecmill_status most(int fd, uint64_t file_bytes, const char *path, size_t *kept,
                           size_t *opening, vecmill_err *err)
{
    struct torch_zip zip;
    const struct torch_entry *entry = NULL;
    const vecmill_status status = open_archive(fd, file_bytes, path, &zip, &entry, err);
    if (status == VECMILL_OK) {
        const size_t pickle = (size_t)entry->bytes;
        *kept = most_tensors(pickle) * sizeof(struct tensor) + pickle;
        *opening = (size_t)zip.directory_bytes + zip.n * sizeof *zip.entries + pickle +
                   torch_pickle_most(pickle);
    }
    torch_zip_close(&zip);
    return status;
}

static vecmill_status spans(int fd, uint64_t file_bytes, const char *path, tensor_span *take,
                            void *context, vecmill_err *err)
{
    struct torch_zip zip;
    const struct torch_entry *pickle = NULL;
    vecmill_status status = open_archive(fd, file_bytes, path, &zip, &pickle, err);
    if (status == VECMILL_E_MODEL) {
        status = take(context, 0, TENSOR_SPAN_FIRST, err);
    } else if (status == VECMILL_OK) {
        status = take(context, zip.directory_at, file_bytes - zip.directory_at, err);
        if (status == VECMILL_OK) status = take(context, pickle->at, pickle->bytes, err);
    }
    for (uint32_t i = 0; status == VECMILL_OK && i < zip.n; i++)
        status = take(context, zip.entries[i].at, num_min(zip.entries[i].bytes, TENSOR_SPAN), err);
    torch_zip_close(&zip);
    return status;
}

const struct tensor_format torch_format = {
    .suffixes = {".bin", ".pt", ".pth"}, .open = open_torch, .most = most, .spans = spans};
