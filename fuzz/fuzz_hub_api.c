/* needs: dep_hub */
/* fuzz_hub_api: the hub's answer about a model. Whatever is accepted must be fit for use: file names
 * from our list, each once, digests of the right length, sizes under their maximum. */
#include "hub/hub_inner.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool true_thing)
{
    if (!true_thing) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hub_listing l;
    vecmill_err err;
    if (size > HUB_API_MAX) return 0;
    if (hub_api_parse(data, size, "org/name", &l, &err) != VECMILL_OK) {
        must(err.status == VECMILL_E_NOTFOUND && err.message[0] != '\0');
        return 0;
    }
    must(hub_is_hex(l.commit, HUB_COMMIT_BYTES) && l.n_files <= HUB_FILES_MAX);
    for (size_t i = 0; i < l.n_files; i++) {
        const struct hub_file *f = &l.files[i];
        uint64_t most;
        must(hub_file_wanted(f->name, strlen(f->name), &most) && f->bytes <= most);
        must(hub_is_hex(f->digest, f->kind == HUB_SHA256 ? 64 : 40));
        for (size_t j = 0; j < i; j++)
            must(strcmp(f->name, l.files[j].name) != 0);
    }
    return 0;
}
