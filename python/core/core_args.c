/* core_args: what Python gives, in the library's words. */
#include "core.h"

#include <string.h>

const char *const core_precisions[CORE_PRECISIONS] = {"fp32", "bf16", "int8"};

#define PICK_PRECISION "precision is 'fp32', 'bf16' or 'int8', not '%.40s'"
#define PICK_LONG      "long is 'truncate', 'error' or 'split', not '%.40s'"
#define PICK_NORMALIZE "normalize is 'auto', 'yes' or 'no', not '%.40s'"
#define PICK_ROLE      "role is 'auto', 'document' or 'query', not '%.40s'"
#define PICK_KIND      "kind is 'dense', 'score', 'sparse', 'multi' or 'tokens', not '%.40s'"

static bool pick(const char *word, const char *const *words, int n, const char *format, int *picked)
{
    for (int i = 0; word && i < n; i++) {
        if (strcmp(word, words[i]) == 0) {
            *picked = i;
            return true;
        }
    }
    if (word) PyErr_Format(PyExc_ValueError, format, word);
    return !word;
}

static uint64_t beside_bytes(void *context, uint32_t dim, uint32_t capacity, uint64_t max_document)
{
    const struct core_beside *held = context;
    (void)capacity, (void)max_document;
    const uint64_t rows = held->rows * dim * sizeof(float);
    return held->bytes > UINT64_MAX - rows ? UINT64_MAX : held->bytes + rows;
}

/* A path's bytes, borrowed; of a str in the encoding of file names only where that is UTF-8: what has none
 * (a name that os.fsdecode made of other bytes) is given as bytes. None: NULL. */
static int path_of(PyObject *given, void *out)
{
    const char **path = out;
    if (given == Py_None) {
        *path = NULL;
        return 1;
    }
    if (PyBytes_Check(given))
        *path = PyBytes_AsString(given);
    else
        *path = PyUnicode_AsUTF8AndSize(given, NULL);
    return *path != NULL;
}

bool core_options(PyObject *args, PyObject *kwargs, vecmill_options *options,
                  vecmill_pool_options *pool_options, struct core_beside *held)
{
    static char *of_session[] = {
        "model_dir",  "cache_dir",    "worker_path", "isa",        "precision", "long",
        "normalize",  "prompt",       "prompt_name", "role",       "task",      "kind",
        "raw_scores", "batch_tokens", "max_length",  "dimensions", "threads",   NULL};
    static char *of_pool[] = {
        "model_dir",    "cache_dir",    "worker_path", "isa",        "precision", "long",
        "normalize",    "prompt",       "prompt_name", "role",       "task",      "kind",
        "raw_scores",   "batch_tokens", "max_length",  "dimensions", "workers",   "memory_bytes",
        "max_document", "beside_bytes", "beside_rows", NULL};
    static const char *const policies[] = {"truncate", "error", "split"};
    static const char *const whens[] = {"auto", "yes", "no"};
    static const char *const roles[] = {"auto", "document", "query"};
    const char *precision = NULL, *policy = NULL, *when = NULL, *role = NULL, *kind = NULL;
    unsigned long long memory = 0, document = 0, bytes = 0;
    unsigned int rows = 0, workers = 0;
    int picked_precision = VECMILL_FP32, picked_policy = VECMILL_LONG_TRUNCATE;
    int picked_when = VECMILL_NORMALIZE_AUTO, picked_role = VECMILL_ROLE_DEFAULT;
    int picked_kind = VECMILL_KIND_DENSE, is_raw = 0;
    vecmill_options_init(options);
    if (pool_options) {
        vecmill_pool_options_init(pool_options);
        if (!PyArg_ParseTupleAndKeywords(
                args, kwargs, "O&|$O&O&zzzzzzzzzpIIIIKKKI", of_pool, path_of, &options->model_dir,
                path_of, &options->cache_dir, path_of, &options->worker_path, &options->isa,
                &precision, &policy, &when, &options->prompt, &options->prompt_name, &role,
                &options->task, &kind, &is_raw, &options->batch_tokens, &options->max_length,
                &options->dimensions, &workers, &memory, &document, &bytes, &rows))
            return false;
        pool_options->workers = workers;
        pool_options->memory_bytes = memory;
        pool_options->max_document = document;
        *held = (struct core_beside){.bytes = bytes, .rows = rows};
        pool_options->caller_bytes = bytes || rows ? beside_bytes : NULL;
        pool_options->caller_context = held;
    } else if (!PyArg_ParseTupleAndKeywords(
                   args, kwargs, "O&|$O&O&zzzzzzzzzpIIII", of_session, path_of, &options->model_dir,
                   path_of, &options->cache_dir, path_of, &options->worker_path, &options->isa,
                   &precision, &policy, &when, &options->prompt, &options->prompt_name, &role,
                   &options->task, &kind, &is_raw, &options->batch_tokens, &options->max_length,
                   &options->dimensions, &options->threads)) {
        return false;
    }
    if (!pick(precision, core_precisions, CORE_PRECISIONS, PICK_PRECISION, &picked_precision))
        return false;
    if (!pick(policy, policies, 3, PICK_LONG, &picked_policy)) return false;
    options->precision = (vecmill_precision)picked_precision;
    if (!pick(when, whens, 3, PICK_NORMALIZE, &picked_when)) return false;
    if (!pick(role, roles, 3, PICK_ROLE, &picked_role)) return false;
    if (!pick(kind, core_kinds, CORE_KINDS, PICK_KIND, &picked_kind)) return false;
    options->role = (vecmill_role)picked_role;
    options->kinds = kind ? 1u << picked_kind : 0;
    options->raw_scores = (uint64_t)is_raw;
    options->long_policy = (vecmill_long)picked_policy;
    options->normalize = (vecmill_normalize)picked_when;
    return true;
}

