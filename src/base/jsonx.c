/* jsonx: JSON by jansson under our limits. Promises that a message names file, line and column, and for
 * a member its key. Does not know what a file is for. */
#include "jsonx.h"

#include "alloc.h"
#include "buf.h"
#include "io.h"
#include "num.h"

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <string.h>

/* ---- planned memory ----
 *
 * A mutable global, because jansson's allocator is one: set by a program's main, before anything is
 * parsed. Pieces are taken one after the other and never used again; what that wastes (a key's first
 * copy, outgrown buckets) is in JSONX_PLAN. */
static struct {
    bool claimed;
    size_t most;     /* of any document */
    char *memory;    /* of the document that is there; NULL: none */
    size_t capacity; /* of memory */
    size_t used;
    size_t live;  /* pieces not yet freed */
    bool parsing; /* `out` may be jumped to */
    jmp_buf out;
} plan;

#define PIECE_ALIGN 8u /* of pointers, json_int_t and double: all that jansson stores */

static void *plan_take(size_t bytes)
{
    if (!plan.memory) return mem_regrow(NULL, bytes);
    const size_t room = plan.capacity - plan.used;
    if (bytes > room || num_up(bytes, PIECE_ALIGN) > room) {
        /* Not NULL: jansson 2.14 goes on with the text of a token that it could not store (load.c,
         * lex_save) and reads past it. All that it took lies in the plan's memory, so nothing is lost. */
        if (plan.parsing) longjmp(plan.out, 1);
        return NULL;
    }
    void *piece = plan.memory + plan.used;
    plan.used += num_up(bytes, PIECE_ALIGN);
    plan.live++;
    return piece;
}

static void plan_end(void)
{
    mem_unmap(plan.memory, plan.capacity);
    plan.memory = NULL;
    plan.live = 0;
}

static void plan_free(void *piece)
{
    const char *p = piece;
    if (!plan.memory || p < plan.memory || p >= plan.memory + plan.capacity) {
        mem_free(piece);
    } else if (--plan.live == 0 && !plan.parsing) {
        plan_end();
    }
}

void jsonx_claim(size_t most)
{
    if (!plan.claimed) json_set_alloc_funcs(plan_take, plan_free);
    plan.claimed = true;
    plan.most = most;
}

static vecmill_status plan_begin(size_t text_bytes, vecmill_err *err)
{
    assert(!plan.memory);
    const size_t bytes = num_min(jsonx_plan_bytes(text_bytes), plan.most);
    void *memory;
    VM_TRY(mem_map(bytes, "a JSON document's values", &memory, err));
    plan.memory = memory;
    plan.capacity = bytes;
    plan.used = 0;
    return VECMILL_OK;
}

/* json_loadb within the plan; *value NULL when the text is no JSON, as *e tells. */
static vecmill_status plan_load(const void *data, size_t bytes, size_t flags, const char *name,
                                json_error_t *e, json_t **value, vecmill_err *err)
{
    VM_TRY(plan_begin(bytes, err));
    const size_t capacity = plan.capacity;
    if (setjmp(plan.out) != 0) {
        plan.parsing = false;
        plan_end();
        return err_set(err, VECMILL_E_MEMORY,
                       "%s: the values of %zu bytes of JSON take more than JSONX_PLAN, %u for each "
                       "byte, gives them: %zu bytes",
                       name, bytes, JSONX_PLAN, capacity);
    }
    plan.parsing = true;
    *value = json_loadb(data, bytes, flags, e);
    plan.parsing = false;
    if (plan.live == 0) plan_end(); /* also for true, false and null, which are nobody's */
    return VECMILL_OK;
}

/* ---- reading ---- */

static vecmill_status parse(const void *data, size_t bytes, size_t flags, const char *name,
                            vecmill_status failure, json_t **value, vecmill_err *err)
{
    json_error_t e;
    json_t *v = NULL;
    /* A byte order mark is no JSON, but editors write it. */
    if (bytes >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0) {
        data = (const char *)data + 3;
        bytes -= 3;
    }
    flags |= JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;
    errno =
        0; /* jansson calls it a wrong token when there is no memory for one; malloc says ENOMEM */
    if (plan.claimed) {
        VM_TRY(plan_load(data, bytes, flags, name, &e, &v, err));
    } else {
        v = json_loadb(data, bytes, flags, &e);
    }
    /* A value there may be all the same, with a text cut short: jansson 2.14 goes on with what of a token
     * it could store. */
    if (errno == ENOMEM) {
        json_decref(v);
        return err_set(err, VECMILL_E_MEMORY, "%s: no memory for its values", name);
    }
    if (!v) {
        const bool cut = json_error_code(&e) == json_error_premature_end_of_input;
        return err_set(err, failure, "%s: line %d column %d: not valid JSON, %s%s", name, e.line,
                       e.column, e.text, cut ? " (the file is cut short)" : "");
    }
    *value = v;
    return VECMILL_OK;
}

