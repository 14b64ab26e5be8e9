/* core_late: late interaction, vecmill.h's functions of vectors that need no model. NumPy's arrays come as
 * buffers, contiguous and aligned; vecmill._late has made them so. */
#include "core.h"

const char core_maxsim_doc[] =
    "maxsim(query, dim, rows, starts, scores, threads, /)\n--\n\n"
    "vecmill_maxsim: float32 query [q, dim] and rows [n, dim], uint64 starts [documents + 1],\n"
    "writable float32 scores [documents].";

/* Whether the buffers' sizes agree, before anything is read by them. */
static bool is_whole(const Py_buffer *query, unsigned int dim, const Py_buffer *rows,
                     const Py_buffer *starts, const Py_buffer *scores)
{
    const size_t row = dim * sizeof(float), n = (size_t)starts->len / sizeof(uint64_t);
    const uint64_t *first = starts->buf;
    if (dim == 0 || (size_t)query->len % row != 0 || (size_t)rows->len % row != 0 || n == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "query, rows and starts are no arrays of [q, dim], [n, dim] "
                        "and [documents + 1]");
        return false;
    }
    if ((size_t)scores->len != (n - 1) * sizeof(float)) {
        PyErr_Format(PyExc_ValueError, "scores has room for %zd documents, starts has %zu",
                     scores->len / (Py_ssize_t)sizeof(float), n - 1);
        return false;
    }
    if (first[n - 1] > (size_t)rows->len / row) {
        PyErr_Format(PyExc_ValueError, "offsets end at row %llu, there are %zu",
                     (unsigned long long)first[n - 1], (size_t)rows->len / row);
        return false;
    }
    return true;
}

PyObject *core_maxsim(PyObject *module, PyObject *args)
{
    Py_buffer query, rows, starts, scores;
    unsigned int dim, threads;
    vecmill_err err;
    vecmill_status status = VECMILL_OK;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*Iy*y*w*I", &query, &dim, &rows, &starts, &scores, &threads))
        return NULL;
    const bool whole = is_whole(&query, dim, &rows, &starts, &scores);
    if (whole) {
        const size_t n_query = (size_t)query.len / (dim * sizeof(float));
        PyThreadState *const unlocked = PyEval_SaveThread();
        status = vecmill_maxsim(
            query.buf, n_query > UINT32_MAX ? UINT32_MAX : (uint32_t)n_query, dim, rows.buf,
            starts.buf, (uint64_t)starts.len / sizeof(uint64_t) - 1, threads, scores.buf, &err);
        PyEval_RestoreThread(unlocked);
    }
    PyBuffer_Release(&query);
    PyBuffer_Release(&rows);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&scores);
    if (!whole) return NULL;
    if (status != VECMILL_OK) return core_raise(&err);
    Py_RETURN_NONE;
}

const char core_muvera_doc[] =
    "muvera(dim, k_sim, dim_proj, r_reps, planes, rows, is_query, out, /)\n--\n\n"
    "vecmill_muvera: float64 planes [r_reps, dim, k_sim + dim_proj] and rows [n, dim], a writable\n"
    "float64 out [r_reps * 2**k_sim * dim_proj].";

/* Whether the buffers have the sizes that the shape asks for. */
static bool has_sizes(const vecmill_muvera_shape *s, uint64_t floats, const Py_buffer *planes,
                      const Py_buffer *rows, const Py_buffer *out)
{
    const double of_planes =
        (double)s->r_reps * s->dim * ((double)s->k_sim + s->dim_proj) * sizeof(double);
    if ((double)planes->len == of_planes && (size_t)rows->len % (s->dim * sizeof(double)) == 0 &&
        (size_t)out->len / sizeof(double) == floats)
        return true;
    PyErr_SetString(PyExc_ValueError, "planes, rows and out are no arrays of [r_reps, dim, k_sim + "
                                      "dim_proj], [n, dim] and [r_reps * 2**k_sim * dim_proj]");
    return false;
}

PyObject *core_muvera(PyObject *module, PyObject *args)
{
    Py_buffer planes, rows, out;
    vecmill_muvera_shape s;
    uint64_t floats = 0;
    int is_query;
    vecmill_err err;
    (void)module;
    if (!PyArg_ParseTuple(args, "IIIIy*y*pw*", &s.dim, &s.k_sim, &s.dim_proj, &s.r_reps, &planes,
                          &rows, &is_query, &out))
        return NULL;
    vecmill_status status = vecmill_muvera_floats(&s, &floats, &err);
    const bool fits = status != VECMILL_OK || has_sizes(&s, floats, &planes, &rows, &out);
    if (status == VECMILL_OK && fits) {
        PyThreadState *const unlocked = PyEval_SaveThread();
        status =
            vecmill_muvera(&s, planes.buf, rows.buf, (size_t)rows.len / (s.dim * sizeof(double)),
                           is_query ? VECMILL_ROLE_QUERY : VECMILL_ROLE_DOCUMENT, out.buf, &err);
        PyEval_RestoreThread(unlocked);
    }
    PyBuffer_Release(&planes);
    PyBuffer_Release(&rows);
    PyBuffer_Release(&out);
    if (!fits) return NULL;
    if (status != VECMILL_OK) return core_raise(&err);
    Py_RETURN_NONE;
}
