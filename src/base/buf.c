/* buf: doubles, so that n bytes cost O(n). */
#include "buf.h"

#include "alloc.h"
#include "num.h"

#include <string.h>

void buf_init(struct buf *b, size_t most, const char *name)
{
    *b = (struct buf){.most = most, .name = name};
}

void buf_done(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.most = b->most, .name = b->name};
}

void buf_clear(struct buf *b)
{
    b->bytes = 0;
}

vecmill_status buf_reserve(struct buf *b, size_t bytes, vecmill_err *err)
{
    if (bytes > b->most - b->bytes) {
        return err_set(err, VECMILL_E_LIMIT, "%zu bytes and %zu more are over the maximum %s, %zu",
                       b->bytes, bytes, b->name, b->most);
    }
    size_t want = b->bytes + bytes;
    if (want <= b->capacity) return VECMILL_OK;
    size_t capacity = b->capacity > b->most / 2 ? b->most : num_max(b->capacity * 2, 256);
    capacity = num_min(num_max(capacity, want), b->most);
    char *data = mem_regrow(b->data, capacity);
    if (!data) {
        return err_set(err, VECMILL_E_MEMORY, "no memory for %zu bytes (maximum %s)", capacity,
                       b->name);
    }
    b->data = data;
    b->capacity = capacity;
    return VECMILL_OK;
}

vecmill_status buf_add(struct buf *b, const void *data, size_t bytes, vecmill_err *err)
{
    if (bytes == 0) return VECMILL_OK;
    VM_TRY(buf_reserve(b, bytes, err));
    memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
    return VECMILL_OK;
}

vecmill_status buf_add_string(struct buf *b, const char *text, vecmill_err *err)
{
    return buf_add(b, text, strlen(text), err);
}

vecmill_status buf_terminate(struct buf *b, vecmill_err *err)
{
    VM_TRY(buf_reserve(b, 1, err));
    b->data[b->bytes] = '\0';
    return VECMILL_OK;
}
