/* encode_words TOKENIZER_JSON: the pieces of words from standard input, by the file's model alone, for
 * tools/diff_models.py.
 *
 * In: { u32 bytes, word } for each word, valid UTF-8 and not empty. Out: { u32 n, n times { u32 id,
 * start, end } }. Little-endian. Ends with the input. With a second argument N it encodes all words N
 * times and prints instead the words, bytes, pieces and seconds of processor time of the fastest
 * time. */
#include "model_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WORDS_BYTES_MAX (512u << 20)

static bool write_pieces(struct model_kit *k, const char *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        const struct model_piece *pieces;
        uint32_t n, n_pieces;
        if (bytes - at < sizeof n) return false;
        memcpy(&n, data + at, sizeof n);
        at += sizeof n;
        if (n == 0 || n > bytes - at || !utf8_valid(data + at, n)) return false;
        n_pieces = (uint32_t)model_kit_encode(k, data + at, n, &pieces);
        at += n;
        if (fwrite(&n_pieces, sizeof n_pieces, 1, stdout) != 1 ||
            fwrite(pieces, sizeof *pieces, n_pieces, stdout) != n_pieces)
            return false;
    }
    return fflush(stdout) == 0;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void measure(struct model_kit *k, const char *data, size_t bytes, int times)
{
    double best = 1e9;
    size_t n_words = 0, n_pieces = 0;
    for (int i = 0; i < times; i++) {
        const double begin = seconds();
        n_words = n_pieces = 0;
        for (size_t at = 0; bytes - at > sizeof(uint32_t);) {
            const struct model_piece *pieces;
            uint32_t n;
            memcpy(&n, data + at, sizeof n);
            at += sizeof n;
            n_pieces += model_kit_encode(k, data + at, n, &pieces);
            at += n;
            n_words++;
        }
        const double took = seconds() - begin;
        best = took < best ? took : best;
    }
    printf("%zu words %zu bytes %zu pieces %.6f s\n", n_words, bytes - n_words * sizeof(uint32_t),
           n_pieces, best);
}

int main(int argc, char **argv)
{
    struct buf file;
    struct model_kit k;
    vecmill_err err;
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: encode_words TOKENIZER_JSON [N]\n");
        return 2;
    }
    buf_init(&file, TEXT_FILE_MAX, "TEXT_FILE_MAX");
    if (io_read_file(argv[1], &file, VECMILL_E_MODEL, VECMILL_E_MODEL, &err) != VECMILL_OK ||
        model_kit_open(&k, file.data, file.bytes, &err) != VECMILL_OK) {
        fprintf(stderr, "encode_words: %s\n", err.message);
        return 9;
    }
    buf_done(&file);
    char *data = malloc(WORDS_BYTES_MAX);
    const size_t bytes = data ? fread(data, 1, WORDS_BYTES_MAX, stdin) : 0;
    bool good = data != NULL;
    if (good && argc == 3)
        measure(&k, data, bytes, atoi(argv[2]));
    else if (good)
        good = write_pieces(&k, data, bytes);
    if (!good) fprintf(stderr, "encode_words: bad input, output or memory\n");
    free(data);
    model_kit_done(&k);
    return good ? 0 : 1;
}
