/* torch_pickle: values are words, kind and place. Records, in the order in which they were made:
 *     tuple    {TUPLE, n} and its n values
 *     items    {DICT, number of the dict}, {COUNT, n}, n times key and value
 * A tuple's value has the place of its record; a storage's and a tensor's that of the tuple of
 * their arguments. A dict's value has its number. */
#include "torch_pickle.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum kind {
    MARK,
    NONE,
    BOOL,
    INT,    /* place: its opcode */
    STRING, /* place: its opcode */
    GLOBAL, /* place: row of `globals` */
    TUPLE,
    LIST, /* what is in it is forgotten */
    DICT,
    STORAGE,
    TENSOR,
    COUNT,
    KINDS
};

static const char *const kind_names[KINDS] = {
    "a mark",  "None",   "a bool", "an int",    "a string", "a global",
    "a tuple", "a list", "a dict", "a storage", "a tensor", "a count",
};

#define PLACE_BITS 28
#define PLACE_MOST ((1u << PLACE_BITS) - 1)
_Static_assert(2 * TORCH_PICKLE_MAX + 16 < PLACE_MOST, "a place in the records");
_Static_assert(KINDS <= 16, "kinds have four bits");

static uint32_t word(enum kind kind, uint32_t place)
{
    return (uint32_t)kind << PLACE_BITS | place;
}

static enum kind kind_of(uint32_t word)
{
    return (enum kind)(word >> PLACE_BITS);
}

static uint32_t place_of(uint32_t word)
{
    return word & PLACE_MOST;
}

enum { ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, STORAGES };

static const struct {
    const char *module, *name;
    enum tensor_dtype dtype; /* of a storage */
} globals[] = {
    [ORDERED_DICT] = {"collections", "OrderedDict", TENSOR_DTYPES_COUNT},
    [REBUILD_TENSOR] = {"torch._utils", "_rebuild_tensor_v2", TENSOR_DTYPES_COUNT},
    [REBUILD_PARAMETER] = {"torch._utils", "_rebuild_parameter", TENSOR_DTYPES_COUNT},
    [STORAGES] = {"torch", "FloatStorage", TENSOR_F32},
    {"torch", "HalfStorage", TENSOR_F16},
    {"torch", "BFloat16Storage", TENSOR_BF16},
    {"torch", "DoubleStorage", TENSOR_F64},
    {"torch", "LongStorage", TENSOR_I64},
    {"torch", "IntStorage", TENSOR_I32},
    {"torch", "ShortStorage", TENSOR_I16},
    {"torch", "CharStorage", TENSOR_I8},
    {"torch", "ByteStorage", TENSOR_U8},
    {"torch", "BoolStorage", TENSOR_BOOL},
    {"torch", "ComplexFloatStorage", TENSOR_C64},
};

/* ---- what words mean ---- */

/* The text of a STRING, within the pickle. */
static const char *string_of(const struct torch_pickle *p, uint32_t word, uint32_t *bytes)
{
    struct cur c;
    cur_init(&c, p->data, p->bytes);
    cur_skip(&c, place_of(word) + 1);
    *bytes = cur_u32(&c);
    return cur_take(&c, *bytes);
}

static bool string_is(const struct torch_pickle *p, uint32_t word, const char *text)
{
    uint32_t bytes;
    if (kind_of(word) != STRING) return false;
    const char *is = string_of(p, word, &bytes);
    return bytes == strlen(text) && memcmp(is, text, bytes) == 0;
}

/* An INT of at least zero; false: another value, or below zero. */
static bool natural(const struct torch_pickle *p, uint32_t word, uint64_t *out)
{
    if (kind_of(word) != INT) return false;
    const unsigned char *at = p->data + place_of(word);
    const size_t n = *at == 'K' ? 1 : *at == 'M' ? 2 : *at == 'J' ? 4 : at[1];
    const unsigned char *digits = *at == 0x8a ? at + 2 : at + 1;
    const bool is_signed = *at == 'J' || *at == 0x8a;
    uint64_t value = 0;
    for (size_t i = n; i-- > 0;)
        value = value << 8 | digits[i];
    if (is_signed && n > 0 && digits[n - 1] >= 0x80) return false;
    *out = value;
    return true;
}