vecmill_status jsonx_parse(const void *data, size_t bytes, const char *name, vecmill_status failure,
                           json_t **value, vecmill_err *err)
{
    return parse(data, bytes, 0, name, failure, value, err);
}

vecmill_status jsonx_parse_wide(const void *data, size_t bytes, const char *name,
                                vecmill_status failure, json_t **value, vecmill_err *err)
{
    return parse(data, bytes, JSON_DECODE_INT_AS_REAL, name, failure, value, err);
}

bool jsonx_few_values(const void *data, size_t bytes, size_t most)
{
    const unsigned char *json = data;
    size_t n = 0;
    bool in_string = false;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = json[i];
        if (in_string) {
            if (c == '\\') i++;
            if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == ',' || c == '{' || c == '[') {
            if (++n > most) return false;
        }
    }
    return true;
}

vecmill_status jsonx_read_file(const char *path, size_t most, vecmill_status missing,
                               vecmill_status failure, json_t **value, vecmill_err *err)
{
    struct buf b;
    buf_init(&b, most, "of a JSON file");
    vecmill_status status = io_read_file(path, &b, missing, failure, err);
    if (status == VECMILL_OK) {
        status = jsonx_parse(b.data ? b.data : "", b.bytes, path, failure, value, err);
    }
    buf_done(&b);
    return status;
}

/* The member, or NULL when it is absent or null; *status tells whether that is a failure. */
static const json_t *member(const json_t *object, const char *key, bool required, const char *name,
                            vecmill_status failure, vecmill_status *status, vecmill_err *err)
{
    const json_t *v = json_object_get(object, key);
    *status = VECMILL_OK;
    if (v && !json_is_null(v)) return v;
    if (required) *status = err_set(err, failure, "%s: \"%s\" is missing", name, key);
    return NULL;
}

vecmill_status jsonx_u64(const json_t *object, const char *key, bool required, uint64_t least,
                         uint64_t most, const char *name, vecmill_status failure, uint64_t *out,
                         vecmill_err *err)
{
    vecmill_status status;
    const json_t *v = member(object, key, required, name, failure, &status, err);
    if (!v) return status;
    if (!json_is_integer(v)) {
        return err_set(err, failure, "%s: \"%s\" is not an integer", name, key);
    }
    const json_int_t n = json_integer_value(v);
    if (n < 0 || (uint64_t)n < least || (uint64_t)n > most) {
        return err_set(err, failure, "%s: \"%s\" is %lld, outside %llu to %llu", name, key,
                       (long long)n, (unsigned long long)least, (unsigned long long)most);
    }
    *out = (uint64_t)n;
    return VECMILL_OK;
}

vecmill_status jsonx_u32(const json_t *object, const char *key, bool required, uint32_t least,
                         uint32_t most, const char *name, vecmill_status failure, uint32_t *out,
                         vecmill_err *err)
{
    uint64_t wide = *out;
    const vecmill_status status =
        jsonx_u64(object, key, required, least, most, name, failure, &wide, err);
    if (status == VECMILL_OK) *out = (uint32_t)wide;
    return status;
}

vecmill_status jsonx_double(const json_t *object, const char *key, bool required, double least,
                            double most, const char *name, vecmill_status failure, double *out,
                            vecmill_err *err)
{
    vecmill_status status;
    const json_t *v = member(object, key, required, name, failure, &status, err);
    if (!v) return status;
    if (!json_is_number(v)) {
        return err_set(err, failure, "%s: \"%s\" is not a number", name, key);
    }
    double n = json_number_value(v);
    if (!(n >= least && n <= most)) {
        return err_set(err, failure, "%s: \"%s\" is %g, outside %g to %g", name, key, n, least,
                       most);
    }
    *out = n;
    return VECMILL_OK;
}

vecmill_status jsonx_bool(const json_t *object, const char *key, bool required, const char *name,
                          vecmill_status failure, bool *out, vecmill_err *err)
{
    vecmill_status status;
    const json_t *v = member(object, key, required, name, failure, &status, err);
    if (!v) return status;
    if (!json_is_boolean(v)) {
        return err_set(err, failure, "%s: \"%s\" is neither true nor false", name, key);
    }
    *out = json_is_true(v);
    return VECMILL_OK;
}

vecmill_status jsonx_string(const json_t *object, const char *key, bool required, const char *name,
                            vecmill_status failure, const char **out, vecmill_err *err)
{
    vecmill_status status;
    const json_t *v = member(object, key, required, name, failure, &status, err);
    if (!v) return status;
    if (!json_is_string(v)) {
        return err_set(err, failure, "%s: \"%s\" is not a string", name, key);
    }
    const char *text = json_string_value(v);
    if (strlen(text) != json_string_length(v)) {
        return err_set(err, failure, "%s: \"%s\" holds a NUL character", name, key);
    }
    *out = text;
    return VECMILL_OK;
}
