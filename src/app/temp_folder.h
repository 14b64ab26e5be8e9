/* temp_folder: a temporary folder of this run, under $TMPDIR, else /tmp.
 *
 * temp_folder_close removes it with all that is in it (files; it has no folders). It is removed after a
 * first signal too, since signals are deferred before it is opened (signals_defer). A second signal, or
 * SIGKILL, leaves it. */
#ifndef APP_TEMP_FOLDER_H
#define APP_TEMP_FOLDER_H

#include "base/base.h"

struct temp_folder {
    char dir[IO_PATH_MAX]; /* "": none */
};

/* Makes a folder "vecmill-NAME-XXXXXX". E_USAGE: $TMPDIR is too long; E_IO. */
vecmill_status temp_folder_open(struct temp_folder *s, const char *name, vecmill_err *err);
void temp_folder_close(struct temp_folder *s);

#endif
