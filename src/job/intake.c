/* intake: see intake.h. */
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

/* How long a wait for a slow writer lasts before the stop flag is looked at again. */
#define INTAKE_WAIT_MS 100

void intake_layout(struct intake *s, struct arena *a)
{
    s->data = arena_take(a, INTAKE_CHUNK, 64);
    s->packed_text = arena_take(a, UNPACK_CHUNK, 64);
    unpack_layout(&s->unpack, a);
}

size_t intake_heap_bytes(const char *encoding)
{
    enum encoding_kind kind;
    const bool is_known = encoding_find(encoding, &kind, NULL) == VECMILL_OK;
    return is_known && kind == ENCODING_OTHER ? ENCODING_ICONV_BYTES : 0;
}

static bool intake_stopped(const struct intake *s)
{
    return s->stop != NULL && atomic_load(s->stop) != 0;
}

static vecmill_status intake_open_path(struct intake *s, const char *path, vecmill_err *err)
{
    if (!s->owns_fd) s->fd = STDIN_FILENO;
    while (s->fd < 0) { /* a FIFO without a writer is waited for, until a signal */
        s->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (s->fd >= 0 || errno != EINTR) break;
        if (intake_stopped(s))
            return err_set(err, VECMILL_E_STOPPED, "stopped while opening %s", s->name);
    }
    if (s->fd < 0) return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be opened", s->name);

    struct stat st;
    if (fstat(s->fd, &st) != 0)
        return err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be read", s->name);
    if (S_ISDIR(st.st_mode))
        return err_set(err, VECMILL_E_INPUT, "%s: is a directory, not an input", s->name);
    s->waits = !S_ISREG(st.st_mode);
    s->bytes_total = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;

    s->hash = XXH3_createState();
    if (s->hash == NULL)
        return err_set(err, VECMILL_E_MEMORY, "no memory to hash the bytes of %s", s->name);
    XXH3_64bits_reset(s->hash);
    return VECMILL_OK;
}

static vecmill_status intake_read(void *source, void *out, size_t room, size_t *got,
                                  vecmill_err *err);

vecmill_status intake_open(struct intake *s, const struct intake_hints *hints,
                           const atomic_int *stop, vecmill_err *err)
{
    enum encoding_kind kind;
    s->fd = -1;
    VM_TRY(encoding_find(hints->encoding, &kind, err));
    s->stop = stop;
    s->owns_fd = strcmp(hints->path, "-") != 0;
    s->name = s->owns_fd ? hints->path : "standard input";
    s->encoding = hints->encoding;
    s->unpack.name = s->name;
    s->unpack.read = intake_read;
    s->unpack.source = s;
    s->unpack.says = hints->packing;
    /* What has to be known first is known; another may take its place in intake_begin. */
    vecmill_status status = VECMILL_OK;
    if (kind == ENCODING_OTHER)
        status = decoder_open(&s->decoder, kind, s->encoding, err);
    else
        s->decoder.kind = kind;
    if (status == VECMILL_OK) status = intake_open_path(s, hints->path, err);
    if (status != VECMILL_OK) intake_close(s);
    return status;
}

