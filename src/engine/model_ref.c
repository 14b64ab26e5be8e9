/* model_ref: which pack belongs to a model's folder, whether it is there, whose it is, what was seen of it
 * before, and whether it still holds what was written into it.
 *
 * The key holds what the pack's bits depend on: contents of the files read, level, precision and the layout
 * of its weights, this program's version, and the packs' format. A pack with another key is built anew. */
#include "engine/model_ref.h"

#include "model/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

/* Of the sections taken together: changes with any of their layouts, within a version too. */
#define FORMAT 25

/* Sections up to this size are read and checked at each start, in well under a millisecond: the
 * tokenizer's and the configuration's, not the weights'. */
#define VERIFY_BYTES ((size_t)4 << 20)

struct seen {
    char stamp[MODEL_REF_DIGITS + 1];  /* model_stamp of the model's files; "": nothing is known */
    char digest[MODEL_REF_DIGITS + 1]; /* model_digest of them then */
    /* seen_stamp of the pack when its checksums were compared; "": never. */
    char proven[MODEL_REF_DIGITS + 1];
};

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

#define N_TEXT_FILES (sizeof(text_files) / sizeof(*text_files))

static void write_key(const char *digest, const struct kern *kern, enum kern_precision precision,
                      char key[PACK_KEY_BYTES])
{
    snprintf(key, PACK_KEY_BYTES, "vecmill %s, format %d, files %s, %s", VECMILL_VERSION, FORMAT,
             digest, kern_signature(kern, precision));
}

vecmill_status model_ref_key(const char *dir, const struct kern *kern,
                             enum kern_precision precision, char key[PACK_KEY_BYTES],
                             vecmill_err *err)
{
    char digest[MODEL_REF_DIGITS + 1];
    VM_TRY(model_digest(dir, text_files, N_TEXT_FILES, digest, err));
    write_key(digest, kern, precision, key);
    return VECMILL_OK;
}

vecmill_status model_ref_stamp(const char *dir, char stamp[MODEL_REF_DIGITS + 1], vecmill_err *err)
{
    return model_stamp(dir, text_files, N_TEXT_FILES, stamp, err);
}

/* ---- what was seen of a pack: PACK.seen, a file of one size, written by one call, with a checksum at its
 * end, so that half a file counts as no file ---- */

#define SEEN_ENDING ".seen"
#define SEEN_TITLE  "vecmill seen 1\n"

/* The title, three lines of digits and one of a checksum. */
#define BODY_BYTES (sizeof SEEN_TITLE - 1 + 3 * (MODEL_REF_DIGITS + 1))
#define FILE_BYTES (BODY_BYTES + 16 + 1)

