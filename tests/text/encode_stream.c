/* encode_stream MODEL_DIR [N | pairs]: encodes texts from standard input for tools/diff_tokenizer.py.
 *
 * In: { u32 bytes, u32 max_tokens, text } for each text. Out: { u32 n_ids, u32 truncated,
 * u64 replaced_bytes, i32 ids[n_ids] }. Little-endian. Ends with the input. With N each text is
 * encoded N times, and out is a line "bytes n_ids seconds" for it: processor time of the fastest
 * (tools/time_tokenizer.py). With `pairs`, in: { u32 bytes, u32 bytes, u32 max_tokens, both texts };
 * out: { u32 n_ids, u32 truncated, i32 ids[n_ids], u8 types[n_ids] }. */
#include "text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STREAM_TEXT_MAX   (64u << 20) /* bytes of one text */
#define STREAM_TOKENS_MAX (1u << 20)  /* what max_tokens may be */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int run(const struct text *text, int times)
{
    char *data = malloc(STREAM_TEXT_MAX);
    int32_t *ids = malloc(STREAM_TOKENS_MAX * sizeof *ids);
    void *scratch = aligned_alloc(64, num_up(text_scratch_bytes(text), 64) + 64);
    uint32_t head[2];
    bool good = data && ids && scratch;
    while (good && fread(head, sizeof head, 1, stdin) == 1) {
        good = head[0] <= STREAM_TEXT_MAX && head[1] <= STREAM_TOKENS_MAX &&
               head[1] > text->n_specials && fread(data, 1, head[0], stdin) == head[0];
        if (!good) break;
        struct text_result r;
        double best = 1e9;
        for (int i = 0; i < times || i == 0; i++) {
            const double begin = seconds();
            text_encode(text, scratch, data, head[0], head[1], ids, &r);
            const double took = seconds() - begin;
            best = took < best ? took : best;
        }
        if (times > 0) {
            printf("%u %u %.9f\n", head[0], r.n_ids, best);
            continue;
        }
        const uint32_t out[2] = {r.n_ids, r.truncated};
        good = fwrite(out, sizeof out, 1, stdout) == 1 &&
               fwrite(&r.replaced_bytes, sizeof r.replaced_bytes, 1, stdout) == 1 &&
               fwrite(ids, sizeof *ids, r.n_ids, stdout) == r.n_ids;
    }
    good = good && fflush(stdout) == 0;
    if (!good) fprintf(stderr, "encode_stream: bad input, output or memory\n");
    free(scratch);
    free(ids);
    free(data);
    return good ? 0 : 1;
}

static int run_pairs(const struct text *text)
{
    char *data = malloc(STREAM_TEXT_MAX);
    int32_t *ids = malloc((size_t)3 * STREAM_TOKENS_MAX * sizeof *ids);
    uint8_t *types = malloc(STREAM_TOKENS_MAX);
    void *scratch = aligned_alloc(64, num_up(text_scratch_bytes(text), 64) + 64);
    uint32_t head[3];
    bool good = data && ids && types && scratch && text->takes_pairs;
    while (good && fread(head, sizeof head, 1, stdin) == 1) {
        const size_t bytes = (size_t)head[0] + head[1];
        good = bytes <= STREAM_TEXT_MAX && head[2] <= STREAM_TOKENS_MAX &&
               head[2] > text->n_pair_specials && fread(data, 1, bytes, stdin) == bytes;
        if (!good) break;
        const struct text_part parts[2] = {{data, head[0]}, {data + head[0], head[1]}};
        struct text_result r;
        text_encode_pair(text, scratch, parts, head[2], ids, types, &r);
        const uint32_t out[2] = {r.n_ids, r.truncated};
        good = fwrite(out, sizeof out, 1, stdout) == 1 &&
               fwrite(ids, sizeof *ids, r.n_ids, stdout) == r.n_ids &&
               fwrite(types, 1, r.n_ids, stdout) == r.n_ids;
    }
    good = good && fflush(stdout) == 0;
    if (!good) fprintf(stderr, "encode_stream: bad input, output or memory, or no pairs\n");
    free(scratch);
    free(types);
    free(ids);
    free(data);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: encode_stream MODEL_DIR [N | pairs]\n");
        return 2;
    }
    struct buf section;
    struct text text;
    vecmill_err err;
    buf_init(&section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    int code = 9;
    if (text_compile(argv[1], &section, &err) != VECMILL_OK ||
        text_open(section.data, section.bytes, &text, &err) != VECMILL_OK) {
        fprintf(stderr, "encode_stream: %s\n", err.message);
    } else {
        const bool pairs = argc == 3 && strcmp(argv[2], "pairs") == 0;
        code = pairs ? run_pairs(&text) : run(&text, argc == 3 ? atoi(argv[2]) : 0);
    }
    buf_done(&section);
    return code;
}
