/* source: which pack belongs to a folder, and which program builds it.
 *
 * The key holds what the pack's bits depend on: identity of the files read, level, precision and the layout
 * of its weights, this program's version, and the packs' format. A pack with another key is built anew. */
#include "engine/source.h"

#include "model/model.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the sections taken together: changes with any of their layouts, within a version too. */
#define FORMAT 4

/* Sections up to this size are read and checked at each start, in well under a millisecond: the
 * tokenizer's and the configuration's, not the weights'. */
#define VERIFY_BYTES ((size_t)4 << 20)

/* What text reads; model adds its own. */
static const char *const text_files[] = {"tokenizer.json", "vocab.txt", "tokenizer_config.json"};

/* The last two names of a path, what is no letter, digit, dot or dash made a dash; at most 80 bytes. */
static void short_name(const char *path, char out[81])
{
    const char *from = path + strlen(path);
    for (int slashes = 0; from > path && slashes < 2; from--) {
        if (from[-1] == '/' && ++slashes == 2) break;
    }
    size_t n = strlen(from);
    if (n > 80) from += n - 80;
    size_t i = 0;
    for (; from[i]; i++) {
        char c = from[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '.' || c == '_';
        if (!plain) c = '-';
        out[i] = c;
    }
    out[i] = '\0';
}

vecmill_status source_key(const char *dir, const struct kern *kern, enum kern_precision precision,
                          char key[PACK_KEY_BYTES], vecmill_err *err)
{
    char identity[33];
    VM_TRY(
        model_identity(dir, text_files, sizeof(text_files) / sizeof(*text_files), identity, err));
    snprintf(key, PACK_KEY_BYTES, "vecmill %s, format %d, files %s, %s", VECMILL_VERSION, FORMAT,
             identity, kern_signature(kern, precision));
    return VECMILL_OK;
}

vecmill_status source_describe(const char *model_dir, const char *cache_or_null,
                               const struct kern *kern, enum kern_precision precision,
                               struct engine_source *source, vecmill_err *err)
{
    char cache[IO_PATH_MAX], packs[IO_PATH_MAX], name[81], file[192];
    struct engine_source s;
    if (!realpath(model_dir, s.dir)) {
        return err_sys(err, VECMILL_E_MODEL, errno, "%s: no such model folder", model_dir);
    }
    VM_TRY(source_key(s.dir, kern, precision, s.key, err));
    if (cache_or_null) {
        int n = snprintf(cache, sizeof(cache), "%s", cache_or_null);
        if (n >= (int)sizeof(cache)) {
            return err_set(err, VECMILL_E_USAGE, "a cache path of %d bytes is over IO_PATH_MAX, %d",
                           n, IO_PATH_MAX);
        }
    } else {
        VM_TRY(cache_dir(cache, err));
    }
    VM_TRY(io_join(cache, "packs", packs, err));
    VM_TRY(io_make_dirs(packs, VECMILL_E_IO, err));
    short_name(s.dir, name);
    snprintf(file, sizeof(file), "%s-%016llx-%s-%s.pack", name,
             (unsigned long long)XXH3_64bits(s.dir, strlen(s.dir)), kern->name,
             kern_precision_name(precision));
    VM_TRY(io_join(packs, file, s.path, err));
    *source = s;
    return VECMILL_OK;
}

vecmill_status source_open(const struct engine_source *source, struct pack *pack, vecmill_err *err)
{
    struct pack p;
    VM_TRY(pack_open(source->path, &p, err));
    vecmill_status status = VECMILL_OK;
    if (strcmp(p.key, source->key) != 0) {
        status = err_set(err, VECMILL_E_NOTFOUND, "%s: is of other files", source->path);
    } else {
        status = pack_verify_small(&p, VERIFY_BYTES, err);
    }
    if (status == VECMILL_OK) {
        *pack = p;
    } else {
        pack_close(&p);
    }
    return status;
}

/* "<folder of path>/vecmill-worker" if it can be run. */
static bool beside(const char *path, char out[IO_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash) return false;
    int n = snprintf(out, IO_PATH_MAX, "%.*s/vecmill-worker", (int)(slash - path), path);
    return n > 0 && n < IO_PATH_MAX && access(out, X_OK) == 0;
}

vecmill_status source_worker(const char *given, char path[IO_PATH_MAX], vecmill_err *err)
{
    char self[IO_PATH_MAX];
    Dl_info library;
    if (given) {
        if (access(given, X_OK) != 0 || strlen(given) >= IO_PATH_MAX) {
            return err_sys(err, VECMILL_E_USAGE, errno, "worker program %s", given);
        }
        memcpy(path, given, strlen(given) + 1);
        return VECMILL_OK;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = '\0';
        if (beside(self, path)) return VECMILL_OK;
    }
    if (dladdr((const void *)&vecmill_version, &library) && library.dli_fname &&
        beside(library.dli_fname, path)) {
        return VECMILL_OK;
    }
    if (access(VECMILL_LIBEXEC "/vecmill-worker", X_OK) == 0) {
        snprintf(path, IO_PATH_MAX, "%s", VECMILL_LIBEXEC "/vecmill-worker");
        return VECMILL_OK;
    }
    return err_set(err, VECMILL_E_INTERNAL,
                   "vecmill-worker is neither beside the program or library nor in %s",
                   VECMILL_LIBEXEC);
}
