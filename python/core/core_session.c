/* core_session: vecmill._core.Session, one model in this process.
 *
 * A session belongs to one call at a time: a second one meanwhile, from another thread, is a RuntimeError;
 * who shares a session takes turns. */
#include "core.h"

#include <unistd.h>

struct session {
    PyObject_HEAD vecmill_session *session;
    uint32_t dim, max_length;
    pid_t owner;
    bool busy; /* guarded by the interpreter's lock */
};

static PyObject *session_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    vecmill_options options;
    vecmill_session *opened = NULL;
    vecmill_err err;
    vecmill_status status;
    if (!core_options(args, kwargs, &options, NULL, NULL)) return NULL;
    PyThreadState *const unlocked = PyEval_SaveThread();
    status = vecmill_session_open(&options, &opened, &err);
    PyEval_RestoreThread(unlocked);
    if (status != VECMILL_OK) return core_raise(&err);
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct session *self = (struct session *)alloc(type, 0);
    if (!self) {
        vecmill_session_close(opened);
        return NULL;
    }
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_session_describe(opened, &facts);
    self->session = opened;
    self->dim = facts.dim;
    self->max_length = facts.max_length;
    self->owner = getpid();
    if (!core_warn(&facts)) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    return (PyObject *)self;
}

static void session_dealloc(struct session *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    vecmill_session *session = self->session;
    if (session && self->owner == getpid()) {
        PyThreadState *const unlocked = PyEval_SaveThread();
        vecmill_session_close(session);
        PyEval_RestoreThread(unlocked);
    }
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static bool begin(struct session *self)
{
    if (!core_is_ours(self->owner, "session")) return false;
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "this session is computing for another thread");
        return false;
    }
    self->busy = true;
    return true;
}

