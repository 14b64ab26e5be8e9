/* unpack: see unpack.h. */
#include "unpack.h"

#include <string.h>

/* inflate keeps about 7 kB of state and a window of 32 kB (zconf.h of zlib 1.2.13 says both). */
#define UNPACK_Z_BYTES ((size_t)64 << 10)

#define GZIP_WINDOW_BITS (15 + 16) /* zlib.h: the largest window, gzip header required */

void unpack_layout(struct unpack *u, struct arena *a)
{
    u->raw = arena_take(a, UNPACK_CHUNK, 64);
    void *z = arena_take(a, UNPACK_Z_BYTES, 64);
    if (z != NULL) arena_init(&u->z_arena, z, UNPACK_Z_BYTES);
}

static voidpf z_alloc(voidpf arena, uInt n, uInt size)
{
    return arena_take_array(arena, n, size, 16);
}

/* The arena goes as a whole. */
static void z_free(voidpf arena, voidpf memory)
{
    (void)arena;
    (void)memory;
}

/* Reads after what is unread in raw, which is full then or has grown, or the file is at its end. */
static vecmill_status fill(struct unpack *u, vecmill_err *err)
{
    size_t got = 0;
    if (u->raw_pos == u->raw_bytes) u->raw_pos = u->raw_bytes = 0;
    if (u->raw_ended || u->raw_bytes == UNPACK_CHUNK) return VECMILL_OK;
    VM_TRY(u->read(u->source, u->raw + u->raw_bytes, UNPACK_CHUNK - u->raw_bytes, &got, err));
    u->raw_bytes += got;
    u->raw_ended = got == 0;
    return VECMILL_OK;
}

vecmill_status unpack_refuse(const char *name, const struct sniff_magic *magic, const char *inside,
                             vecmill_err *err)
{
    return err_set(err, VECMILL_E_INPUT, "%s: is %s%s, not text%s%s", name, magic->what, inside,
                   magic->advice[0] != 0 ? "; " : "", magic->advice);
}

static vecmill_status begin_gzip(struct unpack *u, vecmill_err *err)
{
    u->z.zalloc = z_alloc;
    u->z.zfree = z_free;
    u->z.opaque = &u->z_arena;
    const int z = inflateInit2(&u->z, GZIP_WINDOW_BITS);
    if (z != Z_OK) return err_set(err, VECMILL_E_INTERNAL, "cannot start zlib: error %d", z);
    u->is_gzip = u->z_open = true;
    return VECMILL_OK;
}

vecmill_status unpack_begin(struct unpack *u, bool waits, vecmill_err *err)
{
    while (!u->raw_ended && u->raw_bytes < SNIFF_BYTES &&
           !(waits && sniff_is_enough(u->raw, u->raw_bytes)))
        VM_TRY(fill(u, err));
    const struct sniff_magic *magic = sniff_magic(u->raw, u->raw_bytes);
    if (magic != NULL && magic->kind == SNIFF_GZIP) return begin_gzip(u, err);
    /* Less than a header, cut off. */
    const bool is_cut = u->raw_bytes == 2 || (u->raw_bytes == 1 && u->says == UNPACK_GZIP);
    if (is_cut && memcmp(u->raw, "\x1F\x8B", u->raw_bytes) == 0) return begin_gzip(u, err);
    if (magic != NULL) return unpack_refuse(u->name, magic, "", err);
    if (u->says == UNPACK_GZIP && u->raw_bytes == 0)
        return err_set(err, VECMILL_E_INPUT, "%s: is empty, not a gzip file", u->name);
    if (u->says == UNPACK_GZIP)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: is not gzip, as its name or --input-format says; name what it is, as "
                       "--input-format txt",
                       u->name);
    return VECMILL_OK;
}

void unpack_close(struct unpack *u)
{
    if (u->z_open) inflateEnd(&u->z);
    u->z_open = false;
}

/* Between members: begins the next one, or finds the end, for which padding of zeros and bytes that are no
 * member count too, as for gzip(1). */
static vecmill_status next_member(struct unpack *u, bool *end, vecmill_err *err)
{
    const bool is_first = u->raw_taken == 0;
    *end = true;
    for (;;) {
        while (u->raw_pos < u->raw_bytes && u->raw[u->raw_pos] == 0 && !is_first) {
            u->raw_pos++;
            u->raw_taken++;
        }
        if (u->raw_bytes - u->raw_pos >= 2 || u->raw_ended) break;
        if (u->raw_pos > 0) { /* one byte of two: room for the other */
            memmove(u->raw, u->raw + u->raw_pos, u->raw_bytes - u->raw_pos);
            u->raw_bytes -= u->raw_pos;
            u->raw_pos = 0;
        }
        VM_TRY(fill(u, err));
    }
    const size_t left = u->raw_bytes - u->raw_pos;
    if (left == 0) return VECMILL_OK;
    const bool is_member =
        u->raw[u->raw_pos] == 0x1F && (left < 2 || u->raw[u->raw_pos + 1] == 0x8B);
    if (!is_member) {
        u->has_rest = true;
        return VECMILL_OK;
    }
    if (inflateReset(&u->z) != Z_OK)
        return err_set(err, VECMILL_E_INTERNAL, "cannot restart zlib for %s", u->name);
    u->in_member = true;
    *end = false;
    return VECMILL_OK;
}

static vecmill_status inflate_some(struct unpack *u, unsigned char *out, size_t room, size_t *got,
                                   vecmill_err *err)
{
    size_t made = 0;
    while (made == 0 && !u->has_rest) {
        if (!u->in_member) {
            bool end = false;
            VM_TRY(next_member(u, &end, err));
            if (end) break;
        }
        if (u->raw_pos == u->raw_bytes) VM_TRY(fill(u, err));
        if (u->raw_pos == u->raw_bytes)
            return err_set(err, VECMILL_E_INPUT,
                           "%s: is cut off, it ends at byte %llu inside a gzip member", u->name,
                           (unsigned long long)u->raw_taken);
        const size_t left = u->raw_bytes - u->raw_pos;
        u->z.next_in = u->raw + u->raw_pos;
        u->z.avail_in = (uInt)left;
        u->z.next_out = out;
        u->z.avail_out = (uInt)room;
        const int z = inflate(&u->z, Z_NO_FLUSH);
        const size_t taken = left - u->z.avail_in;
        u->raw_pos += taken;
        u->raw_taken += taken;
        made = room - u->z.avail_out;
        if (z == Z_STREAM_END)
            u->in_member = false;
        else if (z != Z_OK && z != Z_BUF_ERROR)
            return err_set(err, VECMILL_E_INPUT, "%s: is not valid gzip at byte %llu: %s", u->name,
                           (unsigned long long)u->raw_taken,
                           u->z.msg != NULL ? u->z.msg : "needs a preset dictionary");
    }
    *got = made;
    return VECMILL_OK;
}

vecmill_status unpack_read(struct unpack *u, void *out, size_t room, size_t *got, vecmill_err *err)
{
    if (u->is_gzip) return inflate_some(u, out, room, got, err);
    const size_t n = num_min(u->raw_bytes - u->raw_pos, room);
    *got = 0;
    if (n == 0 && u->raw_ended) return VECMILL_OK;
    if (n == 0) return u->read(u->source, out, room, got, err);
    memcpy(out, u->raw + u->raw_pos, n);
    u->raw_pos += n;
    *got = n;
    return VECMILL_OK;
}