/* A tuple's values, n of them. */
static const uint32_t *tuple_of(const struct torch_pickle *p, uint32_t word, uint32_t *n)
{
    const uint32_t *record = p->words + place_of(word);
    *n = place_of(record[0]);
    return record + 1;
}

/* ---- the machine ---- */

struct machine {
    struct torch_pickle *p;
    struct cur in;
    uint32_t at; /* of the opcode that is run */
    uint8_t opcode;
    vecmill_err *err;
};

static vecmill_status refuse(const struct machine *m, const char *what)
{
    return err_set(m->err, VECMILL_E_MODEL, "%s: opcode 0x%02x at byte %u of the pickle: %s",
                   m->p->shown, m->opcode, m->at, what);
}

/* most_words leaves room for all that a pickle can do; this would be a fault of ours. */
static vecmill_status need(const struct machine *m, uint32_t words)
{
    const struct torch_pickle *p = m->p;
    if (words <= p->n_words - p->n_records - p->n_stack) return VECMILL_OK;
    return err_set(m->err, VECMILL_E_INTERNAL, "%s: a pickle of %zu bytes takes more than %u words",
                   p->shown, p->bytes, p->n_words);
}

static vecmill_status push(const struct machine *m, enum kind kind, uint32_t place)
{
    struct torch_pickle *p = m->p;
    VM_TRY(need(m, 1));
    p->words[p->n_words - ++p->n_stack] = word(kind, place);
    return VECMILL_OK;
}

/* The stack's word i from the top. */
static uint32_t top(const struct torch_pickle *p, uint32_t i)
{
    return p->words[p->n_words - p->n_stack + i];
}

/* Values above the last mark. */
static vecmill_status above_mark(const struct machine *m, uint32_t *n)
{
    for (uint32_t i = 0; i < m->p->n_stack; i++) {
        if (kind_of(top(m->p, i)) != MARK) continue;
        *n = i;
        return VECMILL_OK;
    }
    return refuse(m, "there is no mark on the stack");
}

/* n values that are no marks. */
static vecmill_status has(const struct machine *m, uint32_t n)
{
    if (n > m->p->n_stack) return refuse(m, "the stack is empty");
    for (uint32_t i = 0; i < n; i++) {
        if (kind_of(top(m->p, i)) == MARK) return refuse(m, "there is a mark in place of a value");
    }
    return VECMILL_OK;
}

static void record(struct torch_pickle *p, uint32_t word)
{
    p->words[p->n_records++] = word;
}

/* Moves the n topmost values into the records, the lowest first. */
static void move(struct torch_pickle *p, uint32_t n)
{
    for (uint32_t i = n; i-- > 0;)
        p->words[p->n_records + n - 1 - i] = top(p, i);
    p->n_records += n;
    p->n_stack -= n;
}

/* The n topmost values become a tuple, with `more` below them dropped. */
static vecmill_status make_tuple(const struct machine *m, uint32_t n, uint32_t more)
{
    struct torch_pickle *p = m->p;
    const uint32_t place = p->n_records;
    VM_TRY(need(m, n + 2));
    record(p, word(TUPLE, n));
    move(p, n);
    p->n_stack -= more;
    return push(m, TUPLE, place);
}

/* The 2n topmost values are keys and values of the dict below them, and below `more`. */
static vecmill_status set_items(const struct machine *m, uint32_t n, uint32_t more)
{
    struct torch_pickle *p = m->p;
    VM_TRY(has(m, 2 * n));
    if (p->n_stack <= 2 * n + more) return refuse(m, "the stack is empty");
    const uint32_t dict = top(p, 2 * n + more);
    if (kind_of(dict) != DICT) return refuse(m, "items are set in what is no dict");
    for (uint32_t i = 0; i < n; i++) {
        const enum kind key = kind_of(top(p, 2 * i + 1));
        if (key != STRING && key != INT) return refuse(m, "a dict's key is no string");
    }
    VM_TRY(need(m, 2 * n + 2));
    record(p, dict);
    record(p, word(COUNT, n));
    move(p, 2 * n);
    p->n_stack -= more;
    return VECMILL_OK;
}

