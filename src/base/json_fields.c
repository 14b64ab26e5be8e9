/* json_fields: an object by a table of its keys. The members are found in one pass and read after
 * it, in the table's order, so that a file's order decides nothing. */
#include "json.h"

#include <assert.h>
#include <string.h>

#define SHOWN_BYTES 65u /* of a key or a number in a message, with the NUL */
#define SLOTS       (2 * JSON_MEMBERS_MAX)

/* The keys of an object so far, by their places in it; 0: none. */
struct keys {
    const char *object;
    size_t n;
    struct {
        uint32_t at, bytes, hash;
    } slots[SLOTS];
};

/* Remembers a key; false when it was there before. */
static bool add_key(struct keys *keys, const struct json_value *key)
{
    /* Keys that meet are compared only if the whole hash is equal, so that long ones cost no more. */
    const uint32_t hash = json_hash(key);
    uint32_t i = hash % SLOTS;
    for (; keys->slots[i].at != 0; i = (i + 1) % SLOTS) {
        const struct json_value other = {JSON_KIND_STRING, keys->object + keys->slots[i].at,
                                         keys->slots[i].bytes};
        if (keys->slots[i].hash == hash && json_same(key, &other)) return false;
    }
    keys->slots[i].at = (uint32_t)(key->raw - keys->object);
    keys->slots[i].bytes = (uint32_t)key->bytes;
    keys->slots[i].hash = hash;
    keys->n++;
    return true;
}

static bool is_key(const struct json_field *field, const struct json_value *key)
{
    return json_is(key, field->key) || (field->alias != NULL && json_is(key, field->alias));
}

/* The same text, or the same number. */
static bool is_same(const struct json_value *a, const struct json_value *b)
{
    double one = 0, other = 0;
    if (json_double(a, &one) && json_double(b, &other)) return one == other;
    return a->bytes == b->bytes && memcmp(a->raw, b->raw, a->bytes) == 0;
}

/* A member, by either of its names. null is as good as absent. */
static vecmill_status find_member(const struct json_field *field,
                                  const struct json_reading *reading,
                                  const struct json_value *value, struct json_value *found,
                                  vecmill_err *err)
{
    char one[SHOWN_BYTES], other[SHOWN_BYTES];
    if (found->kind > JSON_KIND_NULL && value->kind <= JSON_KIND_NULL) return VECMILL_OK;
    if (found->kind > JSON_KIND_NULL && !is_same(found, value))
        return err_set(err, reading->failure,
                       "%s: \"%s\" and \"%s\" are the same, but one is %s and the other %s",
                       reading->name, field->key, field->alias, json_show(found, one, sizeof one),
                       json_show(value, other, sizeof other));
    *found = *value;
    return VECMILL_OK;
}

static vecmill_status find_members(const struct json_value *object, const struct json_field *fields,
                                   size_t n, const struct json_reading *reading,
                                   struct json_value *found, vecmill_err *err)
{
    struct keys keys = {.object = object->raw};
    struct json_each each = json_begin(object);
    struct json_value key, value;
    char shown[SHOWN_BYTES];
    while (object->kind == JSON_KIND_OBJECT && json_each(&each, &key, &value)) {
        if (keys.n == JSON_MEMBERS_MAX)
            return err_set(err, reading->failure,
                           "%s: an object has more than JSON_MEMBERS_MAX, %u, members",
                           reading->name, JSON_MEMBERS_MAX);
        if (!add_key(&keys, &key))
            return err_set(err, reading->failure, "%s: duplicate key \"%s\"", reading->name,
                           json_show(&key, shown, sizeof shown));
        size_t i = 0;
        while (i < n && !is_key(&fields[i], &key))
            i++;
        if (i < n)
            VM_TRY(find_member(&fields[i], reading, &value, &found[i], err));
        else if (reading->other != NULL)
            VM_TRY(reading->other(reading, &key, &value, err));
    }
    return VECMILL_OK;
}

static vecmill_status fail_wrong(const struct json_reading *reading, const struct json_field *field,
                                 const char *what, vecmill_err *err)
{
    return err_set(err, reading->failure, "%s: \"%s\" %s", reading->name, field->key, what);
}

static bool is_integer(const struct json_value *value)
{
    if (value->kind != JSON_KIND_NUMBER) return false;
    for (size_t i = 0; i < value->bytes; i++)
        if (strchr(".eE", value->raw[i]) != NULL) return false;
    return true;
}

