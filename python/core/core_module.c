/* core_module: the module vecmill._core: its types, functions and constants. */
#include "core.h"

PyDoc_STRVAR(plan_doc, "plan(model_dir, *, ...)\n--\n\n"
                       "The memory plan of a Pool with these options as a dict; opens nothing.");

static PyObject *module_plan(PyObject *module, PyObject *args, PyObject *kwargs)
{
    vecmill_options options;
    vecmill_pool_options pool_options;
    struct core_beside held;
    vecmill_plan plan = {.struct_bytes = sizeof plan};
    vecmill_err err;
    vecmill_status status;
    (void)module;
    if (!core_options(args, kwargs, &options, &pool_options, &held)) return NULL;
    PyThreadState *const unlocked = PyEval_SaveThread();
    status = vecmill_pool_plan(&options, &pool_options, &plan, &err);
    PyEval_RestoreThread(unlocked);
    return status == VECMILL_OK ? core_plan(&plan) : core_raise(&err);
}

PyDoc_STRVAR(cpus_doc, "cpus()\n--\n\n"
                       "Processors that this process can keep busy, by affinity and cgroup quota.");

static PyObject *module_cpus(PyObject *module, PyObject *unused)
{
    vecmill_machine machine = {.struct_bytes = sizeof machine};
    vecmill_err err;
    (void)module;
    (void)unused;
    if (vecmill_machine_describe(&machine, &err) != VECMILL_OK) return core_raise(&err);
    return PyLong_FromUnsignedLong(machine.cpus);
}

PyDoc_STRVAR(limit_doc,
             "limit()\n--\n\n"
             "Bytes that this process and its children may take: the smallest limit of cgroup,\n"
             "machine and resource limits; None where none is known.");

static PyObject *module_limit(PyObject *module, PyObject *unused)
{
    vecmill_machine machine = {.struct_bytes = sizeof machine};
    vecmill_err err;
    (void)module;
    (void)unused;
    if (vecmill_machine_describe(&machine, &err) != VECMILL_OK) return core_raise(&err);
    if (machine.limit == UINT64_MAX) Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(machine.limit);
}

static PyMethodDef functions[] = {
    {"plan", (PyCFunction)(void (*)(void))module_plan, METH_VARARGS | METH_KEYWORDS, plan_doc},
    {"cpus", module_cpus, METH_NOARGS, cpus_doc},
    {"limit", module_limit, METH_NOARGS, limit_doc},
    {"maxsim", core_maxsim, METH_VARARGS, core_maxsim_doc},
    {"muvera", core_muvera, METH_VARARGS, core_muvera_doc},
    {"ranges", core_ranges, METH_VARARGS, core_ranges_doc},
    {"quantize", core_quantize, METH_VARARGS, core_quantize_doc},
    {"dequantize", core_dequantize, METH_VARARGS, core_dequantize_doc},
    {0},
};

/* Steals value. */
static int add(PyObject *module, const char *name, PyObject *value)
{
    const int failed = value ? PyModule_AddObjectRef(module, name, value) : -1;
    Py_XDECREF(value);
    return failed;
}

static PyObject *statuses(void)
{
    PyObject *d = PyDict_New();
    for (int i = 0; d && i < VECMILL_STATUS_COUNT; i++) {
        PyObject *key = PyLong_FromLong(i);
        PyObject *value = Py_BuildValue("si", vecmill_status_words((vecmill_status)i),
                                        vecmill_status_exit((vecmill_status)i));
        if (!key || !value || PyDict_SetItem(d, key, value) < 0) Py_CLEAR(d);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return d;
}

static const struct {
    const char *name;
    long value;
} numbers[] = {
#define NUMBER(name, code, words) {#name, VECMILL_##name},
    VECMILL_STATUS_LIST(NUMBER)
#undef NUMBER
        {"MAX_THREADS", VECMILL_MAX_THREADS},
    {"MAX_WORKERS", VECMILL_MAX_WORKERS},
    {"MAX_BATCH_TOKENS", VECMILL_MAX_BATCH_TOKENS},
    {"TEXT_BYTES", VECMILL_TEXT_BYTES},
    {"DOCUMENT_BYTES", VECMILL_DEFAULT_DOCUMENT},
};

static int fill(PyObject *module)
{
    if (add(module, "Session", core_session_type()) < 0) return -1;
    if (add(module, "Pool", core_pool_type()) < 0) return -1;
    if (add(module, "Bm25", core_bm25_type()) < 0) return -1;
    if (add(module, "version", PyUnicode_FromString(vecmill_version())) < 0) return -1;
    if (add(module, "STATUSES", statuses()) < 0) return -1;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (PyModule_AddIntConstant(module, numbers[i].name, numbers[i].value) < 0) return -1;
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "vecmill._core",
    .m_doc = "vecmill.h for vecmill's own Python code; use the package vecmill instead.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