/* n values go into the list below them, and below `more`. */
static vecmill_status append(const struct machine *m, uint32_t n, uint32_t more)
{
    struct torch_pickle *p = m->p;
    VM_TRY(has(m, n));
    if (p->n_stack <= n + more || kind_of(top(p, n + more)) != LIST)
        return refuse(m, "values are appended to what is no list");
    p->n_stack -= n + more;
    return VECMILL_OK;
}

static vecmill_status put(const struct machine *m, uint32_t i)
{
    struct torch_pickle *p = m->p;
    VM_TRY(has(m, 1));
    /* pickle numbers them one after the other, so there are no more than opcodes. */
    if (i > p->n_memo) {
        return err_set(m->err, VECMILL_E_MODEL,
                       "%s: opcode 0x%02x at byte %u of the pickle: memo %u after %u of them",
                       p->shown, m->opcode, m->at, i, p->n_memo);
    }
    p->memo[i] = top(p, 0);
    p->n_memo += i == p->n_memo;
    return VECMILL_OK;
}

static vecmill_status get(const struct machine *m, uint32_t i)
{
    const struct torch_pickle *p = m->p;
    if (m->in.failed) return VECMILL_OK;
    if (i < p->n_memo) return push(m, kind_of(p->memo[i]), place_of(p->memo[i]));
    return err_set(m->err, VECMILL_E_MODEL,
                   "%s: opcode 0x%02x at byte %u of the pickle: memo %u of %u", p->shown, m->opcode,
                   m->at, i, p->n_memo);
}

/* A line without its end; NULL: there is none. */
static const char *line(struct cur *c, size_t *bytes)
{
    const char *from = (const char *)c->data + c->pos;
    const char *end = memchr(from, '\n', cur_left(c));
    *bytes = end ? (size_t)(end - from) : 0;
    (void)cur_take(c, end ? *bytes + 1 : SIZE_MAX);
    return end ? from : NULL;
}

static vecmill_status take_global(struct machine *m)
{
    size_t n_module, n_name;
    const char *module = line(&m->in, &n_module), *name = module ? line(&m->in, &n_name) : NULL;
    if (!name) return VECMILL_OK; /* the pickle ends */
    for (uint32_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        if (strlen(globals[i].module) == n_module && strlen(globals[i].name) == n_name &&
            memcmp(globals[i].module, module, n_module) == 0 &&
            memcmp(globals[i].name, name, n_name) == 0)
            return push(m, GLOBAL, i);
    }
    return err_set(m->err, VECMILL_E_MODEL,
                   "%s: the pickle names the global %.*s.%.*s at byte %u; only tensors by name are "
                   "read, and nothing is executed",
                   m->p->shown, (int)num_min(n_module, 48), module, (int)num_min(n_name, 48), name,
                   m->at);
}

static vecmill_status take_string(struct machine *m)
{
    const uint32_t bytes = cur_u32(&m->in);
    const char *text = cur_take(&m->in, bytes);
    if (!text) return VECMILL_OK;
    if (!utf8_valid(text, bytes) || memchr(text, '\0', bytes))
        return refuse(m, "a string is not valid UTF-8, or has a NUL");
    return push(m, STRING, m->at);
}

static vecmill_status take_long(struct machine *m)
{
    const uint8_t bytes = cur_u8(&m->in);
    if (bytes > 8) return refuse(m, "an integer of more than eight bytes");
    cur_skip(&m->in, bytes);
    return push(m, INT, m->at);
}

/* A storage: ("storage", its type, key, where it was, elements). */
static vecmill_status take_storage(struct machine *m)
{
    struct torch_pickle *p = m->p;
    uint32_t n = 0, bytes = 0;
    uint64_t elements;
    VM_TRY(has(m, 1));
    const uint32_t id = top(p, 0);
    const uint32_t *v = kind_of(id) == TUPLE ? tuple_of(p, id, &n) : NULL;
    if (n != 5 || !string_is(p, v[0], "storage") || kind_of(v[1]) != GLOBAL ||
        place_of(v[1]) < STORAGES || kind_of(v[2]) != STRING || kind_of(v[3]) != STRING ||
        !natural(p, v[4], &elements))
        return refuse(m, "a persistent id is no storage");
    const char *key = string_of(p, v[2], &bytes);
    bool is_number = bytes > 0 && bytes <= TORCH_KEY_MAX;
    for (uint32_t i = 0; is_number && i < bytes; i++)
        is_number = key[i] >= '0' && key[i] <= '9';
    if (!is_number) return refuse(m, "a storage's key is no number");
    p->n_stack--;
    return push(m, STORAGE, place_of(id));
}

