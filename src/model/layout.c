/* layout: the one function that places the parts. */
#include "layout.h"

#include "ending.h"

/* Floats of a part that is not packed. */
static bool float_count(const struct model_config *config, const struct arch_weight *w, size_t *n)
{
    size_t rows = 0, columns = w->columns ? arch_size(config, w->columns) : 1;
    if (w->storage == STORE_COMPUTED)
        return num_mul(arch_size(config, w->rows), arch_size(config, w->width), n);
    for (size_t i = 0; i < ARCH_SOURCES_MAX && w->sources[i].tensor; i++)
        rows += arch_size(config, w->sources[i].rows);
    return num_mul(rows, columns, n);
}

static vecmill_status part_bytes(const struct arch *arch, const struct model_config *config,
                                 const struct kern *kern, const struct arch_weight *w, bool *fits,
                                 size_t *bytes, vecmill_err *err)
{
    const enum kern_precision precision = (enum kern_precision)config->precision;
    size_t n = 0;
    switch (w->storage) {
    case STORE_PRODUCT:
        return gemm_packed_bytes(kern, arch_product(arch, config, w->part), bytes, err);
    case STORE_TABLE:
        *fits = num_mul(arch_size(config, w->sources[0].rows),
                        table_row_bytes(precision, arch_size(config, w->columns)), bytes);
        return VECMILL_OK;
    case STORE_FLOATS:
    case STORE_COMPUTED:
        *fits = float_count(config, w, &n) && num_mul(n, sizeof(float), bytes);
        return VECMILL_OK;
    }
    return VECMILL_OK;
}

bool layout_place(size_t *pos, size_t bytes)
{
    if (!num_add(*pos, bytes, pos) || !num_add(*pos, LAYOUT_ALIGN - 1, pos)) return false;
    *pos &= ~(size_t)(LAYOUT_ALIGN - 1);
    return true;
}

vecmill_status layout_make(const struct arch *arch, const struct model_config *config,
                           const struct kern *kern, struct layout *layout, vecmill_err *err)
{
    struct layout made = {0};
    size_t pos = 0, layers = 0;
    bool fits = true;
    for (int part = 0; part < PARTS; part++) {
        if (part == PARTS_ONCE) {
            made.first_layer = pos;
            pos = 0;
        }
        const struct arch_weight *w = arch_weight(arch, config, (enum arch_part)part);
        made.at[part] = LAYOUT_ABSENT;
        if (!w) continue;
        bool part_fits = true;
        VM_TRY(part_bytes(arch, config, kern, w, &part_fits, &made.bytes[part], err));
        made.at[part] = pos;
        fits = fits && part_fits && layout_place(&pos, made.bytes[part]);
    }
    made.layer_bytes = pos;
    fits = fits && num_mul(made.layer_bytes, config->n_layers, &layers) &&
           num_add(made.first_layer, layers, &made.total);
    if (!fits) {
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
    struct ending_layout ending;
    if (!arch || layout_make(arch, config, kern, &layout, NULL) != VECMILL_OK ||
        ending_layout(config, kern, &ending, NULL) != VECMILL_OK)
        return UINT64_MAX;
    return (uint64_t)layout.total + ending.total;
}
