/* pairs: read in place: the whole file, and never written ahead of where it is read. */
#include "pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SCORE_BYTES_MAX  32u
#define RECORD_BYTES_MIN 4u /* of a record that is followed by another: ",,0" and its end */

struct pairs_reader {
    char *data;
    size_t at, bytes;
    uint64_t line; /* from 1 */
};

enum end { END_CELL, END_RECORD, END_BAD };

/* One cell into *doc, quotes taken off; returns what comes after it. */
static enum end take_cell(struct pairs_reader *s, vecmill_doc *doc)
{
    char *to = s->data + s->at;
    const char *const begin = to;
    const bool is_quoted = s->at < s->bytes && s->data[s->at] == '"';
    bool is_open = is_quoted;
    s->at += is_quoted;
    while (s->at < s->bytes) {
        const char byte = s->data[s->at];
        if (is_open && byte == '"') {
            s->at++;
            is_open = s->at < s->bytes && s->data[s->at] == '"'; /* two are one */
            if (!is_open) continue;
        } else if (!is_open && (byte == ',' || byte == '\n')) {
            break;
        } else if (is_quoted && !is_open && byte != '\r') {
            return END_BAD; /* something after the closing quote */
        }
        s->line += byte == '\n';
        *to++ = byte;
        s->at++;
    }
    if (is_open) return END_BAD;
    const bool is_record = s->at == s->bytes || s->data[s->at] == '\n';
    s->at += s->at < s->bytes;
    if (is_record && to > begin && to[-1] == '\r') to--;
    *doc = (vecmill_doc){.text = to > begin ? begin : NULL, .bytes = (size_t)(to - begin)};
    return is_record ? END_RECORD : END_CELL;
}

static bool read_score(vecmill_doc cell, double *score)
{
    char text[SCORE_BYTES_MAX], *end;
    if (cell.bytes == 0 || cell.bytes >= sizeof(text)) return false;
    memcpy(text, cell.text, cell.bytes);
    text[cell.bytes] = 0;
    *score = strtod(text, &end);
    return *end == 0 && end != text && isfinite(*score);
}

static vecmill_status take_record(struct pairs_reader *s, const char *path, struct pairs *p,
                                  vecmill_err *err)
{
    const uint64_t line = s->line;
    vecmill_doc score;
    if (p->n == PAIRS_MAX)
        return err_set(err, VECMILL_E_INPUT, "%s: more than PAIRS_MAX, %u, pairs", path, PAIRS_MAX);
    if (take_cell(s, &p->docs[2 * p->n]) != END_CELL ||
        take_cell(s, &p->docs[2 * p->n + 1]) != END_CELL || take_cell(s, &score) != END_RECORD ||
        !read_score(score, &p->scores[p->n]))
        return err_set(err, VECMILL_E_INPUT, "%s line %llu: is not sentence,sentence,score", path,
                       (unsigned long long)line);
    s->line++;
    p->n++;
    return VECMILL_OK;
}

static vecmill_status read_all(const char *path, struct pairs *p, vecmill_err *err)
{
    void *docs, *scores;
    VM_TRY(io_read_file(path, &p->file, VECMILL_E_INPUT, VECMILL_E_INPUT, err));
    const size_t most = num_min(PAIRS_MAX, p->file.bytes / RECORD_BYTES_MIN + 1);
    VM_TRY(mem_new_array(most, 2 * sizeof(vecmill_doc), "pairs", &docs, err));
    p->docs = docs;
    VM_TRY(mem_new_array(most, sizeof(double), "scores", &scores, err));
    p->scores = scores;
    struct pairs_reader s = {.data = p->file.data, .bytes = p->file.bytes, .line = 1};
    while (s.at < s.bytes)
        VM_TRY(take_record(&s, path, p, err));
    if (p->n < 2)
        return err_set(err, VECMILL_E_INPUT, "%s: holds %zu pairs, a correlation needs two", path,
                       p->n);
    return VECMILL_OK;
}

vecmill_status pairs_open(const char *path, struct pairs *p, vecmill_err *err)
{
    struct pairs opened = {.n = 0};
    buf_init(&opened.file, PAIRS_BYTES_MAX, "PAIRS_BYTES_MAX");
    const vecmill_status status = read_all(path, &opened, err);
    if (status == VECMILL_OK)
        *p = opened;
    else
        pairs_close(&opened);
    return status;
}

void pairs_close(struct pairs *p)
{
    mem_free(p->scores);
    mem_free(p->docs);
    buf_done(&p->file);
}