/* The arguments of _rebuild_tensor_v2: storage, offset, size, stride, requires_grad, hooks, and
 * sometimes metadata. What they are is checked when the tensor has a name. */
static bool of_tensor(const uint32_t *v, uint32_t n)
{
    return (n == 6 || n == 7) && kind_of(v[0]) == STORAGE && kind_of(v[1]) == INT &&
           kind_of(v[2]) == TUPLE && kind_of(v[3]) == TUPLE && kind_of(v[4]) == BOOL &&
           kind_of(v[5]) == DICT;
}

static vecmill_status reduce(struct machine *m)
{
    struct torch_pickle *p = m->p;
    uint32_t n = 0;
    VM_TRY(has(m, 2));
    const uint32_t arguments = top(p, 0), function = top(p, 1);
    if (kind_of(arguments) != TUPLE || kind_of(function) != GLOBAL ||
        place_of(function) >= STORAGES)
        return refuse(m, "REDUCE of something else than a function and a tuple");
    const uint32_t *v = tuple_of(p, arguments, &n);
    p->n_stack -= 2;
    switch (place_of(function)) {
    case ORDERED_DICT:
        if (n != 0) return refuse(m, "OrderedDict with arguments");
        return push(m, DICT, p->n_dicts++);
    case REBUILD_PARAMETER:
        if (n != 3 || kind_of(v[0]) != TENSOR || kind_of(v[1]) != BOOL || kind_of(v[2]) != DICT)
            return refuse(m, "_rebuild_parameter with other arguments");
        return push(m, TENSOR, place_of(v[0]));
    default:
        if (!of_tensor(v, n)) return refuse(m, "_rebuild_tensor_v2 with other arguments");
        if (n == 7 && kind_of(v[6]) != NONE) return refuse(m, "a tensor with metadata");
        return push(m, TENSOR, place_of(arguments));
    }
}

/* The state of an OrderedDict is {"_metadata": ...}: the versions of modules. */
static vecmill_status build(const struct machine *m)
{
    VM_TRY(has(m, 2));
    if (kind_of(top(m->p, 0)) != DICT || kind_of(top(m->p, 1)) != DICT)
        return refuse(m, "BUILD of something else than a dict");
    m->p->n_stack--;
    return VECMILL_OK;
}

static vecmill_status take_int(struct machine *m, size_t bytes)
{
    cur_skip(&m->in, bytes);
    return push(m, INT, m->at);
}

static vecmill_status take_marked(struct machine *m)
{
    uint32_t n = 0;
    VM_TRY(above_mark(m, &n));
    switch (m->opcode) {
    case 't':
        return make_tuple(m, n, 1);
    case 'e':
        return append(m, n, 1);
    default:
        break;
    }
    if (n % 2 != 0) return refuse(m, "a key without a value");
    return set_items(m, n / 2, 1);
}

static vecmill_status step(struct machine *m)
{
    struct torch_pickle *p = m->p;
    switch (m->opcode) {
    case '(':
        return push(m, MARK, 0);
    case 'N':
        return push(m, NONE, 0);
    case 0x88:
        return push(m, BOOL, 1);
    case 0x89:
        return push(m, BOOL, 0);
    case '}':
        return push(m, DICT, p->n_dicts++);
    case ']':
        return push(m, LIST, 0);
    case ')':
        return push(m, TUPLE, 0);
    case 'K':
        return take_int(m, 1);
    case 'M':
        return take_int(m, 2);
    case 'J':
        return take_int(m, 4);
    case 0x8a:
        return take_long(m);
    case 'X':
        return take_string(m);
    case 'c':
        return take_global(m);
    case 'q':
        return put(m, cur_u8(&m->in));
    case 'r':
        return put(m, cur_u32(&m->in));
    case 'h':
        return get(m, cur_u8(&m->in));
    case 'j':
        return get(m, cur_u32(&m->in));
    case 't':
    case 'u':
    case 'e':
        return take_marked(m);
    case 0x85:
    case 0x86:
    case 0x87:
        VM_TRY(has(m, m->opcode - 0x84u));
        return make_tuple(m, m->opcode - 0x84u, 0);
    case 's':
        return set_items(m, 1, 0);
    case 'a':
        return append(m, 1, 0);
    case 'Q':
        return take_storage(m);
    case 'R':
        return reduce(m);
    case 'b':
        return build(m);
    default:
        return refuse(m, "it is none of a state dict's");
    }
}

