/* intake: bytes of the file -> unpacked bytes -> UTF-8 -> lines that end in LF. Each step asks the one
 * before it for more. Any of them may return INTAKE_AGAIN, so what a step has read is in the struct, not on
 * the stack. */
#include "intake.h"

#include "sniff.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define TEXT_CHUNK ((size_t)256 << 10)
#define RAW_CHUNK  ((size_t)64 << 10)

/* inflate keeps about 7 kB of state and a window of 32 kB (zconf.h of zlib 1.2.13 says both). */
#define Z_BYTES ((size_t)64 << 10)

#define GZIP_WINDOW_BITS (15 + 16) /* zlib.h: the largest window, gzip header required */

/* The stop flag is checked this often while a writer is waited for without limit. */
#define WAIT_MS 100

/* ---- opening ---- */

void intake_layout(struct intake *s, struct arena *a)
{
    s->data = arena_take(a, TEXT_CHUNK, 64);
    s->packed_text = arena_take(a, RAW_CHUNK, 64);
    s->raw = arena_take(a, RAW_CHUNK, 64);
    void *z = arena_take(a, Z_BYTES, 64);
    if (z != NULL) arena_init(&s->z_arena, z, Z_BYTES);
}

size_t intake_heap_bytes(const char *encoding)
{
    enum encoding_kind kind;
    const bool is_known = encoding_find(encoding, &kind, NULL) == VECMILL_OK;
    return is_known && kind == ENCODING_OTHER ? ENCODING_ICONV_BYTES : 0;
}

static bool intake_is_stopped(const struct intake *s)
{
    return s->stop != NULL && atomic_load(s->stop) != 0;
}

