/* needs: dep_text */
/* tokenizer.json from anywhere: it is refused, or gives a section that opens and encodes. An input that
 * begins with '{' is tokenizer.json; any other is vocab.txt, and what follows a NUL in it
 * tokenizer_config.json. */
#include "text/text.h"

#include <stdlib.h>
#include <string.h>

#define SECTION_BYTES_MAX (8u << 20)
#define MAX_TOKENS        64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void use(const struct buf *section)
{
    static const char sample[] = "[CLS] ab\xCC\x81 \xE4\xB8\xAD"
                                 "foo, \xFF [MASK] ##b X";
    struct text text;
    if (text_open(section->data, section->bytes, &text, NULL) != VECMILL_OK) abort();
    if (text.n_specials >= MAX_TOKENS) abort();
    int32_t ids[MAX_TOKENS];
    struct text_result r;
    void *scratch = aligned_alloc(64, num_up(text_scratch_bytes(&text), 64) + 64);
    if (!scratch) abort();
    text_encode(&text, scratch, sample, sizeof sample - 1, MAX_TOKENS, ids, &r);
    free(scratch);
    for (uint32_t i = 0; i < r.n_ids; i++) {
        size_t n;
        if (!text_token(&text, ids[i], &n)) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct text_files files = {0};
    if (bytes && data[0] == '{') {
        files.json = (const char *)data;
        files.json_bytes = bytes;
    } else {
        const uint8_t *nul = bytes ? memchr(data, 0, bytes) : NULL;
        files.vocab = data ? (const char *)data : "";
        files.vocab_bytes = nul ? (size_t)(nul - data) : bytes;
        if (nul) {
            files.config = (const char *)nul + 1;
            files.config_bytes = bytes - files.vocab_bytes - 1;
        }
    }
    struct buf section;
    vecmill_err err;
    buf_init(&section, SECTION_BYTES_MAX, "SECTION_BYTES_MAX");
    vecmill_status status = text_compile_bytes(&files, &section, &err);
    if (status == VECMILL_OK)
        use(&section);
    else if (section.bytes != 0 || err.status != status || !err.message[0])
        abort();
    buf_done(&section);
    return 0;
}