static vecmill_status run(struct machine *m)
{
    const struct torch_pickle *p = m->p;
    const uint8_t first = cur_u8(&m->in), protocol = cur_u8(&m->in);
    if (first != 0x80 || protocol != 2) {
        return err_set(m->err, VECMILL_E_MODEL,
                       "%s: the pickle is not of protocol 2, which torch.save writes unless told "
                       "otherwise",
                       p->shown);
    }
    for (;;) {
        m->at = (uint32_t)m->in.pos;
        m->opcode = cur_u8(&m->in);
        if (!m->in.failed && m->opcode == '.') break;
        if (!m->in.failed) VM_TRY(step(m));
        if (m->in.failed) {
            return err_set(m->err, VECMILL_E_MODEL,
                           "%s: the pickle of %zu bytes ends in its opcode at byte %u", p->shown,
                           p->bytes, m->at);
        }
    }
    if (cur_left(&m->in) != 0) {
        return err_set(m->err, VECMILL_E_MODEL, "%s: the pickle has %zu bytes after its end",
                       p->shown, cur_left(&m->in));
    }
    if (p->n_stack != 1 || kind_of(top(p, 0)) != DICT) {
        return err_set(m->err, VECMILL_E_MODEL,
                       "%s: the pickle leaves %s in place of a dict of tensors", p->shown,
                       p->n_stack == 1 ? kind_names[kind_of(top(p, 0))] : "several values");
    }
    return VECMILL_OK;
}

/* ---- the door ---- */

/* A value that is pushed takes a byte, and is in the stack and in a record at most; TUPLE1 and
 * SETITEM are one byte and add two words. A memo's number takes two bytes. */
static size_t most_words(size_t bytes)
{
    return 2 * bytes + 8;
}

static size_t most_memo(size_t bytes)
{
    return bytes / 2 + 1;
}

size_t torch_pickle_most(size_t bytes)
{
    return (most_words(bytes) + most_memo(bytes)) * sizeof(uint32_t);
}

vecmill_status torch_pickle_open(const void *pickle, size_t bytes, const char *shown,
                                 struct torch_pickle *p, vecmill_err *err)
{
    *p = (struct torch_pickle){.data = pickle, .bytes = bytes, .shown = shown};
    if (bytes > TORCH_PICKLE_MAX) {
        return err_set(err, VECMILL_E_MODEL, "%s: a pickle of %zu bytes, TORCH_PICKLE_MAX is %u",
                       shown, bytes, TORCH_PICKLE_MAX);
    }
    VM_TRY(mem_new(torch_pickle_most(bytes), "a pickle's values", (void **)&p->words, err));
    p->n_words = (uint32_t)most_words(bytes);
    p->memo = p->words + p->n_words;
    record(p, word(TUPLE, 0)); /* the empty tuple, at place 0 */
    struct machine m = {.p = p, .err = err};
    cur_init(&m.in, pickle, bytes);
    VM_TRY(run(&m));
    p->root = place_of(top(p, 0));
    return VECMILL_OK;
}

void torch_pickle_close(struct torch_pickle *p)
{
    mem_free(p->words);
    p->words = p->memo = NULL;
}

/* ---- its tensors ---- */

/* What a message says of a tensor. */
struct named {
    const struct torch_pickle *p;
    int bytes;
    const char *name;
};

