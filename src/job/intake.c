/* intake: see intake.h. gzip is RFC 1952, decoded by zlib inside memory of ours. */
#include "intake.h"

#include "base/base.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define INTAKE_CHUNK ((size_t)256 << 10)

/* inflate keeps about 7 kB of state and a window of 32 kB (zconf.h of zlib 1.2.13 says both). */
#define INTAKE_Z_BYTES ((size_t)64 << 10)

/* How long a wait for a slow writer lasts before the stop flag is looked at again. */
#define INTAKE_WAIT_MS 100

#define GZIP_WINDOW_BITS (15 + 16) /* zlib.h: the largest window, gzip header required */

void intake_layout(struct intake *s, struct arena *a, bool gzip)
{
    s->gzip = gzip;
    s->data = arena_take(a, INTAKE_CHUNK, 64);
    s->raw = gzip ? arena_take(a, INTAKE_CHUNK, 64) : NULL;
    void *z = gzip ? arena_take(a, INTAKE_Z_BYTES, 64) : NULL;
    if (z != NULL) arena_init(&s->z_arena, z, INTAKE_Z_BYTES);
}

static voidpf intake_z_alloc(voidpf arena, uInt n, uInt size)
{
    return arena_take_array(arena, n, size, 16);
}

/* The arena goes as a whole. */
static void intake_z_free(voidpf arena, voidpf memory)
{
    (void)arena;
    (void)memory;
}

static bool intake_stopped(const struct intake *s)
{
    return s->stop != NULL && atomic_load(s->stop) != 0;
}

vecmill_status intake_open(struct intake *s, const char *path, const atomic_int *stop,
                           vecmill_err *err)
{
    s->fd = -1;
    s->stop = stop;
    s->owns_fd = strcmp(path, "-") != 0;
    s->name = s->owns_fd ? path : "standard input";
    if (!s->owns_fd) s->fd = STDIN_FILENO;
    while (s->fd < 0) { /* a FIFO without a writer is waited for, until a signal */
        s->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (s->fd >= 0 || errno != EINTR) break;
        if (intake_stopped(s))
            return err_set(err, VECMILL_E_STOPPED, "stopped while opening %s", s->name);
    }
    if (s->fd < 0) return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be opened", s->name);

    struct stat st;
    vecmill_status status = VECMILL_OK;
    if (fstat(s->fd, &st) != 0)
        status = err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be read", s->name);
    else if (S_ISDIR(st.st_mode))
        status = err_set(err, VECMILL_E_INPUT, "%s: is a directory, not an input", s->name);
    if (status != VECMILL_OK) goto done;
    s->waits = !S_ISREG(st.st_mode);
    s->bytes_total = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;

    s->hash = XXH3_createState();
    if (s->hash == NULL) {
        status = err_set(err, VECMILL_E_MEMORY, "no memory to hash the bytes of %s", s->name);
        goto done;
    }
    XXH3_64bits_reset(s->hash);

    if (s->gzip) {
        s->z.zalloc = intake_z_alloc;
        s->z.zfree = intake_z_free;
        s->z.opaque = &s->z_arena;
        const int z = inflateInit2(&s->z, GZIP_WINDOW_BITS);
        if (z != Z_OK) status = err_set(err, VECMILL_E_INTERNAL, "cannot start zlib: error %d", z);
        s->z_open = z == Z_OK;
    }
done:
    if (status != VECMILL_OK) intake_close(s);
    return status;
}

void intake_close(struct intake *s)
{
    if (s->z_open) inflateEnd(&s->z);
    s->z_open = false;
    XXH3_freeState(s->hash);
    s->hash = NULL;
    if (s->owns_fd && s->fd >= 0) close(s->fd);
    s->owns_fd = false;
    s->fd = -1;
}

/* Waits a moment for the writer of a pipe, with the other work there is, if any. */
static vecmill_status intake_wait(struct intake *s, bool *ready, vecmill_err *err)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    bool busy = false;
    *ready = true;
    if (s->idle.work != NULL) {
        if (poll(&p, 1, 0) > 0) return VECMILL_OK;
        VM_TRY(s->idle.work(s->idle.context, &busy, err));
    }
    const int n = poll(&p, 1, busy ? 0 : INTAKE_WAIT_MS);
    *ready = n > 0 || (n < 0 && errno != EINTR); /* other failures are the read's to tell */
    return VECMILL_OK;
}

/* One read of the file itself. *got == 0 at its end. */
static vecmill_status intake_read(struct intake *s, void *out, size_t room, size_t *got,
                                  vecmill_err *err)
{
    for (;;) {
        bool ready = true;
        if (intake_stopped(s))
            return err_set(err, VECMILL_E_STOPPED, "stopped while reading %s", s->name);
        if (s->waits) VM_TRY(intake_wait(s, &ready, err));
        if (!ready) continue;
        const ssize_t n = read(s->fd, out, room);
        if (n >= 0) {
            s->bytes_read += (uint64_t)n;
            *got = (size_t)n;
            return VECMILL_OK;
        }
        if (errno != EINTR && errno != EAGAIN)
            return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be read", s->name);
    }
}

