/* models: the registry. */
#include "app.h"

#include "hub/hub.h"

struct model_row {
    const struct hub_model *model;
    bool is_here;
    char dir[IO_PATH_MAX];
};

static void print_model_json(struct app_out *out, const struct model_row *row)
{
    const struct hub_model *m = row->model;
    app_json_open(out, '{');
    app_json_key_string(out, "name", m->name);
    app_json_key_string(out, "alias", m->alias);
    app_json_key_u64(out, "dim", m->dim);
    app_json_key_u64(out, "max_length", m->max_length);
    app_json_key_string(out, "pooling", m->pooling);
    app_json_key_bool(out, "normalize", m->normalize);
    app_json_key_string(out, "tokenizer", m->tokenizer);
    app_json_key_string(out, "prompts", m->prompts);
    app_json_bytes(out, "bytes", m->bytes > 0 ? m->bytes : UINT64_MAX);
    app_json_key_string(out, "licence", m->licence);
    app_json_key_string(out, "source", m->source == HUB_PYPI ? "pypi" : "huggingface");
    app_json_key_string(out, "refused", m->refused);
    app_json_key_string(out, "folder", row->is_here ? row->dir : NULL);
    app_json_close(out, '}');
    app_json_line(out);
}

static void print_model_text(struct app_out *out, const struct model_row *row)
{
    const struct hub_model *m = row->model;
    char size[APP_NUMBER_BYTES] = "?";
    if (m->bytes > 0) (void)app_megabytes(m->bytes, size);
    app_print(out, "%-58s %5u %6u  %-5s %10s  %s%s\n", m->name, m->dim, m->max_length, m->pooling,
              size,
              m->refused     ? "refused: "
              : row->is_here ? "here"
                             : "vecmill pull",
              m->refused ? m->refused : "");
}

vecmill_status cmd_models(struct app *app, vecmill_err *err)
{
    char cache[IO_PATH_MAX];
    VM_TRY(cache_dir(cache, err));
    size_t n;
    const struct hub_model *models = hub_models(&n);
    const bool json = app->options->json;
    if (!json)
        app_print(&app->out, "%-58s %5s %6s  %-5s %10s  %s\n", "name", "dim", "tokens", "pool",
                  "size", "state");
    for (size_t i = 0; i < n; i++) {
        struct model_row row = {.model = &models[i]};
        row.is_here = hub_find(cache, models[i].name, row.dir, NULL) == VECMILL_OK;
        if (json)
            print_model_json(&app->out, &row);
        else
            print_model_text(&app->out, &row);
    }
    return VECMILL_OK;
}
