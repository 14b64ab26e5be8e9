/* norm_forms: the four forms of Unicode normalization (UAX 15) with the tables of the reference.
 *
 * A segment is decomposed, put in canonical order and composed; it goes from a character that may change
 * to the next one that cannot. A run of marks is sorted by counting, so that the time is linear for
 * runs of any length. */
#include "stage_kinds.h"
#include "text_unicode.h"

#include <stdlib.h>

#define CLASSES   256u
#define SHORT_RUN 16u /* marks up to which a run is sorted by insertion */

struct form {
    bool compat, compose;
    bool is_composed; /* below U+0300 nothing changes either */
};

/* Whether a character is itself in this form, and so is what is after it, whatever that is, unless
 * it may change too. */
static bool is_inert(const struct form *form, uint32_t cp)
{
    return unicode_inert(cp) || (form->is_composed && cp < 0x300);
}

/* Sorts n marks by class, stably. */
static void sort_marks(struct stage_cp *marks, size_t n, struct stage_cp *spare)
{
    if (n <= SHORT_RUN) {
        for (size_t i = 1; i < n; i++) {
            const struct stage_cp mark = marks[i];
            const unsigned class = unicode_class(mark.cp);
            size_t k = i;
            for (; k > 0 && unicode_class(marks[k - 1].cp) > class; k--)
                marks[k] = marks[k - 1];
            marks[k] = mark;
        }
        return;
    }
    size_t first[CLASSES + 1] = {0};
    for (size_t i = 0; i < n; i++)
        first[unicode_class(marks[i].cp) % CLASSES + 1]++;
    for (size_t class = 1; class <= CLASSES; class ++)
        first[class] += first[class - 1];
    for (size_t i = 0; i < n; i++)
        spare[first[unicode_class(marks[i].cp) % CLASSES]++] = marks[i];
    memcpy(marks, spare, n * sizeof(*marks));
}

static void put_in_order(struct stage_cp *cps, size_t n, struct stage_cp *spare)
{
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && unicode_class(cps[end].cp) != 0)
            end++;
        if (end - i > 1) sort_marks(cps + i, end - i, spare);
        i = end + 1;
    }
}

/* UAX 15, 1.3: each character is composed with the last starter, if nothing between them has its
 * class or a higher one. Returns the new number. */
static size_t compose(struct stage_cp *cps, size_t n)
{
    size_t out = 0, starter = SIZE_MAX;
    int last = -1; /* class of the character before; -1: that is the starter */
    for (size_t i = 0; i < n; i++) {
        const int class = (int)unicode_class(cps[i].cp);
        if (starter != SIZE_MAX && (last < 0 || (last < class && last > 0))) {
            const uint32_t both = unicode_compose(cps[starter].cp, cps[i].cp);
            if (both) {
                cps[starter].cp = both;
                cps[starter].change += cps[i].change - 1;
                continue;
            }
        }
        last = class;
        if (class == 0) {
            starter = out;
            last = -1;
        }
        cps[out++] = cps[i];
    }
    return out;
}

/* Decomposes in[at .. end) into cps; returns the number. *full: not all of them fit. */
static size_t decompose(const struct form *form, const struct stage_text *in, size_t at, size_t end,
                        struct stage_cp *cps, size_t room, bool *full)
{
    size_t n = 0;
    while (at < end) {
        uint32_t cp, to[UNICODE_COMPAT_MAX];
        at += utf8_char(in->data + at, &cp);
        const unsigned n_to =
            form->compat ? unicode_decompose_compat(cp, to) : unicode_decompose(cp, to);
        *full = n_to > room - n;
        if (*full) break;
        for (unsigned i = 0; i < n_to; i++)
            cps[n++] = (struct stage_cp){to[i], i > 0};
    }
    return n;
}

static void run(const struct form *form, const struct stage_text *in, struct stage_text *out,
                const struct stage_context *context)
{
    struct stage_cp *cps = context->work, *spare = cps + context->n_work;
    for (size_t at = 0; at < in->bytes && !out->full;) {
        /* [at, begin): inert, and what follows each is inert too. [begin, end): a segment. */
        size_t begin = at, end = at, next;
        uint32_t cp;
        while (end < in->bytes) {
            next = end + utf8_char(in->data + end, &cp);
            if (!is_inert(form, cp)) break;
            begin = end;
            end = next;
        }
        if (end == in->bytes) begin = end;
        while (end < in->bytes) {
            next = end + utf8_char(in->data + end, &cp);
            if (is_inert(form, cp)) break;
            end = next;
        }
        stage_copy(in, at, begin - at, out);
        at = end;
        if (begin == end) continue;
        bool full = false;
        size_t n = decompose(form, in, begin, end, cps, context->n_work, &full);
        put_in_order(cps, n, spare);
        if (form->compose) n = compose(cps, n);
        struct stage_flow f = {in, out, begin};
        for (size_t i = 0; i < n; i++)
            stage_give(&f, cps[i].cp, cps[i].change);
        out->full = out->full || full;
    }
}

void norm_nfc_run(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                  struct stage_context *context)
{
    (void)stage;
    run(&(struct form){.compose = true, .is_composed = true}, in, out, context);
}

void norm_nfd_run(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                  struct stage_context *context)
{
    (void)stage;
    run(&(struct form){.compose = false}, in, out, context);
}

void norm_nfkc_run(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                   struct stage_context *context)
{
    (void)stage;
    run(&(struct form){.compat = true, .compose = true}, in, out, context);
}

void norm_nfkd_run(const struct stage *stage, const struct stage_text *in, struct stage_text *out,
                   struct stage_context *context)
{
    (void)stage;
    run(&(struct form){.compat = true}, in, out, context);
}
