/* texts: see texts.h. */
#include "texts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define TEXTS_MAX ((size_t)1 << 30)

static void die(const char *program, const char *why)
{
    fprintf(stderr, "%s: %s\n", program, why);
    exit(1);
}

struct texts texts_read(const char *program, const char *path)
{
    struct buf b;
    struct texts t = {0};
    void *memory;
    vecmill_err err;
    buf_init(&b, TEXTS_MAX, "TEXTS_MAX");
    if (io_read_file(path, &b, VECMILL_E_INPUT, VECMILL_E_INPUT, &err) != VECMILL_OK)
        die(program, err.message);
    for (size_t i = 0; i < b.bytes; i++)
        t.n += b.data[i] == '\n';
    if (t.n == 0) die(program, "the file of texts has no lines");
    if (mem_new_array(t.n, sizeof *t.docs, "texts", &memory, &err) != VECMILL_OK)
        die(program, err.message);
    t.docs = memory;
    const char *line = b.data;
    for (size_t i = 0; i < t.n; i++) {
        const char *end = memchr(line, '\n', b.bytes - (size_t)(line - b.data));
        t.docs[i] = (vecmill_doc){.text = line, .bytes = (size_t)(end - line)};
        line = end + 1;
    }
    return t;
}
