/* core_pool: vecmill._core.Pool, the same work in supervised worker processes.
 *
 * One thread may submit while another takes; two that do the same at once are a RuntimeError. close() from
 * any thread ends the pool as soon as no call is in it, which is within a slice of a wait. */
#include "core.h"

#include <unistd.h>

struct pool {
    PyObject_HEAD vecmill_pool *pool; /* NULL: closed */
    uint32_t dim;
    void *memory; /* of one result, where they have no one size; else NULL */
    pid_t owner;
    /* guarded by the interpreter's lock */
    bool submitting, taking, closing;
};

static PyObject *pool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    vecmill_options options;
    vecmill_pool_options pool_options;
    struct core_beside held;
    vecmill_pool *opened = NULL;
    vecmill_err err;
    vecmill_status status;
    if (!core_options(args, kwargs, &options, &pool_options, &held)) return NULL;
    PyThreadState *const unlocked = PyEval_SaveThread();
    status = vecmill_pool_open(&options, &pool_options, &opened, &err);
    PyEval_RestoreThread(unlocked);
    if (status != VECMILL_OK) return core_raise(&err);
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct pool *self = (struct pool *)alloc(type, 0);
    if (!self) {
        vecmill_pool_close(opened);
        return NULL;
    }
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_pool_describe(opened, &facts);
    self->pool = opened;
    self->dim = facts.dim;
    self->owner = getpid();
    if (facts.result_bytes != facts.dim * sizeof(float)) {
        self->memory = PyMem_Malloc(facts.result_bytes);
        if (!self->memory) {
            Py_DECREF((PyObject *)self);
            return PyErr_NoMemory();
        }
    }
    if (!core_warn(&facts)) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Closes when nobody is inside; else whoever leaves last does. */
static void close_if_idle(struct pool *self)
{
    vecmill_pool *pool = self->pool;
    if (!self->closing || self->submitting || self->taking || !pool) return;
    self->pool = NULL;
    if (self->owner != getpid()) return;
    PyThreadState *const unlocked = PyEval_SaveThread();
    vecmill_pool_close(pool);
    PyEval_RestoreThread(unlocked);
}

