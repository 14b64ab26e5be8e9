/* needs: dep_model */
/* Any bytes as a safetensors file, or as the JSON of one.
 *
 * Input: 'F', then a whole file; or anything else, a u16 of data bytes, then a header's JSON, around
 * which the frame is built so that mutations of the JSON still have a right length. Checks what
 * safetensors.h promises of a header that was accepted. */
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool promise)
{
    if (!promise) abort();
}

static void check_tensors(const struct tensor_file *st, uint64_t data_bytes)
{
    uint64_t pos = 0;
    for (uint32_t i = 0; i < st->n_tensors; i++) {
        const struct tensor *t = &st->tensors[i];
        uint64_t elements = 1;
        check(t->begin == pos && t->begin <= t->end && t->end <= data_bytes);
        check(t->rank <= TENSOR_RANK_MAX && t->dtype < TENSOR_DTYPES_COUNT);
        for (uint32_t k = 0; k < t->rank; k++) {
            check(!__builtin_mul_overflow(elements, t->shape[k], &elements));
        }
        check(elements == t->elements);
        check(tensor_file_find(st, t->name) == t);
        pos = t->end;

        char text[TENSOR_SHAPE_TEXT];
        tensor_shape_text(t->shape, t->rank, text);
        check(strlen(text) < sizeof(text));
    }
    check(pos == data_bytes);
}

/* The values of a file that is wholly here, as tensor_read widens them. */
static void widen_all(const struct tensor_file *st, const uint8_t *values)
{
    float out[16];
    for (uint32_t i = 0; i < st->n_tensors; i++) {
        const struct tensor *t = &st->tensors[i];
        if (t->dtype > TENSOR_BF16 || t->elements == 0) continue;
        size_t n = t->elements < 16 ? (size_t)t->elements : 16;
        tensor_widen(t->dtype, values + t->begin, n, out);
    }
}

static void parse_file(const uint8_t *file, size_t bytes)
{
    struct tensor_file st;
    if (safetensors_parse(file, bytes, bytes, "fuzz", &st, NULL) != VECMILL_OK) return;
    check_tensors(&st, bytes - st.data_at);
    widen_all(&st, file + st.data_at);
    tensor_file_close(&st);
}

static void parse_json(const uint8_t *json, size_t bytes, uint64_t data_bytes)
{
    struct tensor_file st;
    vecmill_err err;
    uint8_t *head = (uint8_t *)malloc(8 + bytes);
    check(head != NULL);
    for (int i = 0; i < 8; i++) {
        head[i] = (uint8_t)((uint64_t)bytes >> (8 * i));
    }
    if (bytes) memcpy(head + 8, json, bytes);
    vecmill_status status =
        safetensors_parse(head, 8 + bytes, 8 + bytes + data_bytes, "fuzz", &st, &err);
    free(head);
    if (status != VECMILL_OK) {
        check(status == VECMILL_E_MODEL && err.message[0] != 0);
        return;
    }
    check_tensors(&st, data_bytes);
    tensor_file_close(&st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes >= 1 && data[0] == 'F') {
        parse_file(data + 1, bytes - 1);
    } else if (bytes >= 3) {
        parse_json(data + 3, bytes - 3, data[1] | (uint64_t)data[2] << 8);
    }
    return 0;
}
