/* build_plan: the sum that building a pack stays under. See build_plan.h. */
#include "engine/build_plan.h"

#include "engine/baseline.h"
#include "model/model.h"
#include "text/text.h"

vecmill_status engine_build_bytes(const char *dir, size_t *bytes, vecmill_err *err)
{
    struct baseline baseline;
    char folder[IO_PATH_MAX];
    size_t text, model;
    baseline_bound(&baseline);
    VM_TRY(model_folder(dir, folder, err));
    VM_TRY(text_compile_most(folder, &text, err));
    VM_TRY(model_compile_most(dir, &model, err));
    /* One after the other: compile.c; the child that measures the baseline runs when both are let go of. */
    const size_t program = (size_t)(baseline.program_bytes + baseline.slack);
    *bytes = program + num_max(program, num_max(text, model));
    return VECMILL_OK;
}