static void pool_dealloc(struct pool *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    self->closing = true;
    close_if_idle(self);
    PyMem_Free(self->memory);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static bool is_open(const struct pool *self)
{
    if (!core_is_ours(self->owner, "pool")) return false;
    if (self->pool && !self->closing) return true;
    PyErr_SetString(PyExc_ValueError, "the pool is closed");
    return false;
}

/* One call of a kind at a time: *inside is set until leave(). */
static bool enter(struct pool *self, bool *inside, const char *doing)
{
    if (!is_open(self)) return false;
    if (*inside) {
        PyErr_Format(PyExc_RuntimeError, "another thread is %s this pool", doing);
        return false;
    }
    *inside = true;
    return true;
}

static void leave(struct pool *self, bool *inside)
{
    *inside = false;
    close_if_idle(self);
}

PyDoc_STRVAR(submit_doc,
             "submit(texts, start=0)\n--\n\n"
             "Give texts[start:], str or pairs, to the pool, which copies them, as far as it has "
             "room; never\n"
             "waits. Returns how many it took. What is wrong with a text (over max_document: a\n"
             "LimitError) is raised when it is the first of a call.");

/* 1: taken, 0: no room, -1: an exception is set. */
static int submit_one(struct pool *self, PyObject *text, Py_ssize_t place)
{
    vecmill_doc doc;
    vecmill_err err;
    vecmill_status status;
    int accepted = 0;
    PyObject *held = text ? core_text_get(text, place, &doc) : NULL;
    if (!held) return -1;
    PyThreadState *const unlocked = PyEval_SaveThread();
    status = vecmill_pool_submit(self->pool, doc, &accepted, &err);
    PyEval_RestoreThread(unlocked);
    Py_DECREF(held);
    if (status == VECMILL_OK) return accepted;
    core_raise(&err);
    return -1;
}

static PyObject *pool_submit(struct pool *self, PyObject *args)
{
    PyObject *texts;
    Py_ssize_t start = 0;
    if (!PyArg_ParseTuple(args, "O|n", &texts, &start)) return NULL;
    const Py_ssize_t end = PySequence_Size(texts);
    if (end < 0) return NULL;
    if (start < 0 || start > end)
        return PyErr_Format(PyExc_ValueError, "start is %zd, there are %zd texts", start, end);
    if (!enter(self, &self->submitting, "submitting to")) return NULL;
    Py_ssize_t i = start;
    int taken = 1;
    while (i < end && taken > 0) {
        PyObject *text = PySequence_GetItem(texts, i);
        taken = submit_one(self, text, i);
        Py_XDECREF(text);
        if (taken > 0) i++;
    }
    leave(self, &self->submitting);
    if (taken < 0 && i == start) return NULL;
    if (taken < 0) PyErr_Clear(); /* it is the first of the next call, and raised then */
    return PyLong_FromSsize_t(i - start);
}

/* One document as it was taken. */
struct taken {
    vecmill_result result;
    vecmill_err why;
    vecmill_part parts[VECMILL_PARTS_MAX];
    int is_there;
};

/* Waits for one document as long as it may, looking for signals and for close() in between. row: of a
 * vector; NULL: its parts are wanted. */
static vecmill_status take_one(struct pool *self, uint32_t wait_ms, float *row, struct taken *one,
                               vecmill_err *err, bool *interrupted)
{
    uint32_t n_parts;
    one->is_there = 0;
    for (;;) {
        const uint32_t slice = wait_ms < CORE_SLICE_MS ? wait_ms : CORE_SLICE_MS;
        vecmill_status status;
        PyThreadState *const unlocked = PyEval_SaveThread();
        status =
            row ? vecmill_pool_take(self->pool, slice, row, &one->result, &one->why, &one->is_there,
                                    err)
                : vecmill_pool_take_parts(self->pool, slice, self->memory, one->parts, &n_parts,
                                          &one->result, &one->why, &one->is_there, err);
        PyEval_RestoreThread(unlocked);
        wait_ms -= slice;
        if (status != VECMILL_OK || one->is_there || wait_ms == 0 || self->closing) return status;
        *interrupted = PyErr_CheckSignals() < 0;
        if (*interrupted) return VECMILL_OK;
    }
}

/* (index, status's number, tokens, why) */
static bool note_failure(PyObject *failures, size_t i, const struct taken *one)
{
    PyObject *item =
        Py_BuildValue("nikN", (Py_ssize_t)i, (int)one->result.status,
                      (unsigned long)one->result.n_tokens, core_words(one->why.message));
    const bool ok = item && PyList_Append(failures, item) == 0;
    Py_XDECREF(item);
    return ok;
}

/* A document that was computed needs no note where it has a row. */
static bool keep(PyObject *list, const float *row, size_t i, const struct taken *one)
{
    if (row) return one->result.status == VECMILL_OK || note_failure(list, i, one);
    PyObject *made = core_made(&one->result, one->parts, one->why.message);
    const bool ok = made && PyList_Append(list, made) == 0;
    Py_XDECREF(made);
    return ok;
}

/* As many documents as are ready; waits for the first alone, so that nothing has been taken yet when a
 * signal's handler raises. An error of the pool that comes behind some is left for the next call: it comes
 * again. The list is of failures, or, without rows, of all; *n: how many were taken. */
static PyObject *take_some(struct pool *self, float *rows, size_t most, uint32_t wait_ms, size_t *n)
{
    PyObject *list = PyList_New(0);
    bool ok = list != NULL, interrupted = false;
    *n = 0;
    while (ok && *n < most) {
        struct taken one;
        vecmill_err err;
        float *row = rows ? rows + *n * self->dim : NULL;
        const vecmill_status status =
            take_one(self, *n == 0 ? wait_ms : 0, row, &one, &err, &interrupted);
        if (interrupted) ok = false;
        if (status != VECMILL_OK && *n == 0) {
            core_raise(&err);
            ok = false;
        }
        if (!one.is_there) break;
        ok = keep(list, row, *n, &one) && ok;
        ++*n;
    }
    if (!ok) Py_CLEAR(list);
    return list;
}

PyDoc_STRVAR(take_doc,
             "take(rows, offset, wait_ms)\n--\n\n"
             "Take the next vectors, in the order of submission, into rows[offset:], a writable\n"
             "float32 buffer; waits up to wait_ms for the first, takes what else is ready.\n\n"
             "Returns (n, failures): failures is a list of (index, status, tokens, why), counted\n"
             "from offset; a failed text's row is zero.");

static PyObject *pool_take(struct pool *self, PyObject *args)
{
    PyObject *buffer, *answer = NULL;
    Py_buffer view;
    Py_ssize_t offset;
    unsigned int wait_ms;
    size_t rows;
    if (!PyArg_ParseTuple(args, "OnI", &buffer, &offset, &wait_ms)) return NULL;
    if (!core_rows_get(buffer, self->dim, &view, &rows)) return NULL;
    if (offset < 0 || (size_t)offset > rows) {
        PyErr_Format(PyExc_ValueError, "offset is %zd, the buffer has room for %zu rows", offset,
                     rows);
    } else if (enter(self, &self->taking, "taking from")) {
        size_t n;
        PyObject *failures = take_some(self, (float *)view.buf + (size_t)offset * self->dim,
                                       rows - (size_t)offset, wait_ms, &n);
        if (failures) answer = Py_BuildValue("nN", (Py_ssize_t)n, failures);
        leave(self, &self->taking);
    }
    PyBuffer_Release(&view);
    return answer;
}

PyDoc_STRVAR(take_made_doc,
             "take_made(most, wait_ms)\n--\n\n"
             "Take the next results, whatever their size, of a model of one kind of them, in the\n"
             "order of submission: a list of at most `most`, each as of Session.compute; waits up\n"
             "to wait_ms for the first, takes what else is ready.");

static PyObject *pool_take_made(struct pool *self, PyObject *args)
{
    Py_ssize_t most;
    unsigned int wait_ms;
    size_t n;
    if (!PyArg_ParseTuple(args, "nI", &most, &wait_ms)) return NULL;
    if (!self->memory)
        return PyErr_Format(PyExc_ValueError, "the results of this pool are rows: take has them");
    if (!enter(self, &self->taking, "taking from")) return NULL;
    PyObject *list = take_some(self, NULL, most < 0 ? 0 : (size_t)most, wait_ms, &n);
    leave(self, &self->taking);
    return list;
}

PyDoc_STRVAR(close_doc,
             "close()\n--\n\nEnd the workers and give everything back. May be repeated.");

static PyObject *pool_close(struct pool *self, PyObject *unused)
{
    (void)unused;
    self->closing = true;
    close_if_idle(self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(describe_doc, "describe()\n--\n\nThe facts of each worker's session as a dict.");

static PyObject *pool_describe(struct pool *self, PyObject *unused)
{
    (void)unused;
    if (!is_open(self)) return NULL;
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_pool_describe(self->pool, &facts);
    return core_facts(&facts);
}

PyDoc_STRVAR(verify_doc,
             "verify()\n--\n\n"
             "Whether the pack still holds what was built, read again where there is reason to; a\n"
             "ModelError: it was damaged, and what was taken may be wrong.");

static PyObject *pool_verify(struct pool *self, PyObject *unused)
{
    vecmill_err err;
    vecmill_status status;
    (void)unused;
    if (!enter(self, &self->taking, "taking from")) return NULL;
    PyThreadState *const unlocked = PyEval_SaveThread();
    status = vecmill_pool_verify(self->pool, &err);
    PyEval_RestoreThread(unlocked);
    leave(self, &self->taking);
    if (status != VECMILL_OK) return core_raise(&err);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(plan_doc, "plan()\n--\n\nThe memory plan in force as a dict.");

static PyObject *pool_plan(struct pool *self, PyObject *unused)
{
    (void)unused;
    if (!is_open(self)) return NULL;
    vecmill_plan plan = {.struct_bytes = sizeof plan};
    vecmill_pool_planned(self->pool, &plan);
    return core_plan(&plan);
}

static PyObject *deaths(const vecmill_pool_counts *counts)
{
    PyObject *d = PyDict_New();
    for (int i = 0; d && i < VECMILL_CAUSE_COUNT; i++) {
        if (counts->deaths[i] == 0) continue;
        PyObject *n = PyLong_FromUnsignedLongLong(counts->deaths[i]);
        if (!n || PyDict_SetItemString(d, vecmill_cause_word((vecmill_cause)i), n) < 0) Py_CLEAR(d);
        Py_XDECREF(n);
    }
    return d;
}

PyDoc_STRVAR(counts_doc, "counts()\n--\n\nThe pool's counters as a dict.");

static PyObject *pool_counts(struct pool *self, PyObject *unused)
{
    (void)unused;
    if (!is_open(self)) return NULL;
    vecmill_pool_counts c = {.struct_bytes = sizeof c};
    vecmill_pool_count(self->pool, &c);
    PyObject *dead = deaths(&c);
    if (!dead) return NULL;
    return Py_BuildValue(
        "{sK sK sK sK sK sK sK sN sI sI sI sK}", "accepted", (unsigned long long)c.accepted,
        "returned", (unsigned long long)c.returned, "queued", (unsigned long long)c.queued,
        "in_flight", (unsigned long long)c.in_flight, "condemned", (unsigned long long)c.condemned,
        "batches", (unsigned long long)c.batches, "requeued", (unsigned long long)c.requeued,
        "deaths", dead, "workers", c.workers, "ready", c.ready, "capacity", c.capacity,
        "duplicates", (unsigned long long)c.duplicates);
}

static PyMethodDef methods[] = {
    {"submit", (PyCFunction)pool_submit, METH_VARARGS, submit_doc},
    {"take", (PyCFunction)pool_take, METH_VARARGS, take_doc},
    {"take_made", (PyCFunction)pool_take_made, METH_VARARGS, take_made_doc},
    {"verify", (PyCFunction)pool_verify, METH_NOARGS, verify_doc},
    {"close", (PyCFunction)pool_close, METH_NOARGS, close_doc},
    {"describe", (PyCFunction)pool_describe, METH_NOARGS, describe_doc},
    {"plan", (PyCFunction)pool_plan, METH_NOARGS, plan_doc},
    {"counts", (PyCFunction)pool_counts, METH_NOARGS, counts_doc},
    {0},
};

PyDoc_STRVAR(type_doc, "A model in supervised worker processes (vecmill.h: vecmill_pool).");

static PyType_Slot slots[] = {
    {Py_tp_new, pool_new},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, (void *)type_doc},
    {0},
};

PyObject *core_pool_type(void)
{
    static PyType_Spec spec = {
        .name = "vecmill._core.Pool",
        .basicsize = sizeof(struct pool),
        .flags = Py_TPFLAGS_DEFAULT,
        .slots = slots,
    };
    return PyType_FromSpec(&spec);
}
