#include "hits.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_SHOWN 100u /* characters of it on a line of the terminal */

static bool is_worse(const struct hit *a, const struct hit *b)
{
    if (a->score != b->score) return a->score < b->score;
    return a->row > b->row;
}

static int best_first(const void *a, const void *b)
{
    return is_worse(a, b) - is_worse(b, a);
}

static int by_row(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

static void swap(struct hit *a, struct hit *b)
{
    const struct hit c = *a;
    *a = *b;
    *b = c;
}

static void forget(struct hit *hit)
{
    mem_free(hit->id);
    mem_free(hit->text);
}

void hits_keep(struct hits *h, struct hit hit)
{
    struct hit *heap = h->at;
    size_t i;
    if (h->n < h->top) {
        for (i = h->n++, heap[i] = hit; i > 0; i = (i - 1) / 2) {
            if (!is_worse(&heap[i], &heap[(i - 1) / 2])) return;
            swap(&heap[i], &heap[(i - 1) / 2]);
        }
        return;
    }
    if (!is_worse(&heap[0], &hit)) {
        forget(&hit);
        return;
    }
    forget(&heap[0]);
    heap[0] = hit;
    for (i = 0;;) {
        size_t worst = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < h->n; child++)
            if (is_worse(&heap[child], &heap[worst])) worst = child;
        if (worst == i) return;
        swap(&heap[i], &heap[worst]);
        i = worst;
    }
}

void hits_sort(struct hits *h)
{
    if (h->n > 1) qsort(h->at, h->n, sizeof(*h->at), best_first);
}

void hits_sort_by_row(struct hits *h)
{
    if (h->n > 1) qsort(h->at, h->n, sizeof(*h->at), by_row);
}

vecmill_status hits_copy_text(const char *data, size_t all, struct hit *hit, vecmill_err *err)
{
    size_t bytes = all;
    void *text;
    if (bytes > HITS_TEXT_MAX) {
        bytes = HITS_TEXT_MAX;
        while (bytes > 0 && ((unsigned char)data[bytes] & 0xC0) == 0x80)
            bytes--;
    }
    VM_TRY(mem_new(bytes, "a text to show", &text, err));
    if (bytes > 0) memcpy(text, data, bytes);
    hit->text = text;
    hit->text_bytes = bytes;
    hit->is_cut = bytes < all;
    return VECMILL_OK;
}

void hits_clear(struct hits *h)
{
    for (size_t i = 0; i < h->n; i++)
        forget(&h->at[i]);
    h->n = 0;
}

void hits_print_json(const struct hits *h, struct app_out *out, vecmill_doc query, bool has_texts)
{
    app_json_open(out, '{');
    app_json_key(out, "query");
    app_json_text(out, query.text, query.bytes);
    app_json_key(out, "hits");
    app_json_open(out, '[');
    for (size_t i = 0; i < h->n; i++) {
        const struct hit *hit = &h->at[i];
        app_json_open(out, '{');
        app_json_key_u64(out, "rank", i + 1);
        app_json_key_real(out, "score", hit->score, 6);
        app_json_key_u64(out, "row", hit->row);
        app_json_key(out, "id");
        app_json_raw(out, hit->id ? hit->id : "null");
        if (has_texts) {
            app_json_key(out, "text");
            if (hit->text)
                app_json_text(out, hit->text, hit->text_bytes);
            else
                app_json_raw(out, "null");
            app_json_key_bool(out, "cut", hit->is_cut);
        }
        app_json_close(out, '}');
    }
    app_json_close(out, ']');
    app_json_close(out, '}');
    app_json_line(out);
}

/* Prints at most `most` characters on one line of a terminal. Control characters become spaces,
 * invalid UTF-8 becomes '?'. */
static void print_line(struct app_out *out, const char *text, size_t bytes, size_t most)
{
    size_t i = 0, n_shown = 0;
    while (i < bytes && n_shown < most) {
        uint32_t cp;
        bool is_bad;
        const size_t n = utf8_next((const unsigned char *)text + i, bytes - i, &cp, &is_bad);
        if (is_bad)
            app_put(out, "?", 1);
        else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
            app_put(out, " ", 1);
        else
            app_put(out, text + i, n);
        i += n;
        n_shown++;
    }
    if (i < bytes) app_print(out, "...");
}

void hits_print(const struct hits *h, struct app_out *out, vecmill_doc query, bool is_first)
{
    if (!is_first) app_print(out, "\n");
    app_print(out, "query: ");
    print_line(out, query.text, query.bytes, TEXT_SHOWN);
    app_print(out, "\n");
    for (size_t i = 0; i < h->n; i++) {
        const struct hit *hit = &h->at[i];
        app_print(out, "%4zu  %7.4f  row %llu", i + 1, hit->score, (unsigned long long)hit->row);
        if (hit->id) {
            app_print(out, "  ");
            print_line(out, hit->id, strlen(hit->id), JOB_ID_BYTES_MAX);
        }
        if (hit->text) {
            app_print(out, "  ");
            print_line(out, hit->text, hit->text_bytes, TEXT_SHOWN);
        }
        app_print(out, "\n");
    }
}
