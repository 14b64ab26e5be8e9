/* needs: dep_model */
/* Any bytes as a file of torch.save, or as the pickle in one.
 *
 * Input: 'P', then a pickle; or anything else, a whole archive, which is put into a file in memory
 * and opened. Checks what tensor.h and torch_pickle.h promise of what was accepted. */
#include "model/torch_file.h"
#include "model/torch_pickle.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool promise)
{
    if (!promise) abort();
}

static void check_file(const struct tensor_file *file, uint64_t file_bytes)
{
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        const struct tensor *t = &file->tensors[i];
        uint64_t elements = 1;
        float out[16];
        check(t->begin <= t->end && t->end <= file_bytes && t->file == file);
        check(t->rank <= TENSOR_RANK_MAX && t->dtype < TENSOR_DTYPES_COUNT);
        for (uint32_t k = 0; k < t->rank; k++)
            check(!__builtin_mul_overflow(elements, t->shape[k], &elements));
        check(elements == t->elements);
        check(t->end - t->begin == elements * (tensor_dtype_bits(t->dtype) / 8));
        check(tensor_file_find(file, t->name) == t);
        (void)tensor_read(t, 0, (size_t)(elements < 16 ? elements : 16), out, NULL);
    }
}

static void open_file(const uint8_t *data, size_t bytes)
{
    static int fd = -1;
    struct tensor_file file = {.path = "fuzz.bin"};
    vecmill_err err = {0};
    size_t kept = 0, opening = 0;
    if (fd < 0) fd = memfd_create("torch", MFD_CLOEXEC);
    check(fd >= 0 && ftruncate(fd, 0) == 0);
    check(pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
    file.shown = file.path;
    file.fd = fd;
    const vecmill_status status = torch_format.open(fd, bytes, &file, &err);
    if (status == VECMILL_OK) {
        check_file(&file, bytes);
        check(torch_format.most(fd, bytes, file.path, &kept, &opening, &err) == VECMILL_OK);
        check(kept >= file.n_tensors * sizeof *file.tensors);
    } else {
        check(status == VECMILL_E_MODEL && err.message[0] != 0);
    }
    file.fd = -1; /* stays open for the next run */
    tensor_file_close(&file);
}

static void run_pickle(const uint8_t *data, size_t bytes)
{
    struct torch_pickle p;
    struct torch_items items = {0};
    struct torch_tensor t;
    vecmill_err err = {0};
    bool found = true;
    vecmill_status status = torch_pickle_open(data, bytes, "fuzz", &p, &err);
    while (status == VECMILL_OK && found) {
        status = torch_pickle_next(&p, &items, &found, &t, &err);
        if (status != VECMILL_OK || !found) continue;
        check(t.name_bytes <= bytes && utf8_valid(t.name, t.name_bytes));
        check(t.offset <= t.storage && t.elements <= t.storage - t.offset);
        check(t.rank <= TENSOR_RANK_MAX && strlen(t.key) <= TORCH_KEY_MAX);
    }
    if (status != VECMILL_OK) check(status == VECMILL_E_MODEL && err.message[0] != 0);
    torch_pickle_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes >= 1 && data[0] == 'P' && (bytes < 2 || data[1] != 'K')) {
        run_pickle(data + 1, bytes - 1);
    } else if (bytes > 0) {
        open_file(data, bytes);
    }
    return 0;
}