static vecmill_status open_path(struct intake *s, vecmill_err *err)
{
    if (!s->owns_fd) s->fd = STDIN_FILENO;
    while (s->fd < 0) { /* a FIFO without a writer is waited for, until a signal */
        s->fd = open(s->hints.path, O_RDONLY | O_CLOEXEC);
        if (s->fd >= 0 || errno != EINTR) break;
        if (intake_is_stopped(s))
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

vecmill_status intake_open(struct intake *s, const struct intake_hints *hints,
                           const atomic_int *stop, vecmill_err *err)
{
    enum encoding_kind kind;
    s->fd = -1;
    VM_TRY(encoding_find(hints->encoding, &kind, err));
    s->hints = *hints;
    s->stop = stop;
    s->wait_ms = INTAKE_FOREVER;
    s->owns_fd = strcmp(hints->path, "-") != 0;
    s->name = s->owns_fd ? hints->path : "standard input";
    /* The encoding that was named; begin_decoding may choose another. */
    vecmill_status status = VECMILL_OK;
    if (kind == ENCODING_OTHER)
        status = decoder_open(&s->decoder, kind, hints->encoding, err);
    else
        s->decoder.kind = kind;
    if (status == VECMILL_OK) status = open_path(s, err);
    if (status != VECMILL_OK) intake_close(s);
    return status;
}

void intake_close(struct intake *s)
{
    if (s->z_open) inflateEnd(&s->z);
    s->z_open = false;
    decoder_close(&s->decoder);
    XXH3_freeState(s->hash);
    s->hash = NULL;
    if (s->owns_fd && s->fd >= 0) close(s->fd);
    s->owns_fd = false;
    s->fd = -1;
}

/* ---- bytes of the file ---- */

static vecmill_status wait_for_writer(struct intake *s, vecmill_err *err)
{
    const bool is_forever = s->wait_ms == INTAKE_FOREVER;
    do {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        const int n = poll(&p, 1, is_forever ? WAIT_MS : (int)s->wait_ms);
        if (n > 0 || (n < 0 && errno != EINTR)) return VECMILL_OK; /* read reports what fails */
        if (intake_is_stopped(s))
            return err_set(err, VECMILL_E_STOPPED, "stopped while reading %s", s->name);
    } while (is_forever);
    return INTAKE_AGAIN;
}

/* One read of the file. *got == 0 at its end. */
static vecmill_status read_raw(struct intake *s, void *out, size_t room, size_t *got,
                               vecmill_err *err)
{
    for (;;) {
        if (intake_is_stopped(s))
            return err_set(err, VECMILL_E_STOPPED, "stopped while reading %s", s->name);
        if (s->waits) VM_TRY(wait_for_writer(s, err));
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

/* More bytes into raw, unless it is full or the file is at its end. */
static vecmill_status fill_raw(struct intake *s, vecmill_err *err)
{
    size_t got = 0;
    if (s->raw_pos == s->raw_bytes) s->raw_pos = s->raw_bytes = 0;
    if (s->raw_ended || s->raw_bytes == RAW_CHUNK) return VECMILL_OK;
    VM_TRY(read_raw(s, s->raw + s->raw_bytes, RAW_CHUNK - s->raw_bytes, &got, err));
    s->raw_bytes += got;
    s->raw_ended = got == 0;
    return VECMILL_OK;
}

/* ---- unpacking ---- */

static voidpf z_alloc(voidpf arena, uInt n, uInt size)
{
    return arena_take_array(arena, n, size, 16);
}

/* The arena is freed as a whole. */
static void z_free(voidpf arena, voidpf memory)
{
    (void)arena;
    (void)memory;
}

static vecmill_status begin_gzip(struct intake *s, vecmill_err *err)
{
    s->z.zalloc = z_alloc;
    s->z.zfree = z_free;
    s->z.opaque = &s->z_arena;
    const int z = inflateInit2(&s->z, GZIP_WINDOW_BITS);
    if (z != Z_OK) return err_set(err, VECMILL_E_INTERNAL, "cannot start zlib: error %d", z);
    s->is_gzip = s->z_open = true;
    return VECMILL_OK;
}

/* Decides by the first bytes how the file is packed. Of a stream, only as many are awaited as are needed. */
static vecmill_status begin_unpacking(struct intake *s, vecmill_err *err)
{
    while (!s->raw_ended && s->raw_bytes < SNIFF_BYTES &&
           !(s->waits && sniff_is_enough(s->raw, s->raw_bytes)))
        VM_TRY(fill_raw(s, err));
    const struct sniff_magic *magic = sniff_magic(s->raw, s->raw_bytes);
    if (magic != NULL && magic->kind == SNIFF_GZIP) return begin_gzip(s, err);
    /* A header that is cut off. */
    const bool is_cut = s->raw_bytes == 2 || (s->raw_bytes == 1 && s->hints.is_gzip);
    if (is_cut && memcmp(s->raw, "\x1F\x8B", s->raw_bytes) == 0) return begin_gzip(s, err);
    if (magic != NULL) return sniff_refuse(s->name, magic, "", err);
    if (s->hints.is_gzip && s->raw_bytes == 0)
        return err_set(err, VECMILL_E_INPUT, "%s: is empty, not a gzip file", s->name);
    if (s->hints.is_gzip)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: is not gzip, as its name or --input-format says; name what it is, as "
                       "--input-format txt",
                       s->name);
    return VECMILL_OK;
}

/* Between members: begins the next one, or finds the end. Zeros are padding, and bytes that are no member
 * are the end too, as for gzip(1). */
static vecmill_status next_member(struct intake *s, bool *end, vecmill_err *err)
{
    const bool is_first = s->raw_taken == 0;
    *end = true;
    for (;;) {
        while (s->raw_pos < s->raw_bytes && s->raw[s->raw_pos] == 0 && !is_first) {
            s->raw_pos++;
            s->raw_taken++;
        }
        if (s->raw_bytes - s->raw_pos >= 2 || s->raw_ended) break;
        if (s->raw_pos > 0) { /* one byte of two: room for the other */
            memmove(s->raw, s->raw + s->raw_pos, s->raw_bytes - s->raw_pos);
            s->raw_bytes -= s->raw_pos;
            s->raw_pos = 0;
        }
        VM_TRY(fill_raw(s, err));
    }
    const size_t left = s->raw_bytes - s->raw_pos;
    if (left == 0) return VECMILL_OK;
    const bool is_member =
        s->raw[s->raw_pos] == 0x1F && (left < 2 || s->raw[s->raw_pos + 1] == 0x8B);
    if (!is_member) {
        s->has_rest = true;
        return VECMILL_OK;
    }
    if (inflateReset(&s->z) != Z_OK)
        return err_set(err, VECMILL_E_INTERNAL, "cannot restart zlib for %s", s->name);
    s->in_member = true;
    *end = false;
    return VECMILL_OK;
}

static vecmill_status read_gzip(struct intake *s, unsigned char *out, size_t room, size_t *got,
                                vecmill_err *err)
{
    size_t made = 0;
    while (made == 0 && !s->has_rest) {
        if (!s->in_member) {
            bool end = false;
            VM_TRY(next_member(s, &end, err));
            if (end) break;
        }
        if (s->raw_pos == s->raw_bytes) VM_TRY(fill_raw(s, err));
        if (s->raw_pos == s->raw_bytes)
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

/* The next bytes, unpacked; *got == 0 at the end. */
static vecmill_status read_unpacked(struct intake *s, void *out, size_t room, size_t *got,
                                    vecmill_err *err)
{
    if (s->is_gzip) return read_gzip(s, out, room, got, err);
    const size_t n = num_min(s->raw_bytes - s->raw_pos, room);
    *got = 0;
    if (n == 0 && s->raw_ended) return VECMILL_OK;
    if (n == 0) return read_raw(s, out, room, got, err);
    memcpy(out, s->raw + s->raw_pos, n);
    s->raw_pos += n;
    *got = n;
    return VECMILL_OK;
}

/* More unpacked bytes after those that are not yet decoded. */
static vecmill_status fill_mid(struct intake *s, vecmill_err *err)
{
    size_t got = 0;
    const size_t left = s->mid_bytes - s->mid_pos;
    memmove(s->packed_text, s->packed_text + s->mid_pos, left);
    s->mid_pos = 0;
    s->mid_bytes = left;
    VM_TRY(read_unpacked(s, s->packed_text + left, RAW_CHUNK - left, &got, err));
    s->mid_bytes += got;
    s->mid_ended = got == 0;
    return VECMILL_OK;
}

/* ---- decoding ---- */

/* Whether a mark's encoding is one that the name allows. */
static bool mark_fits_name(enum encoding_kind named, enum encoding_kind mark)
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
        !mark_fits_name(named, mark))
        return err_set(err, VECMILL_E_INPUT,
                       "%s: begins with the byte order mark of %s, and --encoding is %s; without "
                       "it the mark counts",
                       s->name, encoding_words(mark), s->hints.encoding);
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

/* Decides by the first unpacked bytes how the text is encoded. */
static vecmill_status begin_decoding(struct intake *s, vecmill_err *err)
{
    enum encoding_kind kind = ENCODING_UTF8;
    while (!s->mid_ended && s->mid_bytes < SNIFF_BYTES &&
           !(s->waits && sniff_is_enough(s->packed_text, s->mid_bytes)))
        VM_TRY(fill_mid(s, err));
    const struct sniff_magic *magic = sniff_magic(s->packed_text, s->mid_bytes);
    if (magic != NULL) return sniff_refuse(s->name, magic, " inside gzip", err);
    VM_TRY(choose_encoding(s, s->packed_text, s->mid_bytes, &kind, err));
    s->decoder.kind = kind;
    return VECMILL_OK;
}

/* Decoded bytes; *got == 0 at the end. */
static vecmill_status read_decoded(struct intake *s, unsigned char *out, size_t room, size_t *got,
                                   vecmill_err *err)
{
    if (s->decoder.kind == ENCODING_UTF8) { /* as it is */
        const size_t n = num_min(s->mid_bytes - s->mid_pos, room);
        *got = 0;
        if (n == 0) return s->mid_ended ? VECMILL_OK : read_unpacked(s, out, room, got, err);
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

/* ---- text ---- */

/* Where CR alone ends lines: CR and CR LF become LF. Returns the bytes that are left. */
static size_t end_lines_with_lf(struct intake *s, unsigned char *data, size_t bytes)
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
static vecmill_status fill_text(struct intake *s, vecmill_err *err)
{
    size_t got = 0;
    VM_TRY(read_decoded(s, s->data + s->bytes, TEXT_CHUNK - s->bytes, &got, err));
    s->ended = got == 0;
    if (s->cr_ends) got = end_lines_with_lf(s, s->data + s->bytes, got);
    s->bytes += got;
    if (s->ended && s->has_rest)
        err_set(&s->warning, VECMILL_E_INPUT,
                "%s holds bytes behind its last gzip member, at offset %llu, that are none; they "
                "are passed over",
                s->name, (unsigned long long)s->raw_taken);
    return VECMILL_OK;
}

/* A text whose first TEXT_CHUNK bytes have CR and no LF has lines as of old Macintoshes. */
static vecmill_status begin_lines(struct intake *s, vecmill_err *err)
{
    while (s->searched == s->bytes && !s->ended && TEXT_CHUNK - s->bytes >= DECODER_ROOM) {
        VM_TRY(fill_text(s, err));
        /* Up to the first LF, which ends the search. */
        const unsigned char *end = s->bytes > s->searched
                                       ? memchr(s->data + s->searched, '\n', s->bytes - s->searched)
                                       : NULL;
        s->searched = end != NULL ? (size_t)(end - s->data) : s->bytes;
    }
    const bool has_lf = s->searched < s->bytes;
    if (s->bytes >= 3 && memcmp(s->data, "\xEF\xBB\xBF", 3) == 0) s->pos = 3;
    s->cr_ends = !has_lf && s->bytes > 0 && memchr(s->data, '\r', s->bytes) != NULL;
    if (s->cr_ends) s->bytes = end_lines_with_lf(s, s->data, s->bytes);
    return VECMILL_OK;
}

/* Each step may return INTAKE_AGAIN and is then repeated; a step that was finished is not. */
static vecmill_status begin_text(struct intake *s, vecmill_err *err)
{
    if (!s->knows_packing) VM_TRY(begin_unpacking(s, err));
    s->knows_packing = true;
    if (!s->knows_encoding) VM_TRY(begin_decoding(s, err));
    s->knows_encoding = true;
    VM_TRY(begin_lines(s, err));
    s->knows_line_ends = true;
    return VECMILL_OK;
}

vecmill_status intake_peek(struct intake *s, const unsigned char **data, size_t *bytes,
                           vecmill_err *err)
{
    if (!s->knows_line_ends) VM_TRY(begin_text(s, err));
    while (s->pos == s->bytes && !s->ended) {
        s->pos = s->bytes = 0;
        VM_TRY(fill_text(s, err));
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
