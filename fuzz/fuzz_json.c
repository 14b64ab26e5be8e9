/* needs: dep_base */
/* fuzz_json: any bytes as a text, strict and lenient. What the reader gives out one by one is what
 * is looked up afterwards; a value's text is a text itself; what a string means, quoted, means the
 * same. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool true_thing)
{
    if (!true_thing) abort();
}

static void check_string(const struct json_value *v)
{
    char *out = malloc(v->bytes), *quoted = malloc(6 * v->bytes + 2), *copy = malloc(v->bytes);
    char shown[24];
    uint64_t replaced = 0, again = 0;
    must(out != NULL && quoted != NULL && copy != NULL);
    const size_t n = json_decode(v, out, &replaced);
    must(n <= v->bytes - 2 && replaced % 6 == 0);
    const struct json_value twice = {JSON_KIND_STRING, quoted, json_quote(out, n, quoted)};
    must(json_decode(&twice, copy, &again) == n && memcmp(copy, out, n) == 0 && again == 0);
    must(json_same(v, &twice) && json_hash(v) == json_hash(&twice));
    must(json_has_nul(v) == (memchr(out, '\0', n) != NULL));
    must(json_string_into(v, copy, v->bytes) == !json_has_nul(v));
    must(json_has_nul(v) || (json_is(v, copy) && strlen(copy) == n));
    json_show(v, shown, sizeof shown);
    must(strlen(shown) < sizeof shown && strlen(shown) <= n);
    must(json_has_nul(v) || memcmp(shown, out, strlen(shown)) == 0);
    free(copy);
    free(quoted);
    free(out);
}

static void check_scalar(const struct json_value *v)
{
    int64_t i;
    uint64_t u;
    double d;
    if (v->kind == JSON_KIND_STRING) check_string(v);
    const bool is_i64 = json_i64(v, &i), is_u64 = json_u64(v, &u), is_double = json_double(v, &d);
    must(v->kind == JSON_KIND_NUMBER || (!is_i64 && !is_u64 && !is_double));
    must(!is_i64 || !is_u64 || (i >= 0 && (uint64_t)i == u));
    must(!is_u64 || v->bytes > JSON_NUMBER_MAX || is_double);
}

static vecmill_status see(const struct json_reading *reading, const struct json_value *key,
                          const struct json_value *value, vecmill_err *err)
{
    (void)err;
    must(key->kind == JSON_KIND_STRING && value->kind != JSON_KIND_ABSENT);
    ++*(size_t *)reading->context;
    return VECMILL_OK;
}

static void check_table(const struct json_value *v)
{
    struct {
        uint32_t id;
        struct json_value text;
    } target = {.id = 7};
    const struct json_field fields[] = {
        JSON_MAY("id", U32, (size_t)((char *)&target.id - (char *)&target), .least = 1, .most = 9),
        JSON_MAY("text", STRING, (size_t)((char *)&target.text - (char *)&target))};
    size_t n_others = 0;
    const struct json_reading reading = {.name = "f",
                                         .failure = VECMILL_E_INPUT,
                                         .target = &target,
                                         .other = see,
                                         .context = &n_others};
    vecmill_err err = {.message = ""};
    const vecmill_status status = json_fields(v, fields, 2, &reading, &err);
    const struct json_value id = json_get(v, "id"), text = json_get(v, "text");
    must(n_others <= json_count(v));
    must(status == VECMILL_OK || (status == VECMILL_E_INPUT && err.message[0] != '\0'));
    if (status != VECMILL_OK || v->kind != JSON_KIND_OBJECT) return;
    must(target.id >= 1 && target.id <= 9);
    must((target.text.kind == JSON_KIND_ABSENT) == (text.kind <= JSON_KIND_NULL));
    must(n_others + (id.kind != JSON_KIND_ABSENT) + (text.kind != JSON_KIND_ABSENT) ==
         json_count(v));
}

/* The members of a container as the reader gives them against those that are looked up. */
static void check_container(struct json_reader *r, const struct json_value *whole)
{
    struct json_each each = json_begin(whole);
    struct json_value key, value, other_key, other;
    size_t n = 0;
    for (;; n++) {
        must(json_next(r, &key, &value, NULL) == VECMILL_OK);
        const bool is_there = json_each(&each, &other_key, &other);
        must(is_there == (value.kind != JSON_KIND_ABSENT));
        if (!is_there) break;
        must(json_pass(r, &value, NULL) == VECMILL_OK);
        must(value.kind == other.kind && value.raw == other.raw && value.bytes == other.bytes);
        must(key.kind == other_key.kind && key.raw == other_key.raw &&
             key.bytes == other_key.bytes);
        must((key.kind == JSON_KIND_STRING) == (whole->kind == JSON_KIND_OBJECT));
        check_scalar(&value);
    }
    must(json_count(whole) == n);
}

static void check_text(const uint8_t *data, size_t size, bool is_lenient)
{
    struct json_reader r;
    struct json_value key, top;
    vecmill_err err = {.message = ""};
    json_reader_init(&r, data, size, NULL, VECMILL_E_INPUT);
    r.is_lenient = is_lenient;
    vecmill_status status = json_next(&r, &key, &top, &err);
    if (status == VECMILL_OK) status = json_pass(&r, &top, &err);
    if (status == VECMILL_OK) status = json_end(&r, &err);
    must(r.pos <= size && r.depth <= JSON_DEPTH_MAX);
    must(status == VECMILL_OK || (status == VECMILL_E_INPUT && err.message[0] != '\0'));
    struct json_value root;
    if (!is_lenient && status == VECMILL_OK) {
        must(json_check(data, size, "f", VECMILL_E_INPUT, &root, NULL) == VECMILL_OK);
        must(root.kind == top.kind && root.raw == top.raw && root.bytes == top.bytes);
    }
    if (status != VECMILL_OK) return;
    must(top.kind != JSON_KIND_ABSENT && r.depth == 0);
    check_scalar(&top);
    if (top.kind == JSON_KIND_ARRAY || top.kind == JSON_KIND_OBJECT) {
        struct json_reader inner;
        struct json_value opening;
        json_reader_init(&inner, top.raw, top.bytes, NULL, VECMILL_E_INPUT);
        inner.is_lenient = is_lenient;
        must(json_next(&inner, &key, &opening, NULL) == VECMILL_OK);
        check_container(&inner, &top);
        must(json_end(&inner, NULL) == VECMILL_OK);
    }
    check_table(&top);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_value root;
    check_text(data, size, false);
    check_text(data, size, true);
    (void)json_check(data, size, "f", VECMILL_E_INPUT, &root, NULL); /* with its place of a fault */
    return 0;
}
