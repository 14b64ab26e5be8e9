/* core_quantize: vectors as they are stored, vecmill.h's functions of rows that need no model. NumPy's arrays
 * come as buffers, contiguous and aligned; vecmill._quantize has made them so. */
#include "core.h"

const char core_ranges_doc[] =
    "ranges(vectors, dim, ranges, /)\n--\n\n"
    "vecmill_ranges: float32 vectors [n, dim], writable float32 ranges [2, dim].";
const char core_quantize_doc[] = "quantize(vectors, dim, dtype, ranges, out, /)\n--\n\n"
                                 "vecmill_quantize: float32 vectors [n, dim], a number of "
                                 "vecmill_dtype, float32 ranges [2, dim] or "
                                 "None,\na writable buffer for the rows.";
const char core_dequantize_doc[] =
    "dequantize(rows, dim, dtype, ranges, vectors, /)\n--\n\n"
    "vecmill_dequantize: a buffer of rows, writable float32 vectors [n, dim].";

/* Rows as floats and as they are stored, and their ranges. */
struct call {
    Py_buffer floats, stored, ranges;
    unsigned int dim;
    int dtype;
};

static void release(struct call *c)
{
    PyBuffer_Release(&c->floats);
    PyBuffer_Release(&c->stored);
    PyBuffer_Release(&c->ranges);
}

static bool is_whole(const struct call *c, size_t *n)
{
    const size_t row = c->dim * sizeof(float), ranges = (size_t)c->ranges.len;
    const uint64_t stored = vecmill_quantized_bytes((vecmill_dtype)c->dtype, c->dim);
    *n = row > 0 ? (size_t)c->floats.len / row : 0;
    if (row > 0 && stored > 0 && (size_t)c->floats.len == *n * row &&
        (size_t)c->stored.len == *n * stored && (c->ranges.buf == NULL || ranges == 2 * row))
        return true;
    PyErr_SetString(PyExc_ValueError, "the rows as floats, as they are stored, and their ranges do "
                                      "not fit together");
    return false;
}

static PyObject *finish(struct call *c, bool whole, vecmill_status status, const vecmill_err *err)
{
    release(c);
    if (!whole) return NULL;
    if (status != VECMILL_OK) return core_raise(err);
    Py_RETURN_NONE;
}

PyObject *core_quantize(PyObject *module, PyObject *args)
{
    struct call c = {.dim = 0};
    vecmill_err err;
    vecmill_status status = VECMILL_OK;
    size_t n;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*Iiz*w*", &c.floats, &c.dim, &c.dtype, &c.ranges, &c.stored))
        return NULL;
    const bool whole = is_whole(&c, &n);
    if (whole) {
        PyThreadState *const unlocked = PyEval_SaveThread();
        status = vecmill_quantize(c.floats.buf, n, c.dim, (vecmill_dtype)c.dtype, c.ranges.buf,
                                  c.stored.buf, &err);
        PyEval_RestoreThread(unlocked);
    }
    return finish(&c, whole, status, &err);
}

PyObject *core_dequantize(PyObject *module, PyObject *args)
{
    struct call c = {.dim = 0};
    vecmill_err err;
    vecmill_status status = VECMILL_OK;
    size_t n;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*Iiz*w*", &c.stored, &c.dim, &c.dtype, &c.ranges, &c.floats))
        return NULL;
    const bool whole = is_whole(&c, &n);
    if (whole) {
        PyThreadState *const unlocked = PyEval_SaveThread();
        status = vecmill_dequantize(c.stored.buf, n, c.dim, (vecmill_dtype)c.dtype, c.ranges.buf,
                                    c.floats.buf, &err);
        PyEval_RestoreThread(unlocked);
    }
    return finish(&c, whole, status, &err);
}

PyObject *core_ranges(PyObject *module, PyObject *args)
{
    Py_buffer vectors, ranges;
    unsigned int dim;
    vecmill_err err;
    vecmill_status status = VECMILL_OK;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*Iw*", &vectors, &dim, &ranges)) return NULL;
    const size_t row = dim * sizeof(float);
    const bool whole = row > 0 && (size_t)vectors.len % row == 0 && (size_t)ranges.len == 2 * row;
    if (whole) {
        PyThreadState *const unlocked = PyEval_SaveThread();
        status = vecmill_ranges(vectors.buf, (size_t)vectors.len / row, dim, ranges.buf, &err);
        PyEval_RestoreThread(unlocked);
    } else {
        PyErr_SetString(PyExc_ValueError,
                        "vectors and ranges are no arrays of [n, dim] and [2, dim]");
    }
    PyBuffer_Release(&vectors);
    PyBuffer_Release(&ranges);
    if (!whole) return NULL;
    if (status != VECMILL_OK) return core_raise(&err);
    Py_RETURN_NONE;
}