/* Of a str that has halves of surrogate pairs. In UTF-16 two that meet are one character, and what is left of
 * them is replaced one by one. */
static PyObject *mended(PyObject *text)
{
    char *data;
    Py_ssize_t n;
    int little = -1;
    PyErr_Clear();
    PyObject *units = PyUnicode_AsEncodedString(text, "utf-16-le", "surrogatepass");
    if (!units || PyBytes_AsStringAndSize(units, &data, &n) < 0) {
        Py_XDECREF(units);
        return NULL;
    }
    PyObject *whole = PyUnicode_DecodeUTF16(data, n, "replace", &little);
    PyObject *bytes = whole ? PyUnicode_AsUTF8String(whole) : NULL;
    Py_XDECREF(whole);
    Py_DECREF(units);
    return bytes;
}

/* The UTF-8 of one text. */
static PyObject *utf8_of(PyObject *text, Py_ssize_t place, const char **at, size_t *n_bytes)
{
    char *data;
    Py_ssize_t n;
    if (!PyUnicode_Check(text) && !PyBytes_Check(text)) {
        PyErr_Format(PyExc_TypeError, "text %zd is %R, not a str", place,
                     (PyObject *)Py_TYPE(text));
        return NULL;
    }
    PyObject *bytes = PyBytes_Check(text) ? Py_NewRef(text) : PyUnicode_AsUTF8String(text);
    if (!bytes && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) bytes = mended(text);
    if (!bytes || PyBytes_AsStringAndSize(bytes, &data, &n) < 0) {
        Py_XDECREF(bytes);
        return NULL;
    }
    *at = data;
    *n_bytes = (size_t)n;
    return bytes;
}

PyObject *core_text_get(PyObject *given, Py_ssize_t place, vecmill_doc *doc)
{
    vecmill_doc got = {.kind = VECMILL_DOC_TEXT};
    PyObject *held = NULL;
    if (!PyTuple_Check(given)) {
        held = utf8_of(given, place, &got.text, &got.bytes);
    } else if (PyTuple_Size(given) != 2) {
        PyErr_Format(PyExc_TypeError, "pair %zd has %zd texts, not 2", place, PyTuple_Size(given));
    } else {
        got.kind = VECMILL_DOC_PAIR;
        PyObject *first = utf8_of(PyTuple_GetItem(given, 0), place, &got.text, &got.bytes);
        PyObject *second =
            first ? utf8_of(PyTuple_GetItem(given, 1), place, &got.pair, &got.pair_bytes) : NULL;
        held = second ? PyTuple_Pack(2, first, second) : NULL;
        Py_XDECREF(first);
        Py_XDECREF(second);
    }
    if (held) *doc = got;
    return held;
}

bool core_texts_get(PyObject *texts, struct core_texts *t)
{
    const Py_ssize_t n = PySequence_Size(texts);
    if (n < 0) return false;
    t->n = (size_t)n;
    t->docs = PyMem_Calloc(t->n + 1, sizeof *t->docs);
    t->held = PyMem_Calloc(t->n + 1, sizeof(PyObject *));
    bool ok = t->docs && t->held;
    if (!ok) PyErr_NoMemory();
    for (Py_ssize_t i = 0; ok && i < n; i++) {
        PyObject *text = PySequence_GetItem(texts, i);
        t->held[i] = text ? core_text_get(text, i, &t->docs[i]) : NULL;
        ok = t->held[i] != NULL;
        Py_XDECREF(text);
    }
    if (!ok) core_texts_free(t);
    return ok;
}

void core_texts_free(struct core_texts *t)
{
    for (size_t i = 0; t->held && i < t->n; i++) {
        Py_XDECREF(t->held[i]);
    }
    PyMem_Free(t->held);
    PyMem_Free(t->docs);
    *t = (struct core_texts){.n = 0};
}

bool core_rows_get(PyObject *object, uint32_t dim, Py_buffer *view, size_t *rows)
{
    const int flags = PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT;
    if (PyObject_GetBuffer(object, view, flags) < 0) return false;
    if (!view->format || strcmp(view->format, "f") != 0) {
        PyErr_Format(PyExc_ValueError, "the buffer's elements are '%s', not float32",
                     view->format ? view->format : "B");
        PyBuffer_Release(view);
        return false;
    }
    *rows = (size_t)view->len / (dim * sizeof(float));
    return true;
}
