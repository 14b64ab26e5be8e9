/* needs: dep_base */
/* fuzz_pack: the header of a pack as hostile bytes. The input is laid over a header whose mark,
 * version, size and checksum are then made right, so that it reaches the table behind them. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char mark[12] = {'v', 'e', 'c', 'm', 'i', 'l', 'l', 1, PACK_VERSION};
    static unsigned char file[3 * PACK_ALIGN];
    struct pack pack = {0};
    if (size == 0) return 0;
    /* The first byte says how much is made right. */
    const unsigned repair = data[0];
    memset(file, 0, sizeof(file));
    memcpy(file + 12, data + 1, num_min(size - 1, sizeof(file) - 12));
    if (repair & 1) memcpy(file, mark, sizeof(mark));
    if (repair & 2) {
        const uint64_t bytes = sizeof(file);
        memcpy(file + 16, &bytes, sizeof(bytes));
    }
    if (repair & 4) {
        memset(file + 24, 0, 8);
        const uint64_t hash = XXH3_64bits(file, PACK_ALIGN);
        memcpy(file + 24, &hash, sizeof(hash));
    }
    if (pack_check(file, sizeof(file), &pack, NULL) != VECMILL_OK) return 0;
    pack.map.data = file;
    pack.map.bytes = sizeof(file);
    for (uint32_t i = 0; i < pack.n_sections; i++) {
        const void *section;
        size_t bytes;
        if (pack_find(&pack, pack.sections[i].name, &section, &bytes, NULL) != VECMILL_OK) abort();
        /* Reads every byte: out of bounds is for the sanitizer to see. */
        (void)pack_verify(&pack, pack.sections[i].name, NULL);
    }
    return 0;
}
