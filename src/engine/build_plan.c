/* build_plan: the sum that building a pack stays under. See build_plan.h. */
#include "engine/build_plan.h"

#include "engine/floor.h"
#include "model/model.h"
#include "text/text.h"

/* What the builder holds beside the floor's program: the library's descriptions and the code and tables
 * of a reordering. Measured as Anonymous of `vecmill-worker pack` behind the last weight, less the program's
 * 632 KiB: 188 KiB at each level, MiniLM-L6 and a toy (tests/engine/test_build_memory.c). */
#define BUILDER_LIBRARY_BYTES ((size_t)256 << 10)

/* What the child holds that measures the floor: its own floor, the scratch, and the outputs of a product;
 * inputs are pages of zeros that nobody wrote. */
static vecmill_status measuring_bytes(const char *dir, const struct kern *kern,
                                      const struct engine_floor *floor, size_t *bytes,
                                      vecmill_err *err)
{
    struct model_config config;
    struct gemm_shape shapes[MODEL_PRODUCTS];
    size_t widest = 0;
    VM_TRY(model_config_of_folder(dir, &config, err));
    model_products(&config, shapes);
    for (int i = 0; i < MODEL_PRODUCTS; i++)
        widest = num_max(widest, shapes[i].n);
    *bytes = (size_t)(floor->program_bytes + floor->library_bytes + floor->gemm_scratch_bytes +
                      floor->slack) +
             num_up(ENGINE_FLOOR_ROWS, kern->row_step) * widest * sizeof(float);
    return VECMILL_OK;
}

vecmill_status engine_build_bytes(const char *dir, const struct kern *kern, size_t *bytes,
                                  vecmill_err *err)
{
    struct engine_floor floor;
    size_t text, model, measuring;
    engine_floor_bound(kern, &floor);
    VM_TRY(text_compile_most(dir, &text, err));
    VM_TRY(model_compile_most(dir, kern, &model, err));
    VM_TRY(measuring_bytes(dir, kern, &floor, &measuring, err));
    /* One after the other: compile.c. */
    *bytes = (size_t)(floor.program_bytes + floor.slack) + BUILDER_LIBRARY_BYTES +
             num_max(text, num_max(model, measuring));
    return VECMILL_OK;
}
