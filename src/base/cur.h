/* cur: a cursor over untrusted bytes.
 *
 * Never reads outside; compares by subtraction. The first failure sticks: from then on every read
 * gives zero and moves nothing, so a parser checks once at the end of a record. */
#ifndef BASE_CUR_H
#define BASE_CUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cur {
    const unsigned char *data;
    size_t bytes;
    size_t pos;
    bool failed; /* a read went past the end; pos is where it began */
};

void cur_init(struct cur *c, const void *data, size_t bytes);
size_t cur_left(const struct cur *c);
uint8_t cur_u8(struct cur *c);
uint16_t cur_u16(struct cur *c); /* little-endian, as all here */
uint32_t cur_u32(struct cur *c);
uint64_t cur_u64(struct cur *c);

/* The next `bytes`, borrowed from the data; NULL when there are fewer. */
const void *cur_take(struct cur *c, size_t bytes);
void cur_skip(struct cur *c, size_t bytes);

/* Writes the same numbers, into 4 and 8 bytes. */
void cur_put_u32(unsigned char *out, uint32_t value);
void cur_put_u64(unsigned char *out, uint64_t value);

#endif
