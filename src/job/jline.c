/* jline: the members of the top object are looked at as they are read, so that an id before a
 * fault is known. */
#include "jline.h"

/* Of two values neither is the one. */
static vecmill_status keep_once(struct json_value *slot, const struct json_value *value,
                                const char *name, vecmill_err *err)
{
    if (slot->kind != JSON_KIND_ABSENT) {
        slot->kind = JSON_KIND_ABSENT;
        return err_set(err, VECMILL_E_INPUT, "bad JSON: the key \"%s\" occurs twice", name);
    }
    *slot = *value;
    return VECMILL_OK;
}

static vecmill_status scan_members(struct json_reader *r, const char *field,
                                   const char *query_field, const char *id_field,
                                   struct jline *found, vecmill_err *err)
{
    struct json_value key, member;
    for (;;) {
        VM_TRY(json_next(r, &key, &member, err));
        if (member.kind == JSON_KIND_ABSENT) return VECMILL_OK;
        VM_TRY(json_pass(r, &member, err));
        if (json_is(&key, field)) VM_TRY(keep_once(&found->field, &member, field, err));
        if (query_field && json_is(&key, query_field))
            VM_TRY(keep_once(&found->query, &member, query_field, err));
        if (json_is(&key, id_field)) VM_TRY(keep_once(&found->id, &member, id_field, err));
    }
}

static vecmill_status scan(const char *data, size_t bytes, const char *field,
                           const char *query_field, const char *id_field, struct jline *found,
                           vecmill_err *err)
{
    struct json_reader r;
    struct json_value key, top;
    json_reader_init(&r, data, bytes, NULL, VECMILL_E_INPUT);
    r.is_lenient = true;
    VM_TRY(json_next(&r, &key, &top, err));
    if (top.kind == JSON_KIND_OBJECT) {
        VM_TRY(scan_members(&r, field, query_field, id_field, found, err));
        top.bytes = (size_t)(data + r.pos - top.raw);
    } else {
        VM_TRY(json_pass(&r, &top, err));
    }
    found->top = top;
    return json_end(&r, err);
}

vecmill_status jline_scan(const char *data, size_t bytes, const char *field,
                          const char *query_field, const char *id_field, struct jline *line,
                          vecmill_err *err)
{
    struct jline found = {.top.kind = JSON_KIND_ABSENT};
    const vecmill_status status = scan(data, bytes, field, query_field, id_field, &found, err);
    /* Digits at the very end may be the first of more. */
    const bool has_whole_id =
        found.id.kind != JSON_KIND_ABSENT && found.id.raw + found.id.bytes < data + bytes;
    if (status == VECMILL_OK)
        *line = found;
    else
        *line = has_whole_id ? (struct jline){.id = found.id} : (struct jline){.id = {0}};
    return status;
}