static void seen_stamp(const struct stat *file, char stamp[MODEL_REF_DIGITS + 1])
{
    const struct io_stamp what = io_stamp(file);
    const XXH128_hash_t hash = XXH3_128bits(&what, sizeof what);
    snprintf(stamp, MODEL_REF_DIGITS + 1, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

static bool seen_path(const char *pack, char *path)
{
    return snprintf(path, IO_PATH_MAX, "%s" SEEN_ENDING, pack) < IO_PATH_MAX;
}

/* Nothing is 32 dashes. */
static void put_line(const char *digits, char *text)
{
    memset(text, '-', MODEL_REF_DIGITS);
    memcpy(text, digits, strnlen(digits, MODEL_REF_DIGITS));
    text[MODEL_REF_DIGITS] = '\n';
}

static void get_line(const char *text, char *digits)
{
    memcpy(digits, text, MODEL_REF_DIGITS);
    digits[text[0] == '-' ? 0 : MODEL_REF_DIGITS] = '\0';
}

static void put_sum(const char *body, char sum[16 + 2])
{
    snprintf(sum, 16 + 2, "%016llx\n", (unsigned long long)XXH3_64bits(body, BODY_BYTES));
}

static void seen_read(const char *pack,
                      bool (*trusted)(const void *context, const struct stat *file),
                      const void *context, struct seen *seen)
{
    char path[IO_PATH_MAX], text[FILE_BYTES], sum[16 + 2];
    struct stat file;
    size_t got = 0;
    memset(seen, 0, sizeof *seen);
    if (!seen_path(pack, path)) return;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return;
    bool ok = fstat(fd, &file) == 0 && file.st_size == (off_t)FILE_BYTES && trusted(context, &file);
    ok = ok && io_read(fd, text, sizeof text, &got, path, VECMILL_E_IO, NULL) == VECMILL_OK;
    close(fd);
    if (!ok || got != sizeof text || memcmp(text, SEEN_TITLE, sizeof SEEN_TITLE - 1) != 0) return;
    put_sum(text, sum);
    if (memcmp(sum, text + BODY_BYTES, 16 + 1) != 0) return;
    const char *line = text + sizeof SEEN_TITLE - 1;
    get_line(line, seen->stamp);
    get_line(line + MODEL_REF_DIGITS + 1, seen->digest);
    get_line(line + 2 * (MODEL_REF_DIGITS + 1), seen->proven);
}

static void seen_write(const char *pack, const struct seen *seen)
{
    char path[IO_PATH_MAX], text[FILE_BYTES + 1];
    if (!seen_path(pack, path)) return;
    memcpy(text, SEEN_TITLE, sizeof SEEN_TITLE - 1);
    char *line = text + sizeof SEEN_TITLE - 1;
    put_line(seen->stamp, line);
    put_line(seen->digest, line + MODEL_REF_DIGITS + 1);
    put_line(seen->proven, line + 2 * (MODEL_REF_DIGITS + 1));
    put_sum(text, text + BODY_BYTES);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd < 0) return;
    (void)io_write(fd, text, FILE_BYTES, path, VECMILL_E_IO, NULL);
    close(fd);
}

/* ---- whose pack it is ---- */

/* Writing a pack is deciding on vectors, and the cache may be a folder that everybody writes to.
 * Trusted are this user, root, the owner of the model's folder, who decides on them anyway, and
 * the owner of the packs' folder where not everybody can put files into it. */
static bool is_trusted(const void *context, const struct stat *file)
{
    const struct model_ref *ref = context;
    struct stat folder;
    char path[IO_PATH_MAX];
    if (file->st_uid == 0 || file->st_uid == geteuid()) return true;
    if (stat(ref->dir, &folder) == 0 && folder.st_uid == file->st_uid) return true;
    snprintf(path, sizeof path, "%s", ref->path);
    char *slash = strrchr(path, '/');
    if (!slash) return false;
    *slash = '\0';
    return stat(path, &folder) == 0 && folder.st_uid == file->st_uid &&
           (folder.st_mode & S_IWOTH) == 0;
}

/* ---- where it is ---- */

/* A path that still leads there when the host has changed its working folder: workers come and go. */
static vecmill_status make_absolute(char path[IO_PATH_MAX], vecmill_err *err)
{
    char here[IO_PATH_MAX];
    if (path[0] == '/') return VECMILL_OK;
    if (!getcwd(here, sizeof here))
        return err_sys(err, VECMILL_E_IO, errno, "%s: the working folder has no path", path);
    const size_t n = strlen(here), more = strlen(path);
    if (n + 1 + more >= IO_PATH_MAX)
        return err_set(err, VECMILL_E_USAGE, "a path of %zu bytes is over IO_PATH_MAX, %d",
                       n + 1 + more, IO_PATH_MAX);
    memmove(path + n + 1, path, more + 1);
    memcpy(path, here, n);
    path[n] = '/';
    return VECMILL_OK;
}

static vecmill_status take_path(const char *given, char path[IO_PATH_MAX], vecmill_err *err)
{
    const size_t n = strlen(given);
    if (n >= IO_PATH_MAX)
        return err_set(err, VECMILL_E_USAGE, "a path of %zu bytes is over IO_PATH_MAX, %d", n,
                       IO_PATH_MAX);
    memcpy(path, given, n + 1);
    return make_absolute(path, err);
}

static vecmill_status find_cache(const char *given, char cache[IO_PATH_MAX], vecmill_err *err)
{
    if (given) return take_path(given, cache, err);
    VM_TRY(cache_dir(cache, err));
    return make_absolute(cache, err);
}

/* What distinguishes folders of models: their path, of those in the cache from there on, so that a cache
 * may be moved, or be another place in the image that it was filled for. */
static uint64_t place_hash(const char *dir, const char *cache)
{
    char real[IO_PATH_MAX];
    const size_t n = realpath(cache, real) ? strlen(real) : 0;
    if (n > 0 && strncmp(dir, real, n) == 0 && dir[n] == '/') dir += n;
    return XXH3_64bits(dir, strlen(dir));
}

/* The digest of the model's files: as it was noted next to the pack, while they are the same; else read. */
static vecmill_status take_key(struct model_ref *s, const struct kern *kern,
                               enum kern_precision precision, vecmill_err *err)
{
    struct seen seen;
    char stamp[MODEL_REF_DIGITS + 1];
    VM_TRY(model_ref_stamp(s->dir, stamp, err));
    seen_read(s->path, is_trusted, s, &seen);
    if (strcmp(seen.stamp, stamp) != 0) {
        VM_TRY(model_digest(s->dir, text_files, N_TEXT_FILES, seen.digest, err));
        memcpy(seen.stamp, stamp, sizeof stamp);
        if (io_exists(s->path)) seen_write(s->path, &seen);
    }
    write_key(seen.digest, kern, precision, s->key);
    return VECMILL_OK;
}

vecmill_status model_ref_describe(const char *model_dir, const char *cache_or_null,
                                  const struct kern *kern, enum kern_precision precision,
                                  struct model_ref *ref, vecmill_err *err)
{
    char cache[IO_PATH_MAX], packs[IO_PATH_MAX], name[81], file[192];
    if (!realpath(model_dir, ref->dir)) {
        return err_sys(err, VECMILL_E_MODEL, errno, "%s: no such model folder", model_dir);
    }
    VM_TRY(find_cache(cache_or_null, cache, err));
    VM_TRY(io_join(cache, "packs", packs, err));
    short_name(ref->dir, name);
    snprintf(file, sizeof(file), "%s-%016llx-%s-%s.pack", name,
             (unsigned long long)place_hash(ref->dir, cache), kern->name,
             kern_precision_name(precision));
    VM_TRY(io_join(packs, file, ref->path, err));
    return take_key(ref, kern, precision, err);
}

/* ---- where it cannot be kept ---- */

bool model_ref_is_writable(const struct model_ref *ref)
{
    char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s", ref->path);
    for (char *slash; (slash = strrchr(path, '/')) != NULL && slash > path;) {
        *slash = '\0';
        if (io_exists(path)) return faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0;
    }
    return faccessat(AT_FDCWD, "/", W_OK | X_OK, AT_EACCESS) == 0;
}

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* memfd_create(2), since Linux 6.3, where a system may insist on it */
#endif

static int open_memory(void)
{
    int fd = memfd_create(MODEL_REF_MEMORY_NAME, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) fd = memfd_create(MODEL_REF_MEMORY_NAME, MFD_CLOEXEC);
    if (fd < 0) fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd;
}

static const char processes[] = "/proc/";

vecmill_status model_ref_to_memory(struct model_ref *ref, int *fd, vecmill_err *err)
{
    const int memory = open_memory();
    if (memory < 0)
        return err_sys(err, VECMILL_E_IO, errno,
                       "nor can one be kept in memory: set VECMILL_CACHE to a folder that can be "
                       "written");
    char path[64];
    snprintf(path, sizeof path, "%s%ld/fd/%d", processes, (long)getpid(), memory);
    if (!io_exists(path)) {
        close(memory);
        return err_set(err, VECMILL_E_IO,
                       "nor, without /proc, can one be kept in memory: set VECMILL_CACHE to a "
                       "folder that can be written");
    }
    memcpy(ref->path, path, sizeof path);
    *fd = memory;
    return VECMILL_OK;
}

bool model_ref_in_memory(const struct model_ref *ref)
{
    return strncmp(ref->path, processes, sizeof processes - 1) == 0;
}

vecmill_status model_ref_open(const struct model_ref *ref, struct pack *pack, vecmill_err *err)
{
    struct pack p;
    /* A pack in a folder that is closed to us is missing, not damaged. */
    if (access(ref->path, R_OK) != 0 && errno == EACCES)
        return err_sys(err, VECMILL_E_NOTFOUND, errno, "%s: cannot be opened", ref->path);
    VM_TRY(pack_open(ref->path, &p, err));
    vecmill_status status = VECMILL_OK;
    if (strcmp(p.key, ref->key) != 0) {
        status = err_set(err, VECMILL_E_NOTFOUND, "%s: is of other files", ref->path);
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

vecmill_status model_ref_find(const struct model_ref *ref, struct pack *pack, vecmill_err *err)
{
    struct pack p;
    VM_TRY(model_ref_open(ref, &p, err));
    if (is_trusted(ref, &p.map.stat)) {
        *pack = p;
        return VECMILL_OK;
    }
    const unsigned owner = (unsigned)p.map.stat.st_uid;
    pack_close(&p);
    return err_set(err, VECMILL_E_MODEL, "%s: belongs to another user, number %u", ref->path,
                   owner);
}

vecmill_status worker_find(const char *given, char path[IO_PATH_MAX], vecmill_err *err)
{
    if (!given) return child_find("vecmill-worker", path, VECMILL_E_INTERNAL, err);
    if (access(given, X_OK) != 0)
        return err_sys(err, VECMILL_E_USAGE, errno, "worker program %s", given);
    return take_path(given, path, err);
}

/* ---- whether it holds what was written ---- */

static void read_seen(const struct model_ref *ref, struct seen *seen)
{
    seen_read(ref->path, is_trusted, ref, seen);
}

#define BUFFER_BYTES ((size_t)128 << 10)

size_t proof_bytes(void)
{
    return BUFFER_BYTES;
}

static vecmill_status read_table(struct proof *p, vecmill_err *err)
{
    struct pack *pack;
    void *memory = NULL;
    size_t got = 0;
    VM_TRY(io_read_at(p->fd, p->buffer, PACK_ALIGN, 0, &got, p->ref->path, VECMILL_E_MODEL, err));
    VM_TRY(mem_new(sizeof *pack, "a pack's table", &memory, err));
    pack = memory;
    vecmill_status status =
        pack_check(p->buffer, got < PACK_ALIGN ? got : (size_t)p->file.st_size, pack, err);
    if (status == VECMILL_OK && strcmp(pack->key, p->ref->key) != 0)
        status = err_set(err, VECMILL_E_MODEL, "%s: is of other files", p->ref->path);
    memcpy(p->sections, pack->sections, sizeof p->sections);
    p->n_sections = pack->n_sections;
    mem_free(memory);
    return status;
}

vecmill_status proof_open(struct proof *proof, const struct model_ref *ref, vecmill_err *err)
{
    struct seen seen;
    char stamp[MODEL_REF_DIGITS + 1];
    struct proof p = {.ref = ref};
    p.fd = open(ref->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (p.fd < 0) return err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be opened", ref->path);
    vecmill_status status = mem_map(BUFFER_BYTES, "checking the pack", &p.buffer, err);
    if (status == VECMILL_OK && fstat(p.fd, &p.file) != 0)
        status = err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be looked at", ref->path);
    if (status == VECMILL_OK && !(p.hash = XXH3_createState()))
        status = err_set(err, VECMILL_E_MEMORY, "no memory for a checksum's state");
    if (status == VECMILL_OK) status = mem_commit(p.buffer, BUFFER_BYTES, "checking the pack", err);
    if (status == VECMILL_OK) status = read_table(&p, err);
    if (status != VECMILL_OK) {
        proof_close(&p);
        return status;
    }
    read_seen(ref, &seen);
    seen_stamp(&p.file, stamp);
    p.is_made = strcmp(seen.proven, stamp) == 0;
    *proof = p;
    return VECMILL_OK;
}

void proof_close(struct proof *p)
{
    if (p->fd >= 0) close(p->fd);
    if (p->hash) XXH3_freeState(p->hash);
    mem_unmap(p->buffer, BUFFER_BYTES);
    *p = (struct proof){.fd = -1};
}

bool proof_holds(const struct proof *p)
{
    struct stat now;
    char then[MODEL_REF_DIGITS + 1], stamp[MODEL_REF_DIGITS + 1];
    if (!p->is_made || fstat(p->fd, &now) != 0) return false;
    seen_stamp(&p->file, then);
    seen_stamp(&now, stamp);
    return strcmp(then, stamp) == 0;
}

static vecmill_status check_section(struct proof *p, const struct pack_section *s, vecmill_err *err)
{
    XXH3_64bits_reset(p->hash);
    for (uint64_t done = 0; done < s->bytes;) {
        size_t got = 0;
        VM_TRY(io_read_at(p->fd, p->buffer, (size_t)num_min(BUFFER_BYTES, s->bytes - done),
                          s->offset + done, &got, p->ref->path, VECMILL_E_MODEL, err));
        if (got == 0)
            return err_set(err, VECMILL_E_MODEL,
                           "%s: ends inside section %s, after %llu of its %llu bytes", p->ref->path,
                           s->name, (unsigned long long)done, (unsigned long long)s->bytes);
        XXH3_64bits_update(p->hash, p->buffer, got);
        done += got;
    }
    const uint64_t hash = XXH3_64bits_digest(p->hash);
    if (hash == s->hash) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "the checksum of section %s is %016llx, it was written as %016llx: %s", s->name,
                   (unsigned long long)hash, (unsigned long long)s->hash, p->ref->path);
}

vecmill_status proof_make(struct proof *p, vecmill_err *err)
{
    struct seen seen;
    struct stat before;
    p->is_made = false;
    if (fstat(p->fd, &before) != 0)
        return err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be looked at", p->ref->path);
    for (uint32_t i = 0; i < p->n_sections; i++)
        VM_TRY(check_section(p, &p->sections[i], err));
    p->is_made = true;
    p->file = before;
    read_seen(p->ref, &seen);
    seen_stamp(&before, seen.proven);
    if (!model_ref_in_memory(p->ref)) seen_write(p->ref->path, &seen);
    return VECMILL_OK;
}