static vecmill_status read_size(const struct named *of, const uint32_t *arguments,
                                struct torch_tensor *t, vecmill_err *err)
{
    uint32_t n_size, n_stride;
    const uint32_t *size = tuple_of(of->p, arguments[2], &n_size);
    const uint32_t *stride = tuple_of(of->p, arguments[3], &n_stride);
    if (n_size > TENSOR_RANK_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.*s\" has %u dimensions, TENSOR_RANK_MAX is %u", of->p->shown,
                       of->bytes, of->name, n_size, TENSOR_RANK_MAX);
    }
    uint64_t strides[TENSOR_RANK_MAX];
    bool fits = n_size == n_stride;
    t->rank = n_size;
    t->elements = 1;
    for (uint32_t i = 0; fits && i < n_size; i++) {
        fits = natural(of->p, size[i], &t->shape[i]) && natural(of->p, stride[i], &strides[i]) &&
               t->shape[i] <= INT64_MAX &&
               !__builtin_mul_overflow(t->elements, t->shape[i], &t->elements);
    }
    if (!fits) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.*s\": size and stride are not tuples of as many integers "
                       "from 0 whose product fits 64 bits",
                       of->p->shown, of->bytes, of->name);
    }
    uint64_t step = 1;
    bool plain = true;
    for (uint32_t i = n_size; i-- > 0; step *= t->shape[i])
        plain = plain && (t->shape[i] == 1 || strides[i] == step);
    if (plain || t->elements == 0) return VECMILL_OK;
    char shape[TENSOR_SHAPE_TEXT], is[TENSOR_SHAPE_TEXT];
    tensor_shape_text(t->shape, t->rank, shape);
    tensor_shape_text(strides, t->rank, is);
    return err_set(err, VECMILL_E_MODEL,
                   "%s: tensor \"%.*s\" of shape %.48s has strides %.48s: only contiguous tensors "
                   "are read (tensor.contiguous() before torch.save)",
                   of->p->shown, of->bytes, of->name, shape, is);
}

static vecmill_status read_tensor(const struct named *of, uint32_t value, struct torch_tensor *t,
                                  vecmill_err *err)
{
    uint32_t n, bytes = 0;
    const uint32_t *arguments = tuple_of(of->p, value, &n);
    const uint32_t *storage = tuple_of(of->p, arguments[0], &n);
    const char *key = string_of(of->p, storage[2], &bytes);
    memcpy(t->key, key, bytes);
    t->key[bytes] = '\0';
    t->dtype = globals[place_of(storage[1])].dtype;
    VM_TRY(read_size(of, arguments, t, err));
    if (!natural(of->p, storage[4], &t->storage) || !natural(of->p, arguments[1], &t->offset) ||
        t->offset > t->storage || t->elements > t->storage - t->offset) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%.*s\": %" PRIu64 " elements from %" PRIu64
                       " are not in storage %s of %" PRIu64,
                       of->p->shown, of->bytes, of->name, t->elements, t->offset, t->key,
                       t->storage);
    }
    return VECMILL_OK;
}

static vecmill_status read_item(const struct torch_pickle *p, uint32_t key, uint32_t value,
                                struct torch_tensor *t, vecmill_err *err)
{
    if (kind_of(key) != STRING) {
        return err_set(err, VECMILL_E_MODEL, "%s: a tensor's name is an int, not a string",
                       p->shown);
    }
    *t = (struct torch_tensor){.rank = 0};
    t->name = string_of(p, key, &t->name_bytes);
    const struct named of = {.p = p, .bytes = (int)num_min(t->name_bytes, 64), .name = t->name};
    if (kind_of(value) == TENSOR) return read_tensor(&of, value, t, err);
    return err_set(err, VECMILL_E_MODEL,
                   "%s: \"%.*s\" is %s, not a tensor; what is read is a state dict by itself, as "
                   "transformers saves it",
                   p->shown, of.bytes, of.name, kind_names[kind_of(value)]);
}

vecmill_status torch_pickle_next(const struct torch_pickle *p, struct torch_items *items,
                                 bool *found, struct torch_tensor *tensor, vecmill_err *err)
{
    while (items->left == 0 && items->at < p->n_records) {
        const uint32_t *head = p->words + items->at;
        if (kind_of(head[0]) == TUPLE) {
            items->at += 1 + place_of(head[0]);
        } else if (place_of(head[0]) == p->root) {
            items->left = place_of(head[1]);
            items->at += 2;
        } else {
            items->at += 2 + 2 * place_of(head[1]);
        }
    }
    *found = items->left > 0;
    if (!*found) return VECMILL_OK;
    const uint32_t *pair = p->words + items->at;
    items->at += 2;
    items->left--;
    return read_item(p, pair[0], pair[1], tensor, err);
}
