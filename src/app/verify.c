/* verify: see verify.h. */
#include "verify.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int is_pack(const struct dirent *entry)
{
    static const char ending[] = ".pack";
    const size_t n = strlen(entry->d_name);
    return n > sizeof(ending) - 1 && strcmp(entry->d_name + n - (sizeof(ending) - 1), ending) == 0;
}

vecmill_status verify_packs(const char *cache,
                            void (*each)(void *context, const char *path, uint64_t bytes,
                                         const char *wrong),
                            void *context, vecmill_err *err)
{
    char folder[IO_PATH_MAX], path[IO_PATH_MAX];
    struct dirent **names = NULL;
    vecmill_status status = io_join(cache, "packs", folder, err);
    if (status != VECMILL_OK) return status;
    const int n = scandir(folder, &names, is_pack, alphasort);
    if (n < 0 && errno == ENOENT) return VECMILL_OK;
    if (n < 0) return err_sys(err, VECMILL_E_IO, errno, "%s: cannot be read", folder);
    for (int i = 0; i < n; i++) {
        struct pack pack = {0};
        vecmill_err why;
        status = io_join(folder, names[i]->d_name, path, &why);
        if (status == VECMILL_OK) status = pack_open(path, &pack, &why);
        const uint64_t bytes = pack.map.bytes;
        if (status == VECMILL_OK) status = pack_verify_small(&pack, SIZE_MAX, &why);
        each(context, path, bytes, status == VECMILL_OK ? NULL : why.message);
        pack_close(&pack);
        mem_free(names[i]);
    }
    mem_free(names);
    return VECMILL_OK;
}
