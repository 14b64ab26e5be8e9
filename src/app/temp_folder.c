#include "temp_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

vecmill_status temp_folder_open(struct temp_folder *s, const char *name, vecmill_err *err)
{
    const char *dir = getenv("TMPDIR");
    struct temp_folder made;
    const int n = snprintf(made.dir, sizeof(made.dir), "%s/vecmill-%s-XXXXXX",
                           dir && *dir ? dir : "/tmp", name);
    if (n < 0 || n >= IO_PATH_MAX - 64) /* room for names in it */
        return err_set(err, VECMILL_E_USAGE, "a TMPDIR of %d bytes is over IO_PATH_MAX, %d", n,
                       IO_PATH_MAX);
    if (!mkdtemp(made.dir))
        return err_sys(err, VECMILL_E_IO, errno, "%s: no temporary folder can be made", made.dir);
    *s = made;
    return VECMILL_OK;
}

void temp_folder_close(struct temp_folder *s)
{
    if (!s->dir[0]) return;
    DIR *d = opendir(s->dir);
    if (d) {
        for (const struct dirent *e = readdir(d); e; e = readdir(d))
            (void)unlinkat(dirfd(d), e->d_name, 0); /* "." and ".." are folders, and stay */
        (void)closedir(d);
    }
    (void)rmdir(s->dir);
    s->dir[0] = 0;
}
