/* engine_kit: toy models, and what is opened of them, for the tests of engine.
 *
 * A test's main calls kit_begin, which makes a folder for models and packs, and kit_end. */
#ifndef ENGINE_KIT_H
#define ENGINE_KIT_H

#include "base/base.h"
#include "vecmill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KIT_WAIT 300000u /* ms: a hang ends the test */

static char kit_folder[64];
static const char *kit_maker, *kit_worker;

/* maker: tools/make_toy_model.py; worker: the program. */
static inline bool kit_begin(const char *maker, const char *worker)
{
    kit_maker = maker;
    kit_worker = worker;
    strcpy(kit_folder, "/tmp/vecmill-test-engine-XXXXXX");
    return mkdtemp(kit_folder) != NULL;
}

static inline int kit_end(const char *suite, int n, int failed)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", kit_folder);
    if (system(command) != 0) fprintf(stderr, "not removed: %s\n", kit_folder);
    printf("%s: %d passed, %d failed\n", suite, n - failed, failed);
    return failed;
}

/* Makes the toy `name`; arguments as the maker's. */
static inline void kit_model(const char *name, const char *arguments)
{
    char command[3 * IO_PATH_MAX];
    snprintf(command, sizeof command, "python3 '%s' '%s/%s' --vocab 160 %s >/dev/null", kit_maker,
             kit_folder, name, arguments);
    assert_int_equal(system(command), 0);
}

/* Options of a toy. Eight are in use at a time, at most. */
static inline vecmill_options kit_options(const char *model)
{
    static char all[8][2][IO_PATH_MAX];
    static unsigned n;
    char(*paths)[IO_PATH_MAX] = all[n++ % 8];
    vecmill_options o;
    vecmill_options_init(&o);
    assert_int_equal(io_join(kit_folder, model, paths[0], NULL), VECMILL_OK);
    assert_int_equal(io_join(kit_folder, "cache", paths[1], NULL), VECMILL_OK);
    o.model_dir = paths[0];
    o.cache_dir = paths[1];
    o.worker_path = kit_worker;
    return o;
}

static inline vecmill_session *kit_open(const vecmill_options *o)
{
    vecmill_session *s = NULL;
    vecmill_err err;
    if (vecmill_session_open(o, &s, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    return s;
}

#endif