/* Makes raw bytes available; none left means the end of the file. */
static vecmill_status intake_refill(struct intake *s, vecmill_err *err)
{
    if (s->raw_pos < s->raw_bytes) return VECMILL_OK;
    size_t got = 0;
    VM_TRY(intake_read(s, s->raw, INTAKE_CHUNK, &got, err));
    s->raw_pos = 0;
    s->raw_bytes = got;
    return VECMILL_OK;
}

/* Between members: begins the next one, or finds the end. Zero bytes behind the last member are
 * padding, as gzip(1) has it. */
static vecmill_status intake_next_member(struct intake *s, bool *end, vecmill_err *err)
{
    bool padding = false;
    for (;;) {
        VM_TRY(intake_refill(s, err));
        if (s->raw_bytes == 0) {
            if (s->raw_taken == 0)
                return err_set(err, VECMILL_E_INPUT, "%s: is empty, not a gzip file", s->name);
            *end = true;
            return VECMILL_OK;
        }
        if (s->raw_taken == 0 || s->raw[s->raw_pos] != 0) break;
        padding = true;
        s->raw_pos++;
        s->raw_taken++;
    }
    if (padding || (s->raw_taken > 0 && s->raw[s->raw_pos] != 0x1f))
        return err_set(err, VECMILL_E_INPUT,
                       "%s: holds bytes at offset %llu that are no gzip member", s->name,
                       (unsigned long long)s->raw_taken);
    if (inflateReset(&s->z) != Z_OK)
        return err_set(err, VECMILL_E_INTERNAL, "cannot restart zlib for %s", s->name);
    s->in_member = true;
    *end = false;
    return VECMILL_OK;
}

static vecmill_status intake_inflate(struct intake *s, unsigned char *out, size_t room, size_t *got,
                                     vecmill_err *err)
{
    size_t made = 0;
    while (made == 0) {
        if (!s->in_member) {
            bool end = false;
            VM_TRY(intake_next_member(s, &end, err));
            if (end) break;
        }
        VM_TRY(intake_refill(s, err));
        if (s->raw_bytes == 0)
            return err_set(err, VECMILL_E_INPUT,
                           "%s: is cut off, it ends at byte %llu inside a gzip member", s->name,
                           (unsigned long long)s->raw_taken);
        const size_t left = s->raw_bytes - s->raw_pos;
        s->z.next_in = s->raw + s->raw_pos;
        s->z.avail_in = (uInt)left;
        s->z.next_out = out;
        s->z.avail_out = (uInt)room;
        const int z = inflate(&s->z, Z_NO_FLUSH);
        const size_t taken = left - s->z.avail_in;
        s->raw_pos += taken;
        s->raw_taken += taken;
        made = room - s->z.avail_out;
        if (z == Z_STREAM_END)
            s->in_member = false;
        else if (z != Z_OK && z != Z_BUF_ERROR)
            return err_set(err, VECMILL_E_INPUT, "%s: is not valid gzip at byte %llu: %s", s->name,
                           (unsigned long long)s->raw_taken,
                           s->z.msg != NULL ? s->z.msg : "needs a preset dictionary");
    }
    *got = made;
    return VECMILL_OK;
}

/* At the start of the text: drops a UTF-8 mark, refuses a UTF-16 one. */
static vecmill_status intake_begin(struct intake *s, vecmill_err *err)
{
    s->started = true;
    if (s->bytes >= 3 && memcmp(s->data, "\xEF\xBB\xBF", 3) == 0) s->pos = 3;
    if (s->bytes >= 2 && memcmp(s->data, "\xFF\xFE", 2) == 0)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: is UTF-16 (it begins with FF FE); UTF-8 is needed", s->name);
    if (s->bytes >= 2 && memcmp(s->data, "\xFE\xFF", 2) == 0)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: is UTF-16 (it begins with FE FF); UTF-8 is needed", s->name);
    return VECMILL_OK;
}

vecmill_status intake_peek(struct intake *s, const unsigned char **data, size_t *bytes,
                           vecmill_err *err)
{
    while (s->pos == s->bytes && !s->ended) {
        s->pos = s->bytes = 0;
        do {
            size_t got = 0;
            unsigned char *out = s->data + s->bytes;
            const size_t room = INTAKE_CHUNK - s->bytes;
            if (s->gzip)
                VM_TRY(intake_inflate(s, out, room, &got, err));
            else
                VM_TRY(intake_read(s, out, room, &got, err));
            s->bytes += got;
            s->ended = got == 0;
            /* A pipe may deliver the first bytes one by one, and the mark takes three. */
        } while (!s->started && !s->ended && s->bytes < 3);
        if (!s->started) VM_TRY(intake_begin(s, err));
    }
    *data = s->data + s->pos;
    *bytes = s->bytes - s->pos;
    return VECMILL_OK;
}

void intake_consume(struct intake *s, size_t n)
{
    assert(n <= s->bytes - s->pos);
    XXH3_64bits_update(s->hash, s->data + s->pos, n);
    if (n > 0) s->last = s->data[s->pos + n - 1];
    s->consumed += n;
    s->pos += n;
}

uint64_t intake_digest(const struct intake *s)
{
    return XXH3_64bits_digest(s->hash);
}
