#include "cur.h"

#include <string.h>

void cur_init(struct cur *c, const void *data, size_t bytes)
{
    *c = (struct cur){.data = data, .bytes = bytes};
}

size_t cur_left(const struct cur *c)
{
    return c->bytes - c->pos;
}

const void *cur_take(struct cur *c, size_t bytes)
{
    if (c->failed || bytes > c->bytes - c->pos) {
        c->failed = true;
        return NULL;
    }
    const void *here = c->data + c->pos;
    c->pos += bytes;
    return here;
}

void cur_skip(struct cur *c, size_t bytes)
{
    (void)cur_take(c, bytes);
}

/* The next `bytes` (at most 8) as a little-endian number. */
static uint64_t little(struct cur *c, size_t bytes)
{
    const unsigned char *p = cur_take(c, bytes);
    uint64_t v = 0;
    if (!p) return 0;
    for (size_t i = 0; i < bytes; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

uint8_t cur_u8(struct cur *c)
{
    return (uint8_t)little(c, 1);
}

uint16_t cur_u16(struct cur *c)
{
    return (uint16_t)little(c, 2);
}

uint32_t cur_u32(struct cur *c)
{
    return (uint32_t)little(c, 4);
}

uint64_t cur_u64(struct cur *c)
{
    return little(c, 8);
}

void cur_put_u32(unsigned char *out, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (unsigned char)(value >> (8 * i));
    }
}

void cur_put_u64(unsigned char *out, uint64_t value)
{
    cur_put_u32(out, (uint32_t)value);
    cur_put_u32(out + 4, (uint32_t)(value >> 32));
}
