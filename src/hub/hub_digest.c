/* hub_digest: files against the digests the hub states. Does not know who stated them. */
#include "hub_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)1 << 20)

/* Feeds the whole file to the digest; a git blob id begins with a line about the size. */
static vecmill_status feed_file(struct hub_channel *channel, int fd, const char *path,
                                const char *name, enum hub_digest kind, EVP_MD_CTX *md, char *chunk,
                                vecmill_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return err_sys(err, VECMILL_E_NOTFOUND, errno, "%s: cannot be looked at", path);
    }
    if (kind == HUB_GIT) {
        char head[40]; /* "blob <size>" and a NUL that counts */
        int n = snprintf(head, sizeof head, "blob %lld", (long long)st.st_size);
        EVP_DigestUpdate(md, head, (size_t)n + 1);
    }
    uint64_t done = 0;
    for (;;) {
        size_t got;
        VM_TRY(io_read(fd, chunk, CHUNK_BYTES, &got, path, VECMILL_E_NOTFOUND, err));
        if (got == 0) return VECMILL_OK;
        EVP_DigestUpdate(md, chunk, got);
        done += got;
        if (!hub_channel_say(channel, name, done, (uint64_t)st.st_size)) {
            return err_set(err, VECMILL_E_STOPPED, "the pull was stopped");
        }
    }
}

vecmill_status hub_digest_file(struct hub_channel *channel, const char *path, const char *name,
                               enum hub_digest kind, char hex[65], vecmill_err *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    void *chunk = NULL;
    int fd = -1;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    vecmill_status status = mem_new(CHUNK_BYTES, "a chunk to digest", &chunk, err);
    if (status != VECMILL_OK) goto done;
    if (!md || EVP_DigestInit_ex(md, kind == HUB_SHA256 ? EVP_sha256() : EVP_sha1(), NULL) != 1) {
        status = err_set(err, VECMILL_E_INTERNAL, "libcrypto has no %s",
                         kind == HUB_SHA256 ? "SHA-256" : "SHA-1");
        goto done;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        status = err_sys(err, VECMILL_E_NOTFOUND, errno, "%s: cannot be opened", path);
        goto done;
    }
    status = feed_file(channel, fd, path, name, kind, md, chunk, err);
    if (status != VECMILL_OK) goto done;
    EVP_DigestFinal_ex(md, digest, &n);
    for (unsigned i = 0; i < n && i < 32; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
done:
    if (fd >= 0) close(fd);
    mem_free(chunk);
    EVP_MD_CTX_free(md);
    return status;
}
