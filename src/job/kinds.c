/* kinds: the tables, and the choice of an output's. */
#include "kinds.h"

#include <string.h>
#include <strings.h>

#define READER_EXTERN(NAME, name) extern const struct reader_kind reader_kind_##name;
READER_KINDS(READER_EXTERN)
#undef READER_EXTERN

const struct reader_kind *const reader_kinds[READER_FORMATS] = {
#define READER_ROW(NAME, name) [READER_##NAME] = &reader_kind_##name,
    READER_KINDS(READER_ROW)
#undef READER_ROW
};

#define SINK_EXTERN(NAME, name) extern const struct sink_kind sink_kind_##name;
SINK_KINDS(SINK_EXTERN)
#undef SINK_EXTERN

const struct sink_kind *const sink_kinds[SINK_FORMATS] = {
#define SINK_ROW(NAME, name) [SINK_##NAME] = &sink_kind_##name,
    SINK_KINDS(SINK_ROW)
#undef SINK_ROW
};

static bool ends_with(const char *path, const char *ending)
{
    const size_t path_bytes = strlen(path), n = strlen(ending);
    return path_bytes > n && strcasecmp(path + path_bytes - n, ending) == 0;
}

static bool holds(const struct sink_kind *kind, const struct sink_wanted *wanted)
{
    const uint32_t dtypes = kind->dtypes != 0 ? kind->dtypes : 1u << VECMILL_DTYPE_FLOAT32;
    return (kind->takes >> wanted->kind & 1) != 0 && (dtypes >> wanted->dtype & 1) != 0 &&
           kind->has_own_ranges == wanted->own_ranges;
}

vecmill_status sink_kind_choose(const char *output, const struct sink_wanted *wanted,
                                enum sink_format *format, vecmill_err *err)
{
    bool takes = false; /* one with this ending takes such results */
    const char *name = strcmp(output, "-") == 0 ? "-.jsonl" : output, *ending = NULL;
    for (unsigned i = 0; i < SINK_FORMATS; i++) {
        if (!ends_with(name, sink_kinds[i]->ending)) continue;
        ending = sink_kinds[i]->ending;
        *format = (enum sink_format)i;
        if (holds(sink_kinds[i], wanted)) return VECMILL_OK;
        takes = takes || (sink_kinds[i]->takes >> wanted->kind & 1) != 0;
    }
    const char *word = quantize_word((enum quantize_dtype)wanted->dtype);
    if (takes && wanted->own_ranges)
        return err_set(
            err, VECMILL_E_USAGE,
            "%s: %s here needs --ranges FILE, since only a .npy of dense vectors is made "
            "in two passes",
            output, word);
    if (takes)
        return err_set(err, VECMILL_E_USAGE,
                       "%s: results of this kind are written as float32, not as %s (--dtype is for "
                       "dense vectors)",
                       output, word);
    if (ending)
        return err_set(
            err, VECMILL_E_USAGE,
            "%s: results of this model are not written to %s (sparse ones to .jsonl or .npz)",
            output, ending);
    return err_set(err, VECMILL_E_USAGE,
                   "%s: ends in neither .npy nor .jsonl (nor .npz, of sparse weights)", output);
}

bool sink_kind_fits(enum sink_format format, uint64_t rows, uint32_t dim, vecmill_dtype dtype,
                    uint64_t bytes)
{
    const struct sink_kind *kind = sink_kinds[format];
    char header[SINK_HEADER_MAX];
    size_t all;
    if (kind->row_bytes == NULL) return rows == 0 || bytes > 0;
    const size_t front = kind->header != NULL ? kind->header(rows, dim, dtype, header) : 0;
    if (kind->has_offsets)
        return bytes >= front && (bytes - front) % kind->row_bytes(dim, dtype) == 0;
    return num_mul((size_t)rows, kind->row_bytes(dim, dtype), &all) && num_add(all, front, &all) &&
           bytes == all;
}

bool sink_kind_fits_stage(enum sink_format format, uint64_t rows, uint32_t dim, uint64_t bytes)
{
    const struct sink_kind *kind = sink_kinds[format];
    size_t all;
    if (kind->stage_row_bytes == NULL) return rows == 0 || bytes > 0;
    return num_mul((size_t)rows, kind->stage_row_bytes(dim), &all) && bytes == all;
}
