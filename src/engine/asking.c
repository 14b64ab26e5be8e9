#include "engine/asking.h"

#include <string.h>

static uint32_t encode(const struct text *text, void *scratch, const char *words, int32_t *ids,
                       uint32_t most)
{
    struct text_result r;
    text_encode_bare(text, scratch, words, strlen(words), most, ids, &r);
    return r.n_ids;
}

void asking_open(const struct text *text, void *scratch, const struct model_question *q,
                 struct asking *a)
{
    a->n_head = encode(text, scratch, q->head, a->ids, ASKING_TOKENS_MAX / 2);
    a->n_tail = encode(text, scratch, q->tail, a->ids + a->n_head, ASKING_TOKENS_MAX / 2);
}

/* A prompt is the instruction. */
static struct text_part instruction_of(const struct resolved *r, const struct model_question *q)
{
    if (r->prompt_bytes > 0) return (struct text_part){r->prompt, r->prompt_bytes};
    return (struct text_part){q->instruction, strlen(q->instruction)};
}

size_t asking_bytes(const struct resolved *r, const struct model_question *q)
{
    return strlen(q->before_instruction) + instruction_of(r, q).bytes + strlen(q->before_query) +
           strlen(q->before_text) + 2 * (size_t)VECMILL_TEXT_BYTES;
}

static size_t append(char *out, size_t used, const char *data, size_t bytes)
{
    if (bytes > 0) memcpy(out + used, data, bytes);
    return used + bytes;
}

size_t asking_write(const struct resolved *r, const struct model_question *q,
                    const struct text_part parts[2], char *out)
{
    const struct text_part instruction = instruction_of(r, q);
    size_t n = append(out, 0, q->before_instruction, strlen(q->before_instruction));
    n = append(out, n, instruction.data, instruction.bytes);
    n = append(out, n, q->before_query, strlen(q->before_query));
    n = append(out, n, parts[0].data, parts[0].bytes);
    n = append(out, n, q->before_text, strlen(q->before_text));
    return append(out, n, parts[1].data, parts[1].bytes);
}
