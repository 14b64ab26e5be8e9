/* needs: dep_job */
/* fuzz_npy: the header of a .npy file, of rows and of offsets. Whatever is accepted must lie inside the
 * file, to the byte. */
#include "job/npy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_offsets(const uint8_t *data, size_t size)
{
    uint64_t n = 0;
    size_t offset = 0;
    vecmill_err err;
    if (npy_read_offsets(data, size, "x.offsets.npy", &n, &offset, &err) != VECMILL_OK) {
        if (err.status != VECMILL_E_INPUT || err.message[0] == '\0') abort();
        return;
    }
    if (offset % 8 != 0 || offset > size || (size - offset) % 8 != 0 || (size - offset) / 8 != n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npy npy;
    vecmill_err err;
    read_offsets(data, size);
    if (npy_read(data, size, "x.npy", &npy, &err) != VECMILL_OK) {
        if (err.status != VECMILL_E_INPUT || err.message[0] == '\0') abort();
        return 0;
    }
    if ((unsigned)npy.dtype > VECMILL_DTYPE_UINT8) abort();
    const size_t element = quantize_row_bytes((enum quantize_dtype)npy.dtype, 1);
    if (npy.dim == 0 || npy.offset % element != 0 || npy.offset > size) abort();
    const size_t left = (size - npy.offset) / element;
    if ((size - npy.offset) % element != 0 || left % npy.dim != 0 || left / npy.dim != npy.n)
        abort();
    return 0;
}