/* An integer within the field's range. A negative one, or one past 64 bits, is outside. */
static vecmill_status read_u64(const struct json_reading *reading, const struct json_field *field,
                               const struct json_value *value, uint64_t *out, vecmill_err *err)
{
    char shown[SHOWN_BYTES];
    uint64_t n = 0;
    if (!is_integer(value)) return fail_wrong(reading, field, "is not an integer", err);
    const bool fits = json_u64(value, &n), is_negative = value->raw[0] == '-' && !fits;
    json_show(value, shown, 32);
    if (field->most_name != NULL && !is_negative && (!fits || n > field->most))
        return err_set(err, reading->failure, "%s: \"%s\" is %s, %s is %llu", reading->name,
                       field->key, shown, field->most_name, (unsigned long long)field->most);
    if (!fits || n < field->least || n > field->most)
        return err_set(err, reading->failure, "%s: \"%s\" is %s, outside %llu to %llu",
                       reading->name, field->key, shown, (unsigned long long)field->least,
                       (unsigned long long)field->most);
    *out = n;
    return VECMILL_OK;
}

static vecmill_status read_float(const struct json_reading *reading, const struct json_field *field,
                                 const struct json_value *value, float *out, vecmill_err *err)
{
    char shown[SHOWN_BYTES];
    double n = 0;
    if (value->kind != JSON_KIND_NUMBER) return fail_wrong(reading, field, "is not a number", err);
    if (!json_double(value, &n) || !(n >= field->low && n <= field->high))
        return err_set(err, reading->failure, "%s: \"%s\" is %s, outside %g to %g", reading->name,
                       field->key, json_show(value, shown, 32), field->low, field->high);
    *out = (float)n;
    return VECMILL_OK;
}

vecmill_status json_field_string(const struct json_reading *reading, const struct json_field *field,
                                 const struct json_value *value, vecmill_err *err)
{
    if (value->kind != JSON_KIND_STRING) return fail_wrong(reading, field, "is not a string", err);
    if (json_has_nul(value)) return fail_wrong(reading, field, "holds a NUL character", err);
    return VECMILL_OK;
}

/* A member that is there and not null, unless its kind takes null. */
static vecmill_status read_member(const struct json_reading *reading,
                                  const struct json_field *field, const struct json_value *value,
                                  vecmill_err *err)
{
    if (field->kind == JSON_FIELD_UNREAD) return VECMILL_OK;
    if (field->kind == JSON_FIELD_OWN) return field->own(reading, field, value, err);
    void *target = (char *)reading->target + field->at;
    uint64_t wide = 0;
    switch (field->kind) {
    case JSON_FIELD_ANY:
        *(struct json_value *)target = *value;
        return VECMILL_OK;
    case JSON_FIELD_STRING:
        VM_TRY(json_field_string(reading, field, value, err));
        *(struct json_value *)target = *value;
        return VECMILL_OK;
    case JSON_FIELD_U32:
        assert(field->most <= UINT32_MAX);
        VM_TRY(read_u64(reading, field, value, &wide, err));
        *(uint32_t *)target = (uint32_t)wide;
        return VECMILL_OK;
    case JSON_FIELD_U64:
        return read_u64(reading, field, value, target, err);
    case JSON_FIELD_FLOAT:
        return read_float(reading, field, value, target, err);
    case JSON_FIELD_BOOL:
        if (value->kind != JSON_KIND_BOOLEAN)
            return fail_wrong(reading, field, "is neither true nor false", err);
        *(bool *)target = value->raw[0] == 't';
        return VECMILL_OK;
    case JSON_FIELD_OWN:
    case JSON_FIELD_UNREAD:
        break;
    }
    return VECMILL_OK;
}

vecmill_status json_fields(const struct json_value *object, const struct json_field *fields,
                           size_t n, const struct json_reading *reading, vecmill_err *err)
{
    struct json_value found[JSON_FIELDS_MAX] = {{.kind = JSON_KIND_ABSENT}};
    assert(n <= JSON_FIELDS_MAX);
    VM_TRY(find_members(object, fields, n, reading, found, err));
    for (size_t i = 0; i < n; i++) {
        const struct json_field *field = &fields[i];
        const bool takes_null = field->kind == JSON_FIELD_ANY || field->takes_null;
        const bool is_there =
            found[i].kind > JSON_KIND_NULL || (takes_null && found[i].kind == JSON_KIND_NULL);
        if (is_there)
            VM_TRY(read_member(reading, field, &found[i], err));
        else if (field->is_required)
            return fail_wrong(reading, field, "is missing", err);
    }
    return VECMILL_OK;
}
