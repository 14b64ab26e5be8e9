/* needs: dep_model */
/* Any bytes as one of a model folder's small JSON files: the first byte, '0' to '5', says which
 * (enum config_file). Checks that a refusal leaves the configuration as it was, and that an accepted one
 * keeps the ranges that config.h states. */
#include "model/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool promise)
{
    if (!promise) abort();
}

/* A module's path leads nowhere but into the folder. */
static bool stays_inside(const char *path)
{
    char framed[CONFIG_PATH_BYTES + 2];
    if (path[0] == '/' || !memchr(path, 0, CONFIG_PATH_BYTES)) return false;
    snprintf(framed, sizeof framed, "/%s/", path);
    return !strstr(framed, "/../") && !strchr(framed, '\\');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) return 0;
    struct config config, before;
    vecmill_err err;
    uint32_t length = 0;
    config_init(&config);
    config.model.hidden = 32;
    before = config;
    enum config_file file = (enum config_file)((unsigned)(data[0] - '0') % CONFIG_FILES);
    vecmill_status status = config_parse(file, data + 1, bytes - 1, "fuzz", &config, &err);
    if (status != VECMILL_OK) {
        check(status == VECMILL_E_MODEL && memcmp(&config, &before, sizeof(config)) == 0);
        check(memchr(err.message, 0, sizeof(err.message)) != NULL && err.message[0] != 0);
        return 0;
    }
    if (file == CONFIG_MODEL) check(config_check(&config.model, "fuzz", NULL) == VECMILL_OK);
    check(stays_inside(config.transformer) && stays_inside(config.pooling));
    check(config.model.pooling <= MODEL_POOL_CLS && config.model.normalize <= 1);
    status = config_max_length(&config, 512, &length, &err);
    check(status == VECMILL_OK ? length >= 3 && length <= 512 : config.max_seq_length > 512);
    return 0;
}