void intake_close(struct intake *s)
{
    unpack_close(&s->unpack);
    decoder_close(&s->decoder);
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
static vecmill_status intake_read(void *source, void *out, size_t room, size_t *got,
                                  vecmill_err *err)
{
    struct intake *s = source;
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

/* ---- its encoding ---- */

/* Whether a mark's encoding is one that the name means. */
static bool agree(enum encoding_kind named, enum encoding_kind mark)
{
    if (named == ENCODING_UTF16) return mark == ENCODING_UTF16LE || mark == ENCODING_UTF16BE;
    if (named == ENCODING_UTF32) return mark == ENCODING_UTF32LE || mark == ENCODING_UTF32BE;
    /* FF FE and two zeros are the mark of UTF-16 before a NUL, too. */
    return named == mark || (named == ENCODING_UTF16LE && mark == ENCODING_UTF32LE);
}

/* By name, mark, or the look of the first bytes. */
static vecmill_status choose_encoding(struct intake *s, const unsigned char *data, size_t bytes,
                                      enum encoding_kind *kind, vecmill_err *err)
{
    const enum encoding_kind named = s->decoder.kind, mark = sniff_mark(data, bytes);
    if (named != ENCODING_ANY && named != ENCODING_OTHER && mark != ENCODING_ANY &&
        !agree(named, mark))
        return err_set(err, VECMILL_E_INPUT,
                       "%s: begins with the byte order mark of %s, and --encoding is %s; without "
                       "it the mark counts",
                       s->name, encoding_words(mark), s->encoding);
    if (named == ENCODING_UTF16 || named == ENCODING_UTF32)
        *kind = mark != ENCODING_ANY ? mark : sniff_order(named, data, bytes);
    else if (named != ENCODING_ANY)
        *kind = named;
    else if (mark != ENCODING_ANY)
        *kind = mark;
    else
        *kind = sniff_encoding(data, bytes);
    if (named != ENCODING_ANY || mark != ENCODING_ANY) return VECMILL_OK;
    if (*kind != ENCODING_ANY) {
        err_set(&s->warning, VECMILL_E_INPUT,
                "%s has no byte order mark and is read as %s, by the NULs between its letters "
                "(--encoding utf-8 reads them as they are)",
                s->name, encoding_words(*kind));
        return VECMILL_OK;
    }
    const unsigned percent = sniff_noise(data, bytes);
    if (percent > 0)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: is no text: of its first %zu bytes %u%% are control characters or no "
                       "UTF-8 (--encoding names the encoding of a text)",
                       s->name, num_min(bytes, SNIFF_BYTES), percent);
    *kind = ENCODING_UTF8;
    return VECMILL_OK;
}

/* Unpacked bytes after those that are not yet decoded. */
static vecmill_status fill_mid(struct intake *s, vecmill_err *err)
{
    size_t got = 0;
    const size_t left = s->mid_bytes - s->mid_pos;
    memmove(s->packed_text, s->packed_text + s->mid_pos, left);
    s->mid_pos = 0;
    s->mid_bytes = left;
    VM_TRY(unpack_read(&s->unpack, s->packed_text + left, UNPACK_CHUNK - left, &got, err));
    s->mid_bytes += got;
    s->mid_ended = got == 0;
    return VECMILL_OK;
}

/* The first bytes decide. */
static vecmill_status intake_begin(struct intake *s, vecmill_err *err)
{
    enum encoding_kind kind = ENCODING_UTF8;
    VM_TRY(unpack_begin(&s->unpack, s->waits, err));
    while (!s->mid_ended && s->mid_bytes < SNIFF_BYTES &&
           !(s->waits && sniff_is_enough(s->packed_text, s->mid_bytes)))
        VM_TRY(fill_mid(s, err));
    const struct sniff_magic *magic = sniff_magic(s->packed_text, s->mid_bytes);
    if (magic != NULL) return unpack_refuse(s->name, magic, " inside gzip", err);
    VM_TRY(choose_encoding(s, s->packed_text, s->mid_bytes, &kind, err));
    s->decoder.kind = kind;
    return VECMILL_OK;
}

/* ---- text ---- */

/* Decoded bytes; *got == 0 at the end. */
static vecmill_status intake_decode(struct intake *s, unsigned char *out, size_t room, size_t *got,
                                    vecmill_err *err)
{
    if (s->decoder.kind == ENCODING_UTF8) { /* as it is */
        const size_t n = num_min(s->mid_bytes - s->mid_pos, room);
        *got = 0;
        if (n == 0) return s->mid_ended ? VECMILL_OK : unpack_read(&s->unpack, out, room, got, err);
        memcpy(out, s->packed_text + s->mid_pos, n);
        s->mid_pos += n;
        *got = n;
        return VECMILL_OK;
    }
    for (;;) {
        size_t taken = 0;
        *got = decoder_run(&s->decoder, s->packed_text + s->mid_pos, s->mid_bytes - s->mid_pos,
                           s->mid_ended, &taken, out, room);
        s->mid_pos += taken;
        if (*got > 0 || (s->mid_ended && s->mid_pos == s->mid_bytes)) return VECMILL_OK;
        if (!s->mid_ended) VM_TRY(fill_mid(s, err));
    }
}

/* Where CR alone ends lines: makes LF of it, and of CR LF one. Returns the bytes that are left. */
static size_t intake_end_lines(struct intake *s, unsigned char *data, size_t bytes)
{
    size_t kept = 0;
    for (size_t i = 0; i < bytes; i++) {
        const bool is_pair = data[i] == '\n' && s->after_cr;
        s->after_cr = data[i] == '\r';
        if (!is_pair) data[kept++] = data[i] == '\r' ? '\n' : data[i];
    }
    return kept;
}

/* More text after what there is. */
static vecmill_status intake_fill(struct intake *s, vecmill_err *err)
{
    size_t got = 0;
    VM_TRY(intake_decode(s, s->data + s->bytes, INTAKE_CHUNK - s->bytes, &got, err));
    s->ended = got == 0;
    if (s->cr_ends) got = intake_end_lines(s, s->data + s->bytes, got);
    s->bytes += got;
    if (s->ended && s->unpack.has_rest)
        err_set(&s->warning, VECMILL_E_INPUT,
                "%s holds bytes behind its last gzip member, at offset %llu, that are none; they "
                "are passed over",
                s->name, (unsigned long long)s->unpack.raw_taken);
    return VECMILL_OK;
}

/* A text whose first INTAKE_CHUNK bytes have CR and no LF has lines as of old Macintoshes. */
static vecmill_status intake_start(struct intake *s, vecmill_err *err)
{
    VM_TRY(intake_begin(s, err));
    bool has_lf = false;
    for (size_t seen = 0; !has_lf && !s->ended && INTAKE_CHUNK - s->bytes >= DECODER_ROOM;) {
        VM_TRY(intake_fill(s, err));
        has_lf = memchr(s->data + seen, '\n', s->bytes - seen) != NULL;
        seen = s->bytes;
    }
    s->started = true;
    if (s->bytes >= 3 && memcmp(s->data, "\xEF\xBB\xBF", 3) == 0) s->pos = 3;
    s->cr_ends = !has_lf && s->bytes > 0 && memchr(s->data, '\r', s->bytes) != NULL;
    if (s->cr_ends) s->bytes = intake_end_lines(s, s->data, s->bytes);
    return VECMILL_OK;
}

vecmill_status intake_peek(struct intake *s, const unsigned char **data, size_t *bytes,
                           vecmill_err *err)
{
    if (!s->started) VM_TRY(intake_start(s, err));
    while (s->pos == s->bytes && !s->ended) {
        s->pos = s->bytes = 0;
        VM_TRY(intake_fill(s, err));
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
