/* layout: the one function that places the parts. */
#include "layout.h"

#include "ending.h"

/* What parts are placed for. */
struct place {
    const struct arch *arch;
    const struct model_config *config;
    const struct kern *kern;
    struct layout *layout;
    bool fits;
};

/* Floats of a part that is not packed. */
static bool float_count(const struct model_config *config, uint32_t kind,
                        const struct arch_weight *w, size_t *n)
{
    size_t sum = 0;
    if (w->storage == STORE_COMPUTED)
        return num_mul(arch_size(config, kind, w->rows), arch_size(config, kind, w->width), n);
    for (size_t i = 0; i < ARCH_SOURCES_MAX && w->sources[i].tensor; i++) {
        const struct arch_source *source = &w->sources[i];
        const enum arch_size columns = source->columns ? source->columns : w->columns;
        const size_t slabs = source->slabs ? arch_size(config, kind, source->slabs) : 1;
        size_t one = arch_size(config, kind, source->rows);
        if (!num_mul(one, columns ? arch_size(config, kind, columns) : 1, &one) ||
            !num_mul(one, slabs, &one) || !num_add(sum, one, &sum))
            return false;
    }
    *n = sum;
    return true;
}

/* Whole slices, each padded, and the last. */
static vecmill_status sliced_bytes(struct place *p, enum arch_part part, size_t *bytes,
                                   vecmill_err *err)
{
    const uint32_t last = arch_slices(p->arch, p->config, part) - 1;
    size_t whole, rest;
    VM_TRY(gemm_packed_bytes(p->kern, arch_slice(p->arch, p->config, part, 0), &whole, err));
    VM_TRY(gemm_packed_bytes(p->kern, arch_slice(p->arch, p->config, part, last), &rest, err));
    p->fits = p->fits && num_mul(num_up(whole, LAYOUT_ALIGN), last, bytes) &&
              num_add(*bytes, rest, bytes);
    return VECMILL_OK;
}

static vecmill_status part_bytes(struct place *p, uint32_t kind, const struct arch_weight *w,
                                 size_t *bytes, vecmill_err *err)
{
    const enum kern_precision precision = (enum kern_precision)p->config->precision;
    bool fits = true;
    size_t n = 0;
    switch (w->storage) {
    case STORE_PRODUCT:
    case STORE_PROJECTED:
        VM_TRY(gemm_packed_bytes(p->kern, arch_product(p->arch, p->config, kind, w->part), bytes,
                                 err));
        if (w->each || w->storage == STORE_PROJECTED) {
            *bytes = num_up(*bytes, LAYOUT_ALIGN);
            fits = num_mul(*bytes, arch_each(p->config, kind, w), bytes);
        }
        break;
    case STORE_SLICED:
        return sliced_bytes(p, w->part, bytes, err);
    case STORE_TABLE:
        fits = num_mul(arch_size(p->config, kind, w->sources[0].rows),
                       table_row_bytes(precision, arch_size(p->config, kind, w->columns)), bytes);
        break;
    case STORE_FLOATS:
    case STORE_INDEX:
    case STORE_COMPUTED:
        fits = float_count(p->config, kind, w, &n) && num_mul(n, sizeof(float), bytes);
        break;
    }
    p->fits = p->fits && fits;
    return VECMILL_OK;
}

bool layout_place(size_t *pos, size_t bytes)
{
    if (!num_add(*pos, bytes, pos) || !num_add(*pos, LAYOUT_ALIGN - 1, pos)) return false;
    *pos &= ~(size_t)(LAYOUT_ALIGN - 1);
    return true;
}

/* The parts from `part` to `end` in layers of a kind, one after another from *pos on. */
static vecmill_status place_parts(struct place *p, uint32_t kind, int part, int end, size_t *pos,
                                  vecmill_err *err)
{
    for (; part < end; part++) {
        const struct arch_weight *w = arch_weight(p->arch, p->config, kind, (enum arch_part)part);
        size_t *bytes = &p->layout->bytes[kind][part];
        p->layout->at[kind][part] = LAYOUT_ABSENT;
        if (!w) continue;
        VM_TRY(part_bytes(p, kind, w, bytes, err));
        p->layout->at[kind][part] = *pos;
        p->fits = p->fits && layout_place(pos, *bytes);
    }
    return VECMILL_OK;
}

vecmill_status layout_make(const struct arch *arch, const struct model_config *config,
                           const struct kern *kern, struct layout *layout, vecmill_err *err)
{
    struct layout made = {0};
    struct place p = {arch, config, kern, &made, .fits = true};
    size_t layer_bytes[KINDS] = {0};
    VM_TRY(place_parts(&p, 0, 0, PARTS_ONCE, &made.total, err));
    for (uint32_t kind = 0; kind < KINDS; kind++)
        VM_TRY(place_parts(&p, kind, PARTS_ONCE, PARTS, &layer_bytes[kind], err));
    for (uint32_t layer = 0; layer < config->n_layers; layer++) {
        made.layers[layer] = made.total;
        p.fits = p.fits && num_add(made.total, layer_bytes[arch_kind(config, layer)], &made.total);
    }
    if (!p.fits) {
        return err_set(err, VECMILL_E_MODEL, "the weights of %u layers pass the address space",
                       config->n_layers);
    }
    *layout = made;
    return VECMILL_OK;
}

uint64_t model_weight_bytes(const struct model_config *config, const struct kern *kern)
{
    const struct arch *arch = arch_named(config->family);
    struct layout layout;
    if (!arch || layout_make(arch, config, kern, &layout, NULL) != VECMILL_OK) return UINT64_MAX;
    uint64_t bytes = layout.total;
    for (int which = 0; which < ENDINGS; which++) {
        struct ending_layout ending;
        struct model_config view;
        ending_view(config, (enum ending_which)which, &view);
        if (ending_layout(&view, kern, &ending, NULL) != VECMILL_OK) return UINT64_MAX;
        bytes += ending.total;
    }
    return bytes;
}
