#include "cache.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A variable of the environment; NULL when unset or empty. */
static const char *set(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

vecmill_status cache_dir(char *out, vecmill_err *err)
{
    const char *dir = set("VECMILL_CACHE"), *below = "";
    char text[1024];
    struct passwd entry, *found = NULL;
    if (!dir) {
        dir = set("XDG_CACHE_HOME");
        below = "/vecmill";
        if (dir && dir[0] != '/') dir = NULL;
    }
    if (!dir) {
        dir = set("HOME");
        below = "/.cache/vecmill";
    }
    if (!dir && getpwuid_r(geteuid(), &entry, text, sizeof text, &found) == 0 && found) {
        dir = found->pw_dir;
    }
    if (!dir) {
        return err_set(err, VECMILL_E_IO, "no cache folder: set VECMILL_CACHE or HOME");
    }
    int n = snprintf(out, IO_PATH_MAX, "%s%s", dir, below);
    if (n < 0 || n >= IO_PATH_MAX) {
        return err_set(err, VECMILL_E_LIMIT,
                       "the cache folder's path of %zu bytes is over IO_PATH_MAX, %d",
                       strlen(dir) + strlen(below), IO_PATH_MAX);
    }
    return VECMILL_OK;
}
