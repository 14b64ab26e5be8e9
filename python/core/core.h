/* core: the extension module vecmill._core, vecmill.h in Python's words.
 *
 * What is computed, planned and supervised is the library's; here are only arguments, buffers, the
 * interpreter's lock, and errors. Python code gives documents (texts as str, pairs of texts as tuples of
 * two), and for vectors and scores a writable float32 buffer, which the library fills in place. Results of
 * other sizes come as bytes.
 *
 * Promises: the interpreter's lock is released wherever something is computed or waited for; waits look
 * for signals at least every CORE_SLICE_MS; every failure is an exception made by vecmill._errors, or one of
 * Python's own for a wrong argument. Objects of a process that has forked since are refused in the child, and
 * forgotten there, not closed: their threads and workers are the parent's.
 * Does not know: NumPy, models' names, how texts are cut into calls. */
#ifndef CORE_H
#define CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <sys/types.h>

#include "vecmill.h"

#define CORE_SLICE_MS 100u

/* Raises the exception for an error of the library; always NULL. */
PyObject *core_raise(const vecmill_err *err);

/* Raises if `owner`, where an object was opened, is not this process. */
bool core_is_ours(pid_t owner, const char *what);

/* Words of vecmill_kind, in its order, as far as a model computes them. */
#define CORE_KINDS 5
extern const char *const core_kinds[CORE_KINDS];

/* ---- arguments ---- */

/* What the caller will hold beside a pool, for its plan: bytes, and rows of the model's dim floats. */
struct core_beside {
    uint64_t bytes, rows;
};

/* Options of sessions and pools, by keyword: model_dir (required), cache_dir, worker_path, isa, precision,
 * long, batch_tokens, max_length, dimensions, normalize, prompt, prompt_name, role, task, kind, raw_scores;
 * of sessions also threads, of pools workers, memory_bytes, max_document, beside_bytes, beside_rows. Paths
 * are str or bytes.
 * Strings are borrowed from the arguments, and *held by *pool_options; both of those are NULL for a session.
 * False with an exception set. */
bool core_options(PyObject *args, PyObject *kwargs, vecmill_options *options,
                  vecmill_pool_options *pool_options, struct core_beside *held);

/* Words of vecmill_precision, in its order. */
#define CORE_PRECISIONS 3
extern const char *const core_precisions[CORE_PRECISIONS];

/* The UTF-8 of a str, in a bytes object that is the caller's and that doc points into, or of the two of a
 * tuple, a pair, in a tuple of bytes; NULL with an exception set: what is neither is a TypeError that names
 * its place. Half of a surrogate pair, which has no UTF-8, is
 * U+FFFD, and two halves are the character they make, as in a file of JSON. What Python would keep in the
 * str itself would live as long as that. bytes are taken for UTF-8 as they are, and read by the library as
 * a file's are: what of them is none, as U+FFFD. */
PyObject *core_text_get(PyObject *given, Py_ssize_t place, vecmill_doc *doc);

/* Texts of one call, n of them. */
struct core_texts {
    vecmill_doc *docs;
    PyObject **held; /* as of core_text_get */
    size_t n;
};

/* texts: a sequence of str or pairs. False with an exception set: nothing is held. */
bool core_texts_get(PyObject *texts, struct core_texts *t);
void core_texts_free(struct core_texts *t);

/* A writable, contiguous buffer of n_rows * dim floats at least. *rows: how many it has room for. */
bool core_rows_get(PyObject *object, uint32_t dim, Py_buffer *view, size_t *rows);

/* ---- answers ---- */

/* A sentence of the library, whose paths need not be UTF-8. */
PyObject *core_words(const char *text);

PyObject *core_facts(const vecmill_facts *facts);
/* A RuntimeWarning for facts->warning, where there is one. False with an exception set: warnings
 * are errors. */
bool core_warn(const vecmill_facts *facts);
PyObject *core_plan(const vecmill_plan *plan);

/* Of a result that may have any size, where one kind is computed: (n, dim, data), n and dim as of
 * vecmill_part and its data copied into a bytearray; or (status, tokens, why), why "" or a sentence, of a
 * document that failed. NULL with an exception set. */
PyObject *core_made(const vecmill_result *result, const vecmill_part *part, const char *why);

/* ---- functions that need no model (core_late.c, core_quantize.c) ---- */

PyObject *core_maxsim(PyObject *module, PyObject *args);
PyObject *core_muvera(PyObject *module, PyObject *args);
PyObject *core_ranges(PyObject *module, PyObject *args);
PyObject *core_quantize(PyObject *module, PyObject *args);
PyObject *core_dequantize(PyObject *module, PyObject *args);
extern const char core_maxsim_doc[], core_muvera_doc[];
extern const char core_ranges_doc[], core_quantize_doc[], core_dequantize_doc[];

/* ---- types: created once, owned by the module ---- */

PyObject *core_session_type(void);
PyObject *core_pool_type(void);
PyObject *core_bm25_type(void);

#endif
