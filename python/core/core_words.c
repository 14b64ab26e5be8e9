/* core_words: vecmill._core.Bm25, weights of words, which need no model. */
#include "core.h"

#include <stdio.h>

struct bm25 {
    PyObject_HEAD vecmill_bm25 *bm25;
    bool busy; /* guarded by the interpreter's lock */
};

/* Words to leave out, for one call: pointers into held. */
struct stop_words {
    const char **words;
    struct core_texts held;
};

static bool stop_words_get(PyObject *given, struct stop_words *s, vecmill_bm25_options *options)
{
    *s = (struct stop_words){0};
    if (given == Py_None) return true;
    if (!core_texts_get(given, &s->held)) return false;
    s->words = PyMem_Calloc(s->held.n + 1, sizeof *s->words);
    if (!s->words) {
        PyErr_NoMemory();
        return false;
    }
    for (size_t i = 0; i < s->held.n; i++) {
        s->words[i] = s->held.docs[i].text; /* of a bytes object, so NUL is behind it */
    }
    options->stopwords = s->words;
    options->n_stopwords = s->held.n;
    return true;
}

static void stop_words_free(struct stop_words *s)
{
    core_texts_free(&s->held);
    PyMem_Free(s->words);
}

static PyObject *bm25_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"language",        "k",         "b", "avg_len", "token_max_length",
                            "disable_stemmer", "stopwords", NULL};
    vecmill_bm25_options options;
    vecmill_bm25 *opened = NULL;
    PyObject *given = Py_None;
    struct stop_words stop;
    unsigned int most;
    vecmill_err err;
    vecmill_status status;
    vecmill_bm25_options_init(&options);
    most = options.token_max_length;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$sdddIpO", names, &options.language,
                                     &options.k, &options.b, &options.avg_len, &most,
                                     &options.disable_stemmer, &given))
        return NULL;
    options.token_max_length = most;
    if (!stop_words_get(given, &stop, &options)) {
        stop_words_free(&stop);
        return NULL;
    }
    status = vecmill_bm25_open(&options, &opened, &err);
    stop_words_free(&stop);
    if (status != VECMILL_OK) return core_raise(&err);
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct bm25 *self = (struct bm25 *)alloc(type, 0);
    if (self)
        self->bm25 = opened;
    else
        vecmill_bm25_close(opened);
    return (PyObject *)self;
}

static void bm25_dealloc(struct bm25 *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    vecmill_bm25_close(self->bm25);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* What take() adds to, with the interpreter's lock, which encode() does without meanwhile. */
struct answers {
    PyObject *list;
    PyThreadState *unlocked;
    bool raised;
};

static vecmill_status refuse(vecmill_err *err, size_t d, vecmill_status status)
{
    err->status = status;
    (void)snprintf(err->message, sizeof err->message, "text %zu: %s", d,
                   vecmill_status_words(status));
    return status;
}

static vecmill_status take(void *context, size_t d, const vecmill_result *result,
                           const vecmill_part *parts, uint32_t n_parts, vecmill_err *err)
{
    struct answers *a = context;
    if (result->status != VECMILL_OK || n_parts != 1) return refuse(err, d, result->status);
    const Py_ssize_t bytes = (Py_ssize_t)(parts->n * sizeof(uint32_t));
    const char *data = parts->data;
    PyEval_RestoreThread(a->unlocked);
    PyObject *item =
        Py_BuildValue("y#y#k", data, bytes, data + bytes, bytes, (unsigned long)result->n_tokens);
    a->raised = !item || PyList_Append(a->list, item) < 0;
    Py_XDECREF(item);
    a->unlocked = PyEval_SaveThread();
    return a->raised ? refuse(err, d, VECMILL_E_MEMORY) : VECMILL_OK;
}

/* A list, or NULL with an exception set. */
static PyObject *encode(struct bm25 *self, const struct core_texts *t, vecmill_role role)
{
    struct answers a = {.list = PyList_New(0)};
    vecmill_err err;
    if (!a.list) return NULL;
    self->busy = true;
    a.unlocked = PyEval_SaveThread();
    const vecmill_status status =
        vecmill_bm25_compute(self->bm25, t->docs, t->n, role, take, &a, &err);
    PyEval_RestoreThread(a.unlocked);
    self->busy = false;
    if (status == VECMILL_OK) return a.list;
    Py_DECREF(a.list);
    return a.raised ? NULL : core_raise(&err);
}

PyDoc_STRVAR(encode_doc,
             "encode(texts, is_query)\n--\n\n"
             "Of each text (uint32 indices, float32 weights, words read), the first two as bytes.");

static PyObject *bm25_encode(struct bm25 *self, PyObject *args)
{
    PyObject *texts;
    int is_query;
    struct core_texts t;
    if (!PyArg_ParseTuple(args, "Op", &texts, &is_query)) return NULL;
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "this Bm25 is encoding for another thread");
        return NULL;
    }
    if (!core_texts_get(texts, &t)) return NULL;
    PyObject *list = encode(self, &t, is_query ? VECMILL_ROLE_QUERY : VECMILL_ROLE_DOCUMENT);
    core_texts_free(&t);
    return list;
}

static PyMethodDef methods[] = {
    {"encode", (PyCFunction)(void (*)(void))bm25_encode, METH_VARARGS, encode_doc},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_new, bm25_new},
    {Py_tp_dealloc, bm25_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "Bm25(*, language, k, b, avg_len, token_max_length, disable_stemmer, stopwords)"},
    {0},
};

PyObject *core_bm25_type(void)
{
    static PyType_Spec spec = {
        .name = "vecmill._core.Bm25",
        .basicsize = sizeof(struct bm25),
        .flags = Py_TPFLAGS_DEFAULT,
        .slots = slots,
    };
    return PyType_FromSpec(&spec);
}
