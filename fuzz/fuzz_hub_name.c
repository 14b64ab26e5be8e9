/* needs: dep_hub */
/* fuzz_hub_name: names of models. Whatever is accepted must be one safe part of a path and of a URL. */
#include "hub/hub_inner.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[512];
    struct hub_ref ref;
    vecmill_err err;
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t n = size < sizeof text ? size : sizeof text - 1;
    memcpy(text, data, n);
    text[n] = '\0';
    if (hub_ref_parse(text, &ref, &err) != VECMILL_OK) return 0;
    bool ok = ref.folder[0] != '.' && strspn(ref.folder, safe) == strlen(ref.folder) &&
              !strstr(ref.name, "..") && strchr(ref.name, '/') &&
              (ref.commit[0] == '\0' || hub_is_hex(ref.commit, HUB_COMMIT_BYTES));
    if (!ok) abort();
    return 0;
}
