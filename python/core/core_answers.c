/* core_answers: what the library says, in Python's words: facts, plans, and errors as exceptions. */
#include "core.h"

#include <string.h>
#include <unistd.h>

const char *const core_kinds[CORE_KINDS] = {"dense", "score", "sparse", "multi", "tokens"};

PyObject *core_words(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
}

/* vecmill._errors makes the exception, so that its tree is in one place, in Python. */
PyObject *core_raise(const vecmill_err *err)
{
    PyObject *errors = PyImport_ImportModule("vecmill._errors");
    if (!errors) return NULL;
    PyObject *made = PyObject_CallMethod(errors, "from_status", "iN", (int)err->status,
                                         core_words(err->message));
    if (made) PyErr_SetObject((PyObject *)Py_TYPE(made), made);
    Py_XDECREF(made);
    Py_DECREF(errors);
    return NULL;
}

bool core_is_ours(pid_t owner, const char *what)
{
    if (owner == getpid()) return true;
    PyErr_Format(PyExc_RuntimeError,
                 "this %s was opened by process %ld; in process %ld, its fork, open another", what,
                 (long)owner, (long)getpid());
    return false;
}

/* Steals value; false with an exception set. */
static bool put(PyObject *dict, const char *key, PyObject *value)
{
    const bool ok = value && PyDict_SetItemString(dict, key, value) == 0;
    Py_XDECREF(value);
    return ok;
}

static bool put_u64(PyObject *dict, const char *key, uint64_t value)
{
    return put(dict, key, PyLong_FromUnsignedLongLong(value));
}

static bool put_text(PyObject *dict, const char *key, const char *text)
{
    return put(dict, key, core_words(text));
}

static bool put_bool(PyObject *dict, const char *key, bool value)
{
    return put(dict, key, PyBool_FromLong(value));
}

/* The most that is known of a limit; None where the library says UINT64_MAX. */
static bool put_limit(PyObject *dict, const char *key, uint64_t value)
{
    if (value != UINT64_MAX) return put_u64(dict, key, value);
    return PyDict_SetItemString(dict, key, Py_None) == 0;
}

/* dict when all was put, else NULL. */
static PyObject *whole(PyObject *dict, bool ok)
{
    if (ok) return dict;
    Py_XDECREF(dict);
    return NULL;
}

static PyObject *kinds(uint32_t bits)
{
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < CORE_KINDS; i++) {
        PyObject *word = bits >> i & 1 ? core_words(core_kinds[i]) : Py_NewRef(Py_None);
        if (!word || (word != Py_None && PyList_Append(list, word) < 0)) Py_CLEAR(list);
        Py_XDECREF(word);
    }
    return list;
}

static PyObject *labels(const vecmill_facts *f)
{
    if (!f->labels) return Py_NewRef(Py_None);
    PyObject *list = PyList_New(f->dim);
    for (uint32_t i = 0; list && i < f->dim; i++) {
        PyObject *label = core_words(f->labels + (size_t)i * VECMILL_LABEL_BYTES);
        if (!label || PyList_SetItem(list, i, label) < 0) Py_CLEAR(list);
    }
    return list;
}

PyObject *core_made(const vecmill_result *result, const vecmill_part *part, const char *why)
{
    if (result->status != VECMILL_OK)
        return Py_BuildValue("ikN", (int)result->status, (unsigned long)result->n_tokens,
                             core_words(why));
    return Py_BuildValue("KkN", (unsigned long long)part->n, (unsigned long)part->dim,
                         PyByteArray_FromStringAndSize(part->data, (Py_ssize_t)part->bytes));
}

PyObject *core_facts(const vecmill_facts *f)
{
    PyObject *d = PyDict_New();
    return whole(
        d, d && put_u64(d, "dim", f->dim) && put_u64(d, "max_length", f->max_length) &&
               put_u64(d, "most_length", f->most_length) &&
               put_u64(d, "batch_tokens", f->batch_tokens) && put_u64(d, "layers", f->layers) &&
               put_u64(d, "heads", f->heads) && put_u64(d, "hidden", f->hidden) &&
               put_u64(d, "intermediate", f->intermediate) && put_u64(d, "vocab", f->vocab) &&
               put_text(d, "precision", core_precisions[f->precision]) &&
               put_bool(d, "normalized", f->normalized) && put_text(d, "pooling", f->pooling) &&
               put_text(d, "isa", f->isa) &&
               put(d, "pack_path", PyUnicode_DecodeFSDefault(f->pack_path)) &&
               put_u64(d, "pack_bytes", f->pack_bytes) &&
               put_u64(d, "arena_bytes", f->arena_bytes) && put_text(d, "identity", f->identity) &&
               put_u64(d, "threads", f->threads) && put_text(d, "prompt", f->prompt) &&
               put(d, "kinds", kinds(f->kinds)) && put(d, "labels", labels(f)) &&
               put_u64(d, "result_bytes", f->result_bytes) &&
               put(d, "warning", PyUnicode_DecodeFSDefault(f->warning)));
}

bool core_warn(const vecmill_facts *f)
{
    if (!f->warning[0]) return true;
    PyObject *text = PyUnicode_DecodeFSDefault(f->warning);
    const bool ok = text && PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "%U", text) == 0;
    Py_XDECREF(text);
    return ok;
}

static PyObject *part(const vecmill_plan_part *p)
{
    PyObject *d = PyDict_New();
    return whole(d, d && put_text(d, "name", p->name) &&
                        put_text(d, "owner", vecmill_owner_word(p->owner)) &&
                        put_u64(d, "bytes", p->bytes) && put_u64(d, "n", p->n) &&
                        put_u64(d, "measured_bytes", p->measured_bytes));
}

static PyObject *parts(const vecmill_plan *plan)
{
    PyObject *list = PyList_New(plan->n_parts);
    for (uint32_t i = 0; list && i < plan->n_parts; i++) {
        PyObject *item = part(&plan->parts[i]);
        if (!item || PyList_SetItem(list, i, item) < 0) Py_CLEAR(list);
    }
    return list;
}

PyObject *core_plan(const vecmill_plan *p)
{
    PyObject *d = PyDict_New();
    return whole(d, d && put_u64(d, "total_bytes", p->total_bytes) &&
                        put_u64(d, "reserve_bytes", p->reserve_bytes) &&
                        put_u64(d, "pack_bytes", p->pack_bytes) &&
                        put_limit(d, "limit_bytes", p->limit_bytes) &&
                        put_text(d, "limit_source", p->limit_source) &&
                        put_bool(d, "fits", p->fits) && put_u64(d, "workers", p->workers) &&
                        put_u64(d, "batch_tokens", p->batch_tokens) &&
                        put_u64(d, "max_length", p->max_length) && put_u64(d, "dim", p->dim) &&
                        put_u64(d, "max_document", p->max_document) &&
                        put_bool(d, "measured", p->measured) && put_bool(d, "shrunk", p->shrunk) &&
                        put_bool(d, "oom_group", p->oom_group) && put(d, "parts", parts(p)) &&
                        put_text(d, "advice", p->advice));
}
