/* strand: see strand.h. */
#include "strand.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

vecmill_status strand_open(struct strand *s, const char *output, const char *ending,
                           const struct shard_file *file, vecmill_err *err)
{
    char path[IO_PATH_MAX];
    struct stat st;
    s->output = output;
    s->ending = ending;
    s->left = file->bytes;
    s->digest = file->digest;
    s->pos = s->bytes = 0;
    VM_TRY(paths_join(output, ending, path, err));
    s->hash = XXH3_createState();
    if (s->hash == NULL)
        return err_set(err, VECMILL_E_MEMORY, "there is no memory to read %s", path);
    XXH3_64bits_reset(s->hash);
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0) return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be read", path);
    if (fstat(s->fd, &st) != 0)
        return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be looked at", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, VECMILL_E_INPUT, "%s: is not a regular file", path);
    if ((uint64_t)st.st_size != file->bytes)
        return err_set(err, VECMILL_E_INPUT, "%s: holds %" PRIu64 " bytes, its run wrote %" PRIu64,
                       path, (uint64_t)st.st_size, file->bytes);
    return VECMILL_OK;
}

void strand_close(struct strand *s)
{
    if (s->hash != NULL) XXH3_freeState(s->hash);
    if (s->fd >= 0) close(s->fd);
    s->hash = NULL;
    s->fd = -1;
}

vecmill_status strand_refuse(const struct strand *s, vecmill_err *err)
{
    return err_set(err, VECMILL_E_INPUT, "%s%s: its bytes are not those that its run wrote",
                   s->output, s->ending);
}

vecmill_status strand_peek(struct strand *s, size_t least, const unsigned char **data,
                           size_t *bytes, vecmill_err *err)
{
    size_t there = s->bytes - s->pos;
    if (there < least && s->left > 0) {
        char path[IO_PATH_MAX];
        size_t got;
        VM_TRY(paths_join(s->output, s->ending, path, err));
        memmove(s->data, s->data + s->pos, there);
        s->pos = 0;
        s->bytes = there;
        const size_t room = s->capacity - there;
        const size_t wanted = s->left < room ? (size_t)s->left : room;
        VM_TRY(io_read(s->fd, s->data + there, wanted, &got, path, VECMILL_E_INPUT, err));
        if (got < wanted) return strand_refuse(s, err); /* cut while it is read */
        XXH3_64bits_update(s->hash, s->data + there, got);
        s->left -= got;
        s->bytes = there += got;
    }
    *data = s->data + s->pos;
    *bytes = there;
    return VECMILL_OK;
}

void strand_consume(struct strand *s, size_t bytes)
{
    s->pos += bytes;
}

vecmill_status strand_end(const struct strand *s, vecmill_err *err)
{
    if (s->left > 0 || s->pos < s->bytes || XXH3_64bits_digest(s->hash) != s->digest)
        return strand_refuse(s, err);
    return VECMILL_OK;
}