/* [(index, status's number, tokens)] of the documents that failed. */
static PyObject *failures(const vecmill_result *results, size_t n)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < n; i++) {
        if (results[i].status == VECMILL_OK) continue;
        PyObject *item = Py_BuildValue("nik", (Py_ssize_t)i, (int)results[i].status,
                                       (unsigned long)results[i].n_tokens);
        if (!item || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *embed_texts(struct session *self, const struct core_texts *t, float *vectors)
{
    vecmill_result *results = PyMem_Calloc(t->n + 1, sizeof *results);
    vecmill_err err;
    vecmill_status status;
    if (!results) return PyErr_NoMemory();
    PyThreadState *const unlocked = PyEval_SaveThread();
    status = vecmill_embed(self->session, t->docs, t->n, vectors, results, &err);
    PyEval_RestoreThread(unlocked);
    PyObject *answer = status == VECMILL_OK ? failures(results, t->n) : core_raise(&err);
    PyMem_Free(results);
    return answer;
}

PyDoc_STRVAR(embed_doc, "embed(texts, rows)\n--\n\n"
                        "Embed a sequence of str, or score one of pairs, into rows, a writable "
                        "float32 buffer of at least\n"
                        "len(texts) * dim elements; a failed text's row is zero.\n\n"
                        "Returns a list of (index, status, tokens) for the texts that failed.");

static PyObject *session_embed(struct session *self, PyObject *args)
{
    PyObject *texts, *buffer, *answer = NULL;
    struct core_texts t;
    Py_buffer view;
    size_t rows;
    if (!PyArg_ParseTuple(args, "OO", &texts, &buffer)) return NULL;
    if (!core_texts_get(texts, &t)) return NULL;
    if (core_rows_get(buffer, self->dim, &view, &rows)) {
        if (rows < t.n) {
            PyErr_Format(PyExc_ValueError, "the buffer has room for %zu rows, there are %zu texts",
                         rows, t.n);
        } else if (begin(self)) {
            answer = embed_texts(self, &t, view.buf);
            self->busy = false;
        }
        PyBuffer_Release(&view);
    }
    core_texts_free(&t);
    return answer;
}

/* What a session hands its results to. */
struct answers {
    PyObject *list; /* NULL: an exception is set */
    PyThreadState *unlocked;
};

static vecmill_status take_answer(void *context, size_t d, const vecmill_result *result,
                                  const vecmill_part *parts, uint32_t n_parts, vecmill_err *err)
{
    struct answers *to = context;
    (void)d, (void)n_parts, (void)err;
    PyEval_RestoreThread(to->unlocked);
    PyObject *made = core_made(result, parts, "");
    if (!made || PyList_Append(to->list, made) < 0) Py_CLEAR(to->list);
    Py_XDECREF(made);
    const bool ok = to->list != NULL;
    to->unlocked = PyEval_SaveThread();
    return ok ? VECMILL_OK : VECMILL_E_MEMORY;
}

PyDoc_STRVAR(compute_doc,
             "compute(texts)\n--\n\n"
             "What a model of one kind of results makes of a sequence of str, whatever its size:\n"
             "a list of (n, dim, data), data a bytearray (vecmill.h: vecmill_part), or of\n"
             "(status, tokens, '') where a text failed.");

static PyObject *session_compute(struct session *self, PyObject *texts)
{
    struct core_texts t;
    vecmill_err err;
    vecmill_status status;
    if (!core_texts_get(texts, &t)) return NULL;
    struct answers to = {.list = NULL};
    if (begin(self)) {
        to.list = PyList_New(0);
        if (to.list) {
            to.unlocked = PyEval_SaveThread();
            status = vecmill_compute(self->session, t.docs, t.n, take_answer, &to, &err);
            PyEval_RestoreThread(to.unlocked);
            if (status != VECMILL_OK && to.list) {
                Py_CLEAR(to.list);
                core_raise(&err);
            }
        }
        self->busy = false;
    }
    core_texts_free(&t);
    return to.list;
}

PyDoc_STRVAR(tokenize_doc,
             "tokenize(text)\n--\n\n"
             "The token ids of a str as embed computes them, special tokens included,\n"
             "cut at max_length.");

static PyObject *ids_list(const int32_t *ids, size_t n)
{
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; list && i < n; i++) {
        PyObject *id = PyLong_FromLong(ids[i]);
        if (!id || PyList_SetItem(list, (Py_ssize_t)i, id) < 0) Py_CLEAR(list);
    }
    return list;
}

static PyObject *session_tokenize(struct session *self, PyObject *text)
{
    vecmill_doc doc;
    vecmill_err err;
    vecmill_status status;
    size_t n;
    PyObject *held = core_text_get(text, 0, &doc), *answer = NULL;
    if (!held) return NULL;
    int32_t *ids = PyMem_Calloc(self->max_length, sizeof *ids);
    if (!ids) {
        PyErr_NoMemory();
    } else if (begin(self)) {
        PyThreadState *const unlocked = PyEval_SaveThread();
        status = vecmill_tokenize(self->session, doc, ids, self->max_length, &n, NULL, &err);
        PyEval_RestoreThread(unlocked);
        answer = status == VECMILL_OK ? ids_list(ids, n) : core_raise(&err);
        self->busy = false;
    }
    PyMem_Free(ids);
    Py_DECREF(held);
    return answer;
}

PyDoc_STRVAR(
    tokens_doc,
    "tokens(text, specials)\n--\n\n"
    "All tokens of a str, which is not cut: (tokens, text). tokens: bytes, for each token\n"
    "four 32-bit numbers: id, word (0xffffffff: a special one around the text), start and\n"
    "end in text, which is the bytes that were read.");

/* The tokens, in memory that the caller frees; NULL with an exception set. */
static vecmill_token *all_tokens(struct session *self, vecmill_doc doc, int specials, size_t *n)
{
    vecmill_err err;
    vecmill_status status = VECMILL_OK;
    vecmill_token *tokens = NULL;
    size_t capacity = doc.bytes / 3 + 16; /* of English a token has 4.5 bytes */
    for (*n = SIZE_MAX; status == VECMILL_OK && *n > capacity;) {
        if (*n != SIZE_MAX) capacity = *n;
        PyMem_Free(tokens);
        tokens = PyMem_Malloc(capacity * sizeof *tokens);
        if (!tokens) {
            PyErr_NoMemory();
            return NULL;
        }
        PyThreadState *const unlocked = PyEval_SaveThread();
        status = vecmill_tokens(self->session, doc, specials, tokens, capacity, n, &err);
        PyEval_RestoreThread(unlocked);
    }
    if (status == VECMILL_OK) return tokens;
    PyMem_Free(tokens);
    core_raise(&err);
    return NULL;
}

static PyObject *session_tokens(struct session *self, PyObject *args)
{
    PyObject *text, *answer = NULL;
    vecmill_doc doc;
    int specials;
    size_t n;
    if (!PyArg_ParseTuple(args, "Op", &text, &specials)) return NULL;
    PyObject *held = core_text_get(text, 0, &doc);
    if (!held) return NULL;
    if (begin(self)) {
        vecmill_token *tokens = all_tokens(self, doc, specials, &n);
        self->busy = false;
        if (tokens)
            answer =
                Py_BuildValue("y#O", (const char *)tokens, (Py_ssize_t)(n * sizeof *tokens), held);
        PyMem_Free(tokens);
    }
    Py_DECREF(held);
    return answer;
}

PyDoc_STRVAR(vocab_doc, "vocab()\n--\n\n"
                        "The texts of all token ids, from 0; None where an id has no token.");

static PyObject *session_vocab(struct session *self, PyObject *unused)
{
    (void)unused;
    if (!core_is_ours(self->owner, "session")) return NULL;
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_session_describe(self->session, &facts);
    PyObject *list = PyList_New(facts.vocab);
    for (uint32_t id = 0; list && id < facts.vocab; id++) {
        size_t bytes;
        const char *text = vecmill_token_text(self->session, (int32_t)id, &bytes);
        PyObject *token =
            text ? PyUnicode_DecodeUTF8(text, (Py_ssize_t)bytes, "replace") : Py_NewRef(Py_None);
        if (!token || PyList_SetItem(list, id, token) < 0) Py_CLEAR(list);
    }
    return list;
}

PyDoc_STRVAR(count_doc, "count_tokens(texts)\n--\n\n"
                        "How many tokens embed would compute for a sequence of str or pairs, all\n"
                        "together.");

static vecmill_status count(struct session *self, const struct core_texts *t, int32_t *ids,
                            uint64_t *sum, vecmill_err *err)
{
    for (size_t i = 0; i < t->n; i++) {
        size_t n;
        const vecmill_status status =
            vecmill_tokenize(self->session, t->docs[i], ids, self->max_length, &n, NULL, err);
        if (status != VECMILL_OK) return status;
        *sum += n;
    }
    return VECMILL_OK;
}

static PyObject *session_count(struct session *self, PyObject *texts)
{
    PyObject *answer = NULL;
    struct core_texts t;
    vecmill_err err;
    vecmill_status status;
    uint64_t sum = 0;
    if (!core_texts_get(texts, &t)) return NULL;
    int32_t *ids = PyMem_Calloc(self->max_length, sizeof *ids);
    if (!ids) {
        PyErr_NoMemory();
    } else if (begin(self)) {
        PyThreadState *const unlocked = PyEval_SaveThread();
        status = count(self, &t, ids, &sum, &err);
        PyEval_RestoreThread(unlocked);
        answer = status == VECMILL_OK ? PyLong_FromUnsignedLongLong(sum) : core_raise(&err);
        self->busy = false;
    }
    PyMem_Free(ids);
    core_texts_free(&t);
    return answer;
}

PyDoc_STRVAR(describe_doc, "describe()\n--\n\nThe session's facts as a dict.");

static PyObject *session_describe(struct session *self, PyObject *unused)
{
    (void)unused;
    if (!core_is_ours(self->owner, "session")) return NULL;
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_session_describe(self->session, &facts);
    return core_facts(&facts);
}

static PyMethodDef methods[] = {
    {"embed", (PyCFunction)session_embed, METH_VARARGS, embed_doc},
    {"compute", (PyCFunction)session_compute, METH_O, compute_doc},
    {"tokenize", (PyCFunction)session_tokenize, METH_O, tokenize_doc},
    {"count_tokens", (PyCFunction)session_count, METH_O, count_doc},
    {"tokens", (PyCFunction)session_tokens, METH_VARARGS, tokens_doc},
    {"vocab", (PyCFunction)session_vocab, METH_NOARGS, vocab_doc},
    {"describe", (PyCFunction)session_describe, METH_NOARGS, describe_doc},
    {0},
};

PyDoc_STRVAR(type_doc, "A model, ready to compute in this process (vecmill.h: vecmill_session).");

static PyType_Slot slots[] = {
    {Py_tp_new, session_new},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, (void *)type_doc},
    {0},
};

PyObject *core_session_type(void)
{
    static PyType_Spec spec = {
        .name = "vecmill._core.Session",
        .basicsize = sizeof(struct session),
        .flags = Py_TPFLAGS_DEFAULT,
        .slots = slots,
    };
    return PyType_FromSpec(&spec);
}
