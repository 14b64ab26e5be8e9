/* api: the small words of vecmill.h: version, statuses, defaults; and how its structs grow. */
#include "engine/api.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

const char *vecmill_version(void)
{
    return VECMILL_VERSION;
}

struct words {
    const char *words;
    int exit_code;
};

static const struct words statuses[VECMILL_STATUS_COUNT] = {
#define STATUS_ROW(name, code, text) [VECMILL_##name] = {text, code},
    VECMILL_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

const char *vecmill_status_words(vecmill_status status)
{
    return (unsigned)status < VECMILL_STATUS_COUNT ? statuses[status].words : "unknown status";
}

int vecmill_status_exit(vecmill_status status)
{
    return (unsigned)status < VECMILL_STATUS_COUNT ? statuses[status].exit_code : 1;
}

const char *vecmill_cause_word(vecmill_cause cause)
{
    return cause_word(cause);
}

const char *vecmill_owner_word(vecmill_owner owner)
{
    static const char *const words[VECMILL_OWNER_COUNT] = {
#define OWNER_ROW(name, word) [VECMILL_OWNER_##name] = (word),
        VECMILL_OWNER_LIST(OWNER_ROW)
#undef OWNER_ROW
    };
    return (unsigned)owner < VECMILL_OWNER_COUNT ? words[owner] : "unknown";
}

void vecmill_options_init(vecmill_options *options)
{
    *options = (vecmill_options){.struct_bytes = sizeof *options};
}

void vecmill_pool_options_init(vecmill_pool_options *options)
{
    *options = (vecmill_pool_options){.struct_bytes = sizeof *options};
}

/* ---- structs that grow ---- */

/* Over this a struct_bytes was never set, and reading that far could end the process. */
#define STRUCT_MOST ((size_t)64 << 10)

/* Ends of the first versions. A struct's size is a multiple of 8, and no member lies in the padding of an
 * earlier version, which a caller need not set. */
#define OPTIONS_FIRST      offsetof(vecmill_options, prompt)
#define POOL_OPTIONS_FIRST sizeof(vecmill_pool_options)
_Static_assert(OPTIONS_FIRST == offsetof(vecmill_options, role) + sizeof(vecmill_role),
               "no padding at the first version's end");
_Static_assert(VECMILL_CAUSE_COUNT <= VECMILL_CAUSES_MAX, "vecmill_pool_counts counts each cause");

static bool is_zero(const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i]) return false;
    return true;
}

vecmill_status api_take(const char *name, const void *given, size_t first_bytes, void *own,
                        size_t own_bytes, vecmill_err *err)
{
    size_t bytes;
    memcpy(&bytes, given, sizeof bytes);
    if (bytes < first_bytes || bytes > STRUCT_MOST || bytes % sizeof(size_t) != 0)
        return err_set(err, VECMILL_E_USAGE, "%s has %zu bytes, this library's has %zu", name,
                       bytes, own_bytes);
    if (bytes > own_bytes && !is_zero((const unsigned char *)given + own_bytes, bytes - own_bytes))
        return err_set(err, VECMILL_E_UNSUPPORTED,
                       "%s has %zu bytes, this library's has %zu, and what it does not know is set",
                       name, bytes, own_bytes);
    memcpy(own, given, num_min(bytes, own_bytes));
    memcpy(own, &own_bytes, sizeof own_bytes);
    return VECMILL_OK;
}

void api_give(void *given, const void *own, size_t own_bytes)
{
    size_t bytes;
    memcpy(&bytes, given, sizeof bytes);
    const size_t n = num_min(bytes, own_bytes);
    if (n > sizeof bytes)
        memcpy((unsigned char *)given + sizeof bytes, (const unsigned char *)own + sizeof bytes,
               n - sizeof bytes);
}

vecmill_status api_take_options(const vecmill_options *given, vecmill_options *own,
                                vecmill_err *err)
{
    vecmill_options_init(own);
    return api_take("vecmill_options", given, OPTIONS_FIRST, own, sizeof *own, err);
}

vecmill_status api_take_pool_options(const vecmill_pool_options *given, vecmill_pool_options *own,
                                     vecmill_err *err)
{
    vecmill_pool_options_init(own);
    return api_take("vecmill_pool_options", given, POOL_OPTIONS_FIRST, own, sizeof *own, err);
}

/* ---- what this version does not compute ---- */

static vecmill_status refuse(const char *what, vecmill_err *err)
{
    return err_set(err, VECMILL_E_UNSUPPORTED, "%s, which vecmill %s does not compute", what,
                   VECMILL_VERSION);
}

vecmill_status api_check_options(const vecmill_options *o, vecmill_err *err)
{
    if ((unsigned)o->role > VECMILL_ROLE_QUERY)
        return err_set(err, VECMILL_E_USAGE, "role is %u, over VECMILL_ROLE_QUERY, %u",
                       (unsigned)o->role, (unsigned)VECMILL_ROLE_QUERY);
    if ((unsigned)o->dtype > VECMILL_DTYPE_INT32)
        return err_set(err, VECMILL_E_USAGE, "dtype is %u, over VECMILL_DTYPE_INT32, %u",
                       (unsigned)o->dtype, (unsigned)VECMILL_DTYPE_INT32);
    if (o->role != VECMILL_ROLE_DEFAULT) return refuse("a role is asked for", err);
    if (o->prompt) return refuse("a prompt is given", err);
    if (o->prompt_name) return refuse("a prompt's name is given", err);
    if (o->task) return refuse("a task is asked for", err);
    if (o->kinds & ~(1u << VECMILL_KIND_DENSE))
        return refuse("a kind of result other than dense is asked for", err);
    if (o->dtype != VECMILL_DTYPE_FLOAT32)
        return refuse("a dtype other than float32 is asked for", err);
    if (o->ranges) return refuse("ranges of components are given", err);
    return VECMILL_OK;
}

vecmill_status api_check_doc(const vecmill_doc *doc, vecmill_err *err)
{
    if (doc->kind == VECMILL_DOC_TEXT && doc->role == VECMILL_ROLE_DEFAULT) return VECMILL_OK;
    if ((unsigned)doc->kind > VECMILL_DOC_IDS)
        return err_set(err, VECMILL_E_USAGE, "a document's kind is %u, over VECMILL_DOC_IDS, %u",
                       (unsigned)doc->kind, (unsigned)VECMILL_DOC_IDS);
    if ((unsigned)doc->role > VECMILL_ROLE_QUERY)
        return err_set(err, VECMILL_E_USAGE, "a document's role is %u, over VECMILL_ROLE_QUERY, %u",
                       (unsigned)doc->role, (unsigned)VECMILL_ROLE_QUERY);
    if (doc->kind == VECMILL_DOC_PAIR) return refuse("a document is a pair of texts", err);
    if (doc->kind == VECMILL_DOC_IDS) return refuse("a document is given as token ids", err);
    return refuse("a document has a role of its own", err);
}
